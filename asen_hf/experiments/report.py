"""Reports of experiments: tables, paired tests and a plot, all from a grid and its store."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import ttest_rel

from ..plots._saving import save_figure
from ..plots.experiments import draw_panels
from .grid import Grid

MEAN = "mean of all"
# (subject of a table's line, compared value, column) to the score of every seed
Scores = dict[tuple[str, str, str], dict[str, float]]


def write_report(grid: Grid) -> Path:
    """Write ``report.md`` and ``plot.png`` beside the store, without cells that the grid no longer has."""
    cells = grid.cells
    rows = grid.rows(stale=True)
    stale = sum(not grid.explains(row) for row in rows)
    lines = [
        f"# {grid.name.replace('_', ' ').replace('/', ': ').capitalize()}",
        "",
        grid.description.strip(),
        "",
        *(["**Findings.** " + grid.findings.strip(), ""] if grid.findings else []),
        f"Run and reported by `python training/experiments.py {grid.name}`, then `… {grid.name} --report`; "
        f"no number here is written by hand. {len(rows)} of {len(cells)} cells are finished, "
        f"over {len(grid.axes['seed'])} seeds.",
    ]
    if grid.retired:
        lines += ["", f"Its cells can no longer be run: {grid.retired.strip()}"]
    if stale:
        lines += ["", f"**{stale} of them were run with another recipe or other data than the present ones.**"]
    if rows:
        lines += ["", *_provenance(grid, rows), ""]
        for measure, title in (("loss", "Test loss"), ("value", "Test metric")):
            scores = collect(grid, rows, measure)
            means = _means(grid, rows, scores, measure) + _references(grid, measure)
            lines += [f"## {title}: mean ± standard error over seeds", "", *means, ""]
            lines += [f"## {title}: difference from {_reference_arm(grid)}, paired by seed", ""]
            lines += ["Mean difference, p of a paired t-test, number of seeds.", "", *_differences(grid, scores), ""]
        if grid.report.thresholds:
            lines += [f"## First {grid.report.columns} at which the mean metric over seeds reaches a threshold", ""]
            lines += [*_first_reached(grid, collect(grid, rows, "value")), ""]
        if grid.report.columns is not None:
            _plot(grid, rows, grid.folder / "plot.png")
            lines += [f"![Test {grid.report.metric} against {grid.report.columns}](plot.png)", ""]
    path = grid.folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def collect(grid: Grid, rows: list[dict[str, str]], measure: str) -> Scores:
    """The store's scores by subject, compared value and column; last, if all subjects have one measure, their mean."""
    scores: Scores = defaultdict(dict)
    in_order = {tuple(cell.values()): place for place, cell in enumerate(grid.cells)}
    for row in sorted(rows, key=lambda row: in_order[tuple(grid.cell_of(row).values())]):
        if math.isnan(float(row[measure])):  # a reference prediction has no loss
            continue
        scores[_subject(grid, row), row[grid.report.compare], _column(grid, row)][row["seed"]] = float(row[measure])
    subjects = list(dict.fromkeys(subject for subject, _, _ in scores))
    if len(subjects) > 1 and (measure == "loss" or len({row["metric"] for row in rows}) == 1):
        for _, arm, column in list(scores):
            by_subject = [scores.get((subject, arm, column), {}) for subject in subjects]
            if seeds := [seed for seed in grid.axes["seed"] if all(seed in score for score in by_subject)]:
                means = {seed: statistics.mean(score[seed] for score in by_subject) for seed in seeds}
                scores[MEAN, arm, column] = means
    return dict(scores)


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


def _subject(grid: Grid, row: dict[str, str]) -> str:
    axes = [axis for axis in grid.axes if axis not in ("seed", grid.report.compare, grid.report.columns)]
    return ", ".join(row[axis] for axis in axes) or "all"


def _column(grid: Grid, row: dict[str, str]) -> str:
    return row[grid.report.columns] if grid.report.columns else "score"


def _columns(grid: Grid) -> dict[str, str]:
    """Names of the columns, with their headings."""
    axis = grid.report.columns
    return {"score": "score"} if axis is None else {value: f"{axis} {value}" for value in grid.axes[axis]}


def _reference_arm(grid: Grid) -> str:
    return next(iter(grid.axes[grid.report.compare]))


