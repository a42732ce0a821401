"""docs/results/paper.md: the paper's figures, tables and theorems, and what the stores say of the claim of each."""

from __future__ import annotations

import csv
import dataclasses
import math
import statistics
from collections import Counter, defaultdict
from pathlib import Path

from ..training._yaml import read_yaml
from ._scores import MEAN, Row, column_of, larger_is_better, listing, measure_name, measured, paired_test
from ._tables import number, table
from .grid import EXPERIMENTS, Grid
from .paired_bootstrap import SIGNIFICANCE, holm

PAGE = Path("docs/results/paper.md")
SUPPORTS, CONTRADICTS, UNTOLD, NOT_RUN = "supports", "contradicts", "cannot be told", "not run yet"
_INTRODUCTION = (
    "What the paper claims, and what our runs say of it. The page is rendered from the stores under "
    "`training/experiments` by `python training/experiments.py paper --report`. A claim says that one arm scores "
    "better than another. For every task, the scores of both are averaged over training rows and compared by a t-test, "
    "paired by seed; p is adjusted for the number of the claim's comparisons (Holm), but not over claims: where "
    "nothing differs, one in twenty would seem to. Runs *support* a claim if its "
    "first arm is ahead in every comparison, and *contradict* it if it is behind in any; otherwise it *cannot be "
    "told*: with few seeds, that is no proof of equality. Runs can only contradict that two arms are alike. Theorems "
    "are judged by the tests that are named. All scores of a study: `report.md` beside its grid."
)
_CONTROLS = "What the paper does not claim, but may be asked of its claims. The sentence above does not count these."

Pairs = dict[str, tuple[dict[str, float], dict[str, float]]]
"""What is compared, such as a task, to the scores of the better and the worse arm, ``{seed: score}``."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A row of the page.

    Attributes:
        item: where the paper makes the claim.
        claim: the claim, in a sentence.
        better, worse: the arms, as values of axes, ``{axis: value}``; of a ``store``, as columns, ``{name: column}``.
        minus: values of axes of the arm that is subtracted from both, so that what an arm gains over it is compared.
        grid: the study's folder below training/experiments.
        at: ``{axis: values}`` of the cells that the claim is about; by default all.
        store: instead of a grid, a CSV file below training/experiments with a column ``seed``; ``where`` are the values
            of the lines that are meant, and ``larger_is_better`` says which score is the better one.
        label: what a store's score is called; of a grid, what the report calls it.
        similar: the claim is that the arms score alike.
        ours: the claim is not the paper's: a control, or a setting in which a claim of its could fail.
        verdict: of what no store can tell, such as a theorem; ``tests`` then are the tests that it rests on.
        note: what a reader should know beside the figures.
        command: what makes the figures; of a grid, its own command.
    """

    item: str
    claim: str
    better: dict[str, str] = dataclasses.field(default_factory=dict)
    worse: dict[str, str] = dataclasses.field(default_factory=dict)
    minus: dict[str, str] = dataclasses.field(default_factory=dict)
    grid: str | None = None
    at: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    store: str | None = None
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    larger_is_better: bool = True
    label: str = "score"
    similar: bool = False
    ours: bool = False
    verdict: str | None = None
    tests: list[str] = dataclasses.field(default_factory=list)
    note: str = ""
    command: str = ""

    def is_about(self, cell: dict[str, str]) -> bool:
        """Whether a cell, or a line of its store, belongs to one of the two arms."""
        is_meant = all(cell[axis] in values for axis, values in self.at.items())
        return is_meant and any(arm.items() <= cell.items() for arm in (*self.arms, *self.subtracted))

    @property
    def arms(self) -> tuple[dict[str, str], dict[str, str]]:
        """The better and the worse arm."""
        return self.better, self.worse

    @property
    def subtracted(self) -> list[dict[str, str]]:
        """What is subtracted from each of them; empty for nothing."""
        return [{**arm, **self.minus} for arm in self.arms] if self.minus else []


@dataclasses.dataclass(frozen=True)
class Finding:
    """A claim's verdict, the mean scores of both arms, and the comparisons that the verdict rests on."""

    verdict: str
    figures: str = ""
    why: str = ""


