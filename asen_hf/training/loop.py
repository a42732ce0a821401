"""The one training loop, on Accelerate: multitask steps, validation, checkpoints, resumption.

A run's folder holds two checkpoints, ``checkpoint-STEP/``: the latest and the best by validation. Each loads with
``from_pretrained`` and keeps the state for resuming under ``state/``. After the run, the best model lies at the
folder's top, with its validation scores in ``scores.json``.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import load, send_to_device
from datasets import DatasetDict
from safetensors import SafetensorError
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from ..data import MultitaskBatches
from ..data.statistics import warn_if_far_from_unit_scale
from ..evaluation.scores import Score, ScoreRecord, score_splits
from ..model.modeling_asen import AsenForMultitask
from .objective import (
    MultitaskObjective,
    check_labels_known,
    freeze_other_tasks,
    parameter_groups,
)
from .recipe import Recipe, TrainingRecipe


@dataclasses.dataclass
class Progress:
    """Progress of a run; saved and loaded with each checkpoint."""

    step: int = 0
    best_step: int = 0
    best_loss: float = math.inf

    def state_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def train(model: AsenForMultitask, data: Mapping[str, DatasetDict], recipe: Recipe) -> dict[str, Score]:
    """Train ``model`` on all tasks of ``data`` and leave the best checkpoint by validation in the run's folder.

    Args:
        model: tasks of the model that are not in ``data`` are frozen.
        data: ``{task: DatasetDict}`` with splits train and validation.
        recipe: its ``training`` section controls the loop; the whole recipe is saved with every checkpoint.

    Returns:
        The best checkpoint's validation scores; ``model`` then holds its weights.

    Raises:
        ValueError: the checkpoint to resume from is missing or incomplete.
    """
    if not data:
        raise ValueError("there are no tasks to train on")
    training = recipe.training
    output = Path(training.output_dir)
    accelerator = Accelerator(
        mixed_precision=training.mixed_precision,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        log_with=None if training.report_to == "none" else training.report_to,
        project_dir=output,
    )
    if training.report_to != "none":
        scalars = {key: value for key, value in dataclasses.asdict(training).items() if value is not None}
        accelerator.init_trackers("asen", config=scalars)
    keep_freed_memory()
    if training.gradient_checkpointing:
        model.activation_checkpointing_enable()

    configs = {name: model.config.tasks[name] for name in data}
    rows = {name: _subsample(splits["train"], training) for name, splits in data.items()}
    validation = {name: splits["validation"] for name, splits in data.items()}
    for name, task in configs.items():
        check_labels_known(task, rows[name], f"task {name!r}, train split")
        check_labels_known(task, validation[name], f"task {name!r}, validation split")
        if accelerator.is_main_process:
            warn_if_far_from_unit_scale(name, task, rows[name])
    augmentations = {
        task.name: task.augmenting_group(configs[task.name].degree)
        for task in recipe.tasks
        if task.augmentation is not None
    }
    batches = MultitaskBatches(rows, configs, training.rows_per_task, training.seed, augmentations)
    ranks, accumulation = accelerator.num_processes, training.gradient_accumulation_steps
    num_steps = total_steps(training, max(map(len, rows.values())), ranks)
    eval_steps = training.eval_steps or math.ceil(num_steps / 10)

    freeze_other_tasks(model, list(data))
    optimizer = torch.optim.AdamW(
        parameter_groups(model, training.lr, training.backbone_lr),
        weight_decay=training.weight_decay,
        fused=True,  # one kernel for all tensors saves a tenth of a small model's step
    )
    scheduler = get_cosine_schedule_with_warmup(optimizer, round(training.warmup_ratio * num_steps), num_steps)
    objective, optimizer = accelerator.prepare(MultitaskObjective(model), optimizer)
    progress = Progress()
    # The scheduler is not prepared: Accelerate would step it once per process.
    accelerator.register_for_checkpointing(scheduler, progress)
    if training.resume_from_checkpoint is not None:
        _resume(accelerator, output, training.resume_from_checkpoint)

    objective.train()
    bar = tqdm(
        total=num_steps,
        initial=progress.step,
        unit="step",
        disable=not accelerator.is_local_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 15,  # seconds; a log file needs no animation
    )
    recent: list[torch.Tensor] = []
    while progress.step < num_steps:
        for micro in range(accumulation):
            batch = batches[(progress.step * accumulation + micro) * ranks + accelerator.process_index]
            with accelerator.accumulate(objective):
                loss, losses = objective(send_to_device(batch, accelerator.device))
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(objective.parameters(), training.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
            recent.append(loss.detach())
            losses = {task: task_loss.detach() for task, task_loss in losses.items()}
        scheduler.step()
        progress.step += 1
        bar.update()
        if progress.step % training.logging_steps == 0:
            _report(accelerator, bar, progress.step, recent, losses, scheduler.get_last_lr()[-1])
            recent.clear()
        if progress.step % eval_steps == 0 or progress.step == num_steps:
            _validate(accelerator, model, validation, progress, recipe, bar)
    bar.close()
    scores = _finish(accelerator, model, validation, recipe, progress)
    accelerator.end_training()  # closes the trackers and destroys the process group
    if accelerator.num_processes == 1:
        AcceleratorState._reset_state()  # else the program's next run could not change mixed_precision
    return scores


def total_steps(training: TrainingRecipe, largest: int, num_processes: int) -> int:
    """Optimiser steps of a run: ``max_steps``, or the steps that ``num_epochs`` over ``largest`` rows take."""
    if training.max_steps > 0:
        return training.max_steps
    rows_per_step = training.rows_per_task * training.gradient_accumulation_steps * num_processes
    return max(1, math.ceil(training.num_epochs * largest / rows_per_step))


def keep_freed_memory() -> None:
    """Make a step reuse the memory that the last step freed: an eager step on a CPU takes about a third less time.

    glibc returns freed memory to the system beyond a limit of twice the largest block that was ever mapped and freed,
    up to 32 MiB, and every step then spends time on page faults. Freeing one large block raises the limit; with other C
    libraries the call has no effect.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


