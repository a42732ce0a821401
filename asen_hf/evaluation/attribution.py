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

Pairs, relations and the mask of a row are what they are all along the line: no part of the output is theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sympy.combinatorics import PermutationGroup
from torch import Tensor, nn

from ..model.batching import EmbeddedRows
from ..model.configuration_rows import PAIRS
from ..model.layers import AsenLayer
from ..model.modeling_asen import AsenForMultitask
from ..model.pretrained_asen import evaluating
from ..model.symmetry import SymmetryBreaker
from ._explained import Explained
from ._integrated_gradients import hooked, integrated_gradients, scaled_messages

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
    pairs: Tensor | ArrayLike | None = None,
    attention_mask: Tensor | ArrayLike | None = None,
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
        pairs, attention_mask: of the rows, as in ``AsenForMultitask.forward``.
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
    explained = Explained.of(model, inputs, task, target, node, pairs=pairs, attention_mask=attention_mask)
    base = explained.baseline_row(baseline)

    def attribute(moved: Explained) -> Attribution:
        if moved.task.num_features is None:
            return _token_attribution(moved, base, num_steps)
        assert base is not None
        return _feature_attribution(moved, base, num_steps)

    return _averaged(explained, explained.elements(group, base), attribute, 1)


def pair_attribution(
    model: AsenForMultitask,
    inputs: Tensor | ArrayLike,
    task: str | None = None,
    *,
    pairs: Tensor | ArrayLike | None = None,
    attention_mask: Tensor | ArrayLike | None = None,
    target: int | None = None,
    node: int | None = None,
    group: PermutationGroup | None = None,
    num_steps: int = 64,
) -> Attribution:
    """What the messages of every pair of nodes add to an output, in all layers together.

    Arguments and errors as for :func:`node_attribution`; the baseline is the network without messages.
    """
    explained = Explained.of(model, inputs, task, target, node, pairs=pairs, attention_mask=attention_mask)
    elements = explained.elements(group, None)
    return _averaged(explained, elements, lambda moved: _pair_attribution(moved, num_steps), 2)


def _averaged(
    explained: Explained,
    elements: list[NDArray[np.int64]],
    attribute: Callable[[Explained], Attribution],
    num_axes: int,
) -> Attribution:
    """The mean over elements of the attribution of moved rows, moved back along the first ``num_axes`` axes."""
    found = []
    for element in elements:
        attribution, image = attribute(explained.moved(element)), torch.from_numpy(element).to(explained.inputs.device)
        values = attribution.values
        for axis in range(1, 1 + num_axes):
            values = values.index_select(axis, image)
        found.append((values, attribution.output, attribution.baseline_output))
    values, output, baseline_output = (torch.stack(parts).mean(dim=0) for parts in zip(*found, strict=True))
    return Attribution(values, output, baseline_output, explained.subject)


def _feature_attribution(explained: Explained, base: Tensor, num_steps: int) -> Attribution:
    model, missing = explained.model, explained.inputs.isnan()

    def function(features: Tensor, is_missing: Tensor, inputs: Tensor, targets: Tensor, *others: Tensor) -> Tensor:
        features = features.masked_fill(is_missing, torch.nan)
        if not explained.task.relations:
            return explained.output(features, targets, *others)
        with evaluating(model):
            rows = model.asen.embed(explained.name, {"inputs": inputs, **explained.columns(others)})

        def replace(_: nn.Module, arguments: tuple[EmbeddedRows]) -> tuple[EmbeddedRows]:
            kept = dataclasses.replace(arguments[0], graph=rows.graph, orbital_features=rows.orbital_features)
            return (kept,)

        with hooked([model.asen.backbone.register_forward_pre_hook(replace)]):
            return explained.output(features, targets, *others)

    rows, start = explained.inputs.masked_fill(missing, 0), base.expand_as(explained.inputs).masked_fill(missing, 0)
    constant = (missing, explained.inputs, explained.targets, *explained.others.values())
    return _integrated(explained, function, rows, start, constant, num_steps)


def _token_attribution(explained: Explained, base: Tensor | None, num_steps: int) -> Attribution:
    _check_no_sheets(explained)
    model, task = explained.model, explained.task

    def embedded(tokens: Tensor) -> Tensor:
        rows = {"inputs": tokens}
        if task.has_pairs:  # node features depend on no pairs
            rows[PAIRS] = explained.others[PAIRS][:1].expand(len(tokens), *task.pair_shape())
        with evaluating(model):
            return model.asen.embed(explained.name, rows).node_features

    def function(features: Tensor, tokens: Tensor, targets: Tensor, *others: Tensor) -> Tensor:
        def replace(_: nn.Module, arguments: tuple[EmbeddedRows]) -> tuple[EmbeddedRows]:
            return (dataclasses.replace(arguments[0], node_features=features),)

        with hooked([model.asen.backbone.register_forward_pre_hook(replace)]):
            return explained.output(tokens, targets, *others)

    if base is None:
        start = torch.zeros(())
        for tokens in torch.arange(task.vocab_size or 0, device=explained.inputs.device).split(_TOKENS):
            rows = tokens.unsqueeze(1).expand(-1, task.degree)
            start = start.to(rows.device) + embedded(rows).sum(dim=0) / (task.vocab_size or 1)
    else:
        start = embedded(base.unsqueeze(0))[0]
    rows = embedded(explained.inputs)
    # A missing token, -1, stays missing.
    start = torch.where((explained.inputs < 0).unsqueeze(-1), rows, start)
    constant = (explained.inputs, explained.targets, *explained.others.values())
    attribution = _integrated(explained, function, rows, start, constant, num_steps)
    return dataclasses.replace(attribution, values=attribution.values.sum(dim=-1))


def _pair_attribution(explained: Explained, num_steps: int) -> Attribution:
    _check_no_sheets(explained)
    model = explained.model
    graph = cast(SymmetryBreaker, model.asen.symmetry_breakers[explained.name])()
    targets, sources, _ = graph.to_edges()
    carries = explained.inputs.new_zeros(2 * (explained.task.degree,), dtype=model.dtype)
    carries[targets, sources] = 1

    def function(factors: Tensor, inputs: Tensor, targets: Tensor, *others: Tensor) -> Tensor:
        layers = cast(Iterable[AsenLayer], model.asen.backbone.layers)
        with hooked([layer.attention.register_forward_hook(scaled_messages(factors)) for layer in layers]):
            return explained.output(inputs, targets, *others)

    ones = carries.expand(len(explained.inputs), -1, -1).contiguous()
    constant = (explained.inputs, explained.targets, *explained.others.values())
    return _integrated(explained, function, ones, torch.zeros_like(ones), constant, num_steps)


def _integrated(
    explained: Explained,
    function: Callable[..., Tensor],
    rows: Tensor,
    start: Tensor,
    constant: tuple[Tensor, ...],
    num_steps: int,
) -> Attribution:
    row_size = explained.task.degree**2 * explained.model.config.hidden_size
    parts = integrated_gradients(explained.model, function, rows, start, constant, num_steps, row_size)
    return Attribution(*parts, explained.subject)


def _check_no_sheets(explained: Explained) -> None:
    """Refuse what looks inside a network that sees each row on several sheets."""
    if explained.task.value_symmetries:
        raise ValueError(
            f"task {explained.name!r} has value symmetries, whose rows the network sees several times: only features "
            "of nodes can be attributed, not tokens or pairs"
        )
