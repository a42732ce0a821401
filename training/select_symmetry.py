"""Which symmetry should I use? Train one model a candidate on the same budget, rank them, keep the winner's checkpoint.

    python training/select_symmetry.py --task NAME --output_dir DIR [--groups G …] [--supports complete …] [--seeds 3]
    python training/select_symmetry.py --dataset FILE --task_config JSON --output_dir DIR

A candidate is a group (a name that the task offers, a notation such as "S5 wr S2", or generators as JSON lists of
cycles) on a support: "complete"; "sparse", where only the task's edges carry messages; "weak", where all pairs do, and
those of the edges are told from the others. Without --groups, the candidates are the trivial and the symmetric group,
the task's own, the edges' automorphisms, and the ways to move a line or ring: reversal, cyclic, dihedral. Every scalar
of a recipe is a flag too (paper Section 5.1.1).

DIR gets ranking.md and .csv, a plot, and the checkpoint best/. A run may be stopped and taken up again.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from experiment_grid import Cell, Grid
from experiment_report import paired_test
from experiments import plan, run_jobs
from matplotlib import pyplot as plt

from asen_hf import TaskConfig
from asen_hf.closures import graph_automorphisms, group_order, order_text
from asen_hf.data.group_option import resolve_group
from asen_hf.groups import from_cycles, to_cycles
from asen_hf.metrics import METRICS
from asen_hf.recipe import Recipe, TaskRecipe, argument_parser, described, script
from asen_hf.symmetry import SymmetryBreaker

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "select_symmetry.yaml"
SUPPORTS = ("complete", "sparse", "weak")
PROPOSED = ("trivial", "reversal", "cyclic", "dihedral", "symmetric")


@dataclasses.dataclass
class SelectArguments:
    task: str | None = described("A registered task, or the name to give to the table's.", None)
    task_options: str = described('Options of a registered task, as JSON: {"data_path": "FILE"}.', "{}")
    dataset: str | None = described("Your own table: a CSV, JSON lines or Parquet file, a folder or a Hub id.", None)
    task_config: str | None = described("The table's TaskConfig, a JSON file.", None)
    groups: list[str] = dataclasses.field(
        default_factory=list, metadata={"help": "Candidate groups; proposed from the data's structure if not given."}
    )
    supports: list[str] = dataclasses.field(
        default_factory=lambda: ["complete"], metadata={"help": "Candidate supports: complete, sparse, weak."}
    )
    lrs: list[float] = dataclasses.field(
        default_factory=list,
        metadata={
            "help": "Learning rates; every candidate gets the best for it by validation. The recipe's by default."
        },
    )
    seeds: int = described("Runs a candidate and learning rate.", 3)
    workers: int = described("Single-threaded processes.", 2)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A group on a support.

    Attributes:
        rank: number of orbitals that the network tells apart.
        order: of the group; ``None`` where it could not be proved.
    """

    group: str
    support: str
    rank: int
    order: int | None

    def __str__(self) -> str:
        return self.group if self.support == "complete" else f"{self.group}, {self.support}"


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a candidate did, at the learning rate that suits it best.

    Attributes:
        validation, test: scores by seed.
        first: number of seeds on which it is first by validation.
        p: of a paired t-test against the best; NaN where there is none.
        is_tied: whether the best is not told from it.
        seconds: of a run.
    """

    candidate: Candidate
    lr: str
    metric: str
    validation: dict[str, float]
    test: dict[str, float]
    first: int
    p: float
    is_tied: bool
    seconds: float

    @property
    def mean(self) -> float:
        return statistics.mean(self.validation.values())


@script
def main() -> None:
    parser = argument_parser([SelectArguments], description=__doc__)
    arguments, flags = parser.parse_args_into_dataclasses(sys.argv[1:], return_remaining_strings=True)
    recipe = Recipe.parse(flags, DEFAULT_RECIPE)
    if recipe.training.push_to_hub:
        raise ValueError("--push_to_hub: nothing is uploaded here; asen_hf.hub.push_run uploads the folder best")
    output = Path(recipe.training.output_dir)
    if unknown := sorted(set(arguments.supports) - set(SUPPORTS)):
        raise ValueError(f"--supports: expected some of {', '.join(SUPPORTS)}, got {', '.join(unknown)}")
    grid = write_grid(arguments, recipe, output)
    grid.check()
    candidates = describe_candidates(grid)
    jobs = plan(grid, grid.pending())
    print(f"{len(candidates)} candidates, {len(grid.axes['seed'])} seeds; {len(jobs)} of {len(grid.cells)} runs to go")
    if jobs and run_jobs(grid, jobs, arguments.workers):
        raise ValueError("some runs failed; the same command tries them again")
    standings = rank(grid, candidates)
    keep_best(grid, standings[0])
    write_ranking(grid, standings)
    print((output / "ranking.md").read_text(encoding="utf-8"))


def task_recipe(arguments: SelectArguments) -> dict[str, Any]:
    """Where the rows come from: the fields of a TaskRecipe, without group and support."""
    if (arguments.task is None) == (arguments.task_config is None):
        raise ValueError("say what to learn: --task NAME, or --dataset FILE with --task_config JSON")
    options = json.loads(arguments.task_options)
    name = arguments.task or Path(str(arguments.task_config)).stem.replace(".", "_")
    fields = {"name": name, "options": options, "dataset": arguments.dataset, "task_config": arguments.task_config}
    return {key: value for key, value in fields.items() if value}


def write_grid(arguments: SelectArguments, recipe: Recipe, output: Path) -> Grid:
    """The experiment of all candidates; an output folder that holds another one is refused."""
    source = task_recipe(arguments)
    config = TaskRecipe(**source).config()
    groups = {name: named_group(source, config, name) for name in arguments.groups} or proposals(config)
    training = recipe.training.recorded()
    for key in ("output_dir", "seed", "lr"):
        training.pop(key)
    content = {
        "description": f"Candidate symmetries of {source['name']}.",
        "base": {"model": recipe.model, "task": source, "training": training},
        "axes": {
            "group": {name: {"task": {"generators": cycles, "group_name": name}} for name, cycles in groups.items()},
            "support": {support: {"task": {"support": support}} for support in arguments.supports},
            "lr": [float(lr) for lr in arguments.lrs] or [recipe.training.lr],
            "seed": list(range(arguments.seeds)),
        },
        "report": {"compare": "group"},
        "keep": True,
        "runs": str(output / "runs"),
    }
    path, text = output / "grid.yaml", yaml.safe_dump(content, sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} holds another selection; give another --output_dir, or remove it")
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Grid.read(output)


def named_group(source: dict[str, Any], config: TaskConfig, text: str) -> list:
    """The generators, as cycles, of a candidate."""
    if text.startswith("["):
        return to_cycles(from_cycles(json.loads(text), config.degree))
    if "dataset" in source:
        return to_cycles(resolve_group(text, config.degree)[0])
    options = {**source["options"], "group": text} if "options" in source else {"group": text}
    return TaskRecipe(**{**source, "options": options}).config().generators  # the task may offer groups of its own


def proposals(config: TaskConfig) -> dict[str, list]:
    """Candidates that the data's structure offers, by name; of equal groups the first."""
    found = {name: resolve_group(name, config.degree)[0] for name in PROPOSED}
    found[config.group_name or "the task's own"] = config.permutation_group()
    if config.edges is not None:
        targets, sources = np.array(config.edges).T
        found["automorphisms of the edges"] = graph_automorphisms(np.stack([sources, targets]), config.degree)
    different: dict[bytes, tuple[str, list]] = {}
    for name, group in found.items():
        task = dataclasses.replace(config, generators=to_cycles(group), edges=None, weak_support=False)
        different.setdefault(SymmetryBreaker(task).labels.numpy().tobytes(), (name, to_cycles(group)))
    return dict(different.values())


