"""Verdicts of a study in words: where its first arm is ahead of the others, by paired tests over seeds."""

from __future__ import annotations

import dataclasses
import math

from ._scores import (
    MEAN,
    Row,
    arms_of,
    collect,
    column_phrase,
    columns_of,
    larger_is_better,
    listing,
    measure_name,
    paired_test,
    reference_arm,
    subjects_of,
)
from .grid import Grid
from .paired_bootstrap import SIGNIFICANCE, holm

_PREPOSITIONS = {"ahead": "ahead of", "behind": "behind", "not told apart": "not told apart from"}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The reference arm against another, at one column.

    Attributes:
        subject, arm, column: what was compared.
        wins: number of seeds on which the reference arm is better, and ``losses``, on which it is worse.
        seeds: number of seeds that both have.
        gain: by how much the reference arm is better, on the mean over these seeds.
        p: of a paired t-test over them, adjusted for the number of the study's comparisons (Holm); NaN if there is
            none, since all differences are equal.
    """

    subject: str
    arm: str
    column: str
    wins: int
    losses: int
    seeds: int
    gain: float
    p: float

    @property
    def outcome(self) -> str:
        """``ahead``, ``behind`` or ``not told apart``: the first two only with an adjusted p below .05."""
        if not self.p < SIGNIFICANCE:
            return "not told apart"
        return "ahead" if self.gain > 0 else "behind"


def compare(grid: Grid, rows: list[Row], measure: str | None = None) -> list[Verdict]:
    """The reference arm against every other arm, for every subject and column with two seeds or more.

    Args:
        grid: the study.
        rows: its lines.
        measure: what is compared; ``None`` for the report's metric.
    """
    measure = measure or grid.report.metric
    scores, found = collect(grid, rows, measure), []
    for subject in [subject for subject in subjects_of(scores) if subject != MEAN]:
        sign = 1 if larger_is_better(grid, rows, subject, measure) else -1
        for arm in arms_of(grid, scores, subject):
            for column in columns_of(grid):
                first, second = (scores.get((subject, name, column), {}) for name in (reference_arm(grid), arm))
                difference, p, count = paired_test(first, second)
                if arm != reference_arm(grid) and count > 1:
                    gains = [sign * (first[seed] - second[seed]) for seed in first if seed in second]
                    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
                    found.append(Verdict(subject, arm, column, wins, losses, count, -sign * difference, p))
    adjusted = holm({str(place): verdict.p for place, verdict in enumerate(found) if not math.isnan(verdict.p)})
    return [dataclasses.replace(verdict, p=adjusted.get(str(place), math.nan)) for place, verdict in enumerate(found)]


def sentences(grid: Grid, rows: list[Row]) -> list[str]:
    """A sentence per subject, and a last one on the number of comparisons; none without two seeds in common."""
    verdicts = compare(grid, rows)
    return [*(of_subject(grid, rows, verdicts).values()), *([remark(verdicts)] if verdicts else [])]


def of_subject(grid: Grid, rows: list[Row], verdicts: list[Verdict]) -> dict[str, str]:
    """Subject to sentence: "*A* is ahead of *B* and *C* at every size (3 of 3 seeds each, p ≤ .01); …"."""
    found = {}
    for subject in dict.fromkeys(verdict.subject for verdict in verdicts):
        groups: dict[tuple[tuple[str, str], ...], list[list[Verdict]]] = {}
        for arm in dict.fromkeys(verdict.arm for verdict in verdicts if verdict.subject == subject):
            by_column = [verdict for verdict in verdicts if (verdict.subject, verdict.arm) == (subject, arm)]
            groups.setdefault(tuple((verdict.column, verdict.outcome) for verdict in by_column), []).append(by_column)
        name = measure_name(grid, rows, subject, grid.report.metric)
        start = f"*{reference_arm(grid)}*" if subject == "all" else f"{subject}: *{reference_arm(grid)}*"
        found[subject] = f"{start} ({name}) is {'; '.join(_clause(grid, group) for group in groups.values())}."
    return found


def _clause(grid: Grid, group: list[list[Verdict]]) -> str:
    """What holds of arms that share their outcomes at all columns."""
    names = listing([f"*{by_column[0].arm}*" for by_column in group])
    parts: list[str] = []
    for outcome in _PREPOSITIONS:
        meant = [verdict for by_column in group for verdict in by_column if verdict.outcome == outcome]
        if not meant:
            continue
        columns = list(dict.fromkeys(verdict.column for verdict in meant))
        is_everywhere = len(columns) == len(group[0]) > 1
        every = "every size" if grid.report.columns == "train_rows" else f"every {grid.report.columns}"
        where = "" if not grid.report.columns else f" at {every if is_everywhere else column_phrase(grid, columns)}"
        start = outcome if parts else f"{_PREPOSITIONS[outcome]} {names}"
        parts.append(f"{start}{where} ({_evidence(meant, outcome)})")
    return ", ".join(parts)


def _evidence(verdicts: list[Verdict], outcome: str) -> str:
    """Seeds and p-values: the largest p of what is told apart, the smallest of what is not."""
    counts = [(verdict.losses if outcome == "behind" else verdict.wins, verdict.seeds) for verdict in verdicts]
    least, most = min(counts), max(counts)
    each = " each" if len(counts) > 1 else ""
    spread = f"{least[0]} of {least[1]}" if least == most else f"{least[0]} of {least[1]} to {most[0]} of {most[1]}"
    better = " better" if outcome == "not told apart" else ""
    text = f"{spread} seeds{better}{each if least == most else ''}"
    p_values = [verdict.p for verdict in verdicts if not math.isnan(verdict.p)]
    if not p_values:
        return text
    p = min(p_values) if outcome == "not told apart" else max(p_values)
    sign = "=" if len(p_values) == 1 else "≥" if outcome == "not told apart" else "≤"
    if p < 0.001:
        return f"{text}, p < .001"
    # Rounded away from the claim: "≤" up, "≥" down.
    digits = math.floor(p * 1000) if sign == "≥" else math.ceil(p * 1000) if sign == "≤" else round(p * 1000)
    return f"{text}, p {sign} {digits / 1000:.3f}".replace(" 0.", " .")


def remark(verdicts: list[Verdict]) -> str:
    """How many comparisons were made, and by which test."""
    tested = [verdict for verdict in verdicts if not math.isnan(verdict.p)]
    counts = sorted({verdict.seeds for verdict in tested})
    seeds = " or ".join(map(str, counts)) if len(counts) < 3 else f"{counts[0]} to {counts[-1]}"
    if not tested:
        return "No comparison can be tested: all differences are equal, or there are none."
    comparisons = (
        f"One comparison by a paired t-test over {seeds} seeds."
        if len(tested) == 1
        else f"{len(tested)} comparisons by paired t-tests over {seeds} seeds; p is adjusted for their number (Holm)."
    )
    return f"{comparisons} With few seeds the test has little power: “not told apart” is no proof of equality."