def _provenance(grid: Grid, rows: list[dict[str, str]]) -> list[str]:
    hours = sum(float(row["wall_seconds"]) for row in rows) / 3600
    values = {key: ", ".join(sorted({row[key] for row in rows})) for key in rows[0]}
    sizes = []
    for arm in grid.axes[grid.report.compare]:
        if counts := [int(row["parameters"]) for row in rows if row[grid.report.compare] == arm]:
            sizes.append(f"{arm} {' – '.join(f'{count:,}' for count in sorted({min(counts), max(counts)}))}")
    pretrainings = grid.pretrainings.rows()
    before = sum(float(row["wall_seconds"]) for row in pretrainings) / 3600
    return [
        f"Wall time of all cells together: {hours:.2f} hours, with {values['threads']} thread each, on "
        f"{values['platform']}; torch {values['torch']}, transformers {values['transformers']}, asen_hf "
        f"{values['asen_hf']}, git {values['revision']} (+: with changes).",
        *([f"Before them {len(pretrainings)} pretrainings, {before:.2f} hours."] if pretrainings else []),
        "",
        f"Parameters: {'; '.join(sizes)}.",
    ]


def _means(grid: Grid, rows: list[dict[str, str]], scores: Scores, measure: str) -> list[str]:
    details: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        details[_subject(grid, row)][row["metric"]].append(float(row["reference"]))
    body = []
    for subject, arm in dict.fromkeys((subject, arm) for subject, arm, _ in scores):
        cells = [_mean(scores.get((subject, arm, column), {})) for column in _columns(grid)]
        about = [f"{metric}, {statistics.mean(values):.4f}" for metric, values in details[subject].items()]
        body.append([subject, arm, *cells, *(["; ".join(about)] if measure == "value" else [])])
    note = ["metric, reference prediction"] if measure == "value" else []
    return _table(["", grid.report.compare, *_columns(grid).values(), *note], body)


def _references(grid: Grid, measure: str) -> list[str]:
    """Lines below the means, with published results."""
    body = []
    for name, measures in grid.report.references.items():
        for subject, numbers in measures.get(measure, {}).items():
            known = {str(column): number for column, number in numbers.items()}
            cells = [f"{known[column]:.4f}" if column in known else "–" for column in _columns(grid)]
            body.append([subject, name, *cells, *([""] if measure == "value" else [])])
    return [_line(cells) for cells in body]


def _first_reached(grid: Grid, scores: Scores) -> list[str]:
    """For every subject and compared value: the first column whose mean reaches each threshold."""
    body = []
    for subject, arm in dict.fromkeys((subject, arm) for subject, arm, _ in scores):
        means = {
            column: statistics.mean(scores[subject, arm, column].values())
            for column in _columns(grid)
            if (subject, arm, column) in scores
        }
        reached = [
            next((column for column, mean in means.items() if mean >= threshold), f"> {list(means)[-1]}")
            for threshold in grid.report.thresholds
        ]
        body.append([subject, arm, *reached])
    return _table(["", grid.report.compare, *map(str, grid.report.thresholds)], body)


def _differences(grid: Grid, scores: Scores) -> list[str]:
    body = []
    for subject, arm in dict.fromkeys((subject, arm) for subject, arm, _ in scores):
        if arm != _reference_arm(grid):
            pairs = [
                [scores.get((subject, name, column), {}) for name in (_reference_arm(grid), arm)]
                for column in _columns(grid)
            ]
            body.append([subject, arm, *(_difference(*paired_test(*pair)) for pair in pairs)])
    return _table(["", grid.report.compare, *_columns(grid).values()], body)


def _mean(seeds: dict[str, float]) -> str:
    if not seeds:
        return "–"
    error = standard_error(seeds)
    return f"{statistics.mean(seeds.values()):.4f}" + ("" if math.isnan(error) else f" ± {error:.4f}")


def standard_error(seeds: dict[str, float]) -> float:
    """Of the mean over seeds; NaN for one seed."""
    return statistics.stdev(seeds.values()) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan


def _difference(mean: float, p: float, count: int) -> str:
    return f"{mean:+.4f}, p {'–' if math.isnan(p) else f'{p:.3f}'}, {count}" if count else "–"


def _table(head: list[str], body: list[list[str]]) -> list[str]:
    return [_line(cells) for cells in (head, ["---"] * len(head), *body)]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plot(grid: Grid, rows: list[dict[str, str]], path: Path) -> None:
    """One small panel per subject, one line per compared value, bars of one standard error."""
    scores = collect(grid, rows, grid.report.metric)
    metrics = {row["metric"] for row in rows}
    measure = "loss" if grid.report.metric == "loss" else metrics.pop() if len(metrics) == 1 else "metric"
    subjects = {
        subject: {
            arm: {
                column: (statistics.mean(seeds.values()), standard_error(seeds))
                for column in _columns(grid)
                if (seeds := scores.get((subject, arm, column)))
            }
            for arm in grid.axes[grid.report.compare]
        }
        for subject in dict.fromkeys(subject for subject, _, _ in scores)
    }
    figure = draw_panels(subjects, list(_columns(grid)), grid.report.columns or "", f"test {measure}")
    save_figure(figure, path)
