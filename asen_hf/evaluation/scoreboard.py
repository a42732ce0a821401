"""The table at the end of a run: scores beside those of reference predictions, and the measured symmetry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import cast

from datasets import DatasetDict

from ..data import collate
from ..model.configuration_html import group_text, value_maps_text
from ..model.configuration_rows import MASK, PAIRS
from ..model.configuration_symmetries import seen_symmetry
from ..model.configuration_task import TaskConfig
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import to_device
from ..model.orbits import is_invariant_support
from ..model.symmetry import SymmetryBreaker
from .equivariance import equivariance_error, find_outsider
from .reference_predictions import REFERENCES, reference_scores
from .scores import Score, ScoreTable, score_splits

_ELEMENTS = 20  # group elements to measure equivariance with
_ROWS = 16  # rows to measure it on, at most


def scoreboard(
    model: AsenForMultitask, data: Mapping[str, DatasetDict], split: str = "test", batch_size: int = 256
) -> dict[str, Score]:
    """Score tasks on a split, with reference predictions and equivariance errors.

    Args:
        model: left in the mode, training or not, that it was in.
        data: ``{task: DatasetDict}``; reference predictions are fitted on the split ``train``, if there is one.
        split: the split to score.
        batch_size: rows per forward pass.

    Returns:
        ``{task: Score}``, in the order of ``data``.
    """
    board = ScoreTable()
    for name, splits in data.items():
        task, rows = model.config.tasks[name], splits[split]
        few = rows.select(range(min(_ROWS, batch_size, len(rows))))
        columns = to_device(collate(task, few), model.device)
        inputs, pairs, mask = columns["inputs"], columns.get(PAIRS), columns.get(MASK)
        outsider = find_outsider(cast(SymmetryBreaker, model.asen.symmetry_breakers[name]))
        board[name] = dataclasses.replace(
            score_splits(model, {name: rows}, batch_size)[name],
            references=reference_scores(task, splits["train"], rows) if "train" in splits else {},
            equivariance_error=equivariance_error(
                model, inputs, name, num_elements=_ELEMENTS, pairs=pairs, attention_mask=mask
            ),
            # Without the mask, because rows may lack no nodes but those that the group exchanges.
            outside_error=None if outsider is None else equivariance_error(model, inputs, name, outsider, pairs=pairs),
        )
    return board


def format_scoreboard(tasks: Mapping[str, TaskConfig], scores: Mapping[str, Score]) -> str:
    """The scores as text: a table with footnotes, and a table of reference predictions.

    If any task has value symmetries, a column says how many value maps there are and how the network gets them.

    Args:
        tasks: the configs of the scored tasks; without one, a score is of a stream of tasks.
        scores: one score per task.
    """
    known = [tasks[name] for name in scores if name in tasks]
    has_value_maps = any(task.value_symmetries for task in known)
    head = ["task", "group", *["value maps"] * has_value_maps, "rank", "rows", "loss", "score"]
    head += ["equivariance error", "outside the group"]
    table = _table(head, [_cells(name, tasks.get(name), score, has_value_maps) for name, score in scores.items()])
    notes = [
        f"{name}: the group does not map the support to itself; the network has only the symmetries that do."
        for name in scores
        if name in tasks and not _has_invariant_support(tasks[name])
    ]
    given = dict.fromkeys(name for score in scores.values() for name in score.references)
    names = [name for name in REFERENCES if name in given] + [name for name in given if name not in REFERENCES]
    references = [
        [task, score.metric, f"{score.value:.4f}", *(_number(score.references.get(name)) for name in names)]
        for task, score in scores.items()
        if score.references
    ]
    if references:
        head = ["reference predictions", "metric", "this model", *(name.replace("_", " ") for name in names)]
        notes += ["", *_table(head, references)]
    return "\n".join([*table, *notes])


def format_numbers(values: Mapping[str, float]) -> str:
    """Named numbers in one line: ``majority 0.6568, linear 0.7012``."""
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())


def format_error(error: float | None) -> str:
    """An equivariance error, or "-" where it was not measured."""
    return "-" if error is None else f"{error:.1e}"


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    """Aligned lines: a head, a rule and the body."""
    lines = [head, *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return [table[0], "  ".join("-" * width for width in widths), *table[1:]]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _cells(name: str, task: TaskConfig | None, score: Score, has_value_maps: bool) -> list[str]:
    return [
        name,
        "of many tasks" if task is None else group_text(task),
        *([("" if task is None else value_maps_text(task)) or "-"] if has_value_maps else []),
        "-" if task is None else str(SymmetryBreaker(task).num_pair_orbits),
        str(score.rows),
        f"{score.loss:.4f}",
        f"{score.metric} {score.value:.4f}" + f" ({format_numbers(score.details)})" * bool(score.details),
        format_error(score.equivariance_error),
        format_error(score.outside_error),
    ]


def _has_invariant_support(task: TaskConfig) -> bool:
    seen = seen_symmetry(task)
    return seen.edges is None or is_invariant_support(seen.permutation_group(), seen.edges)
