"""Reference predictions in the place of a network: fitted on training rows that the task's group has moved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import torch
from datasets import DatasetDict
from numpy.typing import NDArray
from torch import Tensor

from ..data.collator import collate
from ..evaluation.reference_predictions import REFERENCES, fit_reference
from ..evaluation.row_outcomes import RowOutcomes, rows_digest
from ..evaluation.scores import Score, score_predictions
from ..model.configuration_symmetries import value_group
from ..model.configuration_task import TaskConfig
from ..model.heads import is_known, task_loss
from ..model.normalization import normalized_labels
from ..model.row_actions import RowAction
from ..training.recipe import TrainingRecipe
from ..training.work import subsample

AUGMENTED_ROWS = 10_000
MAX_COPIES = 20
"""Every row is moved by as many elements as make about ``AUGMENTED_ROWS``, at most ``MAX_COPIES``."""


def run_reference(
    task: TaskConfig, name: str, splits: DatasetDict, training: TrainingRecipe
) -> tuple[dict[str, Score], RowOutcomes]:
    """Fit a reference prediction and score it.

    Args:
        task: the task; its group moves the training rows if the prediction does not have the symmetry by itself.
        name: a key of ``REFERENCES`` that suits the task.
        splits: train, validation and test.
        training: its ``train_rows`` and ``seed`` choose the rows to fit on, and its seed the elements.

    Returns:
        Scores on ``"validation"`` and ``"test"``, whose loss is that of the predicted values, or NaN of classes;
        and the outcomes of the validation rows.

    Raises:
        ValueError: fitting would take more than seconds.
    """
    rows = subsample(splits["train"], training)
    train = {column: tensor.numpy() for column, tensor in collate(task, rows).items()}
    if task.value_symmetries or (task.output_level == "graph" and REFERENCES[name].reads_whole_rows):
        train = augmented(task, train, training.seed)
    predict = fit_reference(task, name, train)
    columns = {split: collate(task, splits[split]) for split in ("validation", "test")}
    predicted = {
        split: predict({name: column.numpy() for name, column in held_out.items()})
        for split, held_out in columns.items()
    }
    scores = {
        split: dataclasses.replace(
            score_predictions(task, predicted[split], held_out["labels"]), loss=_loss(task, predicted[split], held_out)
        )
        for split, held_out in columns.items()
    }
    labels, digest = columns["validation"]["labels"], rows_digest(columns["validation"])
    return scores, RowOutcomes.of(str(task.metric), predicted["validation"], labels, is_known(task, labels), digest)


def _loss(task: TaskConfig, predicted: Tensor, columns: Mapping[str, Tensor]) -> float:
    if not task.is_regression:
        return math.nan  # a class has no probabilities
    values = normalized_labels(task, predicted, columns["inputs"])
    return float(task_loss(task, values, columns["labels"], columns["inputs"]))


def augmented(task: TaskConfig, train: dict[str, NDArray], seed: int) -> dict[str, NDArray]:
    """Rows of a task and, behind them, the same rows changed by random elements of its whole group."""
    count = len(train["inputs"])
    copies = min(AUGMENTED_ROWS // count, MAX_COPIES) if task.generators or task.value_symmetries else 0
    if copies < 1:
        return train
    elements = value_group(task).random_elements(min(copies * count, 1000), seed)
    chosen = torch.from_numpy(np.random.default_rng(seed).integers(len(elements), size=copies * count))
    repeated = {name: torch.from_numpy(np.concatenate([column] * copies)) for name, column in train.items()}
    moved = RowAction(task, elements).columns(repeated, chosen)
    return {name: np.concatenate([column, moved[name].numpy()]) for name, column in train.items()}
