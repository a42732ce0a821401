"""How close rules of the prior come to registered tasks: ``python -m asen_hf.data.synthetic.prior_closeness``.

The prior leaves out rules that are a registered task's (:mod:`._prior_leaks`). This command draws rules on every
task's own group, vocabulary and kind of output, and lists the closest that are left.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..registry import get_task, list_tasks
from ..seeding import random_generator
from ._prior_leaks import agreement, output_of
from ._prior_rules import Domain, Rule
from ._prior_structures import Structure, structure_of
from .prior import draw_label_rule
from .sequence_task import SequenceTask

NUM_RULES = 3_000
_ROWS, _REPORTED_ROWS = 200, 2_000  # by which the closest is found, and fresh ones by which it is reported


@dataclass(frozen=True)
class Closest:
    """The rule of the prior that comes closest to a task, on one kind of rows.

    Attributes:
        words: the rule.
        agreement: of its labels with the task's (see :func:`._prior_leaks.agreement`).
        uninformed: of the best labels that do not look at the inputs.
    """

    words: str
    agreement: float
    uninformed: float


def comparable_tasks() -> list[SequenceTask]:
    """The registered tasks whose labels a rule of the prior could have: one number, or two classes, of tokens alone."""
    tasks = []
    for name in list_tasks():
        try:
            task = get_task(name)
        except ValueError:  # real data
            continue
        if isinstance(task, SequenceTask) and task.config.output_size == 1 + (not task.config.is_regression):
            tasks.append(task)
    return tasks


def closest_rules(task: SequenceTask, num_rules: int = NUM_RULES, seed: int = 0) -> dict[str, Closest]:
    """The closest rules by ``"random"`` rows, which have uniform tokens, and by the task's ``"own"`` rows.

    Args:
        task: one of :func:`comparable_tasks`.
        num_rules: number of rules that are drawn on the task's group.
        seed: of rules and rows.
    """
    rng, output = random_generator(seed, "closeness", task.name), output_of(task)
    structure = structure_of(task.config.permutation_group(), task.config.group_name, {})
    few, many = (_rows(task, number, seed) for number in (_ROWS, _REPORTED_ROWS))
    best: dict[str, tuple[float, Rule]] = {}
    for _ in range(num_rules):
        rule = _draw_accepted(rng, structure, task.vocabulary, output)
        for kind, (inputs, labels) in few.items():
            found = agreement(output, rule.compute(inputs), labels)
            if kind not in best or found > best[kind][0]:
                best[kind] = found, rule
    result = {}
    for kind, (_, rule) in best.items():
        inputs, labels = many[kind]
        uninformed = 0.0 if output == "count" else agreement(output, np.zeros_like(labels), labels)
        result[kind] = Closest(rule.words, agreement(output, rule.compute(inputs), labels), uninformed)
    return result


def table(num_rules: int = NUM_RULES) -> str:
    """The closest rules of all tasks as a table in Markdown; differences are to labels that ignore the inputs."""
    lines = ["| task | random rows | own rows | closest rule on own rows |", "| --- | --- | --- | --- |"]
    for task in comparable_tasks():
        found = closest_rules(task, num_rules)
        shares = (f"{found[kind].agreement:.3f} ({found[kind].uninformed:.3f})" for kind in ("random", "own"))
        lines.append(f"| {' | '.join([task.name, *shares, found['own'].words])} |")
    return "\n".join(lines)


def _rows(task: SequenceTask, number: int, seed: int) -> dict[str, tuple[NDArray, NDArray]]:
    inputs = random_generator(seed, "closeness rows", task.name, number).integers(
        task.vocabulary, size=(number, task.length)
    )
    return {"random": (inputs, task.label(inputs)), "own": task.sample(number, seed=number)}


def _draw_accepted(rng: np.random.Generator, structure: Structure, size: int, output: str) -> Rule:
    while True:
        domain = Domain(size, is_cyclic=rng.random() < 0.3)
        rule = draw_label_rule(rng, structure, domain, output)  # type: ignore[arg-type]
        if rule is not None:
            return rule


if __name__ == "__main__":
    print(table(*map(int, sys.argv[1:])))
