"""The one training loop, on Accelerate: multitask steps, validation, checkpoints, resumption.

A run's folder holds two checkpoints, ``checkpoint-STEP/``: the latest and the best by validation. Each loads with
``from_pretrained`` and keeps the state for resuming under ``state/`` (see ``_state.py``). After the run, the best model
lies at the folder's top, with its scores (see ``_run_folder.py``).
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import send_to_device
from datasets import DatasetDict
from torch import Tensor
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from ..evaluation.scores import TEST_SCORES_NAME, Score, ScoreRecord
from ..model.modeling_asen import AsenForMultitask
from ._processes import process_state
from ._resume import resume
from ._run_folder import (
    RECIPE_NAME,
    SCORES_NAME,
    STATE,
    checkpoints,
    claimed,
    publish,
    remove_checkpoint,
    remove_run,
    remove_unfinished_writes,
    save_checkpoint,
    step_of,
    unfinished_checkpoint,
)
from ._state import Progress, save_random_state, save_state
from .objective import parameter_groups
from .recipe import Recipe, TrainingRecipe
from .work import MultitaskWork, Work

# Variables by which accelerate launch asks for training that splits the weights.
_SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


def train(
    model: AsenForMultitask,
    data: Mapping[str, DatasetDict] | Work,
    recipe: Recipe,
    score_test: Callable[[AsenForMultitask], dict[str, Score]] | None = None,
    show_progress: bool = True,
) -> dict[str, ScoreRecord]:
    """Train ``model`` on all tasks of ``data`` and leave the best checkpoint by validation in the run's folder.

    Args:
        model: tasks of the model that are not in ``data`` are frozen.
        data: ``{task: DatasetDict}`` with splits train and validation; or other :class:`~.work.Work`.
        recipe: its ``training`` section controls the loop; the whole recipe is saved with every checkpoint.
        score_test: scores the best model before the result is published, with its scores as test_scores.json.
        show_progress: whether to show a progress bar and print the validation scores.

    Returns:
        The best checkpoint's scores, ``{"validation": …}`` and, with ``score_test``, ``"test"``; ``model`` then holds
        its weights.

    Raises:
        ValueError: the run's folder is taken or cannot be written, a loss is not finite, or a run cannot be resumed
            from the checkpoint.
    """
    with claimed(recipe.training):
        try:
            return _train(model, data, recipe, score_test, show_progress)
        finally:
            if process_state().num_processes == 1:
                AcceleratorState._reset_state()  # else the program's next run could not change mixed_precision


def _train(
    model: AsenForMultitask,
    data: Mapping[str, DatasetDict] | Work,
    recipe: Recipe,
    score_test: Callable[[AsenForMultitask], dict[str, Score]] | None,
    show_progress: bool,
) -> dict[str, ScoreRecord]:
    training = recipe.training
    output = Path(training.output_dir)
    accelerator = _accelerator(training)
    keep_freed_memory()
    if training.gradient_checkpointing:
        model.activation_checkpointing_enable()

    work = MultitaskWork(model, data, recipe, accelerator.is_main_process) if isinstance(data, Mapping) else data
    ranks, accumulation = accelerator.num_processes, training.gradient_accumulation_steps
    num_steps = total_steps(training, work.num_rows, ranks)
    eval_steps = training.eval_steps or math.ceil(num_steps / 10)

    model.to(accelerator.device)  # what is fitted is computed where it is trained, and reaches the other processes
    has_fitted = training.resume_from_checkpoint is None and work.fit(model)
    work.prepare(model)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, training.lr, training.backbone_lr, training.free_row_decay),
        weight_decay=training.weight_decay,
        fused=True,  # one kernel for all tensors saves a tenth of a small model's step
    )
    objective, prepared = accelerator.prepare(work.objective(model), optimizer)
    if accelerator.is_main_process:
        remove_unfinished_writes(output)
    if training.resume_from_checkpoint is None:
        if accelerator.is_main_process:
            remove_run(output)  # where claimed() has let overwrite pass; else there is none
        progress = Progress(num_processes=ranks, rows=work.hashes)
    else:
        progress = resume(output, recipe, model, optimizer, accelerator, work.hashes)
    # The rate is a function of the step, so that on resuming a changed setting takes effect. The scheduler is not
    # prepared: Accelerate would step it once per process.
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    scheduler = get_cosine_schedule_with_warmup(
        optimizer, round(training.warmup_ratio * num_steps), num_steps, last_epoch=progress.step - 1
    )

    objective.train()
    bar = tqdm(
        total=num_steps,
        initial=progress.step,
        unit="step",
        disable=not (show_progress and accelerator.is_local_main_process),
        mininterval=0.5 if sys.stderr.isatty() else 15,  # seconds; a log file needs no animation
    )
    if has_fitted and eval_steps < num_steps:  # a single validation, at the end, has nothing to choose from
        _validate(accelerator, model, optimizer, work, progress, recipe, bar)
    recent: list[Tensor] = []
    while progress.step < num_steps and not progress.is_stale(training.patience, eval_steps):
        first = progress.step * accumulation
        step_batches = [
            send_to_device(work.batch((first + micro) * ranks + accelerator.process_index), accelerator.device)
            for micro in range(accumulation)
        ]
        counts = work.label_counts(accelerator, step_batches)
        for batch in step_batches:
            with accelerator.accumulate(objective):
                loss, losses = objective(batch, counts)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(objective.parameters(), training.max_grad_norm)
                prepared.step()
                prepared.zero_grad()
            recent.append(loss.detach())
            losses = {task: task_loss.detach() for task, task_loss in losses.items()}
        scheduler.step()
        progress.step += 1
        bar.update()
        is_reported = progress.step % training.logging_steps == 0
        is_validated = progress.step % eval_steps == 0 or progress.step == num_steps
        if is_reported or is_validated or reads_at_no_cost(accelerator.device):
            _check_finite(recent, losses, progress.step)
        if is_reported:
            _report(accelerator, bar, progress.step, recent, losses, scheduler.get_last_lr()[-1])
            recent.clear()
        if is_validated:
            _validate(accelerator, model, optimizer, work, progress, recipe, bar)
    bar.close()
    records = _finish(accelerator, model, work, recipe, progress, score_test)
    accelerator.end_training()  # closes the trackers and destroys the process group
    return records


def _accelerator(training: TrainingRecipe) -> Accelerator:
    for variable, name in _SHARDED.items():
        if os.environ.get(variable, "false").lower() == "true":
            raise ValueError(
                f"training by {name} is not supported: it splits the weights of models that exceed a device's memory; "
                "launch with data parallelism only (accelerate launch --multi_gpu)"
            )
    accelerator = Accelerator(
        mixed_precision=training.mixed_precision,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        log_with=None if training.report_to == "none" else training.report_to,
        project_dir=training.output_dir,
    )
    if training.report_to != "none":
        scalars = {key: value for key, value in dataclasses.asdict(training).items() if value is not None}
        accelerator.init_trackers("asen", config=scalars)
    return accelerator


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


def reads_at_no_cost(device: torch.device) -> bool:
    """Whether a loss can be looked at in every step; on an accelerator, the program would wait for the device."""
    return device.type == "cpu"


def _check_finite(recent: list[Tensor], losses: Mapping[str, Tensor], step: int) -> None:
    if not bool(torch.stack(recent).isfinite().all()):
        tasks = [name for name, loss in losses.items() if not bool(loss.isfinite())]
        raise ValueError(
            f"training diverged: the loss{' of ' + ', '.join(tasks) if tasks else ''} is not finite at step {step}; "
            "lower the learning rate, or check the scale of inputs and labels. Earlier checkpoints are whole"
        )


def _report(
    accelerator: Accelerator,
    bar: tqdm,
    step: int,
    recent: list[Tensor],
    losses: Mapping[str, Tensor],
    rate: float,
) -> None:
    loss = float(accelerator.reduce(torch.stack(recent).mean(), reduction="mean"))
    bar.set_postfix(loss=f"{loss:.4f}", lr=f"{rate:.1e}", refresh=False)
    tasks = {f"train/{task}/loss": float(value) for task, value in losses.items()}
    accelerator.log({"train/loss": loss, "train/lr": rate, **tasks}, step=step)


def _validate(
    accelerator: Accelerator,
    model: AsenForMultitask,
    optimizer: torch.optim.Optimizer,
    work: Work,
    progress: Progress,
    recipe: Recipe,
    bar: tqdm,
) -> None:
    """Score the validation splits (all rows in every process, so that all processes agree) and save a checkpoint."""
    scores = work.validate(model)
    loss = sum(score.loss for score in scores.values()) / len(scores)
    if not math.isfinite(loss):
        raise ValueError(
            f"training diverged: the validation loss is {loss} at step {progress.step}; lower the learning rate. "
            "Earlier checkpoints are whole"
        )
    progress.validated(loss)
    summary = ", ".join(f"{task} {score.value:.4g}" for task, score in scores.items())
    if not bar.disable:
        bar.write(f"step {progress.step}: validation loss {loss:.4f} ({summary})")
    values = {f"validation/{task}/{score.metric}": score.value for task, score in scores.items()}
    accelerator.log({"validation/loss": loss, **values}, step=progress.step)
    _save(accelerator, model, optimizer, progress, recipe)


def _save(
    accelerator: Accelerator,
    model: AsenForMultitask,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    recipe: Recipe,
) -> None:
    """Save a checkpoint, and only then remove those that are neither the latest nor the best."""
    output = Path(recipe.training.output_dir)

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        recipe.write(folder / RECIPE_NAME)
        (folder / STATE).mkdir()
        progress.scaler = None if accelerator.scaler is None else accelerator.scaler.state_dict()
        save_state(folder / STATE, model, optimizer, progress)
        accelerator.wait_for_everyone()  # the folder exists
        save_random_state(folder / STATE, accelerator)
        accelerator.wait_for_everyone()  # all random states are written

    if accelerator.is_main_process:
        save_checkpoint(output, progress.step, fill)
        for checkpoint in checkpoints(output):
            if step_of(checkpoint) not in (progress.step, progress.best_step):
                remove_checkpoint(checkpoint)
    else:
        accelerator.wait_for_everyone()
        save_random_state(unfinished_checkpoint(output, progress.step) / STATE, accelerator)
        accelerator.wait_for_everyone()
    accelerator.wait_for_everyone()


def _finish(
    accelerator: Accelerator,
    model: AsenForMultitask,
    work: Work,
    recipe: Recipe,
    progress: Progress,
    score_test: Callable[[AsenForMultitask], dict[str, Score]] | None,
) -> dict[str, ScoreRecord]:
    """Load the best checkpoint into the model, score it, and publish it with its scores."""
    output, seed = Path(recipe.training.output_dir), recipe.training.seed
    best = type(model).from_pretrained(output / f"checkpoint-{progress.best_step}")
    model.load_state_dict(best.state_dict())
    scores = work.validate(model)
    records = {"validation": ScoreRecord("validation", seed, scores, progress.best_step, rows=work.hashes)}
    if score_test is not None:
        records["test"] = ScoreRecord("test", seed, score_test(model))

    def fill(folder: Path) -> None:
        model.save_pretrained(folder)
        recipe.write(folder / RECIPE_NAME)
        for split, record in records.items():
            record.write(folder / (SCORES_NAME if split == "validation" else TEST_SCORES_NAME))

    if accelerator.is_main_process:
        publish(output, fill)
    accelerator.wait_for_everyone()
    return records
