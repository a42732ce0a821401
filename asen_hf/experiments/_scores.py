"""What reports read out of a grid's store: scores by subject, arm and column, published numbers, paired tests."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections import defaultdict

import numpy as np
from scipy.stats import ttest_rel

from ..evaluation.metrics import METRICS
from .grid import Grid

MEAN = "mean of all"
Row = dict[str, str]
# (subject of a table's line, compared value, column) to the score of every seed
Scores = dict[tuple[str, str, str], dict[str, float]]


def measured(row: Row, measure: str) -> float:
    """A line's ``loss``, ``value``, or the detail of that name; NaN if it has none, as a reference has no loss."""
    if measure in ("loss", "value"):
        return float(row[measure])
    return float(json.loads(row["details"] or "{}").get(measure, math.nan))


def collect(grid: Grid, rows: list[Row], measure: str) -> Scores:
    """The store's scores by subject, compared value and column; last, if all subjects have one measure, their mean."""
    scores: Scores = defaultdict(dict)
    in_order = {tuple(cell.values()): place for place, cell in enumerate(grid.cells)}
    for row in sorted(rows, key=lambda row: in_order[tuple(grid.cell_of(row).values())]):
        if not math.isnan(number := measured(row, measure)):
            scores[subject_of(grid, row), row[grid.report.compare], column_of(grid, row)][row["seed"]] = number
    subjects = list(dict.fromkeys(subject for subject, _, _ in scores))
    if len(subjects) > 1 and (measure != "value" or len({row["metric"] for row in rows}) == 1):
        for _, arm, column in list(scores):
            by_subject = [scores.get((subject, arm, column), {}) for subject in subjects]
            if seeds := [seed for seed in grid.axes["seed"] if all(seed in score for score in by_subject)]:
                means = {seed: statistics.mean(score[seed] for score in by_subject) for seed in seeds}
                scores[MEAN, arm, column] = means
    return dict(scores)


def arms_of(grid: Grid, scores: Scores, subject: str) -> list[str]:
    """The compared values that have scores of the subject, in the grid's order."""
    return [arm for arm in grid.axes[grid.report.compare] if any(key[:2] == (subject, arm) for key in scores)]


def subjects_of(scores: Scores) -> list[str]:
    return list(dict.fromkeys(subject for subject, _, _ in scores))


def subject_of(grid: Grid, row: Row) -> str:
    axes = [axis for axis in grid.axes if axis not in ("seed", grid.report.compare, grid.report.columns)]
    return ", ".join(row[axis] for axis in axes) or "all"


def column_of(grid: Grid, row: Row) -> str:
    return row[grid.report.columns] if grid.report.columns else "score"


def columns_of(grid: Grid) -> dict[str, str]:
    """Names of the columns, with their headings."""
    axis = grid.report.columns
    return {"score": "score"} if axis is None else {value: f"{axis} {value}" for value in grid.axes[axis]}


def reference_arm(grid: Grid) -> str:
    return next(iter(grid.axes[grid.report.compare]))


def larger_is_better(grid: Grid, rows: list[Row], subject: str, measure: str) -> bool:
    """Whether a higher score of the subject is the better one: as its metric says, or the report for a detail."""
    if measure in METRICS:
        return METRICS[measure].larger_is_better
    if measure == "value":
        metrics = {row["metric"] for row in rows if subject in (MEAN, subject_of(grid, row))}
        return all(METRICS[metric].larger_is_better for metric in metrics)
    return measure != "loss" and bool(grid.report.larger_is_better)


def measure_name(grid: Grid, rows: list[Row], subject: str, measure: str) -> str:
    """What a measure of the subject is called."""
    if grid.report.label and measure == grid.report.metric:
        return grid.report.label
    metrics = {row["metric"] for row in rows if subject in (MEAN, subject_of(grid, row))}
    return " or ".join(sorted(metrics)) if measure == "value" else measure


def published(grid: Grid, subject: str, measure: str) -> dict[str, float | dict[str, float]]:
    """Results from elsewhere: a number per column of the grid, or one alone, whose name says the column if it has one.

    Those of ``report.references`` come first, then those of ``report.reference_files``.

    Raises:
        ValueError: a reference file is missing.
    """
    found: dict[str, float | dict[str, float]] = {}
    for name, measures in grid.report.references.items():
        numbers = measures.get(measure, {}).get(subject, {})
        if not isinstance(numbers, dict):
            found[name] = float(numbers)
            continue
        known = {str(column): float(number) for column, number in numbers.items()}
        if within := {column: number for column, number in known.items() if column in columns_of(grid)}:
            found[name] = within
        for column in known.keys() - within.keys():
            found[f"{name}, {column_phrase(grid, [column])}"] = known[column]
    return found | (from_files(grid, subject) if measure == grid.report.metric else {})


def from_files(grid: Grid, subject: str) -> dict[str, float | dict[str, float]]:
    """Results of ``report.reference_files``, on the study's own rows: a number per column, or one if no rows train it.

    They are means over the lines of each name and column, such as those of several seeds.
    """
    found: dict[str, float | dict[str, float]] = {}
    for file, keys in grid.report.reference_files.items():
        if not (grid.folder / file).is_file():
            raise ValueError(f"grid {grid.folder}: report: reference_files: there is no file {file} beside the grid")
        lines: dict[str, dict[str | None, list[float]]] = defaultdict(lambda: defaultdict(list))
        with (grid.folder / file).open(newline="", encoding="utf-8") as stream:
            for line in csv.DictReader(stream):
                is_meant = all(line[column] == str(value) for column, value in keys.get("where", {}).items())
                if is_meant and ("subject" not in keys or line[keys["subject"]] == subject):
                    column = line[keys["column"]] if "column" in keys else None
                    lines[line[keys["name"]]][column].append(float(line[keys["value"]]))
        for name, numbers in lines.items():
            means = {column: statistics.mean(values) for column, values in numbers.items()}
            found[name] = means[None] if None in means else {str(column): mean for column, mean in means.items()}
    return found


def column_phrase(grid: Grid, columns: list[str]) -> str:
    """Columns in words: "100, 300 and 1,000 rows", or "depth 2 and 3"."""
    axis, listed = grid.report.columns, listing([thousands(column) for column in columns])
    return f"{listed} rows" if axis == "train_rows" else f"{axis} {listed}"


def thousands(column: str) -> str:
    """A whole number with its thousands set apart; other columns as they are."""
    return f"{int(column):,}" if column.isdigit() else column


def listing(names: list[str]) -> str:
    """Names in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def paired_test(first: dict[str, float], second: dict[str, float]) -> tuple[float, float, int]:
    """Mean of ``second - first``, the p-value (NaN: none) of a paired t-test and the number of seeds that both have."""
    seeds = [seed for seed in first if seed in second]
    differences = np.array([second[seed] - first[seed] for seed in seeds])
    if not seeds:
        return math.nan, math.nan, 0
    # With one seed, or equal differences, the test would measure rounding errors.
    if np.ptp(differences) <= 1e-9 * np.abs(differences).max():
        return float(differences.mean()), math.nan, len(seeds)
    p = ttest_rel([second[seed] for seed in seeds], [first[seed] for seed in seeds]).pvalue
    return float(differences.mean()), float(p), len(seeds)


def standard_error(seeds: dict[str, float]) -> float:
    """Of the mean over seeds; NaN for one seed."""
    return statistics.stdev(seeds.values()) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan
