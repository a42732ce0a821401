"""Reference predictions: what simple predictors without a network reach on a task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from ..data import collate
from ..data.features import read_column
from ..model.configuration_task import TaskConfig
from ..model.heads import is_known
from .metrics import METRICS


def reference_predictions(task: TaskConfig, train: Dataset, test: Dataset) -> dict[str, Tensor]:
    """Predictions made without a network.

    - ``majority`` (classes): the most frequent class; ``constant`` (values): the train median of each regressed value.
    - ``linear``, for node regression on continuous features: one least-squares map from a node's features to its
      labels, shared by all nodes (on a time series: a shared autoregression).
    - ``persistence``, for a task with a ``residual_feature``: that feature itself.
    - every column of the test split that is not part of the task: predictions that came with the data.

    Args:
        task: config of the splits' task.
        train: split to fit on.
        test: split to predict.

    Returns:
        ``{name: predictions}``, each of the labels' shape, in raw units.

    Raises:
        ValueError: a column of another shape than the labels.
    """
    fit, held_out = collate(task, train), collate(task, test)
    labels = held_out["labels"]
    guesses: dict[str, Tensor] = {}
    if not task.is_regression:
        seen = fit["labels"][is_known(task, fit["labels"])]
        guesses["majority"] = seen.mode().values.expand(labels.shape)
    else:
        num_outputs = task.output_size
        median = fit["labels"].reshape(-1, num_outputs).nanmedian(dim=0).values
        guesses["constant"] = median.expand(labels.numel() // median.numel(), -1).reshape(labels.shape)
        if task.num_features is not None and task.output_level == "node":
            guesses["linear"] = _linear(fit, held_out["inputs"], num_outputs).reshape(labels.shape)
        if task.residual_feature is not None:
            last = held_out["inputs"][..., task.residual_feature, None]
            guesses["persistence"] = last.expand(*last.shape[:-1], num_outputs).reshape(labels.shape)
    for name in sorted(set(test.column_names) - set(held_out)):
        guesses[name] = torch.from_numpy(read_column(test, name).copy())
        if guesses[name].shape != labels.shape:
            raise ValueError(
                f"column {name}: expected predictions of the labels' shape {tuple(labels.shape)}, got "
                f"{tuple(guesses[name].shape)}"
            )
    return guesses


def reference_scores(task: TaskConfig, train: Dataset, test: Dataset) -> dict[str, float]:
    """The task's metric of the :func:`reference_predictions` on the test split, by name."""
    labels = collate(task, test)["labels"]
    known = is_known(task, labels)
    compute = METRICS[str(task.metric)].compute
    return {name: compute(guess, labels, known) for name, guess in reference_predictions(task, train, test).items()}


def _linear(fit: Mapping[str, Tensor], inputs: Tensor, num_labels: int) -> Tensor:
    def design(features: Tensor) -> np.ndarray:
        flat = features.flatten(0, -2).double().numpy()
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)

    labels = fit["labels"].reshape(-1, num_labels).double().numpy()
    known = ~np.isnan(labels).any(axis=1)
    weights = np.linalg.lstsq(design(fit["inputs"])[known], labels[known], rcond=None)[0]
    return torch.from_numpy(design(inputs) @ weights)