def claims(experiments: Path = EXPERIMENTS) -> list[Claim]:
    """The claims of paper/page.yaml, in its order; none without that file. ``ValueError`` names it."""
    path = experiments / "paper" / "page.yaml"
    if not path.exists():
        return []
    try:
        found = [Claim(**entry) for entry in read_yaml(path)["claims"]]
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: expected claims, each with fields of Claim: {error}") from error
    for claim in found:
        if claim.verdict not in (None, SUPPORTS, CONTRADICTS, UNTOLD):
            raise ValueError(f"{path}: {claim.item}: a verdict is {SUPPORTS}, {CONTRADICTS} or {UNTOLD}")
    return found


def render_claims(experiments: Path = EXPERIMENTS) -> str:
    """The text of the page."""
    body: dict[bool, list[list[str]]] = {False: [], True: []}
    for claim, found in _judged(experiments):
        why = ". ".join(part for part in (found.why, claim.note) if part)
        command = claim.command or f"python training/experiments.py {claim.grid}"
        line = [claim.item, claim.claim, f"*{found.verdict}*", found.figures or "–", why, f"`{command}`"]
        body[claim.ours].append(line)
    head = ["where", "claim", "verdict", "our figures", "why", "command"]
    text = ["# The paper, figure by figure", "", _INTRODUCTION, "", summarize_claims(experiments), ""]
    text += table(head, body[False])
    if body[True]:
        text += ["", "## Our own controls", "", _CONTROLS, "", *table(head, body[True])]
    return "\n".join(text) + "\n"


def summarize_claims(experiments: Path = EXPERIMENTS) -> str:
    """One sentence: how many claims of the paper the runs support, contradict and cannot tell."""
    counts = Counter(found.verdict for claim, found in _judged(experiments) if not claim.ours)
    not_run = f"; {counts[NOT_RUN]} are {NOT_RUN}" if counts[NOT_RUN] else ""
    return (
        f"Of {counts.total()} claims of the paper, our runs support {counts[SUPPORTS]}, contradict "
        f"{counts[CONTRADICTS]} and cannot tell {counts[UNTOLD]}{not_run}."
    )


def _judged(experiments: Path) -> list[tuple[Claim, Finding]]:
    return [(claim, judge(claim, experiments)) for claim in claims(experiments)]


def judge(claim: Claim, experiments: Path = EXPERIMENTS) -> Finding:
    """What the store says of a claim.

    Raises:
        ValueError: arms or cells that the grid does not have.
    """
    if claim.verdict is not None:
        return Finding(claim.verdict, why=", ".join(f"`{test}`" for test in claim.tests))
    if claim.store is not None:
        return _finding(claim, _of_store(claim, experiments / claim.store), claim.label, claim.larger_is_better)
    if claim.grid is None or not (experiments / claim.grid / "grid.yaml").exists():
        return Finding(NOT_RUN)
    grid = Grid.read(experiments / claim.grid)
    _check(claim, grid)
    rows = [row for row in grid.rows(stale=True) if claim.is_about(row)]
    measure = grid.report.metric
    is_better = larger_is_better(grid, rows, MEAN, measure)
    found = _finding(claim, _of_grid(claim, grid, rows), measure_name(grid, rows, MEAN, measure), is_better)
    num_cells = sum(map(claim.is_about, grid.cells))
    if found.verdict == NOT_RUN or len(rows) == num_cells:
        return found
    return Finding(UNTOLD, found.figures, f"{found.why}; {len(rows)} of {num_cells} cells are finished")


def _check(claim: Claim, grid: Grid) -> None:
    meant = [(axis, value) for side in (*claim.arms, claim.minus) for axis, value in side.items()]
    for axis, value in [*meant, *((axis, value) for axis, values in claim.at.items() for value in values)]:
        if value not in grid.axes.get(axis, {}):
            raise ValueError(f"{claim.item}: {grid.name} has no {axis} {value!r}")


