"""Twins: points that the group exchanges while all others stay. Which of them a row lacks is without meaning."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .groups import from_cycles
from .orbits import orbit_labels

if TYPE_CHECKING:
    from .configuration_task import TaskConfig


def can_lack_nodes(task: TaskConfig) -> bool:
    """Whether rows of a task may have fewer nodes: some node has a twin, and messages can leave nodes out."""
    leaves_out = task.symmetrization != "lift" and task.symmetry_breaking != "triples"
    return leaves_out and bool(has_twin(task).any())


def has_twin(task: TaskConfig) -> NDArray[np.bool_]:
    """Whether each point has a twin in the 2-closure of the task's ``group``: ``(n,)``.

    The transposition of i and j preserves all orbitals if and only if i and j are related alike to every other point
    and to each other. Twins are an equivalence relation, and their transpositions generate all their permutations.
    """
    return _has_twin(json.dumps([task.generators, task.degree]))


@functools.lru_cache(maxsize=64)
def _has_twin(key: str) -> NDArray[np.bool_]:
    generators, degree = json.loads(key)
    labels = orbit_labels(from_cycles(generators, degree), order=2)
    columns = labels.T
    points = np.arange(degree)
    twins = np.zeros(degree, dtype=bool)
    for point in points:
        # Points from which all others but the two themselves are labelled as from this one, in both directions.
        differs = (labels != labels[point]) | (columns != columns[point])
        differs[:, point] = False
        differs[points, points] = False
        is_twin = ~differs.any(axis=1) & (labels[point] == columns[point]) & (labels.diagonal() == labels[point, point])
        is_twin[point] = False
        twins |= is_twin
    return twins
