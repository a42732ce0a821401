"""Measure a model's symmetry: how far it is from f(gx) = g f(x), for elements inside and outside its group."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sympy.combinatorics import PermutationGroup
from torch import Tensor, nn

from ..model._messages import shown
from ..model._named_columns import is_frame
from ..model._points import is_integer
from ..model.configuration_rows import MASK, PAIRS
from ..model.configuration_symmetries import value_group
from ..model.configuration_task import TaskConfig
from ..model.group_notation import parse_group
from ..model.groups import from_array_form, random_elements
from ..model.heads import fill_padding
from ..model.modeling_asen import AsenModel
from ..model.normalization import in_float64, to_columns, to_device, to_tensor
from ..model.pretrained_asen import AsenPreTrainedModel, evaluating
from ..model.row_actions import RowAction
from ..model.symmetry import SymmetryBreaker
from ..model.value_maps import Element

Columns = dict[str, Tensor]


def equivariance_error(
    model_or_callable: AsenPreTrainedModel | Callable[..., Tensor],
    inputs: Tensor | ArrayLike,
    task: str | TaskConfig | None = None,
    group: PermutationGroup | str | None = None,
    num_elements: int = 20,
    seed: int = 0,
    pairs: Tensor | ArrayLike | None = None,
    attention_mask: Tensor | ArrayLike | None = None,
) -> float:
    """The largest ``max|f(gx) - g f(x)| / max|f(x)|`` over sampled elements g of a group, value symmetries included.

    Both maxima are over all rows and outputs, but not over outputs of nodes that a row lacks. Where f(x) is zero
    throughout, the error is 0 if f(gx) is zero too, and infinite otherwise. It is NaN where an output is NaN.

    Args:
        model_or_callable: ``AsenForMultitask`` (f = logits), ``AsenModel`` (f = last hidden states), or any function of
            a tensor ``(B, n, …)``. Modules are evaluated without dropout. A function's output of shape ``(B, n, …)``
            moves with the nodes, and one of any other shape ``(B, …)`` must stay as it is: *the second dimension
            decides*. A function with n outputs for the whole row returns them as ``(B, 1, n)`` to be told apart. A
            function with outputs of pairs ``(B, n, n, …)`` needs a task that says so. Outputs may be truths or
            integers.
        inputs: samples ``(B, n)`` or ``(B, n, F)``, on any device; for a function ``(B, n, …)``, on its own. A tensor,
            an array, a DataFrame or lists; a function gets a tensor.
        task: a model's task; ``None`` if it has only one. For a function, a :class:`TaskConfig` whose group and value
            symmetries act on its inputs and on its outputs ``(B, n, K)`` or ``(B, K)``, as on logits.
        group: of degree n, also in notation, which leaves values alone; by default the task's whole group. A function
            needs it, or a task.
        num_elements: how many elements to draw.
        seed: of the draw.
        pairs: pair inputs ``(B, n, n, …)``, which move with their nodes; a function gets them as second argument.
        attention_mask: ``(B, n)``, the nodes that each row has, which moves with them; a function gets it as last
            argument. A model refuses it where an element of another ``group`` moves it to nodes that rows may not lack.

    Raises:
        ValueError: unknown task, inputs of the wrong shape, a group of another degree, a function without a group or
            with a task, no element, an output that is not ``(B, …)`` or not as its task says, or a mask that the model
            refuses.
    """
    acting = parse_group(group) if isinstance(group, str) else group
    if not isinstance(acting, PermutationGroup | None):
        raise ValueError(f"group must be a PermutationGroup or a text in notation, got {shown(group)}")
    others = {PAIRS: pairs, MASK: attention_mask}
    if isinstance(model_or_callable, AsenPreTrainedModel):
        function, config, subject = _model_function(model_or_callable, task)
        columns = to_device(_columns(config, inputs, others), model_or_callable.device)
        level: str | None = "node" if isinstance(model_or_callable, AsenModel) else config.output_level
    else:
        columns = _columns(None, np.asarray(inputs) if is_frame(inputs) else inputs, others)
        function, config = _checked_function(model_or_callable, columns["inputs"], task, acting)
        subject, level = "the function's task", None if task is None else config.output_level
    if acting is not None and acting.degree != config.degree:
        raise ValueError(f"{subject} has degree {config.degree}, the group {acting.degree}")
    changes_values = acting is None and bool(config.value_symmetries)
    if is_integer(num_elements) and num_elements == 0:
        raise ValueError("num_elements must be at least 1: without an element there is nothing to measure")
    rows = columns["inputs"]
    action = RowAction(config, _sampled(config, acting, num_elements, seed), rows.device)
    errors = [0.0]
    with evaluating(model_or_callable) if isinstance(model_or_callable, nn.Module) else torch.no_grad():
        outputs = function(columns)
        if level is None:
            level = "node" if outputs.ndim > 1 and outputs.shape[1] == config.degree else "graph"
        outputs = _without_padding(level, outputs, columns)
        scale = float(outputs.abs().max())
        for number in range(num_elements):
            chosen = torch.full((len(rows),), number, device=rows.device)
            moved = action.columns(columns, chosen)
            if changes_values and not isinstance(model_or_callable, AsenModel):
                expected = action.logits(outputs, chosen)
            else:
                expected = {"node": action.nodes, "pair": action.pairs, "graph": lambda values, _: values}[level](
                    outputs, chosen
                )
            found = _without_padding(level, function(moved), moved)
            errors.append(_ratio(float((found - expected).abs().max()), scale))
    return float(np.max(errors))  # unlike Python's max, it returns NaN if any error is NaN


def assert_equivariant(
    model_or_callable: AsenPreTrainedModel | Callable[..., Tensor],
    inputs: Tensor | ArrayLike,
    task: str | TaskConfig | None = None,
    group: PermutationGroup | str | None = None,
    num_elements: int = 20,
    tolerance: float = 1e-5,
    pairs: Tensor | ArrayLike | None = None,
    attention_mask: Tensor | ArrayLike | None = None,
) -> None:
    """Raise ``AssertionError`` if :func:`equivariance_error` exceeds ``tolerance``, or is NaN.

    The default suits float32; in float64 1e-12 does.

    Raises:
        AssertionError: the error is larger.
        ValueError: as of :func:`equivariance_error`, or ``tolerance`` is no number of at least 0.
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0:
        raise ValueError(f"tolerance must be a number of at least 0, got {shown(tolerance)}")
    error = equivariance_error(
        model_or_callable, inputs, task, group, num_elements, pairs=pairs, attention_mask=attention_mask
    )
    if not error <= tolerance:
        subject = "" if task is None else f" of task {task!r}"
        raise AssertionError(f"equivariance error {error:.2e}{subject} exceeds {tolerance:.0e}")


