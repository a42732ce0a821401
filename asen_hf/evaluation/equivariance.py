"""Measure a model's symmetry: how far it is from f(gx) = g f(x), for elements inside and outside its group."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sympy.combinatorics import PermutationGroup
from torch import Tensor, nn

from ..model._messages import shown
from ..model.groups import from_array_form, random_elements
from ..model.modeling_asen import AsenModel
from ..model.pretrained_asen import AsenPreTrainedModel, evaluating
from ..model.symmetry import SymmetryBreaker


def equivariance_error(
    model_or_callable: AsenPreTrainedModel | Callable[[Tensor], Tensor],
    inputs: Tensor | ArrayLike,
    task: str | None = None,
    group: PermutationGroup | None = None,
    num_elements: int = 20,
    seed: int = 0,
) -> float:
    """The largest ``max|f(gx) - g f(x)| / max|f(x)|`` over sampled elements g of a group.

    Both maxima are over all rows and outputs. Where f(x) is zero throughout, the error is 0 if f(gx) is zero too, and
    infinite otherwise. It is NaN where an output is NaN.

    Args:
        model_or_callable: ``AsenForMultitask`` (f = logits), ``AsenModel`` (f = last hidden states), or any function of
            a tensor ``(B, n, …)``. Modules are evaluated without dropout. A function's output of shape ``(B, n, …)``
            moves with the nodes, and one of any other shape ``(B, …)`` must stay as it is: *the second dimension
            decides*. A function with n outputs for the whole row returns them as ``(B, 1, n)`` to be told apart.
        inputs: samples ``(B, n)`` or ``(B, n, F)``; for a function ``(B, n, …)``.
        task: a model's task; ``None`` if it has only one. Functions have none.
        group: of degree n; by default the task's own. A function needs it.
        num_elements: how many elements to draw.
        seed: of the draw.

    Raises:
        ValueError: unknown task, inputs of the wrong shape, a group of another degree, a function without a group or
            with a task, or an output that is not ``(B, …)``.
    """
    try:
        inputs = torch.as_tensor(inputs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"inputs must be a tensor or an array, got {shown(inputs)}") from error
    if inputs.ndim == 0 or not inputs.numel():
        raise ValueError(f"inputs must hold at least one row, got shape {tuple(inputs.shape)}")
    if isinstance(model_or_callable, AsenPreTrainedModel):
        function, group = _model_function(model_or_callable, task, group)
        is_node = isinstance(model_or_callable, AsenModel) or (
            model_or_callable.config.task(task)[1].output_level == "node"
        )
    else:
        function, group = _checked_function(model_or_callable, inputs, task, group)
        is_node = None
    errors = [0.0]
    with evaluating(model_or_callable) if isinstance(model_or_callable, nn.Module) else torch.no_grad():
        outputs = function(inputs)
        if is_node is None:
            is_node = outputs.ndim > 1 and outputs.shape[1] == group.degree
        scale = float(outputs.abs().max())
        for element in random_elements(group, num_elements, seed):
            inverse = torch.from_numpy(np.argsort(element)).to(inputs.device)  # (gx)[i] = x[g⁻¹(i)]
            expected = outputs.index_select(1, inverse.to(outputs.device)) if is_node else outputs
            errors.append(_ratio(float((function(inputs.index_select(1, inverse)) - expected).abs().max()), scale))
    return float(np.max(errors))  # unlike Python's max, it returns NaN if any error is NaN


def assert_equivariant(
    model_or_callable: AsenPreTrainedModel | Callable[[Tensor], Tensor],
    inputs: Tensor | ArrayLike,
    task: str | None = None,
    group: PermutationGroup | None = None,
    num_elements: int = 20,
    tolerance: float = 1e-5,
) -> None:
    """Raise ``AssertionError`` if :func:`equivariance_error` exceeds ``tolerance``, or is NaN.

    The default suits float32; in float64 1e-12 does.
    """
    error = equivariance_error(model_or_callable, inputs, task, group, num_elements)
    if not error <= tolerance:
        subject = "" if task is None else f" of task {task!r}"
        raise AssertionError(f"equivariance error {error:.2e}{subject} exceeds {tolerance:.0e}")


def preserves_labels(breaker: SymmetryBreaker, permutation: NDArray[np.int64]) -> bool:
    """Whether a permutation is an automorphism of a task's labelled support, and so a symmetry of the network."""
    graph = breaker()
    image = torch.from_numpy(permutation).to(graph.labels.device)
    if breaker.node_labels is not None and not torch.equal(breaker.node_labels[image], breaker.node_labels):
        return False
    triples = graph.triple_labels
    if triples is not None and not torch.equal(triples[image][:, image][:, :, image], triples):
        return False
    colors = graph.labels.new_full((graph.num_nodes, graph.num_nodes), -1)  # -1: no message
    targets, sources, labels = graph.to_edges()
    colors[targets, sources] = labels
    return torch.equal(colors[image][:, image], colors)


def find_outsider(breaker: SymmetryBreaker, tries: int = 100, seed: int = 0) -> PermutationGroup | None:
    """The group generated by a random permutation that is *not* a symmetry of the network.

    Returns:
        The group, or ``None`` if each of ``tries`` random permutations is a symmetry, as for S_n.
    """
    rng = np.random.default_rng(seed)
    candidates = (rng.permutation(breaker.task.degree) for _ in range(tries))
    outsider = next((candidate for candidate in candidates if not preserves_labels(breaker, candidate)), None)
    return None if outsider is None else from_array_form([outsider])


def _model_function(
    model: AsenPreTrainedModel, task: str | None, group: PermutationGroup | None
) -> tuple[Callable[[Tensor], Tensor], PermutationGroup]:
    name, config = model.config.task(task)
    group = config.permutation_group() if group is None else group
    if group.degree != config.degree:
        raise ValueError(f"task {name!r} has degree {config.degree}, the group {group.degree}")

    def function(inputs: Tensor) -> Tensor:
        output = model(inputs, task=name, return_dict=True)
        return output.last_hidden_state if isinstance(model, AsenModel) else output.logits

    return function, group


def _checked_function(
    function: Callable[[Tensor], Tensor], inputs: Tensor, task: str | None, group: PermutationGroup | None
) -> tuple[Callable[[Tensor], Tensor], PermutationGroup]:
    if group is None:
        raise ValueError("a function has no group of its own: give group=, a permutation group of its nodes")
    if task is not None:
        raise ValueError(f"a function has no tasks, got task={task!r}: leave it out")
    if inputs.ndim < 2 or inputs.shape[1] != group.degree:
        raise ValueError(
            f"inputs must have shape (B, {group.degree}, …), the group's degree, got {tuple(inputs.shape)}"
        )

    def checked(rows: Tensor) -> Tensor:
        output = torch.as_tensor(function(rows))
        if output.ndim == 0 or len(output) != len(rows):
            raise ValueError(
                f"the function must return one output per row, ({len(rows)}, …), got {tuple(output.shape)}"
            )
        return output

    return checked, group


def _ratio(difference: float, scale: float) -> float:
    if scale == 0:
        return 0.0 if difference == 0 else math.inf
    return difference / scale
