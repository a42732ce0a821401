"""Which random rules are those of a registered synthetic task: tasks that evaluate a prior must not be in it."""

from __future__ import annotations

import functools

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
    """Whether a registered task on the same orbitals, whatever its default length, has this rule or its opposite."""
    shares = agreements(structure, size, output, rule).values()
    return any(share >= _SAME or (output != "count" and share <= 1 - _SAME) for share in shares)


def agreements(structure: Structure, size: int, output: str, rule: Rule) -> dict[str, float]:
    """By name, for every registered task on the same orbitals and with outputs alike: how often labels agree.

    Args:
        structure, size, output, rule: a task as in :class:`~asen_hf.data.synthetic.prior.PriorTask`.

    Returns:
        Shares of equal labels on random inputs of both vocabularies; near 0 for the opposite rule.
    """
    shares = {}
    for name in _tasks_on(structure.degree).get(structure.labels.tobytes(), []) if size else []:
        level, inputs, labels = _labelled(name, structure.degree, size)
        if level == output:
            shares[name] = float((rule.compute(inputs) == labels).mean())
    return shares


@functools.cache
def _labelled(name: str, degree: int, size: int) -> tuple[str, NDArray, NDArray]:
    """A task's kind of output, random inputs, and their labels."""
    task = _of_length(name, degree)
    assert task is not None
    level = "count" if task.config.is_regression else task.config.output_level
    inputs = random_generator(0, "leaks", name).integers(min(size, task.vocabulary), size=(_ROWS, degree))
    labels = task.label(inputs)
    return level, inputs, labels[..., 0] if labels.ndim > 1 and labels.shape[-1] == 1 else labels


@functools.cache
def _tasks_on(degree: int) -> dict[bytes, list[str]]:
    """The sequence tasks of a length, by the orbitals of their groups."""
    names: dict[bytes, list[str]] = {}
    for name in list_tasks():
        task = _of_length(name, degree)
        if task is not None:
            names.setdefault(orbit_labels(task.config.permutation_group()).tobytes(), []).append(name)
    return names


@functools.cache
def _of_length(name: str, length: int) -> SequenceTask | None:
    """A task at another length; ``None`` if it has no such form, or is not a sequence task."""
    try:
        task = get_task(name, length=length)
    except ValueError:  # real data, or a length that cannot be divided into sets
        return None
    return task if isinstance(task, SequenceTask) else None
