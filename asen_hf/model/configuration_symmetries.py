"""The value symmetries of a task: read from JSON, checked against its other fields, and what the network then sees.

Each entry is one more generator of the task's group::

    {"name": "mirror", "points": [[1, 4], [2, 5]], "inputs": [-1, 2], "outputs": [-1, 2, 3]}
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy.combinatorics import PermutationGroup

from ._messages import naming, shown
from ._points import is_integer
from .configuration_values import require
from .group_notation import read_group
from .groups import from_cycles, generators_from_cycles, to_cycles
from .value_groups import ValueGroup
from .value_maps import Element, Numbers, ValueMaps, gathered, signed_images

if TYPE_CHECKING:
    from .configuration_task import TaskConfig

_KEYS = ("name", "points", "inputs", "outputs")


@dataclasses.dataclass(frozen=True)
class SeenSymmetry:
    """The points and the group that the network is equivariant to, before its outputs are averaged.

    Attributes:
        degree: number of points.
        generators: of a permutation group on them, as lists of cycles.
        edges: the pairs that the network sees, or ``None`` on the complete support.
    """

    degree: int
    generators: list
    edges: list | None

    def permutation_group(self) -> PermutationGroup:
        return from_cycles(self.generators, self.degree)


@dataclasses.dataclass(frozen=True)
class _Values:
    """The values that one side of a task's rows can have: inputs or outputs.

    Attributes:
        field: ``"inputs"`` or ``"outputs"``.
        size: number of tokens or classes, of features or regressed values.
        are_signed: whether they are features or regressed values.
        per_node: number of nodes that can have maps of their own, or 0.
    """

    field: str
    size: int
    are_signed: bool
    per_node: int

    @property
    def num_values(self) -> int:
        return self.size * (1 + self.are_signed)


def read_value_symmetries(task: TaskConfig) -> list[dict[str, Any]]:
    """The entries in canonical form: points as cycles, lists of plain integers.

    Args:
        task: its ``value_symmetries`` are a list of entries, or a mapping of names to entries.

    Raises:
        ValueError: an entry is ill-formed, or a list is no permutation of the task's points or values; names both.
    """
    entries: Any = task.value_symmetries or []
    if isinstance(entries, dict):
        entries = [{"name": name, **entry} if isinstance(entry, dict) else entry for name, entry in entries.items()]
    require(isinstance(entries, list), f"value_symmetries must be a list of mappings, got {shown(entries)}")
    return [_read_entry(task, index, entry) for index, entry in enumerate(entries)]


def _read_entry(task: TaskConfig, index: int, entry: Any) -> dict[str, Any]:
    where = f"value symmetry {index}"
    require(isinstance(entry, dict), f"{where} must be a mapping with some of {', '.join(_KEYS)}, got {shown(entry)}")
    unknown = [key for key in entry if key not in _KEYS]
    require(not unknown, f"{where} has the unknown key {shown(unknown[:1])}: it may have {', '.join(_KEYS)}")
    name = entry.get("name", "")
    require(isinstance(name, str), f"{where}: name must be a text, got {shown(name)}")
    where = entry_text(index, entry)
    read: dict[str, Any] = {"name": name} if name else {}
    if entry.get("points") is not None:
        read["points"] = _read_points(entry["points"], task.degree, where)
    for values in _sides(task):
        if entry.get(values.field) is not None:
            read[values.field] = _read_lists(entry[values.field], values, where)
    require(bool(read.keys() - {"name"}), f"{where} moves and changes nothing: give it points, inputs or outputs")
    return read


def entry_text(index: int, entry: dict[str, Any]) -> str:
    """What messages call an entry: its number and its name, if it has one."""
    return f"value symmetry {index}" + f" ({entry.get('name')})" * bool(entry.get("name"))


def _read_points(points: Any, degree: int, where: str) -> list:
    are_cycles = isinstance(points, list) and all(
        isinstance(cycle, list) and not any(isinstance(point, list) for point in cycle) for cycle in points
    )
    require(
        isinstance(points, str) or are_cycles,
        f"{where}: points must be one permutation, as a list of cycles such as [[0, 1], [2, 3]] or in notation, got "
        f"{shown(points)}",
    )
    with naming(f"{where}: points"):
        generators = read_generators(points if isinstance(points, str) else [points], degree)
    require(
        len(generators) == 1,
        f"{where}: points must be one permutation, but {shown(points)} has {len(generators)} generators",
    )
    return generators[0]


def _read_lists(lists: Any, values: _Values, where: str) -> list:
    """One list for all nodes, or one per node."""
    where = f"{where}: {values.field}"
    require(isinstance(lists, list) and bool(lists), f"{where} must be a list, got {shown(lists)}")
    if not all(isinstance(entry, list) for entry in lists):
        return _read_list(lists, values, where)
    require(
        len(lists) == values.per_node,
        f"{where} must be one list for the graph's output, got {len(lists)} lists"
        if not values.per_node
        else f"{where} must be one list for all nodes or one for each of {values.per_node}, got {len(lists)} lists",
    )
    return [_read_list(entry, values, f"{where} of node {node}") for node, entry in enumerate(lists)]


def _read_list(entries: list, values: _Values, where: str) -> list[int]:
    are_integers = all(is_integer(entry) for entry in entries)
    if values.are_signed:
        require(
            are_integers and sorted(map(abs, entries)) == list(range(1, values.size + 1)),
            f"{where} must be a permutation of 1 … {values.size} with signs, such as "
            f"{[-1, *range(2, values.size + 1)]}: entry k is the old one that becomes entry k; got {shown(entries)}",
        )
    else:
        require(
            are_integers and sorted(entries) == list(range(values.size)),
            f"{where} must be a permutation of 0 … {values.size - 1}: the entry at place t is what t becomes; got "
            f"{shown(entries)}",
        )
    return [int(entry) for entry in entries]


def _sides(task: TaskConfig) -> tuple[_Values, _Values]:
    """What value maps act on: inputs and outputs."""
    num_nodes = task.degree if task.output_level == "node" else 0
    return (
        _Values("inputs", task.input_size, task.num_features is not None, task.degree),
        _Values("outputs", task.output_size, task.is_regression, num_nodes),
    )


def value_group(task: TaskConfig, with_outputs: bool = True) -> ValueGroup:
    """The whole group of a task.

    Args:
        task: with or without value symmetries.
        with_outputs: whether its elements act on outputs too.
    """
    order = 3 if task.symmetry_breaking == "triples" else 2
    sides = map(dataclasses.astuple, _sides(task))
    return _value_group(json.dumps([task.degree, task.generators, task.value_symmetries, *sides, with_outputs, order]))


@functools.lru_cache(maxsize=64)
def _value_group(key: str) -> ValueGroup:
    degree, generators, entries, inputs, outputs, with_outputs, order = json.loads(key)
    inputs, outputs = _Values(*inputs), _Values(*outputs)
    maps = ValueMaps(inputs.num_values + outputs.num_values)
    symmetries = []
    for entry in entries:
        images = np.concatenate(
            [
                _images(entry.get("inputs"), inputs, degree),
                _images(entry.get("outputs") if with_outputs else None, outputs, degree) + inputs.num_values,
            ],
            axis=1,
        )
        points = generators_from_cycles([entry.get("points", [])], degree)[0]
        symmetries.append(Element(points, np.array([maps.number(row) for row in images])))
    return ValueGroup(generators_from_cycles(generators, degree), symmetries, maps, order)


def _images(lists: list | None, values: _Values, degree: int) -> Numbers:
    """``(degree, number of values)``: the permutation of the values at every node."""
    if lists is None:
        return np.tile(np.arange(values.num_values), (degree, 1))
    rows = lists if isinstance(lists[0], list) else [lists]
    images = [signed_images(row) if values.are_signed else np.array(row) for row in rows]
    return np.tile(images[0], (degree, 1)) if len(images) == 1 else np.stack(images)


def read_generators(group: Any, degree: int) -> list[list[list[int]]]:
    """A group on ``degree`` points as JSON holds it, from notation, a ``PermutationGroup`` or lists of cycles.

    Raises:
        ValueError: it is none of these, or acts on another number of points.
    """
    if isinstance(group, str):
        group, _ = read_group(group, degree)
    if isinstance(group, PermutationGroup):
        require(group.degree == degree, f"the group acts on {group.degree} points, but degree is {degree}")
        return to_cycles(group)
    generators_from_cycles(group, degree)
    return [[[int(point) for point in cycle] for cycle in cycles] for cycles in group]


def seen_symmetry(task: TaskConfig) -> SeenSymmetry:
    """What the network sees of a task's symmetry.

    Without value symmetries the task's group; else, averaged over cosets, the elements that change no value; else the
    lift, where an edge of two nodes joins all their points.
    """
    if not task.value_symmetries:
        return SeenSymmetry(task.degree, task.generators, task.seen_edges)
    group = value_group(task)
    if task.symmetrization == "average":
        return SeenSymmetry(task.degree, to_cycles(group.kernel), task.seen_edges)
    lift = group.lift
    edges = task.seen_edges
    if edges is not None:
        points = [np.flatnonzero(lift.nodes == node).tolist() for node in range(task.degree)]
        edges = [[i, j] for target, source in edges for i in points[target] for j in points[source]]
    return SeenSymmetry(lift.group.degree, to_cycles(lift.group), edges)


def check_symmetric_fields(task: TaskConfig) -> None:
    """Check that the task's other fields are as symmetric as its value symmetries.

    Raises:
        ValueError: scales of exchanged features or values differ, or weights of exchanged classes; or the residual
            feature changes otherwise than the outputs.
    """
    for index, (entry, element) in enumerate(zip(task.value_symmetries, value_group(task).symmetries, strict=True)):
        where = entry_text(index, entry)
        inputs, outputs = value_gathers(task, element.maps)  # per node
        if task.num_features is not None:
            _check_equal("input_scale", task.input_scale, inputs[0], "features", where)
        if task.is_regression:
            _check_equal("label_scale", task.label_scale, outputs[0], "outputs", where)
        _check_equal("class_weights", task.class_weights, outputs[0], "classes", where)
        if task.residual_feature is not None:
            sources, signs = (part[:, task.residual_feature] for part in inputs)
            require(
                bool((sources == task.residual_feature).all()) and bool((outputs[1] == signs[:, None]).all()),
                f"{where} must map residual_feature {task.residual_feature} to itself, with the sign with which it "
                "maps the outputs: outputs are predicted as differences from this feature",
            )


def value_gathers(task: TaskConfig, maps: Numbers | None = None) -> tuple[tuple[Numbers, Numbers], ...]:
    """Value maps as ``new[k] = sign[k] · old[source[k]]``, of inputs and of outputs.

    Args:
        task: with value symmetries.
        maps: ``(M,)``, numbers of value maps; by default all that have occurred.

    Returns:
        For inputs and for outputs, sources and signs ``(M, size)``; the signs of tokens and classes are 1.
    """
    images = value_group(task).maps.images
    images = images if maps is None else images[maps]
    inputs, outputs = _sides(task)
    split = inputs.num_values
    return gathered(images[:, :split], inputs.are_signed), gathered(images[:, split:] - split, outputs.are_signed)


def _check_equal(field: str, numbers: Any, sources: Numbers, what: str, where: str) -> None:
    if not isinstance(numbers, list):
        return
    new = np.broadcast_to(np.array(numbers, dtype=np.float64), sources.shape)
    old = np.take_along_axis(new, sources, axis=1)
    for node, entry in np.argwhere(old != new):
        raise ValueError(
            f"{where} exchanges {what} {sources[node, entry]} and {entry}, but {field} differs between them "
            f"({old[node, entry]:g} and {new[node, entry]:g}): make them equal"
        )
