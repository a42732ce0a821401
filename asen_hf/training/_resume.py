"""What may change when a run resumes: each field of the recipe takes effect, or its change is refused."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from datasets import DatasetDict

from ..data import collate
from ..evaluation.row_outcomes import rows_digest
from ..model.configuration_asen import AsenConfig, TaskConfig
from ..model.modeling_asen import AsenForMultitask
from ._run_folder import RECIPE_NAME, STATE, checkpoints, save_checkpoint
from ._state import Progress, load_state, read_progress
from .recipe import Recipe

# Fields of TrainingRecipe that determine which rows a step sees, or what the state means. All other fields take effect
# when they change; the fields of the remaining sections may not change.
FIXED = ("seed", "rows_per_task", "gradient_accumulation_steps", "train_rows", "mixed_precision")


def resume(
    output: Path,
    recipe: Recipe,
    model: AsenForMultitask,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    rows: dict[str, dict[str, str]],
) -> Progress:
    """Load the checkpoint that ``recipe.training.resume_from_checkpoint`` names; it may lie in another run's folder.

    Args:
        output: the run's folder.
        recipe: the recipe of the resumed run.
        model, optimizer: get the checkpoint's weights and state.
        accelerator: of this process.
        rows: :func:`row_hashes` of the resumed run.

    Raises:
        ValueError: there is no such checkpoint, it is incomplete or belongs to another model, or a setting, the rows or
            the number of processes changed that cannot change within a run.
    """
    source = recipe.training.resume_from_checkpoint
    saved = [checkpoint for checkpoint in checkpoints(output) if (checkpoint / STATE).is_dir()]
    path = Path(str(source)) if source != "latest" else (saved[-1] if saved else output / "checkpoint-STEP")
    if not (path / STATE).is_dir():
        raise ValueError(f"cannot resume: {path} is not a checkpoint with a state folder")
    try:
        progress = read_progress(path / STATE)
        _check_same_run(Recipe.read(path / RECIPE_NAME), recipe, progress)
        _check_same_tasks(path, model.config, rows)
        _check_same_rows(progress.rows, rows)
        if progress.num_processes != accelerator.num_processes:
            raise ValueError(
                f"it was trained by {progress.num_processes} process(es), not by {accelerator.num_processes}, and the "
                "order of its rows depends on their number"
            )
        load_state(path, model, optimizer, accelerator)
        if accelerator.scaler is not None and progress.scaler is not None:
            accelerator.scaler.load_state_dict(progress.scaler)
    except (ValueError, OSError) as error:
        raise ValueError(f"cannot resume from {path}: {error}") from error
    if accelerator.is_main_process:
        _bring_along(path, output, progress)
    accelerator.wait_for_everyone()
    if not (output / f"checkpoint-{progress.best_step}").is_dir():  # lost in the other folder
        progress.best_step, progress.best_loss = progress.step, progress.loss
    return progress


def row_hashes(tasks: Mapping[str, TaskConfig], data: Mapping[str, DatasetDict]) -> dict[str, dict[str, str]]:
    """A hash of the content of every split, ``{task: {split: hash}}``."""
    return {
        name: {str(split): rows_digest(collate(tasks[name], rows)) for split, rows in splits.items()}
        for name, splits in data.items()
    }


def _check_same_run(saved: Recipe, recipe: Recipe, progress: Progress) -> None:
    before, now = dict(_fixed_fields(saved)), dict(_fixed_fields(recipe))
    for name in [*before, *now]:
        old, new = before.get(name), now.get(name)
        if old != new:
            raise ValueError(f"{name} was {old!r} and is now {new!r}, which cannot change within a run")
    if 0 < recipe.training.max_steps < progress.step:
        raise ValueError(f"max_steps is {recipe.training.max_steps}, but the checkpoint is at step {progress.step}")


def _fixed_fields(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    sections = recipe.to_dict()
    yield from ((f"model.{name}", value) for name, value in sections["model"].items())
    for task in sections["tasks"]:
        yield from ((f"tasks.{task['name']}.{name}", value) for name, value in task.items())
    yield from ((f"start.{name}", value) for name, value in sections.get("start", {}).items())
    yield from ((f"training.{name}", sections["training"][name]) for name in FIXED)


def _check_same_tasks(path: Path, config: AsenConfig, trained: Iterable[str]) -> None:
    saved = type(config).from_pretrained(path).tasks
    for name in trained:
        if name not in saved:
            raise ValueError(f"it has no task {name!r}; it has {', '.join(saved)}")
        before, now = saved[name].to_dict(), config.tasks[name].to_dict()
        changed = [field for field in now if before[field] != now[field]]
        if changed:
            raise ValueError(f"{', '.join(changed)} of task {name!r} changed, which cannot change within a run")


def _check_same_rows(saved: Mapping[str, Any], rows: Mapping[str, Mapping[str, str]]) -> None:
    if saved.keys() != rows.keys():
        raise ValueError(f"it was trained on the tasks {', '.join(saved)}, not on {', '.join(rows)}")
    for task, splits in rows.items():
        for split, digest in splits.items():
            if saved[task].get(split) != digest:
                raise ValueError(f"the {split} rows of task {task!r} are not those that it was trained with")


def _bring_along(path: Path, output: Path, progress: Progress) -> None:
    """Copy the checkpoint and the best checkpoint from another run's folder."""
    best = path.parent / f"checkpoint-{progress.best_step}"
    for step, source in {progress.best_step: best, progress.step: path}.items():
        if source.is_dir() and not (output / f"checkpoint-{step}").exists():
            save_checkpoint(output, step, functools.partial(shutil.copytree, source, dirs_exist_ok=True))
