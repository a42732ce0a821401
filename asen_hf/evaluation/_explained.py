"""One output of a model for some rows, which an attribution explains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup
from torch import Tensor

from ..model._messages import shown
from ..model.configuration_rows import MASK, PAIRS
from ..model.configuration_task import TaskConfig
from ..model.groups import random_elements
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import raw_values
from ..model.pretrained_asen import evaluating
from ..model.symmetry import SymmetryBreaker
from .equivariance import preserves_labels

MAX_ELEMENTS = 64
"""A larger group is averaged over this number of random elements, where an average is needed."""


@dataclasses.dataclass(frozen=True)
class Explained:
    """One output of a model for some rows.

    Attributes:
        inputs: rows, ``(B, n)`` or ``(B, n, F)``.
        others: their ``pairs`` and ``attention_mask``, where there are any.
        targets: classes or numbers of the explained value, ``(B,)``, or ``(B, n)`` for every node.
        node: the node whose output is explained; ``None`` for the sum over nodes, or a graph-level task.
        subject: the output in words.
    """

    model: AsenForMultitask
    name: str
    inputs: Tensor
    others: dict[str, Tensor]
    targets: Tensor
    node: int | None
    subject: str

    @property
    def task(self) -> TaskConfig:
        return self.model.config.tasks[self.name]

    @classmethod
    def of(cls, model: Any, inputs: Any, task: str | None, target: int | None, node: int | None, **others: Any) -> Self:
        if not isinstance(model, AsenForMultitask):
            raise ValueError(f"attribution needs an AsenForMultitask, which has outputs, got {shown(model)}")
        name, config = model.config.task(task)
        rows = torch.as_tensor(inputs).to(model.device)
        if config.num_features is not None and not rows.is_floating_point():
            rows = rows.float()
        if rows.ndim == 0 or not len(rows):
            raise ValueError(f"inputs must hold at least one row, got shape {tuple(rows.shape)}")
        if node is not None and not (config.output_level == "node" and 0 <= node < config.degree):
            raise ValueError(f"node must be None, or a node 0 … {config.degree - 1} of a node-level task, got {node!r}")
        if target is not None and not 0 <= target < config.output_size:
            raise ValueError(f"target must be in 0 … {config.output_size - 1}, got {target!r}")
        is_classes = config.problem_type == "single_label_classification"
        if target is None and not is_classes and config.output_size > 1:
            raise ValueError(
                f"task {name!r} has {config.output_size} outputs: say which to explain, target=0 … "
                f"{config.output_size - 1}"
            )
        columns = {key: torch.as_tensor(column).to(rows.device) for key, column in others.items() if column is not None}
        with evaluating(model):
            logits = model(rows, task=name, **columns).logits  # checks the rows
        targets = logits.argmax(dim=-1) if target is None else torch.full_like(logits[..., 0], target).long()
        return cls(model, name, rows, columns, targets, node, subject(config, target, node))

    def output(self, inputs: Tensor, targets: Tensor, *others: Tensor) -> Tensor:
        """The explained number of each row, ``(B,)``; ``others`` are values of :attr:`others`, in their order."""
        columns = self.columns(others)
        logits = self.model(inputs, task=self.name, **columns).logits
        if self.task.is_regression:
            values = raw_values(self.task, logits, inputs)
            values = values.unsqueeze(-1) if self.task.output_size == 1 else values
        else:
            values = logits
            if self.task.problem_type == "single_label_classification":
                values = values - values.mean(dim=-1, keepdim=True)
        values = values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        if values.ndim == 1:
            return values
        if self.node is not None:
            return values[:, self.node]
        if (mask := columns.get(MASK)) is not None:
            mask = mask.bool()
            values = torch.where(mask if values.ndim == 2 else mask.unsqueeze(2) & mask.unsqueeze(1), values, 0)
        return values.flatten(1).sum(dim=1)

    def columns(self, others: Sequence[Tensor]) -> dict[str, Tensor]:
        """Values of :attr:`others` by name."""
        return dict(zip(self.others, others, strict=True))

    def baseline_row(self, baseline: Any) -> Tensor | None:
        """A row in raw units; ``None`` for the mean embedding of all tokens."""
        task, shape = self.task, self.task.input_shape()
        if baseline is None:
            if task.num_features is None:
                return None
            mean = 0.0 if task.input_mean is None else task.input_mean
            return torch.from_numpy(np.broadcast_to(np.array(mean), shape).copy()).to(self.inputs)
        row = torch.as_tensor(baseline).to(self.inputs)
        if row.shape != shape:
            raise ValueError(f"baseline must be one row of shape {shape}, got {tuple(row.shape)}")
        task.check_inputs(row.unsqueeze(0).numpy(force=True), where="baseline: ")
        return row

    def elements(self, group: PermutationGroup | None, baseline: Tensor | None) -> list[NDArray[np.int64]]:
        """The elements to average over: the identity alone, where the network and the baseline keep the group."""
        degree = self.task.degree
        if self.task.value_symmetries and group is None:  # the network is equivariant to the whole group
            return [np.arange(degree)]
        group = self.task.permutation_group() if group is None else group
        if group.degree != degree:
            raise ValueError(f"task {self.name!r} has degree {degree}, the group {group.degree}")
        breaker = cast(SymmetryBreaker, self.model.asen.symmetry_breakers[self.name])
        generators = [np.array(generator.array_form, dtype=np.int64) for generator in group.generators]

        def is_kept(generator: NDArray[np.int64]) -> bool:
            keeps_baseline = baseline is None or torch.equal(baseline[torch.from_numpy(generator)], baseline)
            return keeps_baseline and not self.task.value_symmetries and preserves_labels(breaker, generator)

        if all(is_kept(generator) for generator in generators):
            return [np.arange(degree)]
        return all_elements(generators, degree, MAX_ELEMENTS) or [*random_elements(group, MAX_ELEMENTS, seed=0)]

    def moved(self, element: NDArray[np.int64]) -> Self:
        """The rows moved by an element of the group."""
        inverse = torch.from_numpy(np.argsort(element)).to(self.inputs.device)  # (gx)[i] = x[g⁻¹(i)]
        return dataclasses.replace(
            self,
            inputs=_moved(self.inputs, inverse, 1),
            others={name: _moved(column, inverse, 2 if name == PAIRS else 1) for name, column in self.others.items()},
            targets=_moved(self.targets, inverse, self.targets.ndim - 1),
            node=None if self.node is None else int(element[self.node]),
        )


def _moved(column: Tensor, inverse: Tensor, num_axes: int) -> Tensor:
    """A column ``(B, n, …)`` with ``num_axes`` axes of nodes, moved by an element of the group."""
    for axis in range(1, 1 + num_axes):
        column = column.index_select(axis, inverse)
    return column


def all_elements(generators: list[NDArray[np.int64]], degree: int, most: int) -> list[NDArray[np.int64]]:
    """All elements of the generated group in array form, or an empty list if there are more than ``most``."""
    found = {tuple(range(degree)): None}
    for element in (pending := list(found)):
        for generator in generators:
            product = tuple(generator[list(element)].tolist())
            if product not in found:
                found[product] = None
                pending.append(product)
            if len(found) > most:
                return []
    return [np.array(element, dtype=np.int64) for element in found]


def subject(task: TaskConfig, target: int | None, node: int | None) -> str:
    if target is None and not task.is_regression:
        name = "the predicted class"
    elif task.label_names:
        name = task.label_names[target or 0]
    else:
        name = f"{'label' if task.is_regression else 'class'} {target or 0}" if task.output_size > 1 else "the label"
    if task.output_level == "graph":
        return name
    if node is not None:
        return f"{name} of node {node}"
    return f"{name}, summed over {'nodes' if task.output_level == 'node' else 'pairs of nodes'}"
