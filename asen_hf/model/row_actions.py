"""Elements of a task's group act on its rows: on inputs and labels in raw units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .configuration_rows import IGNORED_CLASS, MASK, MISSING_TOKEN, PAIRS
from .configuration_symmetries import value_gathers
from .configuration_task import TaskConfig
from .value_maps import Element


class RowAction:
    """How chosen elements of a task's group, value symmetries included, change rows (see :mod:`.value_maps`).

    Features and regressed values are mapped as normalised, so a change of sign is about ``input_mean`` or
    ``label_mean``.

    Args:
        task: with or without value symmetries.
        elements: M elements of ``value_group(task)``.
        device: of the rows.
    """

    def __init__(self, task: TaskConfig, elements: Sequence[Element], device: torch.device | str = "cpu") -> None:
        self.task = task
        # (g x)[j] = ρ_i x[i] with i = π⁻¹(j)
        self._nodes = torch.from_numpy(np.stack([np.argsort(element.points) for element in elements])).to(device)
        self._maps = torch.from_numpy(np.stack([element.arriving for element in elements])).to(device)
        (self._sources, self._signs), (self._output_sources, self._output_signs) = (
            tuple(torch.from_numpy(part).to(device) for part in side) for side in value_gathers(task)
        )
        # The gather that stands for a permutation is its inverse.
        self._images, self._output_images = (each.argsort(dim=-1) for each in (self._sources, self._output_sources))
        self._changes_values = bool(self._maps.any())
        self._offsets = _offsets(task.input_mean, self._sources, self._signs)  # ([n,] M', F)
        self._output_offsets = _offsets(task.label_mean, self._output_sources, self._output_signs)
        if task.residual_feature is not None:  # labels are differences from the feature, and both change alike
            self._output_offsets = self._output_offsets + self._offsets[..., task.residual_feature, None]

    def __len__(self) -> int:
        return len(self._nodes)

    def columns(self, columns: Mapping[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
        """All columns of rows, row b changed by element ``chosen[b]``.

        Args:
            columns: ``{name: (B, …)}``. ``inputs``, ``labels``, ``pairs`` and ``attention_mask`` are changed as by the
                methods below; others, such as ``weights``, stay as they are.
            chosen: int64 ``(B,)``.
        """
        moves = {"inputs": self.inputs, "labels": self.labels, PAIRS: self.pairs, MASK: self.nodes}
        return {name: moves[name](column, chosen) if name in moves else column for name, column in columns.items()}

    def inputs(self, inputs: Tensor, chosen: Tensor) -> Tensor:
        """Tokens ``(B, n)`` or features ``(B, n, F)`` in raw units, row b changed by element ``chosen[b]``.

        Tokens of any integer dtype become int64 where values change, as classes do below.
        """
        moved, maps = self.nodes(inputs, chosen), self._maps[chosen]
        if not self._changes_values:
            return moved
        if inputs.ndim == 2:
            tokens = moved.long()  # in uint8, the token 255 would be -1
            return torch.where(tokens == MISSING_TOKEN, tokens, self._images[maps, tokens.clamp(min=0)])
        return _affine(moved, self._sources, self._signs, self._offsets, maps)

    def pairs(self, pairs: Tensor, chosen: Tensor) -> Tensor:
        """Values of pairs of nodes ``(B, n, n, …)``, moved only: pairs move with their nodes."""
        nodes = self._nodes[chosen]
        rows = torch.arange(len(pairs), device=pairs.device)[:, None, None]
        return pairs[rows, nodes.unsqueeze(2), nodes.unsqueeze(1)]

    def labels(self, labels: Tensor, chosen: Tensor) -> Tensor:
        """Labels in raw units, ``(B,) + task.label_shape()``, row b changed by element ``chosen[b]``."""
        task = self.task
        labels, maps = self._outputs(labels, chosen)
        if not self._changes_values:
            return labels
        if task.is_regression:
            values = labels if task.output_size > 1 else labels.unsqueeze(-1)
            moved = _affine(values, self._output_sources, self._output_signs, self._output_offsets, maps)
            return moved if task.output_size > 1 else moved.squeeze(-1)
        if task.is_multi_label:
            return labels.take_along_dim(self._output_sources[maps], dim=-1)
        classes = labels.long()
        images = self._output_images[maps, classes.clamp(min=0)]
        return torch.where(classes == IGNORED_CLASS, classes, images)

    def logits(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """Logits, in normalised units, ``(B, n, K)`` or ``(B, K)``, row b changed by element ``chosen[b]``."""
        logits, maps = self._outputs(logits, chosen)
        return logits.take_along_dim(self._output_sources[maps], dim=-1) * self._output_signs[maps].to(logits.dtype)

    def _outputs(self, outputs: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs, moved if they are of nodes, and the numbers of the value maps that are to change them."""
        maps = self._maps[chosen]
        if self.task.output_level == "node":
            return self.nodes(outputs, chosen), maps
        if self.task.output_level == "pair":
            return self.pairs(outputs, chosen), maps[:, :1, None].expand(-1, *outputs.shape[1:3])
        return outputs, maps[:, 0]

    def nodes(self, values: Tensor, chosen: Tensor) -> Tensor:
        """Values of nodes ``(B, n, …)``, moved only."""
        return values[torch.arange(len(values), device=values.device).unsqueeze(1), self._nodes[chosen]]


def _offsets(mean: Any, sources: Tensor, signs: Tensor) -> Tensor:
    """``mean - sign · mean[source]``, what a map about the mean adds: ``(maps, F)``, or per node ``(n, maps, F)``."""
    centre = torch.as_tensor(0.0 if mean is None else mean, dtype=torch.float64, device=sources.device)
    centre = centre.expand(*centre.shape[:-1], sources.shape[-1]).unsqueeze(-2)
    return centre - signs * centre.take_along_dim(sources.expand(*centre.shape[:-2], -1, -1), dim=-1)


def _affine(values: Tensor, sources: Tensor, signs: Tensor, offsets: Tensor, maps: Tensor) -> Tensor:
    """``sign · value[source] + offset`` along the last dimension, in float64 until the end."""
    added = offsets[maps] if offsets.ndim == 2 else offsets[torch.arange(maps.shape[-1]), maps]
    mapped = values.double().take_along_dim(sources[maps], dim=-1) * signs[maps] + added
    return mapped.to(values.dtype)
