"""Which symmetry should a task get? Train one model per candidate on the same budget and rank the candidates.

A candidate is a group on a support; rival networks of equal size and reference predictions can be added. See ``asen
select --help``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..closures import graph_automorphisms, group_order, value_orders
from ..closures.automorphisms import Undecided
from ..data._json import parse_json
from ..data.group_option import resolve_group
from ..evaluation.metrics import METRICS
from ..evaluation.reference_predictions import REFERENCES, unsuited
from ..model._messages import shown
from ..model.configuration_asen import TaskConfig
from ..model.groups import from_cycles, to_cycles
from ..model.modeling_asen import AsenForMultitask
from ..model.symmetry import SymmetryBreaker
from ..training._yaml import to_yaml
from ..training.recipe import Recipe
from ..training.task_recipe import TaskRecipe
from ._axes import Cell
from .grid import Grid
from .rival_networks import ARCHITECTURES, TITLES
from .rivals import RivalConfig, matched_width
from .runner import plan, run_jobs
from .selection_report import Candidate, Standing, best_rates, rank, write_ranking

DEFAULT_RECIPE = Path(__file__).with_name("select.yaml")
SUPPORTS = ("complete", "sparse", "weak")
PROPOSED = ("trivial", "reversal", "cyclic", "dihedral", "symmetric")


def select(
    source: TaskRecipe,
    recipe: Recipe,
    *,
    groups: Sequence[str] = (),
    supports: Sequence[str] = ("complete",),
    close_support: bool = False,
    rivals: Sequence[str] = (),
    lrs: Sequence[float] = (),
    seeds: int = 3,
    folds: int = 0,
    workers: int = 2,
) -> list[Standing]:
    """Rank candidate symmetries of a task by validation score, and keep the winner's checkpoint.

    Args:
        source: the task and its rows.
        recipe: the backbone and the budget of every candidate; its ``output_dir`` gets ranking.md, ranking.csv, a plot
            and the checkpoint best/. An interrupted selection continues there.
        groups: candidate groups: names that the task offers, notations, or generators as JSON lists of cycles; by
            default those of :func:`proposals`.
        supports: every group is tried on each of these supports.
        close_support: add to the task's edges all their images under the candidate group.
        rivals: architectures of rival networks (see :mod:`asen_hf.experiments.rivals`), and names of reference
            predictions (see :data:`asen_hf.evaluation.reference_predictions.REFERENCES`). A reference prediction gets
            the task's own group, or the first candidate if the task's is trivial.
        lrs: learning rates: the first run tries all, the remaining runs use the candidate's best; by default the
            recipe's.
        seeds: number of runs per candidate and learning rate.
        folds: for cross-validation, the number of folds of the train and validation rows, each of which is held out
            once per seed; 0 for the validation split. Rows with equal inputs are in one fold; no other relation
            between rows, such as time, is respected.
        workers: number of single-threaded processes.

    Returns:
        The candidates and rivals, best first.

    Raises:
        ValueError: an unknown group, support or rival, the recipe of a finetuning, an ``output_dir`` that holds another
            selection, or failed runs.
    """
    recipe.refuse_start()
    output = Path(recipe.training.output_dir)
    known_rivals = (*ARCHITECTURES, *REFERENCES)
    for flag, given, known in (("supports", supports, SUPPORTS), ("rivals", rivals, known_rivals)):
        if unknown := sorted(set(given) - set(known)):
            raise ValueError(f"--{flag}: expected values among {', '.join(known)}, got {', '.join(unknown)}")
    for flag, number in (("seeds", seeds), ("workers", workers)):
        if number < 1:
            raise ValueError(f"--{flag} must be at least 1, got {number}")
    if folds == 1 or folds < 0:
        raise ValueError(f"--folds must be at least 2, or 0 for no cross-validation, got {folds}")
    config = source.config()  # once: it may read a large file
    if source.dataset is not None:
        source.load(recipe.training.seed)  # a cell that does not suit the task is said here, not by every run
    candidates, notes = _candidates(source, config, recipe, groups, supports, close_support, rivals)
    content = {
        "description": f"Candidate symmetries of {source.name}.",
        "findings": " ".join(notes),
        "base": {
            "model": dataclasses.asdict(recipe.model),
            "task": source.changed_fields(),
            "training": _budget(recipe),
        },
        "axes": {
            "candidate": candidates,
            "lr": [float(lr) for lr in lrs] or [recipe.training.lr],
            "seed": _runs(seeds, folds),
        },
        "report": {"compare": "candidate"},
        "keep": True,
        "runs": str(output / "runs"),
    }
    if recipe.training.overwrite and (output / "grid.yaml").exists():
        _clear(output)
    grid = write_grid(content, output)
    grid.check()
    described = describe_candidates(grid, config)
    print(f"{len(described)} candidates, {seeds} seeds" + f", {folds} folds" * (folds > 0))
    first, *remaining = grid.axes["seed"]
    first_rate = next(iter(grid.axes["lr"]))  # a reference prediction has no learning rate
    fitted = [cell for cell in grid.cells if grid.reference(cell) is not None and cell["lr"] == first_rate]
    trained = [cell for cell in grid.cells if grid.reference(cell) is None]
    if fitted and (errors := run_missing(grid, fitted, workers)):  # no reason to go without the networks' ranking
        print(f"reference predictions that could not be fitted are left out: {errors[0]}", flush=True)
    _must_succeed(run_missing(grid, [cell for cell in trained if cell["seed"] == first], workers))
    rates = best_rates(grid)
    chosen = [cell for cell in trained if cell["lr"] == rates[cell["candidate"]] and cell["seed"] in remaining]
    _must_succeed(run_missing(grid, chosen, workers))
    standings = rank(grid, described)
    keep_best(grid, next(standing for standing in standings if standing.candidate.group))
    write_ranking(grid, standings)
    return standings


def run_missing(grid: Grid, cells: list[Cell], workers: int) -> list[str]:
    """Run the cells that the store does not have yet, and return the errors of those that failed."""
    pending = grid.pending()
    jobs = plan(grid, [cell for cell in cells if cell in pending])
    print(f"{len(jobs)} of {len(cells)} runs to go", flush=True)
    return run_jobs(grid, jobs, workers) if jobs else []


def _must_succeed(errors: list[str]) -> None:
    if errors:
        raise ValueError(f"some runs failed ({errors[0]}); run the same command again to retry them")


def _candidates(
    source: TaskRecipe,
    config: TaskConfig,
    recipe: Recipe,
    groups: Sequence[str],
    supports: Sequence[str],
    close_support: bool,
    rivals: Sequence[str],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The grid's candidates by name, and a note on every candidate that gives the same network as an earlier one."""
    notes, sizes = [], []
    found = {name: named_group(source, config, name) for name in groups} or proposals(config)
    candidates: dict[str, dict[str, Any]] = {}
    networks: dict[tuple, str] = {}
    for group, symmetry in found.items():
        for support in supports:
            name = group if [*supports] == ["complete"] else f"{group}, {support}"
            fields: dict[str, Any] = {**symmetry, "group_name": group, "support": support}
            if close_support and support != "complete":
                fields["close_support"] = True
            task = dataclasses.replace(source, **fields).config(own=config)
            if (first := networks.setdefault(seen_by_network(task), name)) == name:
                candidates[name] = {"task": fields}
                sizes.append(number_of_parameters(recipe, task))
            else:
                notes.append(f"{name}: the same network as {first}.")
    architecture: Any
    for architecture in rivals:
        if architecture in REFERENCES:
            if problem := unsuited(config, architecture):
                raise ValueError(f"--rivals: {problem}")
            has_group = config.generators or config.value_symmetries
            own = {} if has_group else {"task": next(iter(found.values()))}
            candidates[REFERENCES[architecture].title] = {"rival": {"reference": architecture}, **own}
            continue
        # The median size, not the largest: a trivial group on many nodes has an embedding row per pair, and these
        # rows are most of its parameters.
        backbone = dataclasses.asdict(recipe.model)
        rival = RivalConfig(**backbone, tasks={source.name: config}, architecture=architecture)
        width = matched_width(rival, statistics.median_low(sizes))
        candidates[TITLES[architecture]] = {
            "rival": {"architecture": architecture},
            "model": {"hidden_size": width},
        }
    return candidates, notes


