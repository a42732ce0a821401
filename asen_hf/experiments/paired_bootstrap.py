"""Comparisons of candidates row by row: a paired bootstrap over rows and runs, with adjusted p-values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..evaluation.row_outcomes import RowOutcomes

SIGNIFICANCE = 0.05
"""The level: an adjusted p-value below it tells two arms apart."""
DRAWS = 10_000
_DRAWS_OF_OTHER_METRICS = 1_000  # a metric that is no mean over rows is computed anew for each draw
_BLOCK = 2**22  # counts in memory at a time

Outcomes = Mapping[str, RowOutcomes]  # by run: a seed, or a seed and a fold


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A candidate against the best one.

    Attributes:
        difference: the candidate's metric minus the best one's, mean over runs.
        p: two-sided p-value, not adjusted.
        adjusted_p: the p-value after Holm's adjustment for the number of comparisons.
    """

    difference: float
    p: float
    adjusted_p: float


def compare(best: Outcomes, others: Mapping[str, Outcomes], seed: int = 0) -> dict[str, Comparison]:
    """Compare candidates with the best one on the same rows.

    Every draw takes runs with replacement, and rows with replacement, the same for all candidates and for all runs that
    have the same rows, whose chance does not average out over runs; the statistic is the mean over the runs of the
    difference of metrics. A p-value is at least the smallest that a sign
    test on the rows that differ can give, because a bootstrap of a handful of rows is too sure of itself.

    Args:
        best: outcomes of the best candidate by run.
        others: outcomes of each further candidate, for the same runs and the same rows of each run.
        seed: of the draws.

    Returns:
        ``{candidate: comparison}``, in the order of ``others``.

    Raises:
        ValueError: a candidate has other runs or other numbers of rows.
    """
    for name, runs in others.items():
        sizes = [{run: len(outcomes) for run, outcomes in side.items()} for side in (best, runs)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"{name}: expected runs with rows as the best candidate's, {sizes[0]}, got {sizes[1]}")
    if not others:
        return {}
    rng = np.random.default_rng(seed)
    are_means = all(outcomes.is_mean for runs in (best, *others.values()) for outcomes in runs.values())
    draws = DRAWS if are_means else _DRAWS_OF_OTHER_METRICS
    times = rng.multinomial(len(best), np.full(len(best), 1 / len(best)), size=draws) / len(best)  # (draws, runs)
    total = np.zeros((draws, len(others)))
    digests = [outcomes.digest or f"of run {run}" for run, outcomes in best.items()]
    for number, (run, first) in enumerate(best.items()):
        of_rows = np.random.default_rng([seed, digests.index(digests[number])])  # begins anew for the same rows
        scores = _drawn_scores([first, *(runs[run] for runs in others.values())], draws, of_rows)
        total += times[:, number, None] * (scores[:, 1:] - scores[:, :1])
    compared, smallest = {}, {}
    for column, (name, runs) in enumerate(others.items()):
        drawn = total[:, column][~np.isnan(total[:, column])]  # an area under a curve of one class is no number
        below, above = (drawn < 0).sum() + 0.5 * (drawn == 0).sum(), (drawn > 0).sum() + 0.5 * (drawn == 0).sum()
        p = min(2 * (min(below, above) + 1) / (len(drawn) + 1), 1.0)
        num_differing = sum(int(best[run].differs(runs[run]).sum()) for run in best)
        smallest[name] = max(p, min(2.0 ** (1 - num_differing), 1.0))
        compared[name] = float(np.mean([runs[run].score() - best[run].score() for run in best]))
    adjusted = holm(smallest)
    return {name: Comparison(compared[name], smallest[name], adjusted[name]) for name in others}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjustment (Scand. J. Statistics 1979), which bounds the chance of any false claim."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    found, largest = {}, 0.0
    for place, name in enumerate(ordered):
        largest = max(largest, min((len(ordered) - place) * p_values[name], 1.0))
        found[name] = largest
    return {name: found[name] for name in p_values}


def _drawn_scores(outcomes: list[RowOutcomes], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Metrics ``(draws, len(outcomes))`` of rows drawn with replacement, the same rows for all."""
    rows = len(outcomes[0])
    if not all(entry.is_mean for entry in outcomes):
        chosen = rng.integers(rows, size=(draws, rows))
        return np.array([[entry.score(drawn) for entry in outcomes] for drawn in chosen])
    weights = np.stack([np.asarray(entry.weights) for entry in outcomes], axis=1)  # (R, candidates)
    sums = weights * np.stack([np.asarray(entry.values) for entry in outcomes], axis=1)
    parts = []
    step = max(_BLOCK // rows, 1)
    for start in range(0, draws, step):
        counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=min(step, draws - start))
        with np.errstate(invalid="ignore"):
            parts.append((counts @ sums) / (counts @ weights))
    return np.concatenate(parts)
