"""Which symmetry should I use? Train one model a candidate on the same budget, rank them, keep the winner's checkpoint.

    python training/select_symmetry.py --task NAME --output_dir DIR [--groups G …] [--supports complete …] [--seeds 3]
    python training/select_symmetry.py --dataset FILE --task_config JSON --output_dir DIR

A candidate is a group (a name that the task offers, a notation such as "S5 wr S2", or generators as JSON lists of
cycles) on a support: "complete"; "sparse", where only the task's edges carry messages; "weak", where all pairs do, and
those of the edges are told from the others. Without --groups, the candidates are the trivial and the symmetric group,
the task's own, the edges' automorphisms, and the ways to move a line or ring: reversal, cyclic, dihedral. --rivals
adds other networks, of as many parameters as the median candidate, to the table. Every scalar of a recipe is a flag too
(paper Section 5.1.1).

DIR gets ranking.md and .csv, a plot, and the checkpoint best/. A run may be stopped and taken up again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

from ..closures.report import graph_automorphisms, group_order
from ..data.group_option import resolve_group
from ..evaluation.metrics import METRICS
from ..model.groups import from_cycles, to_cycles
from ..model.symmetry import SymmetryBreaker
from ..training.recipe import Recipe, TaskRecipe, argument_parser, described, script
from ..training.row_arguments import RowArguments
from .grid import Cell, Grid
from .rivals import ARCHITECTURES, TITLES, RivalConfig, matched_width
from .runner import plan, run_jobs
from .selection_report import Candidate, Standing, best_rates, rank, write_ranking

DEFAULT_RECIPE = Path(__file__).parents[2] / "training" / "recipes" / "select_symmetry.yaml"
SUPPORTS = ("complete", "sparse", "weak")
PROPOSED = ("trivial", "reversal", "cyclic", "dihedral", "symmetric")


@dataclasses.dataclass
class SelectArguments:
    groups: list[str] = dataclasses.field(
        default_factory=list, metadata={"help": "Candidate groups; proposed from the data's structure if not given."}
    )
    supports: list[str] = dataclasses.field(
        default_factory=lambda: ["complete"], metadata={"help": f"Candidate supports: {', '.join(SUPPORTS)}."}
    )
    rivals: list[str] = dataclasses.field(
        default_factory=list, metadata={"help": f"Rival networks to compare with: {', '.join(ARCHITECTURES)}."}
    )
    lrs: list[float] = dataclasses.field(
        default_factory=list,
        metadata={
            "help": "Learning rates; on the first seed all are tried, on the others the best for each candidate by "
            "validation. The recipe's by default."
        },
    )
    seeds: int = described("Runs a candidate and learning rate.", 3)
    workers: int = described("Single-threaded processes.", 2)


@script
def main() -> None:
    parser = argument_parser([SelectArguments, RowArguments], description=__doc__)
    arguments, rows_from, flags = parser.parse_args_into_dataclasses(sys.argv[1:], return_remaining_strings=True)
    recipe = Recipe.parse(flags, DEFAULT_RECIPE)
    if recipe.training.push_to_hub:
        raise ValueError(
            "--push_to_hub: nothing is uploaded here; asen_hf.hub.uploads.push_run uploads the folder best"
        )
    output = Path(recipe.training.output_dir)
    for flag, known in (("supports", SUPPORTS), ("rivals", tuple(ARCHITECTURES))):
        if unknown := sorted(set(getattr(arguments, flag)) - set(known)):
            raise ValueError(f"--{flag}: expected some of {', '.join(known)}, got {', '.join(unknown)}")
    source = rows_from.task_recipe()
    config = source.config()  # once: it may read a large file
    grid = write_grid(arguments, source, config, recipe, output)
    grid.check()
    candidates = describe_candidates(grid, config)
    print(f"{len(candidates)} candidates, {len(grid.axes['seed'])} seeds")
    first, *others = grid.axes["seed"]
    run_missing(grid, [cell for cell in grid.cells if cell["seed"] == first], arguments.workers)
    rates = best_rates(grid)
    chosen = [cell for cell in grid.cells if cell["lr"] == rates[cell["candidate"]] and cell["seed"] in others]
    run_missing(grid, chosen, arguments.workers)
    standings = rank(grid, candidates)
    keep_best(grid, next(each for each in standings if each.candidate.group))
    write_ranking(grid, standings)
    print((output / "ranking.md").read_text(encoding="utf-8"))


def run_missing(grid: Grid, cells: list[Cell], workers: int) -> None:
    """Run those of the cells that the store does not have yet."""
    pending = grid.pending()
    jobs = plan(grid, [cell for cell in cells if cell in pending])
    print(f"{len(jobs)} of {len(cells)} runs to go", flush=True)
    if jobs and run_jobs(grid, jobs, workers):
        raise ValueError("some runs failed; the same command tries them again")


def write_grid(
    arguments: SelectArguments, source: TaskRecipe, config: TaskConfig, recipe: Recipe, output: Path
) -> Grid:
    """The experiment of all candidates; an output folder that holds another one is refused."""
    notes, sizes = [], []
    groups = {name: named_group(source, config, name) for name in arguments.groups} or proposals(config)
    candidates: dict[str, dict[str, Any]] = {}
    networks: dict[tuple, str] = {}
    for group, cycles in groups.items():
        for support in arguments.supports:
            name = group if arguments.supports == ["complete"] else f"{group}, {support}"
            fields = {"generators": cycles, "group_name": group, "support": support}
            task = dataclasses.replace(source, **fields).config(own=config)
            if (first := networks.setdefault(seen_by_network(task), name)) == name:
                candidates[name] = {"task": fields}
                sizes.append(number_of_parameters(recipe, task))
            else:
                notes.append(f"{name}: the same network as {first}.")
    if arguments.rivals:
        # Not the largest: a trivial group on many nodes has a row for every pair, most of its parameters.
        for architecture in arguments.rivals:
            model = RivalConfig(**recipe.model, tasks={source.name: config}, architecture=architecture)
            width = matched_width(model, statistics.median_low(sizes))
            candidates[TITLES[architecture]] = {
                "rival": {"architecture": architecture},
                "model": {"hidden_size": width},
            }
    training = recipe.training.recorded()
    for key in ("output_dir", "seed", "lr"):
        training.pop(key)
    content = {
        "description": f"Candidate symmetries of {source.name}.",
        "findings": " ".join(notes),
        "base": {"model": recipe.model, "task": source.changed_fields(), "training": training},
        "axes": {
            "candidate": candidates,
            "lr": [float(lr) for lr in arguments.lrs] or [recipe.training.lr],
            "seed": list(range(arguments.seeds)),
        },
        "report": {"compare": "candidate"},
        "keep": True,
        "runs": str(output / "runs"),
    }
    path, text = output / "grid.yaml", yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} holds another selection; give another --output_dir, or remove it")
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return Grid.read(output)


def named_group(source: TaskRecipe, config: TaskConfig, text: str) -> list:
    """The generators, as cycles, of a candidate."""
    if text.startswith("["):
        return to_cycles(from_cycles(json.loads(text), config.degree))
    if source.dataset is not None:
        return to_cycles(resolve_group(text, config.degree)[0])
    options = {**source.options, "group": text}
    return dataclasses.replace(source, options=options).config().generators  # the task may offer groups of its own


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


def seen_by_network(task: TaskConfig) -> tuple:
    """What a candidate looks like to the network: which pairs carry messages, and which of them look alike."""
    sparse = None if task.weak_support else task.edges
    return json.dumps(sparse), SymmetryBreaker(task).labels.numpy().tobytes()


def number_of_parameters(recipe: Recipe, task: TaskConfig) -> int:
    """Of the model on a candidate."""
    with torch.device("meta"):
        return AsenForMultitask(AsenConfig(**recipe.model, tasks={"it": task})).num_parameters()


def describe_candidates(grid: Grid, config: TaskConfig) -> dict[str, Candidate]:
    """What the report says of each; ``config`` is the task's own, before a candidate's group and support."""
    candidates = {}
    for cell in grid.cells:
        name = cell["candidate"]
        if name in candidates:  # of another learning rate or seed
            continue
        if grid.architecture(cell) is not None:
            candidates[name] = Candidate(name)
            continue
        [source] = grid.recipe(cell).tasks
        task = source.config(own=config)
        rank_, order = SymmetryBreaker(task).num_pair_orbits, group_order(task.permutation_group())
        candidates[name] = Candidate(name, task.group_name, str(source.support), rank_, order)
    return candidates


def keep_best(grid: Grid, winner: Standing) -> None:
    """Copy the winner's best seed by validation to best/; the other runs keep their scores only."""
    sign = -1 if METRICS[winner.metric].larger_is_better else 1
    seed = min(winner.validation, key=lambda each: sign * winner.validation[each])
    cell: Cell = {"candidate": winner.candidate.name, "lr": winner.lr, "seed": seed}
    source, best = Path(grid.recipe(cell).training.output_dir), grid.folder / "best"
    if (source / "model.safetensors").exists():
        shutil.rmtree(best, ignore_errors=True)
        best.mkdir()
        for name in ("config.json", "recipe.yaml", "scores.json", "model.safetensors"):
            shutil.copy(source / name, best / name)
    for weights in Path(grid.runs).glob("**/*"):
        if weights.is_dir() and weights.name.startswith("checkpoint-"):
            shutil.rmtree(weights)
    for weights in Path(grid.runs).glob("*/model.safetensors"):
        weights.unlink()


if __name__ == "__main__":
    main()