def _of_grid(claim: Claim, grid: Grid, rows: list[Row]) -> Pairs:
    """Means over the report's columns that both arms have, of the seeds with all of them."""
    shown = [axis for axis in grid.axes if axis not in {"seed", grid.report.columns, *claim.better, *claim.worse}]
    shown = [axis for axis in shown if len(claim.at.get(axis, grid.axes[axis])) > 1]
    arms = [*claim.arms, *claim.subtracted]
    scores: dict[str, tuple[dict[tuple[str, str], float], ...]] = defaultdict(lambda: tuple({} for _ in arms))
    for row in rows:
        for side, arm in enumerate(arms):
            if arm.items() <= row.items():
                subject, column = ", ".join(row[axis] for axis in shown), column_of(grid, row)
                scores[subject][side][column, row["seed"]] = measured(row, grid.report.metric)
    pairs = {}
    for subject, (better, worse, *subtracted) in scores.items():
        both = set.intersection(*(set(side) for side in scores[subject]))
        if subtracted:
            better, worse = (
                {key: side[key] - less[key] for key in both}
                for side, less in zip((better, worse), subtracted, strict=True)
            )
        columns = {column for column, _ in both}
        seeds = [seed for seed in grid.axes["seed"] if columns and {(column, seed) for column in columns} <= both]
        better_mean, worse_mean = (
            {seed: statistics.mean(side[column, seed] for column in columns) for seed in seeds}
            for side in (better, worse)
        )
        pairs[subject] = better_mean, worse_mean
    return pairs


def _of_store(claim: Claim, path: Path) -> Pairs:
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if claim.where.items() <= line.items()]
    [columns] = zip(claim.better.values(), claim.worse.values(), strict=True)
    better, worse = ({line["seed"]: float(line[column]) for line in lines} for column in columns)
    return {"": (better, worse)}


def _finding(claim: Claim, pairs: Pairs, label: str, is_better: bool) -> Finding:
    tests = {subject: paired_test(worse, better) for subject, (better, worse) in pairs.items()}
    tests = {subject: test for subject, test in tests.items() if test[2] > 1}
    if not tests:
        return Finding(NOT_RUN)
    adjusted = holm({subject: p for subject, (_, p, _) in tests.items() if not math.isnan(p)})
    outcomes = {}
    for subject, (difference, _, _) in tests.items():
        is_told = adjusted.get(subject, 1.0) < SIGNIFICANCE
        outcomes[subject] = ("ahead" if (difference > 0) == is_better else "behind") if is_told else "not told apart"
    seeds = sorted({count for _, _, count in tests.values()})
    means = [statistics.mean(statistics.mean(pairs[subject][side].values()) for subject in tests) for side in range(2)]
    arms = (", ".join(side if claim.store else side.values()) for side in (claim.better, claim.worse))
    figures = "; ".join(f"{arm} {number(mean)}" for arm, mean in zip(arms, means, strict=True))
    why = "; ".join(_sentence(outcome, outcomes, adjusted) for outcome in dict.fromkeys(outcomes.values()))
    return Finding(_verdict(claim, list(outcomes.values())), f"{label}: {figures}", f"{why}; {seeds[0]} seeds")


def _verdict(claim: Claim, outcomes: list[str]) -> str:
    if claim.similar:
        return UNTOLD if set(outcomes) == {"not told apart"} else CONTRADICTS
    if "behind" in outcomes:
        return CONTRADICTS
    return SUPPORTS if set(outcomes) == {"ahead"} else UNTOLD


def _sentence(outcome: str, outcomes: dict[str, str], adjusted: dict[str, float]) -> str:
    """Such as "ahead on palindrome (p ≤ .004)"."""
    subjects = [subject for subject in outcomes if outcomes[subject] == outcome]
    where = f" on {listing(subjects)}" if any(subjects) else ""
    p_values = [adjusted[subject] for subject in subjects if subject in adjusted]
    if not p_values:
        return f"{outcome}{where}"
    is_told = outcome != "not told apart"
    digits = math.ceil(max(p_values) * 1000) if is_told else math.floor(min(p_values) * 1000)
    return f"{outcome}{where} (p {'≤' if is_told else '≥'} {digits / 1000:.3f})"
