"""Which nodes and which pairs of nodes an output depends on: integrated gradients, equivariant like the network.

Integrated gradients (Sundararajan et al. 2017) follow the output F along the straight line from a baseline x' to the
input x, and give every entry its part of F(x) - F(x'): the parts sum to the difference (completeness).

- *Nodes with features*: x is the raw features, and x' their means ``input_mean``. A missing reading stays missing.
- *Nodes with tokens* have no gradient: x is the embedded row, and x' the mean embedding of all tokens of the
  vocabulary at every node.
- *Pairs*: x is a factor 1 before every message, from source j to target i, in all layers at once, and x' = 0: no node
  hears another one, nor itself. The value of a pair is what its messages add to the output, attention weights being
  what the states along the way make them. Messages over triples stay as they are.

If F does not change when an element g of the group moves the row, and g moves x' to itself, then the values of gx are
those of x, moved by g. So it is for every network on a support that its group keeps, with the baselines above. For any
other network or baseline, values are averaged over the group, ``mean over g of g⁻¹ · values(g x)``, to the same effect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sympy.combinatorics import PermutationGroup
from torch import Tensor, nn

from ..model._messages import shown
from ..model.attention import GATv2Attention
from ..model.batching import EmbeddedRows
from ..model.configuration_task import TaskConfig
from ..model.groups import random_elements
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import raw_values
from ..model.pretrained_asen import evaluating
from ..model.symmetry import SymmetryBreaker
from ._integrated_gradients import all_elements, hooked, integrated_gradients, scaled_messages
from .equivariance import preserves_labels

MAX_ELEMENTS = 64
"""A larger group is averaged over this number of random elements, where an average is needed."""

_TOKENS = 256  # constant rows that are embedded at once


@dataclasses.dataclass(frozen=True)
class Attribution:
    """Every entry's part of an output.

    Attributes:
        values: ``(B, n)`` for nodes with tokens, ``(B, n, F)`` for nodes with features, ``(B, n, n)`` for pairs, row =
            target, 0 where no message passes. In the output's units: of the labels, or of logits.
        output: ``(B,)``, the output F(x) that is explained.
        baseline_output: ``(B,)``, the output F(x') at the baseline.
        subject: the output in words, such as "the predicted class, summed over nodes".
    """

    values: Tensor
    output: Tensor
    baseline_output: Tensor
    subject: str

    @property
    def completeness_error(self) -> Tensor:
        """``(B,)``: how far the values' sum is from ``output - baseline_output``; more steps make it smaller."""
        return (self.values.flatten(1).sum(dim=1) - (self.output - self.baseline_output)).abs()


def node_attribution(
    model: AsenForMultitask,
    inputs: Tensor | ArrayLike,
    task: str | None = None,
    *,
    target: int | None = None,
    node: int | None = None,
    baseline: Tensor | ArrayLike | None = None,
    group: PermutationGroup | None = None,
    num_steps: int = 64,
) -> Attribution:
    """What every node, or every feature of every node, adds to an output.

    Args:
        model: left as it is, in its mode and its gradients.
        inputs: rows ``(B, n)`` or ``(B, n, F)`` in raw units.
        task: name of the task; ``None`` if there is only one.
        target: which class, label or regressed value to explain; ``None``: the class that is predicted, or the only
            value. A class's output is its logit less the mean of all classes' logits, which softmax cannot see; a
            regressed value is in raw units.
        node: of a node-level task, the node whose output is explained; ``None``: the sum over all nodes.
        baseline: one row ``(n,)`` or ``(n, F)`` in raw units, instead of the one that the module's docstring gives.
        group: the group to be equivariant to, of degree n; ``None``: the task's own.
        num_steps: number of points of the integral (Gauss-Legendre).

    Raises:
        ValueError: an unknown task; rows, a baseline, a group or a node that do not suit it; a target that is missing
            or out of range; fewer than one step.
        ImportError: captum is not installed; ``pip install "asen-hf[explain]"``.
    """
    explained = _Explained.of(model, inputs, task, target, node)
    base = explained.baseline_row(baseline)
    elements = explained.elements(group, base)
    integrate = explained.integrate_features if explained.task.num_features is not None else explained.integrate_tokens
    return explained.averaged(elements, lambda moved: integrate(moved, base, num_steps), 1)


def pair_attribution(
    model: AsenForMultitask,
    inputs: Tensor | ArrayLike,
    task: str | None = None,
    *,
    target: int | None = None,
    node: int | None = None,
    group: PermutationGroup | None = None,
    num_steps: int = 64,
) -> Attribution:
    """What the messages of every pair of nodes add to an output, in all layers together.

    Arguments and errors as for :func:`node_attribution`; the baseline is the network without messages.
    """
    explained = _Explained.of(model, inputs, task, target, node)
    elements = explained.elements(group, None)
    return explained.averaged(elements, lambda moved: explained.integrate_pairs(moved, num_steps), 2)


@dataclasses.dataclass(frozen=True)
class _Explained:
    """One output of a model for some rows.

    Attributes:
        inputs: rows, ``(B, n)`` or ``(B, n, F)``.
        targets: classes or numbers of the explained value, ``(B,)``, or ``(B, n)`` for every node.
        node: the node whose output is explained; ``None`` for the sum over nodes, or a graph-level task.
        subject: the output in words.
    """

    model: AsenForMultitask
    name: str
    inputs: Tensor
    targets: Tensor
    node: int | None
    subject: str

    @property
    def task(self) -> TaskConfig:
        return self.model.config.tasks[self.name]

    @classmethod
    def of(cls, model: Any, inputs: Any, task: str | None, target: int | None, node: int | None) -> _Explained:
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
        with evaluating(model):
            logits = model(rows, task=name).logits  # checks the rows
        targets = logits.argmax(dim=-1) if target is None else torch.full_like(logits[..., 0], target).long()
        return cls(model, name, rows, targets, node, _subject(config, target, node))

    def output(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The explained number of each row, ``(B,)``."""
        logits = self.model(inputs, task=self.name).logits
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
        return values.sum(dim=1) if self.node is None else values[:, self.node]

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
        with evaluating(self.model):
            self.model(row.unsqueeze(0), task=self.name)  # checks its values
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

    def averaged(
        self, elements: list[NDArray[np.int64]], attribute: Callable[[_Explained], Attribution], num_axes: int
    ) -> Attribution:
        """The mean over elements of the attribution of moved rows, moved back along the first ``num_axes`` axes."""
        found = []
        for element in elements:
            inverse = torch.from_numpy(np.argsort(element)).to(self.inputs.device)  # (gx)[i] = x[g⁻¹(i)]
            moved = dataclasses.replace(
                self,
                inputs=self.inputs[:, inverse],
                targets=self.targets[:, inverse] if self.targets.ndim == 2 else self.targets,
                node=None if self.node is None else int(element[self.node]),
            )
            attribution, image = attribute(moved), torch.from_numpy(element).to(self.inputs.device)
            values = attribution.values
            for axis in range(1, 1 + num_axes):
                values = values.index_select(axis, image)
            found.append((values, attribution.output, attribution.baseline_output))
        values, output, baseline_output = (torch.stack(parts).mean(dim=0) for parts in zip(*found, strict=True))
        return Attribution(values, output, baseline_output, self.subject)

    def integrate_features(self, moved: _Explained, base: Tensor | None, num_steps: int) -> Attribution:
        assert base is not None
        missing = moved.inputs.isnan()

        def function(features: Tensor, is_missing: Tensor, targets: Tensor) -> Tensor:
            return moved.output(features.masked_fill(is_missing, torch.nan), targets)

        rows, start = moved.inputs.masked_fill(missing, 0), base.expand_as(moved.inputs).masked_fill(missing, 0)
        return self._integrate(function, rows, start, (missing, moved.targets), num_steps)

    def check_no_sheets(self) -> None:
        """Refuse what looks inside a network that sees each row on several sheets."""
        if self.task.value_symmetries:
            raise ValueError(
                f"task {self.name!r} has value symmetries, whose rows the network sees several times: only features "
                "of nodes can be attributed, not tokens or pairs"
            )

    def integrate_tokens(self, moved: _Explained, base: Tensor | None, num_steps: int) -> Attribution:
        self.check_no_sheets()
        backbone = self.model.asen.backbone

        def embedded(tokens: Tensor) -> Tensor:
            with evaluating(self.model):
                return self.model.asen._embed(self.name, {"inputs": tokens}).node_features

        def function(features: Tensor, tokens: Tensor, targets: Tensor) -> Tensor:
            def replace(_: nn.Module, arguments: tuple[EmbeddedRows]) -> tuple[EmbeddedRows]:
                return (dataclasses.replace(arguments[0], node_features=features),)

            with hooked([backbone.register_forward_pre_hook(replace)]):
                return moved.output(tokens, targets)

        if base is None:
            start = torch.zeros(())
            for tokens in torch.arange(self.task.vocab_size or 0, device=self.inputs.device).split(_TOKENS):
                rows = tokens.unsqueeze(1).expand(-1, self.task.degree)
                start = start.to(rows.device) + embedded(rows).sum(dim=0) / (self.task.vocab_size or 1)
        else:
            start = embedded(base.unsqueeze(0))[0]
        rows = embedded(moved.inputs)
        # A missing token, -1, stays missing.
        start = torch.where((moved.inputs < 0).unsqueeze(-1), rows, start)
        attribution = self._integrate(function, rows, start, (moved.inputs, moved.targets), num_steps)
        return dataclasses.replace(attribution, values=attribution.values.sum(dim=-1))

    def integrate_pairs(self, moved: _Explained, num_steps: int) -> Attribution:
        self.check_no_sheets()
        graph = cast(SymmetryBreaker, self.model.asen.symmetry_breakers[self.name])()
        targets, sources, _ = graph.to_edges()
        carries = self.inputs.new_zeros(2 * (self.task.degree,), dtype=self.model.dtype)
        carries[targets, sources] = 1

        def function(factors: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            layers = [module for module in self.model.modules() if isinstance(module, GATv2Attention)]
            with hooked([layer.register_forward_hook(scaled_messages(factors)) for layer in layers]):
                return moved.output(inputs, targets)

        ones = carries.expand(len(moved.inputs), -1, -1).contiguous()
        return self._integrate(function, ones, torch.zeros_like(ones), (moved.inputs, moved.targets), num_steps)

    def _integrate(
        self, function: Callable[..., Tensor], rows: Tensor, start: Tensor, constant: tuple[Tensor, ...], num_steps: int
    ) -> Attribution:
        row_size = self.task.degree**2 * self.model.config.hidden_size
        parts = integrated_gradients(self.model, function, rows, start, constant, num_steps, row_size)
        return Attribution(*parts, self.subject)


def _subject(task: TaskConfig, target: int | None, node: int | None) -> str:
    if target is None and not task.is_regression:
        name = "the predicted class"
    elif task.label_names:
        name = task.label_names[target or 0]
    else:
        name = f"{'label' if task.is_regression else 'class'} {target or 0}" if task.output_size > 1 else "the label"
    if task.output_level == "graph":
        return name
    return f"{name}, summed over nodes" if node is None else f"{name} of node {node}"