def _runs(seeds: int, folds: int) -> list[int] | dict[str, dict[str, Any]]:
    """The axis of runs: seeds, or each seed with each of its folds."""
    if not folds:
        return list(range(seeds))
    return {
        f"{seed}, fold {number + 1} of {folds}": {"training": {"seed": seed}, "fold": {"number": number, "of": folds}}
        for seed in range(seeds)
        for number in range(folds)
    }


def _budget(recipe: Recipe) -> dict[str, Any]:
    """The training settings that all candidates share."""
    training = dataclasses.asdict(recipe.training)
    return {name: value for name, value in training.items() if name not in ("output_dir", "seed", "lr", "overwrite")}


def _clear(output: Path) -> None:
    """Remove a selection, and nothing else that the folder may hold."""
    for name in ("grid.yaml", "results.csv", "ranking.md", "ranking.csv", "ranking.png"):
        (output / name).unlink(missing_ok=True)
    for name in ("runs", "best"):
        shutil.rmtree(output / name, ignore_errors=True)


def write_grid(content: dict[str, Any], output: Path) -> Grid:
    """Write the experiment of all candidates; ``ValueError`` if the output folder holds another experiment."""
    path, text = output / "grid.yaml", to_yaml(content, default_flow_style=None, width=120)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"{path} holds another selection: give another --output_dir, or --overwrite")
    output.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)  # in one step: a file that was cut off would pass for another selection
    return Grid.read(output)


