"""The table that scripts end with: each task's scores beside what no network reaches, and its measured symmetry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import cast

from datasets import DatasetDict

from ..data import collate
from ..model.modeling_asen import AsenForMultitask
from ..model.orbits import is_invariant_support
from ..model.symmetry import SymmetryBreaker
from ..training.objective import baselines, evaluate
from .equivariance import equivariance_error, find_outsider

_ELEMENTS = 20  # group elements to measure equivariance with
_ROWS = 16  # rows to measure it on


@dataclasses.dataclass(frozen=True)
class Score:
    """One line of the table.

    Attributes:
        task, group: their names.
        rank: number of pair labels in use.
        rows: rows of the split.
        loss: in normalised units.
        metric, value: the task's (see ``TaskConfig``), in raw units.
        details: further numbers in raw units, by name.
        baselines: the same metric without a network, by name.
        equivariance_error: over random elements of the group.
        outside_error: the same for a random permutation that is no symmetry of the network; ``None`` if all are.
        support_is_invariant: whether the group maps the support to itself; if not, the network is equivariant only to
            the elements that do, and ``equivariance_error`` is expected to be large.
    """

    task: str
    group: str
    rank: int
    rows: int
    loss: float
    metric: str
    value: float
    baselines: dict[str, float]
    equivariance_error: float
    outside_error: float | None
    support_is_invariant: bool
    details: dict[str, float] = dataclasses.field(default_factory=dict)


def scoreboard(
    model: AsenForMultitask, data: Mapping[str, DatasetDict], split: str = "test", batch_size: int = 256
) -> list[Score]:
    """Score each task of ``data`` on a split; baselines are fitted on the train split."""
    board = []
    for name, rows in data.items():
        task = model.config.tasks[name]
        breaker = cast(SymmetryBreaker, model.asen.symmetry_breakers[name])
        scores = evaluate(model, {name: rows[split]}, batch_size)[name]
        inputs = collate(task, rows[split].select(range(min(_ROWS, len(rows[split])))))["inputs"].to(model.device)
        outsider = find_outsider(breaker)
        group = task.permutation_group()
        board.append(
            Score(
                task=name,
                group=task.group_name or f"{len(task.generators)} generators",
                rank=breaker.num_pair_orbits,
                rows=len(rows[split]),
                loss=scores.loss,
                metric=scores.metric,
                value=scores.value,
                baselines=baselines(task, rows["train"], rows[split]),
                equivariance_error=equivariance_error(model, name, inputs, num_elements=_ELEMENTS),
                outside_error=None if outsider is None else equivariance_error(model, name, inputs, outsider),
                support_is_invariant=task.edges is None or is_invariant_support(group, task.edges),
                details=scores.details,
            )
        )
    return board


def format_scoreboard(board: list[Score]) -> str:
    """The table as text, with its footnotes."""
    head = ["task", "group", "rank", "rows", "loss", "score", "baselines", "equivariance error", "outside the group"]
    lines = [head, *([_format_cell(cell) for cell in _cells(score)] for score in board)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    table.insert(1, "  ".join("-" * width for width in widths))
    notes = [
        f"{score.task}: the group does not map the support to itself; the network has only the symmetries that do."
        for score in board
        if not score.support_is_invariant
    ]
    return "\n".join([*table, *notes])


def _cells(score: Score) -> list[object]:
    return [
        score.task,
        score.group,
        score.rank,
        score.rows,
        score.loss,
        f"{score.metric} {score.value:.4f}" + f" ({named(score.details)})" * bool(score.details),
        named(score.baselines),
        f"{score.equivariance_error:.1e}",
        "-" if score.outside_error is None else f"{score.outside_error:.1e}",
    ]


def named(values: Mapping[str, float]) -> str:
    """Numbers by name as a list for people."""
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


def _format_cell(cell: object) -> str:
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)
