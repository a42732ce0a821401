"""What a task says of its points: group, edges, coordinates, and orbitals that share rows; and checks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sympy.combinatorics import PermutationGroup

from ._group_graphs import automorphisms, is_graph
from ._messages import naming, shown
from .configuration_symmetries import read_generators, seen_symmetry
from .configuration_values import MAX_TEXT, require
from .group_notation import read_group
from .groups import to_cycles
from .orbits import check_edges

if TYPE_CHECKING:
    from .configuration_task import TaskConfig

MOST_POINTS_FOR_TRIPLES = 64


def read_group_given(task: TaskConfig, group: Any) -> None:
    """Convert ``group`` to ``degree``, ``generators`` and ``group_name``.

    Raises:
        ValueError: there are generators too, the group is none, or it acts on another number of points.
    """
    require(not task.generators, "give the group as group or as generators, not both")
    name = ""
    if isinstance(group, str):
        group, name = read_group(group, task.degree or None)
    elif is_graph(group):
        group, name = automorphisms(group), "Aut(graph)"
    require(
        isinstance(group, PermutationGroup),
        f"group must be text or a PermutationGroup (or a networkx graph), got {type(group).__name__}",
    )
    degree = group.degree
    require(task.degree in (0, degree), f"group acts on {degree} points, but degree is {shown(task.degree)}")
    task.group_name = task.group_name or (name if len(name) <= MAX_TEXT else f"{name[: MAX_TEXT - 1]}…")
    task.degree, task.generators = degree, to_cycles(group)


def check_points_declared(task: TaskConfig) -> None:
    """Check ``degree``, ``generators``, ``edges``, ``node_coordinates`` and what they permit, and fill defaults.

    Raises:
        ValueError: generators that are not permutations, edges between points that do not exist, coordinates that are
            not a pair per node, or fields that need edges or coordinates without them.
    """
    require(task.degree >= 1, f"degree must be at least 1, got {shown(task.degree)}")
    task.generators = read_generators(task.generators, task.degree)
    if task.edges is not None:
        task.edges = check_edges(task.edges, task.degree).tolist()
        require(
            bool(task.edges),
            "edges are empty: leave edges out for messages between all pairs of nodes, or list the loops [[0, 0], "
            "[1, 1], …] for none",
        )
    if task.support is None:
        task.support = "complete" if task.edges is None else "sparse"
    require(
        task.support == "complete" or task.edges is not None,
        f'support="{task.support}" needs edges: set edges, or support="complete"',
    )
    if task.node_coordinates is not None:
        task.node_coordinates = _checked_coordinates(task.node_coordinates, task.degree)
    require(
        task.point_order != "grid" or task.node_coordinates is not None,
        'point_order="grid" needs node_coordinates: the place of every node',
    )


def _checked_coordinates(coordinates: list, degree: int) -> list:
    expected = f"node_coordinates must be {degree} pairs of finite numbers [x, y], one per node"
    try:
        array = np.array(coordinates)
    except ValueError:  # lists of unequal length
        raise ValueError(f"{expected}, got lists of unequal length") from None
    require(
        array.shape == (degree, 2) and array.dtype.kind in "iuf",
        f"{expected}, got an array of shape {array.shape} and type {array.dtype}",
    )
    for node in np.flatnonzero(~np.isfinite(array).all(axis=1)):
        raise ValueError(f"{expected}, got {array[node].tolist()} for node {node}")
    return array.tolist()


def check_rows_shared(task: TaskConfig) -> None:
    """Check ``soft_group``, and fill the default of ``shared_rows``.

    Raises:
        ValueError: a soft group that is none, or contradicts other fields.
    """
    names = task.orbital_names or []
    repeat = len(set(names)) < len(names)
    if task.soft_group is not None:
        require(not repeat, "soft_group says which orbitals share a row: orbital_names must not repeat beside it")
        require(task.symmetry_breaking == "pairs", 'soft_group needs symmetry_breaking="pairs"')
        with naming("soft_group"):
            task.soft_group = read_generators(task.soft_group, task.degree)
    if task.shared_rows is None:
        task.shared_rows = task.point_order is not None or task.soft_group is not None or repeat


def check_triples(task: TaskConfig) -> None:
    """Refuse triples of more points, those of a lift included, than a network can pass messages between.

    Raises:
        ValueError: there are too many points, or the support is not complete.
    """
    degree = seen_symmetry(task).degree
    require(
        task.symmetry_breaking != "triples" or (task.support == "complete" and degree <= MOST_POINTS_FOR_TRIPLES),
        f'symmetry_breaking="triples" sends n³ messages: it needs a degree of at most {MOST_POINTS_FOR_TRIPLES} '
        f'and support="complete", got degree {degree} and support="{task.support}"',
    )
