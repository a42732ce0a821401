"""Which random rules are those of a registered synthetic task: tasks that evaluate a prior must not be in it."""

from __future__ import annotations

import contextlib
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
_SAME = 0.95  # nearly the same rule teaches nearly the same


def is_a_known_task(structure: Structure, size: int, output: str, rule: Rule) -> bool:
    """Whether a registered task on the same orbitals, whatever its length, has nearly this rule or its opposite."""
    return any(share >= _SAME for share in agreements(structure, size, output, rule).values())


def agreements(structure: Structure, size: int, output: str, rule: Rule) -> dict[str, float]:
    """By name, for every registered task on the same orbitals and with outputs alike: the :func:`agreement` of labels.

    Args:
        structure, size, output, rule: a task as in :class:`~asen_hf.data.synthetic.prior.PriorTask`.

    Returns:
        On random inputs of both vocabularies, or on the task's own rows if it is larger.
    """
    shares = {}
    for name in _tasks_on(structure.degree).get(structure.labels.tobytes(), []) if size else []:
        level, rows = _labelled(name, structure.degree, size)
        if level == output:
            shares[name] = max(agreement(output, rule.compute(inputs), labels) for inputs, labels in rows)
    return shares


def agreement(output: str, found: NDArray, labels: NDArray) -> float:
    """How far a rule tells another's labels, in 0 … 1.

    Args:
        output: ``"count"`` of numbers, which heads scale and shift: the squared correlation. Else of two classes, which
            may be exchanged: the share of equal labels, or that of unequal ones if it is larger.
        found, labels: arrays of one shape.
    """
    if output != "count":
        share = float((found == labels).mean())
        return max(share, 1 - share)
    if not found.std() or not labels.std():
        return 0.0
    return float(np.corrcoef(found.ravel(), labels.ravel())[0, 1] ** 2)


@functools.cache
def _labelled(name: str, degree: int, size: int) -> tuple[str, list[tuple[NDArray, NDArray]]]:
    """A task's kind of output; random inputs and their labels; and its own rows, if it has any at this length."""
    task = _of_length(name, degree)
    assert task is not None
    inputs = random_generator(0, "leaks", name).integers(min(size, task.vocabulary), size=(_ROWS, degree))
    rows = [(inputs, task.label(inputs))]
    with contextlib.suppress(ValueError):  # a class that is too rare
        rows.append(task.sample(_ROWS))
    return output_of(task), rows


def output_of(task: SequenceTask) -> str:
    """A task's kind of output in the words of the prior."""
    return "count" if task.config.is_regression else task.config.output_level


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
