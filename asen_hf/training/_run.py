"""One run of the training loop: its steps, reports, validations, checkpoints and result."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import send_to_device
from torch import Tensor
from tqdm.auto import tqdm

from ..evaluation.scores import TEST_SCORES_NAME, Score, ScoreRecord
from ..model.modeling_asen import AsenForMultitask
from ._run_folder import (
    RECIPE_NAME,
    SCORES_NAME,
    STATE,
    checkpoints,
    publish,
    remove_checkpoint,
    save_checkpoint,
    step_of,
    unfinished_checkpoint,
)
from ._state import Progress, save_random_state, save_state
from .recipe import Recipe
from .work import Work

Losses = dict[str, Tensor]  # of one micro-batch in one process, by task; detached


@dataclasses.dataclass(frozen=True)
class Run:
    """What the steps, validations and checkpoints of one run share; ``progress`` changes with every step."""

    accelerator: Accelerator
    model: AsenForMultitask
    optimizer: torch.optim.Optimizer
    work: Work
    recipe: Recipe
    progress: Progress
    bar: tqdm

    @property
    def output(self) -> Path:
        return Path(self.recipe.training.output_dir)

    def step(self, objective: torch.nn.Module, optimizer: AcceleratedOptimizer) -> list[Losses]:
        """Train on the micro-batches of one optimiser step; the losses of each, by task.

        Args:
            objective, optimizer: as Accelerate has prepared them.
        """
        accelerator, training = self.accelerator, self.recipe.training
        first = self.progress.step * training.gradient_accumulation_steps
        batches = [
            send_to_device(
                self.work.batch(number * accelerator.num_processes + accelerator.process_index), accelerator.device
            )
            for number in range(first, first + training.gradient_accumulation_steps)
        ]
        counts = self.work.label_counts(accelerator, batches)
        found = []
        for batch in batches:
            with accelerator.accumulate(objective):
                loss, losses = objective(batch, counts)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(objective.parameters(), training.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
            found.append({task: task_loss.detach() for task, task_loss in losses.items()})
        return found

    def report(self, recent: list[Losses], rate: float) -> None:
        """Log the learning rate, and each task's mean loss over micro-batches and processes; ``train/loss`` is theirs.

        Every micro-batch counts the same, because its losses are divided by the step's mean number of labels.
        """
        means = self.accelerator.reduce(stacked(recent).mean(dim=0), reduction="mean").tolist()
        loss = sum(means) / len(means)
        self.bar.set_postfix(loss=f"{loss:.4f}", lr=f"{rate:.1e}", refresh=False)
        tasks = {f"train/{task}/loss": mean for task, mean in zip(recent[0], means, strict=True)}
        self.accelerator.log({"train/loss": loss, "train/lr": rate, **tasks}, step=self.progress.step)

    def validate(self) -> None:
        """Score the validation splits (all rows in every process, so that all processes agree) and save a checkpoint.

        Raises:
            ValueError: the loss is not finite.
        """
        scores = self.work.validate(self.model)
        loss = sum(score.loss for score in scores.values()) / len(scores)
        if not math.isfinite(loss):
            raise ValueError(
                f"training diverged: the validation loss is {loss} at step {self.progress.step}; lower the learning "
                "rate. Earlier checkpoints are whole"
            )
        self.progress.validated(loss)
        summary = ", ".join(f"{task} {score.value:.4g}" for task, score in scores.items())
        if not self.bar.disable:
            self.bar.write(f"step {self.progress.step}: validation loss {loss:.4f} ({summary})")
        values = {f"validation/{task}/{score.metric}": score.value for task, score in scores.items()}
        self.accelerator.log({"validation/loss": loss, **values}, step=self.progress.step)
        self.save()

    def save(self) -> None:
        """Save a checkpoint, and only then remove those that are neither the latest nor the best."""
        accelerator, progress = self.accelerator, self.progress

        def fill(folder: Path) -> None:
            self.model.save_pretrained(folder)
            self.recipe.write(folder / RECIPE_NAME)
            (folder / STATE).mkdir()
            progress.scaler = None if accelerator.scaler is None else accelerator.scaler.state_dict()
            save_state(folder / STATE, self.model, self.optimizer, progress)
            accelerator.wait_for_everyone()  # the folder exists
            save_random_state(folder / STATE, accelerator)
            accelerator.wait_for_everyone()  # all random states are written

        if accelerator.is_main_process:
            save_checkpoint(self.output, progress.step, fill)
            for checkpoint in checkpoints(self.output):
                if step_of(checkpoint) not in (progress.step, progress.best_step):
                    remove_checkpoint(checkpoint)
        else:
            accelerator.wait_for_everyone()
            save_random_state(unfinished_checkpoint(self.output, progress.step) / STATE, accelerator)
            accelerator.wait_for_everyone()
        accelerator.wait_for_everyone()

    def finish(self, score_test: Callable[[AsenForMultitask], dict[str, Score]] | None) -> dict[str, ScoreRecord]:
        """Load the best checkpoint into the model, score it, and publish it with its scores."""
        model, seed, best_step = self.model, self.recipe.training.seed, self.progress.best_step
        best = type(model).from_pretrained(self.output / f"checkpoint-{best_step}")
        model.load_state_dict(best.state_dict())
        scores = self.work.validate(model)
        records = {"validation": ScoreRecord("validation", seed, scores, best_step, rows=self.work.hashes)}
        if score_test is not None:
            records["test"] = ScoreRecord("test", seed, score_test(model))

        def fill(folder: Path) -> None:
            model.save_pretrained(folder)
            self.recipe.write(folder / RECIPE_NAME)
            for split, record in records.items():
                record.write(folder / (SCORES_NAME if split == "validation" else TEST_SCORES_NAME))

        if self.accelerator.is_main_process:
            publish(self.output, fill)
        self.accelerator.wait_for_everyone()
        return records


def stacked(recent: list[Losses]) -> Tensor:
    """Losses, ``(micro-batches, tasks)``."""
    return torch.stack([torch.stack([*losses.values()]) for losses in recent])
