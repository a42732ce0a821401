"""The ranking of candidate symmetries: best first, with ties, as a table and a plot."""

from __future__ import annotations

import csv
import dataclasses
import json
import statistics
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..closures import order_text
from ..data import collate
from ..evaluation.metrics import METRICS, details
from ..evaluation.reference_predictions import reference_predictions
from ..model.heads import is_known
from ..plots._saving import save_figure
from ..plots.experiments import Ranked, plot_ranking, ranking_size
from .grid import Grid
from .report import paired_test


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
        parameters: number of parameters of the network.
        validation, test: scores by seed.
        details: further test scores by name, means over seeds.
        first: number of seeds for which the candidate is first by validation.
        p: p-value of a paired t-test against the best candidate; NaN where no test is possible.
        is_tied: whether the test finds no difference from the best candidate.
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
    is_tied: bool = True

    @property
    def mean(self) -> float:
        return statistics.mean(self.validation.values())


def best_rates(grid: Grid) -> dict[str, str]:
    """For every candidate the learning rate that is best by validation on the first seed."""
    first = next(iter(grid.axes["seed"]))
    rows = [row for row in grid.rows() if row["seed"] == first]
    rows.sort(key=lambda row: _badness(row["metric"], [float(row["validation"])]), reverse=True)
    return {row["candidate"]: row["lr"] for row in rows}  # the best comes last and overwrites the worse ones


def _badness(metric: str, scores: Iterable[float]) -> float:
    return statistics.mean(scores) * (-1 if METRICS[metric].larger_is_better else 1)


def rank(grid: Grid, candidates: dict[str, Candidate]) -> list[Standing]:
    """Best first, by mean validation score over seeds; tied where a paired t-test over seeds finds no difference.

    Candidates without runs for all seeds come last, since a mean over fewer seeds is not comparable.
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
    compared = []
    for standing in standings:
        _, p, count = paired_test(best, standing.validation)
        # There is no p-value for one seed, nor where the scores of all seeds differ by the same amount.
        is_tied = p >= 0.05 if p == p else count < 2 or standing.validation == best
        compared.append(dataclasses.replace(standing, first=winners.count(standing), p=p, is_tied=is_tied))
    return compared


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
    tied = [standing.candidate.name for standing in standings[1:] if standing.is_tied]
    told = f"Not told apart from it: {'; '.join(tied)}." if tied else "All others are worse by more than chance."
    symmetry = "" if winner is best else f" The best symmetry is **{winner.candidate.name}**."
    hours = sum(float(row["wall_seconds"]) for row in grid.rows()) / 3600
    store = grid.rows()[0]
    lines = [
        f"# {grid.description}",
        "",
        f"Best by validation {best.metric}: **{best.candidate.name}**. {told}{symmetry}",
        f"Means ± standard deviations over {len(best.validation)} seeds; p of a t-test against the best, paired by "
        "seed, which finds only large differences where seeds are few. Every candidate had the same budget and the "
        f"same learning rates ({', '.join(grid.axes['lr'])}), chosen by validation on the first seed.",
        *(["", grid.findings] if grid.findings else []),
        "",
        f"| {' | '.join(rows[0])} |",
        f"|{' --- |' * len(rows[0])}",
        *(f"| {' | '.join(map(str, row.values()))} |" for row in rows),
        "",
        "Reference predictions, without a network, on the test rows of the first seed: " + _references(grid) + ".",
        "",
        "![validation scores of all candidates](ranking.png)",
        "",
        f"All {len(grid.rows())} runs together took {hours:.2f} hours, with {store['threads']} thread each, on "
        f"{store['platform']}, torch {store['torch']}. Recipe of all runs: `grid.yaml`; the checkpoint of the best "
        f"symmetry's best seed: `{grid.folder / 'best'}`.",
    ]
    (grid.folder / "ranking.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(place: int, standing: Standing) -> dict[str, object]:
    candidate = standing.candidate
    order = "unknown" if candidate.order is None else order_text(candidate.order)
    return {
        "place": place,
        "candidate": candidate.name,
        "order": order if candidate.group else "",
        "orbitals": candidate.rank if candidate.group else "",
        "parameters": standing.parameters,
        f"validation {standing.metric}": f"{standing.mean:.4g} ± {deviation(standing.validation):.2g}",
        f"test {standing.metric}": f"{statistics.mean(standing.test.values()):.4g} ± {deviation(standing.test):.2g}",
        **{f"test {name}": f"{value:.4g}" for name, value in standing.details.items()},
        "first on": f"{standing.first} of {len(standing.validation)} seeds",
        "p": "" if place == 1 or np.isnan(standing.p) else f"{standing.p:.3f}",
        "tied with the best": "" if place == 1 else "yes" if standing.is_tied else "no",
        "lr": standing.lr,
        "seconds per run": f"{standing.seconds:.0f}",
    }


def _references(grid: Grid) -> str:
    recipe = grid.recipe(grid.cells[0])
    configs, rows = recipe.load()
    [(name, task)] = configs.items()
    data = rows[name]
    labels = collate(task, data["test"])["labels"]
    compute, known, shown = METRICS[str(task.metric)].compute, is_known(task, labels), []
    for name, guess in reference_predictions(task, data["train"], data["test"]).items():
        more = ", ".join(f"{key} {value:.4g}" for key, value in details(task, guess, labels, known).items())
        value = f"{name.replace('_', ' ')} {compute(guess, labels, known):.4g}"
        shown.append(value + (f" ({more})" if more else ""))
    return "; ".join(shown)


def deviation(seeds: dict[str, float]) -> float:
    """Standard deviation over seeds; NaN for one seed."""
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
