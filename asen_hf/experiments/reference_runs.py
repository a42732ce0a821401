"""Reference predictions in the place of a network: fitted on training rows that the task's group has moved."""

from __future__ import annotations

import numpy as np
from datasets import DatasetDict
from numpy.typing import NDArray

from ..data import collate
from ..evaluation.reference_predictions import REFERENCES, fit_reference
from ..evaluation.row_outcomes import RowOutcomes
from ..evaluation.scores import Score, score_predictions
from ..model.configuration_task import TaskConfig
from ..model.groups import random_elements
from ..model.heads import is_known
from ..training.loop import subsample
from ..training.recipe import TrainingRecipe

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
        Scores on ``"validation"`` and ``"test"``, whose loss is NaN, and the outcomes of the validation rows.

    Raises:
        ValueError: fitting would take more than seconds.
    """
    rows = subsample(splits["train"], training)
    train = {column: tensor.numpy() for column, tensor in collate(task, rows).items()}
    if task.output_level == "graph" and REFERENCES[name].reads_whole_rows:
        train = augmented(task, train, training.seed)
    predict = fit_reference(task, name, train)
    columns = {split: collate(task, splits[split]) for split in ("validation", "test")}
    predicted = {split: predict(held_out["inputs"].numpy()) for split, held_out in columns.items()}
    scores = {
        split: score_predictions(task, predicted[split], held_out["labels"]) for split, held_out in columns.items()
    }
    labels = columns["validation"]["labels"]
    return scores, RowOutcomes.of(str(task.metric), predicted["validation"], labels, is_known(task, labels))


def augmented(task: TaskConfig, train: dict[str, NDArray], seed: int) -> dict[str, NDArray]:
    """Rows of a graph task and, behind them, the same rows moved by random elements of the group."""
    count = len(train["inputs"])
    copies = min(AUGMENTED_ROWS // count, MAX_COPIES) if task.generators else 0
    if copies < 1:
        return train
    elements = random_elements(task.permutation_group(), min(copies * count, 1000), seed)
    chosen = elements[np.random.default_rng(seed).integers(len(elements), size=copies * count)]
    repeated = np.tile(train["inputs"], (copies, *[1] * (train["inputs"].ndim - 1)))
    moved = repeated[np.arange(copies * count)[:, None], np.argsort(chosen, axis=1)]
    labels = np.concatenate([train["labels"]] * (copies + 1))
    return {"inputs": np.concatenate([train["inputs"], moved]), "labels": labels}
