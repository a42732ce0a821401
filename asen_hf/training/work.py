"""What a run trains on: rows of tasks. The loop asks for batches, an objective and validation scores, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from datasets import DatasetDict
from torch import Tensor, nn

from ..data import MultitaskBatches
from ..data.statistics import warn_if_far_from_unit_scale
from ..evaluation.scoreboard import scoreboard
from ..evaluation.scores import Score, score_splits
from ..model.configuration_names import PRIOR
from ..model.heads import is_known
from ..model.modeling_asen import AsenForMultitask
from ._linear_skips import fit_linear_skips
from ._prior_start import start_from_prior
from ._resume import row_hashes
from .judging import judged
from .objective import MultitaskObjective, check_labels_known, freeze_other_tasks
from .recipe import Recipe, TrainingRecipe

Batches = list[Any]  # of one optimiser step in one process


class Work(Protocol):
    """What one run trains a model on.

    Attributes:
        hashes: what resuming compares: ``{task: {split: hash}}``.
        num_rows: rows of the largest task, of which ``num_epochs`` is counted.
    """

    hashes: dict[str, dict[str, str]]
    num_rows: int

    def fit(self, model: AsenForMultitask) -> bool:
        """Fit what is fitted once, before the first step of a new run; whether a score of the result is of use.

        A resumed run has the fitted weights from its checkpoint.
        """
        ...

    def prepare(self, model: AsenForMultitask) -> None:
        """Freeze what is not trained, and drop what does not fit the trained model."""
        ...

    def objective(self, model: AsenForMultitask) -> nn.Module:
        """The module that Accelerate prepares: a batch and label counts to ``(loss, {task: loss})``."""
        ...

    def batch(self, index: int) -> Any:
        """Batch number ``index`` of the run, the same whenever it is asked for."""
        ...

    def label_counts(self, accelerator: Accelerator, batches: Batches) -> dict[str, Tensor]:
        """What the sums of losses of these batches are divided by."""
        ...

    def validate(self, model: AsenForMultitask) -> dict[str, Score]:
        """Scores on held-out rows, the same in every process."""
        ...


class MultitaskWork:
    """Training rows of one or several tasks, every one of them in every batch.

    Args:
        model: has the tasks; its other tasks are frozen.
        data: ``{task: DatasetDict}`` with splits train and validation.
        recipe: how many rows, in which order, and what moves them.
        is_logged: whether to warn of rows that are far from unit scale.
        validated: the tasks whose validation rows are scored and pick the best checkpoint; by default all.

    Raises:
        ValueError: a split without a known label, or fewer rows than the recipe wants.
    """

    def __init__(
        self,
        model: AsenForMultitask,
        data: Mapping[str, DatasetDict],
        recipe: Recipe,
        is_logged: bool = True,
        validated: Sequence[str] | None = None,
    ):
        if not data:
            raise ValueError("there are no tasks to train on")
        training = recipe.training
        self.recipe, self.data = recipe, data
        self.configs = {name: model.config.tasks[name] for name in data}
        self.rows = {name: subsample(splits["train"], training) for name, splits in data.items()}
        self.validation = {name: data[name]["validation"] for name in validated or data}
        for name, task in self.configs.items():
            check_labels_known(task, self.rows[name], f"task {name!r}, train split")
            check_labels_known(task, data[name]["validation"], f"task {name!r}, validation split")
            if is_logged:
                warn_if_far_from_unit_scale(name, task, self.rows[name])
        augmentations = {
            task.name: task.augmenting_group(self.configs[task.name].degree)
            for task in recipe.tasks
            if task.augmentation is not None
        }
        self.batches = MultitaskBatches(
            self.rows, self.configs, training.rows_per_task, training.seed, augmentations, training.cosets
        )
        self.hashes = row_hashes(self.configs, data)
        self.num_rows = max(map(len, self.rows.values()))

    def fit(self, model: AsenForMultitask) -> bool:
        fit_linear_skips(model, self.rows)
        is_from_prior = self.recipe.start is not None and self.recipe.start.init_from == PRIOR
        if is_from_prior:
            start_from_prior(model, self.configs, self.rows, self.recipe.training.eval_batch_size)
        return is_from_prior or len(model.linear_skips) > 0  # what was fitted may be all that there is to learn

    def prepare(self, model: AsenForMultitask) -> None:
        freeze_other_tasks(model, list(self.configs))
        # Its rows lie in the tasks' tables, and no further task would fit: the backbone leaves it behind.
        model.drop_structure_embedder()

    def objective(self, model: AsenForMultitask) -> nn.Module:
        return MultitaskObjective(model)

    def batch(self, index: int) -> Any:
        return self.batches[index]

    def label_counts(self, accelerator: Accelerator, batches: Batches) -> dict[str, Tensor]:
        """Each task's number of known labels per batch, a mean over the batches of one step in all processes.

        Accelerate averages a step's gradients over batches and processes. With a batch's sum of losses divided by this
        number, the average is the gradient of the mean over all labels of the step.
        """
        counts = [
            torch.stack([is_known(self.configs[name], columns["labels"]).sum() for name, columns in batch.items()])
            for batch in batches
        ]
        mean = torch.stack(counts).float().mean(dim=0)
        if accelerator.num_processes > 1:
            mean = accelerator.reduce(mean, reduction="mean")
        return dict(zip(batches[0], mean, strict=True))

    def validate(self, model: AsenForMultitask) -> dict[str, Score]:
        return score_splits(model, self.validation, self.recipe.training.eval_batch_size)

    def test(self, model: AsenForMultitask) -> dict[str, Score]:
        """Scores on the test rows, with reference predictions, fitted on the training rows, and equivariance errors."""
        size = self.recipe.training.eval_batch_size
        splits = {name: DatasetDict({**self.data[name], "train": rows}) for name, rows in self.rows.items()}
        return judged(scoreboard(model, splits, batch_size=size), model, self.recipe.tasks, batch_size=size)


def subsample(train: Any, training: TrainingRecipe) -> Any:
    """The ``train_rows`` rows that a run trains on, drawn by its seed. ``ValueError`` if there are fewer."""
    if training.train_rows is None:
        return train
    if not 1 <= training.train_rows <= len(train):
        raise ValueError(f"train_rows must be in 1 … {len(train)} (the train split), got {training.train_rows}")
    return train.shuffle(seed=training.seed).select(range(training.train_rows))