def _subsample(train: Any, training: TrainingRecipe) -> Any:
    if training.train_rows is None:
        return train
    if not 1 <= training.train_rows <= len(train):
        raise ValueError(f"train_rows must be in 1 … {len(train)} (the train split), got {training.train_rows}")
    return train.shuffle(seed=training.seed).select(range(training.train_rows))


def _report(
    accelerator: Accelerator,
    bar: tqdm,
    step: int,
    recent: list[torch.Tensor],
    losses: Mapping[str, torch.Tensor],
    rate: float,
) -> None:
    loss = float(accelerator.reduce(torch.stack(recent).mean(), reduction="mean"))
    bar.set_postfix(loss=f"{loss:.4f}", lr=f"{rate:.1e}", refresh=False)
    tasks = {f"train/{task}/loss": float(value) for task, value in losses.items()}
    accelerator.log({"train/loss": loss, "train/lr": rate, **tasks}, step=step)


def _validate(
    accelerator: Accelerator,
    model: AsenForMultitask,
    validation: Mapping[str, Any],
    progress: Progress,
    recipe: Recipe,
    bar: tqdm,
) -> None:
    """Score the validation splits (all rows in every process, so that all processes agree) and save a checkpoint."""
    scores = score_splits(model, validation, recipe.training.eval_batch_size)
    loss = sum(score.loss for score in scores.values()) / len(scores)
    if loss < progress.best_loss:
        progress.best_loss, progress.best_step = loss, progress.step
    summary = ", ".join(f"{task} {score.value:.4g}" for task, score in scores.items())
    if accelerator.is_local_main_process:
        bar.write(f"step {progress.step}: validation loss {loss:.4f} ({summary})")
    values = {f"validation/{task}/{score.metric}": score.value for task, score in scores.items()}
    accelerator.log({"validation/loss": loss, **values}, step=progress.step)
    _save(accelerator, model, progress, recipe)


def _save(accelerator: Accelerator, model: AsenForMultitask, progress: Progress, recipe: Recipe) -> None:
    """Write a checkpoint aside, rename it, and only then remove those that are neither latest nor best."""
    output = Path(recipe.training.output_dir)
    final = output / f"checkpoint-{progress.step}"
    aside = output / f".{final.name}.tmp"
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        model.save_pretrained(aside)
        recipe.write(aside / "recipe.yaml")
    accelerator.wait_for_everyone()
    accelerator.save_state(str(aside / "state"))  # every process writes its own random state
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        for checkpoint in _checkpoints(output):
            if _step(checkpoint) not in (progress.step, progress.best_step):
                shutil.rmtree(checkpoint)
    accelerator.wait_for_everyone()


def _resume(accelerator: Accelerator, output: Path, source: str) -> None:
    saved = _checkpoints(output)
    path = Path(source) if source != "latest" else (saved[-1] if saved else output / "checkpoint-STEP")
    if not (path / "state").is_dir():
        raise ValueError(f"cannot resume: {path} is not a checkpoint with a state folder")
    try:
        # Accelerate skips a random state that it cannot read; the resumed run would then draw other numbers.
        load(path / "state" / f"random_states_{accelerator.process_index}.pkl", weights_only=False)
        accelerator.load_state(str(path / "state"))
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError, SafetensorError) as error:
        raise ValueError(
            f"cannot resume: {path / 'state'} is incomplete or belongs to another model: {error}"
        ) from error


def _finish(
    accelerator: Accelerator,
    model: AsenForMultitask,
    validation: Mapping[str, Any],
    recipe: Recipe,
    progress: Progress,
) -> dict[str, Score]:
    output = Path(recipe.training.output_dir)
    if progress.best_step == 0:
        raise ValueError("training diverged: the validation loss was never finite; lower the learning rate")
    best = type(model).from_pretrained(output / f"checkpoint-{progress.best_step}")
    model.load_state_dict(best.state_dict())
    scores = score_splits(model, validation, recipe.training.eval_batch_size)
    if accelerator.is_main_process:
        record = ScoreRecord("validation", recipe.training.seed, scores, progress.best_step)
        aside = output / ".finished.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        model.save_pretrained(aside)
        recipe.write(aside / "recipe.yaml")
        record.write(aside / "scores.json")
        for file in sorted(aside.iterdir()):  # scores.json sorts last: its presence marks a complete run
            file.replace(output / file.name)
        aside.rmdir()
    accelerator.wait_for_everyone()
    return scores


def _checkpoints(output: Path) -> list[Path]:
    return sorted(output.glob("checkpoint-*"), key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