def preserves_labels(breaker: SymmetryBreaker, permutation: NDArray[np.int64]) -> bool:
    """Whether a permutation of the points that the network sees is an automorphism of its labelled support."""
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


def is_network_symmetry(breaker: SymmetryBreaker, permutation: NDArray[np.int64]) -> bool:
    """Whether a network is equivariant to a permutation of the nodes that leaves all values alone."""
    task = breaker.task
    if not task.value_symmetries:
        return preserves_labels(breaker, permutation)
    group = value_group(task)
    if task.symmetrization == "average":
        return any(
            preserves_labels(breaker, np.argsort(coset.points)[permutation])
            for coset in group.cosets
            if not coset.maps.any()
        )
    codes = group.lift.nodes + task.degree * group.lift.maps  # in ascending order
    images = permutation[group.lift.nodes] + task.degree * group.lift.maps
    return np.array_equal(np.sort(images), codes) and preserves_labels(breaker, np.searchsorted(codes, images))


def find_outsider(breaker: SymmetryBreaker, tries: int = 100, seed: int = 0) -> PermutationGroup | None:
    """The group generated by a permutation that is *not* a symmetry of the network.

    It is the permutation of a value symmetry, without its action on values, or else a random one.

    Returns:
        The group, or ``None`` if each of ``tries`` random permutations is a symmetry, as for S_n.
    """
    rng = np.random.default_rng(seed)
    task = breaker.task
    unvalued = [element.points for element in value_group(task).symmetries]
    candidates = [*unvalued, *(rng.permutation(task.degree) for _ in range(tries))]
    outsider = next((candidate for candidate in candidates if not is_network_symmetry(breaker, candidate)), None)
    return None if outsider is None else from_array_form([outsider])


