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
from datasets import DatasetDict
from torch.optim.lr_scheduler import LambdaLR
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from ..evaluation.scores import Score, ScoreRecord
from ..model.modeling_asen import AsenForMultitask
from ._processes import process_state
from ._resume import resume
from ._run import Losses, Run, stacked
from ._run_folder import claimed, remove_run, remove_unfinished_writes
from ._state import Progress
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
    accelerator = _accelerator(training)
    keep_freed_memory()
    if training.gradient_checkpointing:
        model.activation_checkpointing_enable()

    work = MultitaskWork(model, data, recipe, accelerator.is_main_process) if isinstance(data, Mapping) else data
    num_steps = total_steps(training, work.num_rows, accelerator.num_processes)
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
    progress = _progress(accelerator, model, optimizer, work, recipe)
    scheduler = _scheduler(optimizer, training, num_steps, progress.step)

    objective.train()
    bar = tqdm(
        total=num_steps,
        initial=progress.step,
        unit="step",
        disable=not (show_progress and accelerator.is_local_main_process),
        mininterval=0.5 if sys.stderr.isatty() else 15,  # seconds; a log file needs no animation
    )
    run = Run(accelerator, model, optimizer, work, recipe, progress, bar)
    if has_fitted and eval_steps < num_steps:  # a single validation, at the end, has nothing to choose from
        run.validate()
    recent: list[Losses] = []
    while progress.step < num_steps and not progress.is_stale(training.patience, eval_steps):
        recent += run.step(objective, prepared)
        scheduler.step()
        progress.step += 1
        bar.update()
        is_reported = progress.step % training.logging_steps == 0
        is_validated = progress.step % eval_steps == 0 or progress.step == num_steps
        if is_reported or is_validated or reads_at_no_cost(accelerator.device):
            _check_finite(recent, progress.step)
        if is_reported:
            run.report(recent, float(scheduler.get_last_lr()[-1]))
            recent.clear()
        if is_validated:
            run.validate()
    bar.close()
    records = run.finish(score_test)
    accelerator.end_training()  # closes the trackers and destroys the process group
    return records


def _progress(
    accelerator: Accelerator, model: AsenForMultitask, optimizer: torch.optim.Optimizer, work: Work, recipe: Recipe
) -> Progress:
    """That of the checkpoint to resume from, whose state is loaded; or of a new run, in a folder without another."""
    output = Path(recipe.training.output_dir)
    if accelerator.is_main_process:
        remove_unfinished_writes(output)
    if recipe.training.resume_from_checkpoint is not None:
        return resume(output, recipe, model, optimizer, accelerator, work.hashes)
    if accelerator.is_main_process:
        remove_run(output)  # where claimed() has let overwrite pass; else there is none
    return Progress(num_processes=accelerator.num_processes, rows=work.hashes)


def _scheduler(optimizer: torch.optim.Optimizer, training: TrainingRecipe, num_steps: int, step: int) -> LambdaLR:
    """The schedule of a run that has taken ``step`` of its ``num_steps``.

    The rate is a function of the step, so that on resuming a changed setting takes effect. The scheduler is not
    prepared: Accelerate would step it once per process.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    warmup = round(training.warmup_ratio * num_steps)
    return get_cosine_schedule_with_warmup(optimizer, warmup, num_steps, last_epoch=step - 1)


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


def _check_finite(recent: list[Losses], step: int) -> None:
    is_finite = stacked(recent).isfinite().all(dim=0)
    if not bool(is_finite.all()):
        tasks = [task for task, holds in zip(recent[0], is_finite.tolist(), strict=True) if not holds]
        raise ValueError(
            f"training diverged: the loss of {', '.join(tasks)} is not finite at step {step}; lower the learning "
            "rate, or check the scale of inputs and labels. Earlier checkpoints are whole"
        )
