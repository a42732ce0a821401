"""What training/select_symmetry.py finds: candidates in order, which of them are tied, as a table and a plot."""

from __future__ import annotations

import csv
import dataclasses
import json
import statistics
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from ..closures.report import order_text
from ..data import collate
from ..evaluation.metrics import METRICS, details
from ..evaluation.reference_predictions import reference_predictions
from ..model.heads import is_known
from .grid import Grid
from .report import paired_test


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A group on a support, or another network, which has none of what follows the name.

    Attributes:
        rank: number of orbitals that the network tells apart.
        order: of the group; ``None`` where it could not be proved.
    """

    name: str
    group: str = ""
    support: str = ""
    rank: int | None = None
    order: int | None = None


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a candidate did, at its learning rate.

    Attributes:
        validation, test: scores by seed.
        details: means over seeds of further test scores.
        first: number of seeds on which it is first by validation.
        p: of a paired t-test against the best; NaN where there is none.
        is_tied: whether the best is not told from it.
        seconds: of a run.
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
    """For each candidate the learning rate that is best by validation on the first seed."""
    first = next(iter(grid.axes["seed"]))
    rows = [row for row in grid.results.rows() if row["seed"] == first]
    rows.sort(key=lambda row: _badness(row["metric"], [float(row["validation"])]), reverse=True)
    return {row["candidate"]: row["lr"] for row in rows}  # the best comes last, and stays


def _badness(metric: str, scores: Iterable[float]) -> float:
    return statistics.mean(scores) * (-1 if METRICS[metric].larger_is_better else 1)


def rank(grid: Grid, candidates: dict[str, Candidate]) -> list[Standing]:
    """Best first, by mean validation score over seeds; tied where a paired t-test over seeds finds no difference.

    A store may lack runs of some seeds: their candidates come last, since a mean over fewer is another thing.
    """
    standings = []
    for name, lr in best_rates(grid).items():
        rows = [row for row in grid.results.rows() if (row["candidate"], row["lr"]) == (name, lr)]
        metric = rows[0]["metric"]
        further = [json.loads(row["details"]) for row in rows]
        standings.append(
            Standing(
                candidate=candidates[name],
                lr=lr,
                metric=metric,
                parameters=int(rows[0]["parameters"]),
                validation={row["seed"]: float(row["validation"]) for row in rows},
                test={row["seed"]: float(row["value"]) for row in rows},
                details={key: statistics.mean(each[key] for each in further) for key in further[0]},
                seconds=statistics.mean(float(row["wall_seconds"]) for row in rows),
            )
        )
    most = max(len(each.validation) for each in standings)
    standings.sort(key=lambda each: (len(each.validation) < most, _badness(each.metric, each.validation.values())))
    best = standings[0].validation
    winners = [
        min(
            (each for each in standings if len(each.validation) == most),
            key=lambda each: _badness(each.metric, [each.validation[seed]]),
        )
        for seed in best
    ]
    compared = []
    for each in standings:
        _, p, count = paired_test(best, each.validation)
        # Without a p-value: the same on every seed, or by a constant, or one seed only.
        is_tied = p >= 0.05 if p == p else count < 2 or each.validation == best
        compared.append(dataclasses.replace(each, first=winners.count(each), p=p, is_tied=is_tied))
    return compared


def write_ranking(grid: Grid, standings: list[Standing]) -> None:
    """Write ``ranking.csv``, ``ranking.png`` and ``ranking.md`` beside the store."""
    rows = [_row(place, each) for place, each in enumerate(standings, 1)]
    with (grid.folder / "ranking.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    plot(standings, grid.folder / "ranking.png")
    best = standings[0]
    winner = next(each for each in standings if each.candidate.group)
    tied = [each.candidate.name for each in standings[1:] if each.is_tied]
    told = f"Not told apart from it: {'; '.join(tied)}." if tied else "All others are worse by more than chance."
    symmetry = "" if winner is best else f" The best symmetry is **{winner.candidate.name}**."
    hours = sum(float(row["wall_seconds"]) for row in grid.results.rows()) / 3600
    store = grid.results.rows()[0]
    lines = [
        f"# {grid.description}",
        "",
        f"Best by validation {best.metric}: **{best.candidate.name}**. {told}{symmetry}",
        f"Means ± standard deviations over {len(best.validation)} seeds; p of a t-test against the best, paired by "
        "seed, in which few seeds tell little apart. Every candidate had the same budget and learning rates to choose "
        f"from ({', '.join(grid.axes['lr'])}), by validation on the first seed.",
        *(["", grid.findings] if grid.findings else []),
        "",
        f"| {' | '.join(rows[0])} |",
        f"|{' --- |' * len(rows[0])}",
        *(f"| {' | '.join(map(str, row.values()))} |" for row in rows),
        "",
        "Without a network, on the test rows of the first seed: " + _references(grid) + ".",
        "",
        "![score against the number of orbitals](ranking.png)",
        "",
        f"All {len(grid.results.rows())} runs together took {hours:.2f} hours, with {store['threads']} thread each, on "
        f"{store['platform']}, torch {store['torch']}. Recipe of all runs: `grid.yaml`; the checkpoint of the best "
        f"symmetry's best seed: `{grid.folder / 'best'}`.",
    ]
    (grid.folder / "ranking.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(place: int, each: Standing) -> dict[str, object]:
    candidate = each.candidate
    order = "unknown" if candidate.order is None else order_text(candidate.order)
    return {
        "place": place,
        "candidate": candidate.name,
        "order": order if candidate.group else "",
        "orbitals": candidate.rank if candidate.group else "",
        "parameters": each.parameters,
        f"validation {each.metric}": f"{each.mean:.4g} ± {deviation(each.validation):.2g}",
        f"test {each.metric}": f"{statistics.mean(each.test.values()):.4g} ± {deviation(each.test):.2g}",
        **{f"test {name}": f"{value:.4g}" for name, value in each.details.items()},
        "first on": f"{each.first} of {len(each.validation)} seeds",
        "p": "" if place == 1 or np.isnan(each.p) else f"{each.p:.3f}",
        "tied with the best": "" if place == 1 else "yes" if each.is_tied else "no",
        "lr": each.lr,
        "s a run": f"{each.seconds:.0f}",
    }


def _references(grid: Grid) -> str:
    recipe = grid.recipe(grid.cells[0])
    [(task, data)] = zip(*(each.values() for each in recipe.load()), strict=True)
    labels = collate(task, data["test"])["labels"]
    compute, known, shown = METRICS[str(task.metric)].compute, is_known(task, labels), []
    for name, guess in reference_predictions(task, data["train"], data["test"]).items():
        further = ", ".join(f"{key} {value:.4g}" for key, value in details(task, guess, labels, known).items())
        value = f"{name.replace('_', ' ')} {compute(guess, labels, known):.4g}"
        shown.append(value + (f" ({further})" if further else ""))
    return "; ".join(shown)


def deviation(seeds: dict[str, float]) -> float:
    """Standard deviation over seeds; NaN for one."""
    return statistics.stdev(seeds.values()) if len(seeds) > 1 else float("nan")


def plot(standings: list[Standing], path: Path) -> None:
    """Validation score against the number of orbitals: from too much symmetry, on the left, to none."""
    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    symmetric = [each for each in standings if each.candidate.group]
    for support in sorted({each.candidate.support for each in symmetric}):
        points = sorted(
            (each for each in symmetric if each.candidate.support == support), key=lambda x: x.candidate.rank or 0
        )
        ranks = [each.candidate.rank for each in points]
        errors = np.nan_to_num([deviation(each.validation) for each in points])
        axis.errorbar(
            ranks, [each.mean for each in points], yerr=errors, marker="o", capsize=3, label=f"{support} support"
        )
        for each in points:
            place = (each.candidate.rank, each.mean)
            axis.annotate(each.candidate.group, place, xytext=(4, 5), textcoords="offset points", fontsize=8)
    for number, each in enumerate(each for each in standings if not each.candidate.group):
        axis.axhline(each.mean, color=f"C{5 + number}", linestyle="--", linewidth=1.2, label=each.candidate.name)
    axis.set(
        xscale="log", xlabel="orbitals (pairs that the network tells apart)", ylabel=f"validation {standings[0].metric}"
    )
    axis.legend(fontsize=8)
    axis.margins(x=0.1)  # room for names
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)