def _columns(task: TaskConfig | None, inputs: Any, others: dict[str, Any]) -> dict[str, Tensor]:
    columns = to_columns(torch.device("cpu"), task, inputs, **others)
    for name, column in columns.items():
        if not column.ndim or not column.numel():
            raise ValueError(f"{name} must hold at least one row, got shape {tuple(column.shape)}")
    if task is not None:
        return columns
    # A function gets lists in torch's default dtype, in which its own weights are likely to be.
    listed = [name for name, given in {"inputs": inputs, **others}.items() if isinstance(given, list | tuple)]
    floats = {name: columns[name].to(torch.get_default_dtype()) for name in listed if columns[name].is_floating_point()}
    return {**columns, **floats}


def _numbers(outputs: Tensor) -> Tensor:
    """The outputs, truths and integers in float64: torch subtracts no bools, and 0 - 1 is 255 in uint8."""
    return outputs if outputs.is_floating_point() or outputs.is_complex() else in_float64(outputs)


def _without_padding(level: str, outputs: Tensor, columns: Columns) -> Tensor:
    outputs, mask = _numbers(outputs), columns.get(MASK)
    return outputs if mask is None else fill_padding(level, outputs, mask, 0)


def _sampled(config: TaskConfig, group: PermutationGroup | None, num_elements: int, seed: int) -> list[Element]:
    if group is None:
        return value_group(config).random_elements(num_elements, seed)
    return [Element.move(points) for points in random_elements(group, num_elements, seed)]


def _model_function(
    model: AsenPreTrainedModel, task: str | TaskConfig | None
) -> tuple[Callable[[Columns], Tensor], TaskConfig, str]:
    if isinstance(task, TaskConfig):
        raise ValueError("a model has tasks of its own: give the name of one, not a TaskConfig")
    name, config = model.config.task(task)

    def function(columns: Columns) -> Tensor:
        output = model(task=name, return_dict=True, **columns)
        return output.last_hidden_state if isinstance(model, AsenModel) else output.logits

    return function, config, f"task {name!r}"


def _checked_function(
    function: Callable[..., Tensor],
    inputs: Tensor,
    task: str | TaskConfig | None,
    group: PermutationGroup | None,
) -> tuple[Callable[[Columns], Tensor], TaskConfig]:
    if not callable(function):
        raise ValueError(f"expected a model or a function of inputs, got {shown(function)}")
    if not isinstance(task, TaskConfig | None):
        raise ValueError(f"a function has no tasks, got task={shown(task)}: leave it out, or give a TaskConfig")
    places = () if task is None else task.output_shape()
    if task is None:
        if group is None:
            raise ValueError("a function has no group of its own: give group=, a permutation group of its nodes")
        task = TaskConfig(degree=group.degree, num_features=1)  # for its points only
    if inputs.ndim < 2 or inputs.shape[1] != task.degree:
        raise ValueError(f"inputs must have shape (B, {task.degree}, …), the group's degree, got {tuple(inputs.shape)}")

    def checked(columns: Columns) -> Tensor:
        rows = columns["inputs"]
        output = to_tensor("outputs", function(*columns.values()), rows.device)
        if output.ndim == 0 or len(output) != len(rows):
            raise ValueError(
                f"the function must return one output per row, ({len(rows)}, …), got {tuple(output.shape)}"
            )
        if output.shape[1 : 1 + len(places)] != places:
            raise ValueError(
                f'the function must return {(len(rows), *places)} and values, for output_level="{task.output_level}", '
                f"got shape {tuple(output.shape)}"
            )
        return output

    return checked, task


def _ratio(difference: float, scale: float) -> float:
    if scale == 0:
        return 0.0 if difference == 0 else math.inf
    return difference / scale