def named_group(source: TaskRecipe, config: TaskConfig, text: str) -> dict[str, list]:
    """The fields of a candidate group in a recipe: generators as cycles and, if there are any, value symmetries."""
    if text.startswith("["):
        return {"generators": to_cycles(from_cycles(parse_json(text, f"group {shown(text)}"), config.degree))}
    if source.dataset is not None:
        return {"generators": to_cycles(resolve_group(text, config.degree)[0])}
    options = {**source.options, "group": text}  # the task may offer groups of its own
    return _symmetry_of(dataclasses.replace(source, options=options).config())


def _symmetry_of(config: TaskConfig) -> dict[str, list]:
    values = {"value_symmetries": config.value_symmetries} if config.value_symmetries else {}
    return {"generators": config.generators, **values}


def proposals(config: TaskConfig) -> dict[str, dict[str, list]]:
    """Default candidates by name: standard groups, the task's own and the edges' automorphisms, without repeats."""
    # Statistics, which may fit the task's own group only, do not matter to the colours that are compared here.
    plain = dataclasses.replace(config.without_value_symmetries(), input_mean=None, input_scale=None)
    found = {name: resolve_group(name, config.degree)[0] for name in PROPOSED}
    own = config.group_name or "the task's own"
    if not config.value_symmetries:
        found[own] = config.permutation_group()
    if config.edges is not None:
        targets, sources = np.array(config.edges).T
        with contextlib.suppress(Undecided):  # of a large graph
            found["automorphisms of the edges"] = graph_automorphisms(np.stack([sources, targets]), config.degree)
    distinct: dict[bytes, tuple[str, dict[str, list]]] = {}
    for name, group in found.items():
        task = dataclasses.replace(plain, generators=to_cycles(group), edges=None, support="complete")
        distinct.setdefault(SymmetryBreaker(task)().labels.numpy().tobytes(), (name, {"generators": to_cycles(group)}))
    proposed = dict(distinct.values())
    return {**proposed, own: _symmetry_of(config)} if config.value_symmetries else proposed


def seen_by_network(task: TaskConfig) -> tuple:
    """A key that is equal for candidates that give the same network: the support and the colours of pairs."""
    sparse = task.edges if task.support == "sparse" else None
    return json.dumps([sparse, task.value_symmetries]), SymmetryBreaker(task)().labels.numpy().tobytes()


def number_of_parameters(recipe: Recipe, task: TaskConfig) -> int:
    """Number of parameters of the model on a candidate task."""
    with torch.device("meta"):
        return AsenForMultitask(recipe.model.config({"it": task})).num_parameters()


def describe_candidates(grid: Grid, config: TaskConfig) -> dict[str, Candidate]:
    """Each candidate's entry in the report; ``config`` is the task's own, before a candidate's group and support."""
    candidates = {}
    for cell in grid.cells:
        name = cell["candidate"]
        if name in candidates:  # seen with another learning rate or seed
            continue
        if grid.architecture(cell) is not None or grid.reference(cell) is not None:
            candidates[name] = Candidate(name)
            continue
        [source] = grid.recipe(cell).tasks
        task = source.config(own=config)
        order = value_orders(task).outputs if task.value_symmetries else group_order(task.permutation_group())
        num_orbitals = SymmetryBreaker(task).num_pair_orbits
        candidates[name] = Candidate(name, task.group_name, str(source.support), num_orbitals, order)
    return candidates


def keep_best(grid: Grid, winner: Standing) -> None:
    """Copy the winner's best seed by validation to best/; the remaining runs keep their scores only."""
    sign = -1 if METRICS[winner.metric].larger_is_better else 1
    seed = min(winner.validation, key=lambda seed: sign * winner.validation[seed])
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