def describe_candidates(grid: Grid) -> dict[tuple[str, str], Candidate]:
    candidates = {}
    for cell in grid.cells:
        key = cell["group"], cell["support"]
        if key in candidates:  # of another learning rate or seed
            continue
        [source] = grid.recipe(cell).tasks
        config = source.config()
        candidates[key] = Candidate(
            *key,
            SymmetryBreaker(config).num_pair_orbits,
            group_order(config.permutation_group()),
        )
    return candidates


def rank(grid: Grid, candidates: dict[tuple[str, str], Candidate]) -> list[Standing]:
    """Best first, by mean validation score over seeds; tied where a paired t-test over seeds finds no difference."""
    runs: dict[tuple[str, str], dict[str, list[tuple[str, float, float, float]]]] = {}
    metric = ""
    for row in grid.results.rows():
        cell = grid.results.key_of(row)
        [score] = json.loads((folder(grid, cell) / "scores.json").read_text(encoding="utf-8"))["scores"].values()
        metric = score["metric"]
        found = cell["seed"], score["value"], float(row["value"]), float(row["wall_seconds"])
        runs.setdefault((cell["group"], cell["support"]), {}).setdefault(cell["lr"], []).append(found)

    def badness(scores: Iterable[float]) -> float:
        return statistics.mean(scores) * (-1 if METRICS[metric].larger_is_better else 1)

    standings = []
    for key, by_rate in runs.items():
        lr = min(by_rate, key=lambda each: badness(value for _, value, _, _ in by_rate[each]))
        validation = {seed: value for seed, value, _, _ in by_rate[lr]}
        test = {seed: value for seed, _, value, _ in by_rate[lr]}
        seconds = statistics.mean(each for _, _, _, each in by_rate[lr])
        standings.append(Standing(candidates[key], lr, metric, validation, test, 0, float("nan"), True, seconds))
    standings.sort(key=lambda each: badness(each.validation.values()))
    best = standings[0].validation
    winners = [min(standings, key=lambda each: badness([each.validation[seed]])) for seed in best]
    compared = []
    for each in standings:
        _, p, count = paired_test(best, each.validation)
        # Without a p-value: the same on every seed, or by a constant, or one seed only.
        is_tied = p >= 0.05 if p == p else count < 2 or each.validation == best
        compared.append(dataclasses.replace(each, first=winners.count(each), p=p, is_tied=is_tied))
    return compared


