"""The ranking of candidate symmetries: best first, compared row by row, as a table and a plot."""

from __future__ import annotations

import csv
import dataclasses
import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..closures import order_text
from ..data import collate
from ..evaluation.metrics import METRICS
from ..evaluation.reference_predictions import reference_predictions
from ..evaluation.row_outcomes import RowOutcomes
from ..evaluation.scores import score_predictions
from ..plots._saving import save_figure
from ..plots.experiments import Ranked, plot_ranking, ranking_size
from ..training.work import subsample
from ._tables import table
from .grid import OUTCOMES_NAME, Grid
from .paired_bootstrap import SIGNIFICANCE, Comparison, compare
from .report import hours


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A group on a support, or a rival network, which has only a name.

    Attributes:
        rank: number of orbitals that the network tells apart.
        order: order of the group; ``None`` where it could not be proved.
    """

    name: str
    group: str = ""
    support: str = ""
    rank: int | None = None
    order: int | None = None


@dataclasses.dataclass(frozen=True)
class Standing:
    """Scores of a candidate, at its best learning rate.

    Attributes:
        lr: the learning rate.
        metric: name of the metric.
        parameters: number of parameters of the network; 0 for a reference prediction.
        validation, test: scores by run: a seed, or a seed and a fold.
        details: further test scores by name, means over runs.
        first: number of runs for which the candidate is first by validation.
        p: p-value of the comparison with the best candidate, row by row, adjusted for the number of comparisons; NaN
            where there was none.
        is_tied: whether the comparison finds no difference from the best candidate.
        seconds: mean wall time of a run.
    """

    candidate: Candidate
    lr: str
    metric: str
    parameters: int
    validation: dict[str, float]
    test: dict[str, float]
    details: dict[str, float]
    seconds: float
    first: int = 0
    p: float = float("nan")
    is_tied: bool = False

    @property
    def mean(self) -> float:
        return statistics.mean(self.validation.values())


def best_rates(grid: Grid) -> dict[str, str]:
    """For every candidate the learning rate that is best by validation on the first run."""
    first = next(iter(grid.axes["seed"]))
    rows = [row for row in grid.rows() if row["seed"] == first]
    rows.sort(key=lambda row: _badness(row["metric"], [float(row["validation"])]), reverse=True)
    return {row["candidate"]: row["lr"] for row in rows}  # the best comes last and overwrites the worse ones


def _badness(metric: str, scores: Iterable[float]) -> float:
    return statistics.mean(scores) * (-1 if METRICS[metric].larger_is_better else 1)


def rank(grid: Grid, candidates: dict[str, Candidate]) -> list[Standing]:
    """Best first, by mean validation score over runs; tied where a paired bootstrap over rows finds no difference.

    Candidates that lack a run come last, since a mean over fewer runs is not comparable. They are not compared with
    the best, and neither are candidates whose runs have left no outcomes of their validation rows.
    """
    standings = []
    for name, lr in best_rates(grid).items():
        rows = [row for row in grid.rows() if (row["candidate"], row["lr"]) == (name, lr)]
        metric = rows[0]["metric"]
        test_details = [json.loads(row["details"]) for row in rows]
        standings.append(
            Standing(
                candidate=candidates[name],
                lr=lr,
                metric=metric,
                parameters=int(rows[0]["parameters"]),
                validation={row["seed"]: float(row["validation"]) for row in rows},
                test={row["seed"]: float(row["value"]) for row in rows},
                details={key: statistics.mean(run[key] for run in test_details) for key in test_details[0]},
                seconds=statistics.mean(float(row["wall_seconds"]) for row in rows),
            )
        )
    most = max(len(standing.validation) for standing in standings)
    standings.sort(key=lambda entry: (len(entry.validation) < most, _badness(entry.metric, entry.validation.values())))
    best = standings[0].validation
    complete = [standing for standing in standings if len(standing.validation) == most]
    winners = [min(complete, key=lambda entry: _badness(entry.metric, [entry.validation[seed]])) for seed in best]
    comparisons = _comparisons(grid, complete)
    compared = []
    for standing in standings:
        p = comparisons[standing.candidate.name].adjusted_p if standing.candidate.name in comparisons else float("nan")
        changes: dict[str, Any] = {"first": winners.count(standing), "p": p, "is_tied": p >= SIGNIFICANCE}
        compared.append(dataclasses.replace(standing, **changes))
    return compared


def _comparisons(grid: Grid, standings: list[Standing]) -> dict[str, Comparison]:
    """Comparisons of the candidates with the first one, of all that have outcomes of their rows."""
    outcomes = {}
    for standing in standings:
        name = standing.candidate.name
        cells = {run: {"candidate": name, "lr": standing.lr, "seed": run} for run in standings[0].validation}
        paths = {run: Path(grid.recipe(cell).training.output_dir) / OUTCOMES_NAME for run, cell in cells.items()}
        if all(path.exists() for path in paths.values()):
            outcomes[name] = {run: RowOutcomes.read(path) for run, path in paths.items()}
    best = outcomes.pop(standings[0].candidate.name, None)
    return {} if best is None else compare(best, outcomes)


def write_ranking(grid: Grid, standings: list[Standing]) -> None:
    """Write ``ranking.csv``, ``ranking.png`` and ``ranking.md`` beside the store."""
    rows = [_row(place, standing) for place, standing in enumerate(standings, 1)]
    with (grid.folder / "ranking.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    plot(standings, grid.folder / "ranking.png")
    best = standings[0]
    winner = next(standing for standing in standings if standing.candidate.group)
    symmetry = "" if winner is best else f" The best symmetry is **{winner.candidate.name}**."
    runs = grid.rows()
    lines = [
        f"# {grid.description}",
        "",
        f"Best by validation {best.metric}: **{best.candidate.name}**. {_verdict(standings)}{symmetry}"
        f"{_left_out(grid, standings)}",
        f"Means ± standard deviations over {_runs(grid)}. {_method(standings)} Every candidate had the same budget and "
        f"the same learning rates ({', '.join(grid.axes['lr'])}), chosen by validation on the first run.",
        *(["", grid.findings] if grid.findings else []),
        "",
        *table(list(rows[0]), [[str(cell) for cell in row.values()] for row in rows]),
        "",
        "Reference predictions, without a network, on the test rows of the first seed: " + _references(grid) + ".",
        "",
        "![validation scores of all candidates](ranking.png)",
        "",
        f"All {len(runs)} runs together took {hours(runs):.2f} hours, with {runs[0]['threads']} thread each, on "
        f"{runs[0]['platform']}, torch {runs[0]['torch']}. Recipe of all runs: `grid.yaml`; the checkpoint of the best "
        f"symmetry's best seed: `{grid.folder / 'best'}`.",
    ]
    (grid.folder / "ranking.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _left_out(grid: Grid, standings: list[Standing]) -> str:
    missing = set(grid.axes["candidate"]) - {standing.candidate.name for standing in standings}
    return f" Left out, because it could not be fitted: {', '.join(sorted(missing))}." if missing else ""


def _verdict(standings: list[Standing]) -> str:
    """Which candidates are worse than the best by more than chance, and which may not be."""
    others = standings[1:]
    tied = [standing.candidate.name for standing in others if standing.is_tied]
    unknown = [standing.candidate.name for standing in others if np.isnan(standing.p)]
    sentences = []
    if tied:
        sentences.append(f"Not told apart from it: {'; '.join(tied)}.")
    if unknown:
        sentences.append(f"Not compared with it, for want of runs or of their outcomes by row: {'; '.join(unknown)}.")
    if len(tied) + len(unknown) < len(others):
        sentences.append("All others are worse by more than chance.")
    return " ".join(sentences) or "It has no competitor."


def _method(standings: list[Standing]) -> str:
    number = sum(not np.isnan(standing.p) for standing in standings)
    if not number:
        return "No candidates were compared row by row."
    return (
        f"p of a paired bootstrap against the best, over validation rows and runs, adjusted by Holm's method for the "
        f"{number} comparison{'s' * (number > 1)} made; below {SIGNIFICANCE} the difference is more than chance."
    )


def _runs(grid: Grid) -> str:
    names = list(grid.axes["seed"])
    folds = next(grid.fold(cell) for cell in grid.cells if cell["seed"] == names[0])
    number = len(names) if folds is None else len(names) // folds.of
    seeds = f"{number} seed{'s' * (number > 1)}"
    return seeds if folds is None else f"{folds.of} folds of {seeds}"


def _row(place: int, standing: Standing) -> dict[str, object]:
    candidate = standing.candidate
    order = "unknown" if candidate.order is None else order_text(candidate.order)
    return {
        "place": place,
        "candidate": candidate.name,
        "order": order if candidate.group else "",
        "orbitals": candidate.rank if candidate.group else "",
        "parameters": standing.parameters or "",
        f"validation {standing.metric}": f"{standing.mean:.4g} ± {deviation(standing.validation):.2g}",
        f"test {standing.metric}": f"{statistics.mean(standing.test.values()):.4g} ± {deviation(standing.test):.2g}",
        **{f"test {name}": f"{value:.4g}" for name, value in standing.details.items()},
        "first on": f"{standing.first} of {len(standing.validation)} runs",
        "p": "" if np.isnan(standing.p) else f"{standing.p:.3g}",
        "tied with the best": "" if np.isnan(standing.p) else "yes" if standing.is_tied else "no",
        "lr": standing.lr,
        "seconds per run": f"{standing.seconds:.0f}",
    }


def _references(grid: Grid) -> str:
    recipe = grid.recipe(grid.cells[0])
    configs, rows = recipe.load()
    [(name, task)] = configs.items()
    data = rows[name]
    train = subsample(data["train"], recipe.training)
    labels = collate(task, data["test"])["labels"]
    shown = []
    for name, guess in reference_predictions(task, train, data["test"]).items():
        score = score_predictions(task, guess, labels)
        more = ", ".join(f"{key} {value:.4g}" for key, value in score.details.items())
        shown.append(f"{name.replace('_', ' ')} {score.value:.4g}" + (f" ({more})" if more else ""))
    return "; ".join(shown)


def deviation(seeds: dict[str, float]) -> float:
    """Standard deviation over runs; NaN for one run."""
    return statistics.stdev(seeds.values()) if len(seeds) > 1 else float("nan")


def plot(standings: list[Standing], path: Path) -> None:
    """Every candidate's validation scores, in the order of the ranking."""
    ranked = [
        Ranked(
            f"{standing.candidate.name} ({standing.candidate.rank:,} orbitals)"
            if standing.candidate.rank is not None
            else standing.candidate.name,
            f"{standing.candidate.support} support" if standing.candidate.group else "rival network",
            list(standing.validation.values()),
        )
        for standing in standings
    ]
    figure = Figure(figsize=ranking_size(len(ranked)), layout="constrained")
    plot_ranking(ranked, f"validation {standings[0].metric}: each seed, mean ± standard deviation", figure.subplots())
    save_figure(figure, path)
