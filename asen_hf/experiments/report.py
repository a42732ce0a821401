"""Reports of experiments: tables, paired tests, verdicts and a picture, all from a grid and its store."""

from __future__ import annotations

import statistics
from pathlib import Path

from matplotlib.figure import Figure

from ..plots._saving import save_figure
from ..plots.panels import Panel, draw_panels
from ._scores import (
    Row,
    arms_of,
    collect,
    columns_of,
    larger_is_better,
    measure_name,
    published,
    reference_arm,
    standard_error,
    subjects_of,
)
from ._tables import differences, means, reached_tables
from .grid import Grid
from .verdicts import sentences


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
    if choices := grid.choices:
        links = [f"[{Grid.read(path).name}](../{path.name})" for path in choices]
        lines += ["", f"What was chosen by validation, on other seeds: {', '.join(links)}."]
    if grid.retired:
        lines += ["", f"Its cells can no longer be run: {grid.retired.strip()}"]
    if stale:
        lines += ["", f"**{stale} of them were run with another recipe or other data than the present ones.**"]
    if rows:
        lines += ["", *_provenance(grid, rows), ""]
        if verdict := sentences(grid, rows):
            lines += [f"## Verdict: test {grid.report.label or _title(grid)}", ""]
            lines += [line for sentence in verdict for line in (sentence, "")]
        for measure, title in _measures(grid).items():
            scores = collect(grid, rows, measure)
            lines += [f"## {title}: mean ± standard error over seeds", "", *means(grid, rows, scores, measure), ""]
            lines += [f"## {title}: difference from {reference_arm(grid)}, paired by seed", ""]
            lines += ["Mean difference, p of a paired t-test, number of seeds.", "", *differences(grid, scores), ""]
        if grid.report.thresholds:
            lines += [f"## First {grid.report.columns} at which the mean over seeds reaches a threshold", ""]
            lines += reached_tables(grid, rows, collect(grid, rows, grid.report.metric))
        if has_picture(grid, rows):
            save_figure(draw(grid, rows), grid.folder / "plot.png")
            lines += [f"![Test {_title(grid)} against {grid.report.columns}](plot.png)", ""]
    path = grid.folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return path


def has_picture(grid: Grid, rows: list[Row]) -> bool:
    """Whether there are columns and scores to draw."""
    return grid.report.columns is not None and bool(collect(grid, rows, grid.report.metric))


def draw(grid: Grid, rows: list[Row], subjects: list[str] | None = None) -> Figure:
    """The picture of the report's metric: a panel per subject, a line per arm, results from elsewhere dashed.

    Args:
        grid: the study.
        rows: its lines.
        subjects: what to draw; ``None`` for all, their mean among them.
    """
    measure = grid.report.metric
    scores = collect(grid, rows, measure)
    references = {cell[grid.report.compare] for cell in grid.cells if grid.reference(cell) is not None}
    panels = []
    for subject in subjects if subjects is not None else subjects_of(scores):
        arms = {
            arm: {
                column: (statistics.mean(seeds.values()), standard_error(seeds))
                for column in columns_of(grid)
                if (seeds := scores.get((subject, arm, column)))
            }
            for arm in arms_of(grid, scores, subject)
        }
        name = measure_name(grid, rows, subject, measure)
        is_better = larger_is_better(grid, rows, subject, measure)
        title = "" if subject == "all" else subject
        panels.append(Panel(title, f"test {name}", arms, published(grid, subject, measure), is_better))
    xlabel = {"train_rows": "training rows"}.get(grid.report.columns or "", grid.report.columns or "")
    return draw_panels(
        panels, list(columns_of(grid)), xlabel, faint=references, arms=list(grid.axes[grid.report.compare])
    )


def hours(rows: list[Row]) -> float:
    """The wall time of the cells together."""
    return sum(float(row["wall_seconds"]) for row in rows) / 3600


def _measures(grid: Grid) -> dict[str, str]:
    """Measures and their titles: loss, metric, and a detail that the report compares."""
    named = {"loss": "Test loss", "value": "Test metric"}
    return named | ({} if grid.report.metric in named else {grid.report.metric: f"Test {grid.report.metric}"})


def _title(grid: Grid) -> str:
    return {"value": "metric"}.get(grid.report.metric, grid.report.metric)


def _provenance(grid: Grid, rows: list[Row]) -> list[str]:
    values = {key: ", ".join(sorted({row[key] for row in rows})) for key in rows[0]}
    values["revision"] = ", ".join(sorted({name for row in rows for name in row["revision"].split(", ")}))
    pretrainings = grid.pretrainings.rows()
    return [
        f"Wall time of all cells together: {hours(rows):.2f} hours, with {values['threads']} thread each, on "
        f"{values['platform']}; torch {values['torch']}, transformers {values['transformers']}, asen_hf "
        f"{values['asen_hf']}, git {values['revision']} (+: with changes).",
        *([f"Before them {len(pretrainings)} pretrainings, {hours(pretrainings):.2f} hours."] if pretrainings else []),
        "",
        f"Parameters: {'; '.join(_sizes(grid, rows))}.",
    ]


def _sizes(grid: Grid, rows: list[Row]) -> list[str]:
    """The number of parameters of every arm that has any."""
    sizes = []
    for arm in grid.axes[grid.report.compare]:
        counts = {int(row["parameters"]) for row in rows if row[grid.report.compare] == arm} - {0}
        if counts:
            sizes.append(f"{arm} {' – '.join(f'{count:,}' for count in sorted({min(counts), max(counts)}))}")
    return sizes
