"""Which random rules are those of a registered synthetic task: tasks that evaluate a prior must not be in it."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from ...model.orbits import orbit_labels
from ..registry import get_task, list_tasks
from ..seeding import random_generator
from ._prior_rules import Rule
from ._prior_structures import Structure
from .sequence_task import SequenceTask

_ROWS = 64
_SAME = 0.98


def is_a_known_task(structure: Structure, size: int, output: str, rule: Rule) -> bool:
    """Whether a registered task on the same orbitals has this rule, or its opposite."""
    return any(max(share, 1 - share) >= _SAME for share in agreements(structure, size, output, rule).values())


def agreements(structure: Structure, size: int, output: str, rule: Rule) -> dict[str, float]:
    """By name, for every registered task on the same orbitals, vocabulary and kind of output: how often labels agree.

    Args:
        structure, size, output, rule: as in :class:`~asen_hf.data.synthetic.prior.PriorTask`, of any length.

    Returns:
        Shares of equal labels on random inputs, which are near one half for unrelated balanced rules.
    """
    shares = {}
    for name, level, inputs, labels in _known_tasks(structure.labels.tobytes(), structure.degree, size):
        if level == output:
            shares[name] = float((rule.compute(inputs) == labels).mean())
    return shares


@functools.cache
def _known_tasks(labels: bytes, degree: int, size: int) -> list[tuple[str, str, NDArray, NDArray]]:
    """Name, kind of output, random inputs and their labels of the tasks whose group has these orbitals."""
    found = []
    for name in list_tasks():
        task = _of_length(name, degree, size)
        if task is not None and orbit_labels(task.config.permutation_group()).tobytes() == labels:
            rng = random_generator(0, "leaks", name)
            inputs = rng.integers(size, size=(_ROWS, degree))
            level = "count" if task.config.is_regression else task.config.output_level
            found.append((name, level, inputs, np.squeeze(task.label(inputs))))
    return found


@functools.cache
def _of_length(name: str, length: int, vocabulary: int) -> SequenceTask | None:
    """The task at another length and vocabulary; ``None`` if it has no such form, or is not a sequence task."""
    options = {"length": length, "vocabulary": vocabulary}
    try:
        task = get_task(name, **options)
    except ValueError:  # real data, a fixed vocabulary, or a length that cannot be divided into sets
        return None
    return task if isinstance(task, SequenceTask) and dataclasses.is_dataclass(task) else None
