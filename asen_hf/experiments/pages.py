"""Pages that are rendered from stores: docs/results/real.md, the README's table of results, and claims.py's page."""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
import statistics
from pathlib import Path

from ..evaluation.metrics import METRICS
from ..training._yaml import read_yaml
from ._scores import (
    Row,
    arms_of,
    collect,
    from_files,
    larger_is_better,
    listing,
    measure_name,
    published,
    reference_arm,
    subjects_of,
    thousands,
)
from ._tables import number, reached_table, subject_means, table
from .claims import PAGE as CLAIMS_PAGE
from .claims import claims, render_claims, summarize_claims
from .grid import EXPERIMENTS, Grid
from .report import has_picture, hours, write_report
from .verdicts import compare, of_subject, remark

ROOT = Path(__file__).parents[2]
PAGE, README = Path("docs/results/real.md"), Path("README.md")
START, END = "<!-- results: rendered by `python training/experiments.py --report` -->", "<!-- end of results -->"
Shown = tuple[str, str, str]  # an arm, its score, and a remark on it
_HEAD = ["data", "rows", "group", "no symmetry", "augmented", "best rival"]
_INTRODUCTION = (
    "Does declaring a symmetry pay? Every number on this page, sentences of verdict included, is rendered from the "
    "stores under `training/experiments` by `python training/experiments.py --report`. Scores are means ± standard "
    "errors over seeds, of test rows; what had to be chosen was chosen by validation, on seeds that appear in no "
    'table, unless a section says otherwise. "No symmetry" is the same network under the trivial group; "augmented", '
    "too, but trained on rows moved by the group; the best rival, by test score, is a network, a reference prediction "
    "or a method of the field on the same rows. Bold: the best of a line."
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A task of the page: a study's grid, or a ranking of ``asen select`` that has a page of its own.

    Attributes:
        title: the heading.
        grid: the study's folder below training/experiments.
        ranking: the folder of the ranking, instead of a grid.
        page: the ranking's page beside this one.
        selection: beside a grid, the folder of a ranking of the same data, whose verdict the page repeats.
        rows: the number of rows in the README's table, and the study's column, if it has columns; of a ranking, none.
        subject: the subject of the README's table; ``None`` for the first.
        label: what the measure is called in the README's table.
        readme: whether it is in the README's table.
    """

    title: str
    grid: str | None = None
    ranking: str | None = None
    page: str | None = None
    selection: str | None = None
    rows: str | None = None
    subject: str | None = None
    label: str | None = None
    readme: bool = True


def entries(experiments: Path = EXPERIMENTS) -> list[Entry]:
    """The entries of real/page.yaml whose folders exist; none without that file."""
    path = experiments / "real" / "page.yaml"
    if not path.exists():
        return []
    try:
        found = [Entry(**entry) for entry in read_yaml(path)["studies"]]
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: expected studies, each with fields of Entry: {error}") from error
    return [entry for entry in found if (experiments / str(entry.grid or entry.ranking) / "grid.yaml").exists()]


def write_pages(root: Path = ROOT) -> list[Path]:
    """Write the page, its pictures and the README's table, and before them the reports of all its studies."""
    grids = [_grid(entry, root) for entry in entries(root / "training/experiments")]
    reports = [write_report(grid) for grid in grids if grid is not None]
    for path, picture in pictures(root).items():
        shutil.copyfile(picture, path)
    texts = render(root)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return [*reports, *texts]


def pictures(root: Path = ROOT) -> dict[Path, Path]:
    """The page's pictures, and the reports' pictures that they are copies of."""
    found = {}
    for entry in entries(root / "training/experiments"):
        grid = _grid(entry, root)
        if grid is not None and has_picture(grid, grid.rows(stale=True)):
            found[root / "docs/images" / _picture(grid)] = grid.folder / "plot.png"
    return found


def render(root: Path = ROOT) -> dict[Path, str]:
    """The text of the page, of the README and, if there are claims, of their page.

    Raises:
        ValueError: the README lacks the markers of the table.
    """
    page, body = [], []
    for entry in entries(root / "training/experiments"):
        grid = _grid(entry, root)
        rows = grid.rows(stale=True) if grid is not None else []
        line = _ranking_line(entry, root) if grid is None else _grid_line(entry, grid, rows)
        if rows and grid is not None:
            page += [*_section(entry, grid, rows), *_selection(entry, root)]
        if line:
            body.append((entry, line))
    text = ["# Real problems", "", _INTRODUCTION, "", *_summary(body, ""), "", *page]
    readme = (root / README).read_text(encoding="utf-8")
    if START not in readme or END not in readme:
        raise ValueError(f"{README} lacks the lines {START!r} and {END!r}, between which its table of results stands")
    before, rest = readme.split(START, 1)
    after = rest.split(END, 1)[1]
    summary = "\n".join(_summary([(entry, line) for entry, line in body if entry.readme], "docs/results/"))
    experiments, claimed = root / "training/experiments", {}
    if claims(experiments):
        claimed = {root / CLAIMS_PAGE: render_claims(experiments)}
        summary += f"\n\n{summarize_claims(experiments)[:-1]}: [figure by figure](docs/results/{CLAIMS_PAGE.name})."
    return {
        root / PAGE: "\n".join(text).rstrip() + "\n",
        root / README: f"{before}{START}\n{summary}\n{END}{after}",
        **claimed,
    }


def _summary(lines: list[tuple[Entry, list[str]]], folder: str) -> list[str]:
    """The table of all tasks, their names linked."""
    body = []
    for entry, [label, *cells] in lines:
        page = entry.page or (PAGE.name if folder else "")
        anchor = "" if entry.page else "#" + re.sub(r"[^\w]+", "-", entry.title.lower()).strip("-")
        body.append([f"[{entry.title}]({folder}{page}{anchor}), {label}", *cells])
    return table(_HEAD, body)


def _section(entry: Entry, grid: Grid, rows: list[Row]) -> list[str]:
    """A task's part of the page."""
    measure = grid.report.metric
    scores = collect(grid, rows, measure)
    verdicts = compare(grid, rows)
    sentences = of_subject(grid, rows, verdicts)
    lines = [f"## {entry.title}", "", grid.description.strip(), ""]
    lines += [sentences[subject] + "\n" for subject in sentences]
    lines += [remark(verdicts), ""] if verdicts else []
    lines += [grid.findings.strip(), ""] if grid.findings else []
    if has_picture(grid, rows):
        lines += [f"![Test scores against {grid.report.columns}](../images/{_picture(grid)})", ""]
    for subject in subjects_of(scores):
        name = measure_name(grid, rows, subject, measure)
        better = "higher" if larger_is_better(grid, rows, subject, measure) else "lower"
        start = f"Test {name}" if subject == "all" else f"{subject}, test {name}"
        lines += [f"{start} ({better} is better):", "", *subject_means(grid, scores, subject, measure), ""]
        if grid.report.thresholds_of(subject):
            start = "Rows needed" if grid.report.columns == "train_rows" else f"First {grid.report.columns}"
            lines += [f"{start} until the mean over seeds reaches", "", *reached_table(grid, rows, scores, subject), ""]
    finished = f"{len(rows)} of {len(grid.cells)}" if len(rows) < len(grid.cells) else f"{len(rows)}"
    seeds = len({row["seed"] for row in rows})
    chosen = listing([f"`training/experiments/{Grid.read(path).name}`" for path in grid.choices] or [""])
    threads = " or ".join(sorted({row["threads"] for row in rows}))
    changed = sum(not grid.explains(row) for row in rows)
    lines += [f"{changed} of these cells were run with an earlier recipe.", ""] if changed else []
    lines += [
        f"{finished} cells over {seeds} seeds, {hours(rows):.2f} hours of wall time on {threads} thread each. "
        f"`python training/experiments.py {grid.name}`; "
        f"all scores: `training/experiments/{grid.name}/report.md`{f'; choices: {chosen}' if chosen else ''}.",
        "",
    ]
    return lines


def _selection(entry: Entry, root: Path) -> list[str]:
    """What a ranking of candidate groups found, in the sentence that its report begins with."""
    folder = root / "training/experiments" / str(entry.selection)
    if not (folder / "ranking.csv").exists():
        return []
    with (folder / "ranking.csv").open(newline="", encoding="utf-8") as file:
        candidates = listing([f"*{line['candidate']}*" for line in csv.DictReader(file) if line["order"]])
    verdict, method = (folder / "ranking.md").read_text(encoding="utf-8").split("\n\n")[1].splitlines()[:2]
    tested = re.search(r"p of (a .*? comparisons made)", method)
    grid = Grid.read(folder)
    has_changed = not all(map(grid.explains, grid.results.rows()))
    parts = [
        f"`asen select` among {candidates}. {verdict}",
        f"Told apart by {tested[1]}." if tested else "",
        "Its runs were made with an earlier recipe." if has_changed else "",
        f"All figures: `training/experiments/{entry.selection}/ranking.md`.",
    ]
    return [" ".join(filter(None, parts)), ""]


def _grid(entry: Entry, root: Path) -> Grid | None:
    return None if entry.grid is None else Grid.read(root / "training/experiments" / entry.grid)


def _picture(grid: Grid) -> str:
    return f"study-{grid.name.replace('/', '-')}.png"


def _grid_line(entry: Entry, grid: Grid, rows: list[Row]) -> list[str]:
    """Label and cells of the summary; empty if the reference arm has no score at the entry's column yet."""
    measure, column = grid.report.metric, str(entry.rows) if grid.report.columns else "score"
    scores = collect(grid, rows, measure)
    if not scores:
        return []
    subject = entry.subject or subjects_of(scores)[0]
    values = {
        arm: statistics.mean(scores[subject, arm, column].values())
        for arm in arms_of(grid, scores, subject)
        if (subject, arm, column) in scores
    }
    declared = reference_arm(grid)
    if declared not in values:
        return []
    kinds = {arm: _kind(grid, arm) for arm in values}
    untrained = {name: number for name, number in from_files(grid, subject).items() if isinstance(number, float)}
    trained = {
        name: numbers[column]
        for name, numbers in published(grid, subject, measure).items()
        if isinstance(numbers, dict) and column in numbers
    }
    elsewhere = {name: value for name, value in (untrained | trained).items() if name not in grid.report.bounds}
    is_better = larger_is_better(grid, rows, subject, measure)

    most = len(grid.axes["seed"])
    seeds = {arm: len(scores[subject, arm, column]) for arm in values}
    few = {arm: f" ({count} seed{'s' * (count > 1)})" for arm, count in seeds.items() if count < most}
    found: list[Shown | None] = [(declared, number(values[declared]), few.get(declared, ""))]
    for kind in ("no symmetry", "augmented", "rival"):
        meant = {arm: value for arm, value in values.items() if arm != declared and kinds[arm] == kind}
        meant |= elsewhere if kind == "rival" else {}
        best = (max if is_better else min)(meant, key=lambda arm: meant[arm]) if meant else None
        found.append((best, number(meant[best]), few.get(best, "")) if best is not None else None)
    label = entry.label or measure_name(grid, rows, subject, measure)
    return [label, thousands(str(entry.rows)), *_cells(found, is_better)]


def _kind(grid: Grid, arm: str) -> str:
    """What an arm is beside the declared group: told by its recipe, not by its name."""
    cell = next(cell for cell in grid.cells if cell[grid.report.compare] == arm)
    if grid.architecture(cell) is not None or grid.reference(cell) is not None:
        return "rival"
    task = grid.sections(cell).get("task", {})
    is_trivial = task.get("generators") == [] or task.get("options", {}).get("group") == "trivial"
    if task.get("augmentation"):
        return "augmented"
    return "no symmetry" if is_trivial else "another group"


def _ranking_line(entry: Entry, root: Path) -> list[str]:
    """Label and cells of a ranking: of each kind the candidate that is best by validation."""
    folder = root / "training/experiments" / str(entry.ranking)
    with (folder / "ranking.csv").open(newline="", encoding="utf-8") as file:
        ranking = list(csv.DictReader(file))
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        sizes = {line["rows"] for line in csv.DictReader(file)} - {"0"}
    column = next(name for name in ranking[0] if name.startswith("test "))
    found: dict[str, Shown] = {}
    support = ""
    for line in sorted(ranking, key=lambda line: line["order"] == "1"):  # best first, and those without symmetry last
        name = line.get("candidate") or line["group"]
        kind = {"1": "no symmetry", "": "rival"}.get(line["order"], "group")
        if kind == "group" and kind not in found:
            support = name.partition(", ")[2]
        if kind != "no symmetry" or name.partition(", ")[2] == support:  # else it is another network, too
            found.setdefault(kind, (name, line[column].split()[0], ""))
    cells = [found.get("group"), found.get("no symmetry"), None, found.get("rival")]
    metric = column.removeprefix("test ")
    size = thousands(max(sizes, key=int))
    return [entry.label or metric, size, *_cells(cells, METRICS[metric].larger_is_better)]


def _cells(found: list[Shown | None], is_better: bool) -> list[str]:
    """Numbers, the group's and the rival's with their names, the best one bold."""
    values = [cell[1] if cell else "–" for cell in found]
    best = (max if is_better else min)((value for value in values if value != "–"), key=float)
    values = [f"**{value}**" if value == best else value for value in values]
    named = (True, False, False, True)
    return [
        f"{cell[0]} {value}{cell[2]}" if cell and is_named else value + (cell[2] if cell else "")
        for cell, value, is_named in zip(found, values, named, strict=True)
    ]