def folder(grid: Grid, cell: Cell) -> Path:
    return Path(grid.recipe(cell).training.output_dir)


def keep_best(grid: Grid, winner: Standing) -> None:
    """Copy the winner's best seed by validation to best/; the other runs keep their scores only."""
    sign = -1 if METRICS[winner.metric].larger_is_better else 1
    seed = min(winner.validation, key=lambda each: sign * winner.validation[each])
    cell = {"group": winner.candidate.group, "support": winner.candidate.support, "lr": winner.lr, "seed": seed}
    best = grid.folder / "best"
    if (source := folder(grid, cell) / "model.safetensors").exists():
        shutil.rmtree(best, ignore_errors=True)
        best.mkdir()
        for name in ("config.json", "recipe.yaml", "scores.json", source.name):
            shutil.copy(source.parent / name, best / name)
    for weights in Path(grid.runs).glob("**/*"):
        if weights.is_dir() and weights.name.startswith("checkpoint-"):
            shutil.rmtree(weights)
    for weights in Path(grid.runs).glob("*/model.safetensors"):
        weights.unlink()


def write_ranking(grid: Grid, standings: list[Standing]) -> None:
    rows = []
    for place, each in enumerate(standings, 1):
        rows.append(
            {
                "place": place,
                "group": each.candidate.group,
                "support": each.candidate.support,
                "order": "unknown" if each.candidate.order is None else order_text(each.candidate.order),
                "orbitals": each.candidate.rank,
                f"validation {each.metric}": f"{each.mean:.4g} ± {deviation(each.validation):.2g}",
                f"test {each.metric}": f"{statistics.mean(each.test.values()):.4g} ± {deviation(each.test):.2g}",
                "first on": f"{each.first} of {len(each.validation)} seeds",
                "p": "" if place == 1 or np.isnan(each.p) else f"{each.p:.3f}",
                "tied with the best": "" if place == 1 else "yes" if each.is_tied else "no",
                "lr": each.lr,
                "s a run": f"{each.seconds:.0f}",
            }
        )
    with (grid.folder / "ranking.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    plot(standings, grid.folder / "ranking.png")
    winner = standings[0]
    tied = [str(each.candidate) for each in standings[1:] if each.is_tied]
    told = f"Not told apart from it: {'; '.join(tied)}." if tied else "All others are worse by more than chance."
    lines = [
        f"# {grid.description}",
        "",
        f"Best by validation {winner.metric}: **{winner.candidate}**. {told}",
        f"Means ± standard deviations over {len(winner.validation)} seeds; p of a t-test against the best, paired by "
        "seed, in which few seeds tell little apart.",
        "",
        f"| {' | '.join(rows[0])} |",
        f"|{' --- |' * len(rows[0])}",
        *(f"| {' | '.join(map(str, row.values()))} |" for row in rows),
        "",
        "![score against the number of orbitals](ranking.png)",
        "",
        f"The checkpoint of its best seed: `{grid.folder / 'best'}`. Recipe of all runs: `grid.yaml`.",
    ]
    (grid.folder / "ranking.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def deviation(seeds: dict[str, float]) -> float:
    return statistics.stdev(seeds.values()) if len(seeds) > 1 else float("nan")


def plot(standings: list[Standing], path: Path) -> None:
    """Validation score against the number of orbitals: from too much symmetry, on the left, to none."""
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for support in dict.fromkeys(each.candidate.support for each in standings):
        points = sorted(
            (each for each in standings if each.candidate.support == support), key=lambda x: x.candidate.rank
        )
        ranks = [each.candidate.rank for each in points]
        errors = np.nan_to_num([deviation(each.validation) for each in points])
        axis.errorbar(ranks, [each.mean for each in points], yerr=errors, marker="o", capsize=3, label=support)
        for each in points:
            place = (each.candidate.rank, each.mean)
            axis.annotate(each.candidate.group, place, xytext=(4, 5), textcoords="offset points", fontsize=8)
    axis.set(
        xscale="log", xlabel="orbitals (pairs that the network tells apart)", ylabel=f"validation {standings[0].metric}"
    )
    axis.legend(title="support")
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
