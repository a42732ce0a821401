"""One fit of an estimator: rows held out for validation, a fresh or a given model, and the loop without its noise."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from datasets import Dataset, DatasetDict
from sklearn.model_selection import train_test_split

from ._estimator_files import without_progress_bars
from .closures import warn_if_not_closed
from .data import collate
from .data.features import to_dataset
from .evaluation.scores import Score, score_splits
from .model.configuration_asen import AsenConfig, TaskConfig
from .model.configuration_names import PRIOR
from .model.configuration_rows import WEIGHTS
from .model.modeling_asen import AsenForMultitask
from .model.read_out import fit_read_out
from .training._checkpoints import load_model
from .training._statistics import with_training_statistics
from .training.finetune import finetuning_settings, has_task, prepare_model
from .training.loop import total_steps, train
from .training.recipe import ModelRecipe, Recipe, Start
from .training.task_rows import DEFAULT_NAME as TASK

STRATEGIES = ("finetune", "in_context")
_VALIDATIONS = 20  # per fit


@dataclasses.dataclass(frozen=True)
class Member:
    """One trained model of an ensemble.

    Attributes:
        model: with the weights that were best by validation, in evaluation mode.
        score: of the validation rows.
        held_out: numbers of the validation rows; the training rows if none were held out.
    """

    model: AsenForMultitask
    score: Score
    held_out: np.ndarray


@dataclasses.dataclass(frozen=True)
class FitStart:
    """What a fit starts from: a checkpoint, and a donor task in it, or a fresh network with these fields.

    Attributes:
        checkpoint: a checkpoint or a model, or ``None``.
        init_from: a task of the checkpoint, or ``"prior"``, the default of ``"in_context"``.
        network: fields of AsenConfig of a fresh network.
        strategy: ``"finetune"``, or ``"in_context"``: only the head is fitted, by ridge regression.
    """

    checkpoint: Any
    init_from: str | None
    network: Mapping[str, Any]
    strategy: str = "finetune"

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy must be {' or '.join(map(repr, STRATEGIES))}, got {self.strategy!r}")
        if self.strategy == "in_context" and self.checkpoint is None:
            raise ValueError('strategy="in_context" fits a head to a pretrained network: give checkpoint too')

    def model(self, task: TaskConfig) -> AsenForMultitask:
        """A model with the task, and no other one.

        Raises:
            ValueError: rows of a donor or the prior are needed, and the checkpoint has none. A head that is fitted in
                context reads those of the prior, unless the task is the checkpoint's own.
        """
        if self.strategy == "in_context" and self.init_from is None:
            model = load_model(self.checkpoint)
            if has_task(model, TASK, task):
                return prepare_model(model, TASK, task)
            if TASK in model.config.tasks:
                model.drop_task(TASK)
            return prepare_model(model, TASK, task, init_from=PRIOR)
        if self.checkpoint is not None:
            return prepare_model(self.checkpoint, TASK, task, init_from=self.init_from)
        if self.init_from is not None:
            raise ValueError(f"init_from={self.init_from!r} names a task of a checkpoint: give checkpoint too")
        warn_if_not_closed(TASK, task)
        return AsenForMultitask(AsenConfig(tasks={TASK: task}, **self.network))


def fit_member(
    start: FitStart,
    task: TaskConfig,
    columns: Mapping[str, np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray | None,
    training: Mapping[str, Any],
    validation_fraction: float | None,
    verbose: bool,
) -> Member:
    """Train a model on one task, without a trace: no files, no output, and the global random states as they were.

    Args:
        start: where the weights come from.
        task: its statistics are computed from the training rows where it states none.
        columns: inputs and, if there are any, pairs and attention_mask, as the task takes them.
        labels: as the task takes them.
        weights: ``(rows,)``, factors of the rows' losses; ``None`` for equal ones.
        training: fields of :class:`~asen_hf.training.recipe.TrainingRecipe`, with the seed.
        validation_fraction: share of the rows that are held out.
        verbose: whether to show a progress bar and the validation scores.
    """
    with _undisturbed(), without_progress_bars(), tempfile.TemporaryDirectory(prefix="asen_hf_") as folder:
        settings = finetuning_settings(
            {**training, "output_dir": folder}, start.init_from, from_scratch=start.checkpoint is None
        )
        parts = split(task, labels, validation_fraction, settings.seed)
        data = {TASK: DatasetDict({name: _rows(task, columns, labels, weights, part) for name, part in parts.items()})}
        if settings.eval_steps == 0:
            settings.eval_steps = math.ceil(total_steps(settings, len(parts["train"]), 1) / _VALIDATIONS)
        set_seed(settings.seed)
        model = start.model(task)
        model.config.tasks |= with_training_statistics(dict(model.config.tasks), data, settings, is_logged=False)
        if start.strategy == "in_context":
            if weights is not None or model.config.tasks[TASK].class_weights is not None:
                raise ValueError(
                    'strategy="in_context" takes no weights of rows or classes: leave them out, or finetune'
                )
            fit_read_out(model, TASK, collate(model.config.tasks[TASK], data[TASK]["train"]))
            score = score_splits(model, {TASK: data[TASK]["validation"]}, settings.eval_batch_size)[TASK]
        else:
            recipe = Recipe(ModelRecipe.of(model.config), [], settings, Start(init_from=start.init_from))
            score = train(model, data, recipe, show_progress=verbose)["validation"].scores[TASK]
    return Member(model.eval().requires_grad_(True), score, parts["validation"])


def _rows(
    task: TaskConfig,
    columns: Mapping[str, np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray | None,
    part: np.ndarray,
) -> Dataset:
    rows = to_dataset(task, labels=labels[part], **{name: column[part] for name, column in columns.items()})
    return rows if weights is None else rows.add_column(WEIGHTS, weights[part])


def split(task: TaskConfig, labels: np.ndarray, fraction: float | None, seed: int) -> dict[str, np.ndarray]:
    """Random row numbers for train and validation, the same share of each class where classes are of rows.

    Without a fraction, and where it is less than one row, the model is chosen by the training rows themselves.
    """
    rows = np.arange(len(labels))
    if fraction is not None and not 0 <= fraction < 1:
        raise ValueError(f"validation_fraction must be at least 0 and below 1, or None, got {fraction}")
    number = round((fraction or 0) * len(rows))
    if number == 0:
        return {"train": rows, "validation": rows}
    counts = np.bincount(labels) if task.label_shape() == () and not task.is_regression else np.empty(0)
    can_stratify = len(counts) > 0 and counts.min() > 1 and min(number, len(rows) - number) >= len(counts)
    train_rows, held_out = train_test_split(
        rows, test_size=number, random_state=seed, stratify=labels if can_stratify else None
    )
    return {"train": np.sort(train_rows), "validation": np.sort(held_out)}


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Restore the global random states, which training seeds."""
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def outputs(model: AsenForMultitask, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Probabilities of classes or labels ``(rows, …, K)``, or values in raw units in the shape of the labels."""
    is_regression = model.config.tasks[TASK].is_regression
    rows: dict[str, Any] = {**columns}
    found = model.predict(task=TASK, **rows) if is_regression else model.predict_proba(task=TASK, **rows)
    return found.double().cpu().numpy()
