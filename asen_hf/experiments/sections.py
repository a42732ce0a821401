"""Sections of a grid.yaml that are no recipe: what its report compares, and what its cells start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Report:
    """What the report compares.

    Attributes:
        compare: the axis whose first value is the reference arm.
        columns: an ordered axis.
        metric: the score that is plotted and judged: ``value``, ``loss``, or the name of a detail.
        larger_is_better: for a detail, whether a higher score is the better one; metrics and losses know.
        label: what reports call the metric; ``None`` for its name.
        thresholds: values of the metric, for all subjects or ``{subject: values}``; the report names the first column
            that reaches each.
        references: results from elsewhere, ``{name: {metric: {subject: {column: number}}}}``, or one number instead of
            the columns; a column that the grid lacks is said beside the name. The subject of a grid without any is
            ``all``.
        reference_files: CSV files beside the grid with such results, ``{file: {"name", "value", "column", "subject",
            "where"}}``: names of their columns, the last two optional, and ``where`` a mapping of columns to the values
            of the lines that are meant.
        bounds: names among these results of those that say what is possible at best: they are no rivals.
    """

    compare: str
    columns: str | None = None
    metric: str = "value"
    larger_is_better: bool | None = None
    label: str | None = None
    thresholds: list[float] | dict[str, list[float]] = dataclasses.field(default_factory=list)
    references: dict[str, dict[str, dict[str, dict[Any, float] | float]]] = dataclasses.field(default_factory=dict)
    reference_files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    bounds: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        if self.compare == self.columns:
            raise ValueError("report: compare and columns must differ")
        if self.thresholds and self.columns is None:
            raise ValueError("report: thresholds need columns, and columns is not set")
        if self.metric not in ("value", "loss") and self.larger_is_better is None:
            raise ValueError(
                f"report: metric must be value or loss, or a detail together with larger_is_better, got {self.metric!r}"
            )
        for file, keys in self.reference_files.items():
            if missing := {"name", "value"} - known(keys, ["name", "value", "column", "subject", "where"]).keys():
                raise ValueError(f"report: reference_files: {file} lacks the key {min(missing)!r}")

    def thresholds_of(self, subject: str) -> list[float]:
        """The thresholds of a subject; of the mean of subjects, none unless all have the same."""
        return self.thresholds.get(subject, []) if isinstance(self.thresholds, dict) else self.thresholds


@dataclasses.dataclass(frozen=True)
class CellStart:
    """What a cell with pretraining, or with a checkpoint, starts from.

    Attributes:
        from_scratch: start from random weights of the same shape instead, for comparison.
        init_from: the pretrained task whose embedding rows and head the new task starts from, or ``"prior"`` for rows
            computed from its structure; ``None`` for random ones.
        zero_shot: score the model without finetuning.
        in_context: score it with a head that is fitted to the training rows by ridge regression, without finetuning.
        checkpoint: a committed checkpoint's name, a folder or a Hub id, in place of a pretraining of the grid's own.
    """

    from_scratch: bool = False
    init_from: str | None = None
    zero_shot: bool = False
    in_context: bool = False
    checkpoint: str | None = None


def mapping(value: Any, where: str) -> dict[Any, Any]:
    """The value, which must be a mapping; ``ValueError`` names the place."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping, got {value!r}")
    return value


def known(values: Any, keys: Sequence[str]) -> dict[str, Any]:
    """The section, whose keys must be among ``keys``; ``ValueError`` for others."""
    if unknown := [str(key) for key in mapping(values, "a section") if key not in keys]:
        raise ValueError(f"unknown key {', '.join(unknown)}; known: {', '.join(keys)}")
    return values
