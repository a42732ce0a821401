"""Tables of reports, as lines of Markdown."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict

from ._scores import (
    Row,
    Scores,
    arms_of,
    column_phrase,
    columns_of,
    larger_is_better,
    measure_name,
    paired_test,
    published,
    reference_arm,
    standard_error,
    subject_of,
    subjects_of,
    thousands,
)
from .grid import Grid


def means(grid: Grid, rows: list[Row], scores: Scores, measure: str) -> list[str]:
    """A line per subject and arm, and below them the results from elsewhere."""
    details: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        details[subject_of(grid, row)][row["metric"]].append(float(row["reference"]))
    body = []
    for subject in subjects_of(scores):
        about = [f"{metric}, {statistics.mean(values):.4f}" for metric, values in details[subject].items()]
        note = ["; ".join(about)] if measure == "value" else []
        for arm in arms_of(grid, scores, subject):
            body.append([subject, arm, *_cells(grid, scores, subject, arm), *note])
    blank = [""] if measure == "value" else []
    for subject in [*subjects_of(scores), *({"all"} - {*subjects_of(scores)})]:
        body += [[subject, name, *cells, *blank] for name, cells in _published_cells(grid, subject, measure)]
    note = ["metric, reference prediction"] if measure == "value" else []
    return table(["", grid.report.compare, *columns_of(grid).values(), *note], body)


def subject_means(grid: Grid, scores: Scores, subject: str, measure: str) -> list[str]:
    """The means of one subject: a line per arm, and below them, in italics, the results from elsewhere."""
    body = [[arm, *_cells(grid, scores, subject, arm)] for arm in arms_of(grid, scores, subject)]
    body += [[f"*{name}*", *cells] for name, cells in _published_cells(grid, subject, measure)]
    return table([grid.report.compare, *_short_headings(grid)], body)


def _cells(grid: Grid, scores: Scores, subject: str, arm: str) -> list[str]:
    return [mean(scores.get((subject, arm, column), {})) for column in columns_of(grid)]


def _published_cells(grid: Grid, subject: str, measure: str) -> list[tuple[str, list[str]]]:
    """A number without a column of the grid stands beside its name."""
    found = []
    for name, numbers in published(grid, subject, measure).items():
        known = numbers if isinstance(numbers, dict) else {}
        cells = [number(known[column]) if column in known else "–" for column in columns_of(grid)]
        found.append((name if isinstance(numbers, dict) else f"{name}: {number(numbers)}", cells))
    return found


def first_reached(grid: Grid, rows: list[Row], scores: Scores, subject: str) -> list[list[str]]:
    """For every arm of a subject: the first column whose mean reaches each of the subject's thresholds."""
    body = []
    is_better = larger_is_better(grid, rows, subject, grid.report.metric)
    for arm in arms_of(grid, scores, subject):
        reached = []
        known = [column for column in columns_of(grid) if (subject, arm, column) in scores]
        for threshold in grid.report.thresholds_of(subject):
            for column in known:
                value = statistics.mean(scores[subject, arm, column].values())
                if (value >= threshold) if is_better else (value <= threshold):
                    reached.append(thousands(column))
                    break
            else:
                reached.append(f"> {thousands(known[-1])}")
        body.append([arm, *reached])
    return body


def reached_tables(grid: Grid, rows: list[Row], scores: Scores) -> list[str]:
    """A table for every group of subjects that have the same thresholds and measure."""
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for subject in subjects_of(scores):
        if grid.report.thresholds_of(subject):
            head = ("", grid.report.compare, *threshold_headings(grid, rows, subject))
            lines = [[subject, *line] for line in first_reached(grid, rows, scores, subject)]
            groups.setdefault(head, []).extend(lines)
    return [line for head, body in groups.items() for line in [*table(list(head), body), ""]]


def reached_table(grid: Grid, rows: list[Row], scores: Scores, subject: str) -> list[str]:
    """The table of one subject."""
    head = [grid.report.compare, *threshold_headings(grid, rows, subject)]
    return table(head, first_reached(grid, rows, scores, subject))


def threshold_headings(grid: Grid, rows: list[Row], subject: str) -> list[str]:
    """Such as "accuracy ≥ 0.9"."""
    sign = "≥" if larger_is_better(grid, rows, subject, grid.report.metric) else "≤"
    name = measure_name(grid, rows, subject, grid.report.metric)
    return [f"{name} {sign} {threshold}" for threshold in grid.report.thresholds_of(subject)]


def differences(grid: Grid, scores: Scores) -> list[str]:
    """Every other arm against the reference arm, paired by seed."""
    body = []
    for subject in subjects_of(scores):
        for arm in arms_of(grid, scores, subject):
            if arm == reference_arm(grid):
                continue
            pairs = [
                [scores.get((subject, name, column), {}) for name in (reference_arm(grid), arm)]
                for column in columns_of(grid)
            ]
            body.append([subject, arm, *(_difference(*paired_test(*pair)) for pair in pairs)])
    return table(["", grid.report.compare, *columns_of(grid).values()], body)


def mean(seeds: dict[str, float]) -> str:
    """Mean and standard error, with the same number of decimals."""
    if not seeds:
        return "–"
    value, error = statistics.mean(seeds.values()), standard_error(seeds)
    if math.isnan(error):
        return number(value)
    decimals = _decimals(value) + (0 < error < 0.5 * 10 ** -_decimals(value))  # an error is not rounded to zero
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def number(value: float) -> str:
    """Four decimals; from 10 on two, and below .01 three digits."""
    return f"{value:.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    if 0 < abs(value) < 0.01:
        return 2 - math.floor(math.log10(abs(value)))
    return 2 if abs(value) >= 10 else 4


def _short_headings(grid: Grid) -> list[str]:
    """Headings of columns in a page: "1,000 rows"."""
    if grid.report.columns != "train_rows":
        return list(columns_of(grid).values())
    return [column_phrase(grid, [column]) for column in columns_of(grid)]


def _difference(mean: float, p: float, count: int) -> str:
    return f"{mean:+.4f}, p {'–' if math.isnan(p) else f'{p:.3f}'}, {count}" if count else "–"


def table(head: list[str], body: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]
