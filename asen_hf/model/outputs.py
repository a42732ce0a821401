"""What the backbone and the multitask model return."""

from __future__ import annotations

import dataclasses

from torch import Tensor
from transformers.utils import ModelOutput

from .batching import EmbeddedRows
from .configuration_asen import AsenConfig


@dataclasses.dataclass(frozen=True)
class BackboneOutput:
    """What the backbone makes of the rows of one task.

    Attributes:
        hidden_states: at the input and after each layer of each pass, ``(B, n, d)``.
        attentions: the attention weights of each layer of each pass.
        rows: its input.
    """

    hidden_states: list[Tensor]
    attentions: list[Tensor]
    rows: EmbeddedRows

    def asked(self, argument: bool | None, config: AsenConfig, name: str) -> tuple[Tensor, ...] | None:
        """The states or weights of all layers if the argument, or by default the config, asks for them."""
        is_asked = getattr(config, f"output_{name}") if argument is None else argument
        return tuple(getattr(self, name)) if is_asked else None


@dataclasses.dataclass
class AsenMultitaskOutput(ModelOutput):
    """The output of :class:`AsenForMultitask`.

    Attributes:
        loss: mean over the labels that are not ignored, in normalised units; ``None`` without labels.
        logits: ``(B, n, num_labels)`` for node tasks, ``(B, n, n, num_labels)`` for pair tasks,
            ``(B, num_labels)`` for graph tasks, in normalised units.
        hidden_states: ``num_recurrences · num_hidden_layers + 1`` tensors ``(B, n, d)``, on request.
        attentions: one tensor per layer and pass, ``(B, H, n, n)`` (row = target) or, if sparse, ``(B, H, E)``, on
            request.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
