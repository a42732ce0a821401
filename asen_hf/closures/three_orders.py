"""Three orders that betray mistakes in value symmetries, and the checks of a task before it is trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..model.configuration_symmetries import entry_text, value_gathers, value_group
from ..model.configuration_task import TaskConfig
from ..model.orbits import orbit_labels
from ..model.value_groups import ValueGroup
from ._texts import known_order, order_text
from .automorphisms import MAX_CLOSURE_POINTS
from .k_closures import group_order
from .stabilizer_chain import StabilizerChain


@dataclass(frozen=True)
class ValueOrders:
    """Orders of what a task's group G does to more and more of a row. Each divides the next one.

    Attributes:
        points: number of permutations of the points in G.
        inputs: number of actions on points and input values.
        outputs: number of actions on points, input values and outputs: |G|.

    Each is ``None`` if it could not be proved.
    """

    points: int | None
    inputs: int | None
    outputs: int | None

    @property
    def num_value_only(self) -> int | None:
        """How many elements fix all points and change input values; not counting outputs."""
        return None if self.points is None or self.inputs is None else self.inputs // self.points - 1

    @property
    def num_contradictions(self) -> int | None:
        """How many elements leave every input as it is and change outputs."""
        return None if self.inputs is None or self.outputs is None else self.outputs // self.inputs - 1

    @property
    def text(self) -> str:
        """The three orders in words, and what they mean where they differ."""
        orders = (
            f"{known_order(self.points)} on points, {known_order(self.inputs)} with input values, "
            f"{known_order(self.outputs)} with outputs"
        )
        meanings = []
        if self.num_value_only:
            meanings.append(f"{_elements(self.num_value_only, 'change')} values and no point")
        if self.num_contradictions:
            meanings.append(
                f"{_elements(self.num_contradictions, 'change')} outputs alone, which no network can follow"
            )
        return "; ".join([orders, *meanings])


def value_orders(task: TaskConfig) -> ValueOrders:
    """The three orders of a task's group; without value symmetries they are equal."""
    return ValueOrders(
        points=group_order(task.point_group()),
        inputs=_order(value_group(task, with_outputs=False)),
        outputs=_order(value_group(task)),
    )


def count_contradictions(task: TaskConfig) -> int | None:
    """How many elements of a task's group leave every input as it is and change outputs; ``None`` if unknown.

    They differ by elements that change no value from representatives of cosets, which must change outputs only and
    move points as some element does that changes no value. So no group's order is needed, and seldom any chain.
    """
    group = value_group(task)
    parts = _without_idle_entries(group)
    try:
        cosets = parts.cosets
    except ValueError:  # too many of them
        return value_orders(task).num_contradictions
    sources, signs = value_gathers(task)[0]
    keeps_inputs = (sources == np.arange(sources.shape[1])).all(axis=1) & (signs == 1).all(axis=1)
    suspects = [element.points for element in cosets if element.maps.any() and keeps_inputs[element.maps].all()]
    if not all((points == np.arange(group.degree)).all() for points in suspects):
        labels = orbit_labels(parts.kernel)
        suspects = [points for points in suspects if np.array_equal(labels[np.ix_(points, points)], labels)]
    if all((points == np.arange(group.degree)).all() for points in suspects):
        return len(suspects)
    return StabilizerChain(parts.kernel).count_members(np.stack(suspects))


def refuse_contradictions(name: str, task: TaskConfig) -> None:
    """Refuse a task of which some elements leave every input as it is and change outputs.

    Warns if that could not be decided.

    Raises:
        ValueError: there are such elements.
    """
    count = count_contradictions(task)
    if count:
        raise ValueError(
            f"task {name!r}: {_elements(count, 'leave')} every input as it is and "
            f"{'changes' if count == 1 else 'change'} outputs, which forces outputs to be zero or "
            "equal: correct the outputs of its value symmetries, where a sign or an exchange is wrong or missing"
        )
    if count is None:
        warnings.warn(
            f"task {name!r}: whether its value symmetries contradict each other could not be decided; if some of their "
            "products leave every input as it is and change outputs, no network can follow: check their outputs",
            stacklevel=3,
        )


def check_value_symmetries(name: str, task: TaskConfig, orders: ValueOrders) -> None:
    """Warn of what looks like a mistake in the value symmetries of a task.

    Warns of elements that change values and no point, unless entries without points declare such elements, and of a
    regression of which an entry changes features and leaves ``outputs`` out.

    Args:
        name: name of the task, for messages.
        task: with value symmetries.
        orders: those of the task.
    """
    if orders.num_value_only and (undeclared := _num_undeclared(task, orders.points)):
        warnings.warn(
            f"task {name!r}: {_elements(undeclared, 'change')} input values and no point, which suits a colour swap or "
            "a spin flip, but betrays a mistake such as a 3-cycle of tokens on a quarter turn: correct the inputs, or, "
            "if it is meant, declare such an element by a value symmetry without points",
            stacklevel=3,
        )
    for index, entry in enumerate(task.value_symmetries):
        element = value_group(task, with_outputs=False).symmetries[index]
        if task.is_regression and task.num_features is not None and element.maps.any() and "outputs" not in entry:
            warnings.warn(
                f"task {name!r}: {entry_text(index, entry)} changes features and leaves outputs out, "
                f"so outputs stay as they are: to confirm, state outputs={list(range(1, task.output_size + 1))}",
                stacklevel=3,
            )


def _order(group: ValueGroup) -> int | None:
    """|G|, of the elements that change no value and their cosets, or of the lift if there are too many cosets.

    Proofs take time by the number of points, and the lift has several per node.
    """
    if group.degree > MAX_CLOSURE_POINTS:
        return None
    parts = _without_idle_entries(group)
    try:
        num_cosets = len(parts.cosets)
    except ValueError:  # too many of them
        return group_order(group.lift.group)
    order = group_order(parts.kernel)
    return None if order is None else order * num_cosets


def _without_idle_entries(group: ValueGroup) -> ValueGroup:
    """The same group, with symmetries that change no value among its moves, so that its cosets are of all of these."""
    moves = [element.points for element in group.generators if not element.maps.any()]
    changing = [element for element in group.symmetries if element.maps.any()]
    return ValueGroup(np.array(moves, dtype=np.int64).reshape(-1, group.degree), changing, group.maps)


def _num_undeclared(task: TaskConfig, points: int | None) -> int | None:
    """How many elements change values and no point in the group without the entries that have no points."""
    group = value_group(task, with_outputs=False)
    moving = [element for element in group.symmetries if (element.points != np.arange(task.degree)).any()]
    moves = [element.points for element in group.generators[: -len(group.symmetries)]]
    rest = ValueGroup(np.array(moves, dtype=np.int64).reshape(-1, task.degree), moving, group.maps)
    return ValueOrders(points, _order(rest), None).num_value_only


def _elements(count: int, verb: str) -> str:
    return f"{order_text(count)} element{'' if count == 1 else 's'} of the group {verb}{'s' if count == 1 else ''}"
