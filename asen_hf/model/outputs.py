"""The output of the multitask model."""

from __future__ import annotations

import dataclasses

from torch import Tensor
from transformers.utils import ModelOutput


@dataclasses.dataclass
class AsenMultitaskOutput(ModelOutput):
    """The output of :class:`AsenForMultitask`.

    Attributes:
        loss: mean over the labels that are not ignored, in normalised units; ``None`` without labels.
        logits: ``(B, n, num_labels)`` for node tasks, ``(B, num_labels)`` for graph tasks, in normalised units.
        hidden_states: ``num_hidden_layers + 1`` tensors ``(B, n, d)``, on request.
        attentions: one tensor per layer, ``(B, H, n, n)`` (row = target) or, if sparse, ``(B, H, E)``; on request.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
