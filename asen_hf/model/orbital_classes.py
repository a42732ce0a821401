"""Which orbitals share a row of a task's table: of one name, of one orbital of a larger group, or of equal offsets.
Which node orbits do: those in the same columns, or in the same rows, of a grid.

A group with little symmetry has many orbitals, and each is learned from few pairs. The position of a source relative to
its target, in the order of the points, says much of what two orbitals have in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .groups import PointOrder

Ints = NDArray[np.int64]


def orbital_classes(labels: Ints, kinds: Ints) -> Ints:
    """Number the orbitals by the set of kinds of their pairs, such as offsets.

    Args:
        labels: ``(pairs,)``, orbitals 0 … rank-1, each used.
        kinds: ``(pairs,)``, numbers, such as those of :func:`pair_offsets`.

    Returns:
        ``(rank,)``, classes numbered by first appearance.
    """
    of_orbitals = np.unique(np.stack([labels, kinds]), axis=1)
    starts = np.searchsorted(of_orbitals[0], np.arange(of_orbitals[0, -1] + 1))
    numbers: dict[bytes, int] = {}
    sets = np.split(of_orbitals[1], starts[1:])
    return np.array([numbers.setdefault(np.ascontiguousarray(each).tobytes(), len(numbers)) for each in sets])


def line_classes(labels: Ints, coordinates: ArrayLike) -> Ints:
    """Number the node orbits by the set of their columns, and by the set of their rows.

    Args:
        labels: ``(n,)``, the node orbits, each used.
        coordinates: ``(n, 2)``, compared to six digits.

    Returns:
        ``(orbits, 2)``; the numbers of rows follow those of columns.
    """
    places = np.asarray(coordinates, dtype=np.float64).round(6)
    columns, rows = (orbital_classes(labels, np.unique(axis, return_inverse=True)[1]) for axis in places.T)
    return np.stack([columns, columns.max() + 1 + rows], axis=1)


def classes_by_name(names: Sequence[str]) -> Ints:
    """Number the orbitals by their names, in order of first appearance."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names])


def pair_offsets(order: PointOrder, degree: int, coordinates: ArrayLike | None = None) -> Ints:
    """A number for every offset of a source from its target, equal for equal offsets only: ``(n, n)``.

    Args:
        order: ``"line"``, ``"ring"``, or ``"grid"``, whose offsets are differences of coordinates.
        degree: number of points n.
        coordinates: ``(n, 2)``, of a grid; differences are compared to six digits.
    """
    points = np.arange(degree)
    if order == "grid":
        places = np.asarray(coordinates, dtype=np.float64)
        differences = (places[None] - places[:, None]).round(6).reshape(-1, 2)
        return np.unique(differences, axis=0, return_inverse=True)[1].reshape(degree, degree)
    offsets = points - points[:, None]
    return offsets % degree if order == "ring" else offsets
