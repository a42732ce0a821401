"""Between a task's labels and the real-valued targets that reference predictions are fitted to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.configuration_rows import IGNORED_CLASS
from ..model.configuration_task import TaskConfig
from .metrics import METRICS

Array = NDArray[np.float64]


def to_targets(task: TaskConfig, inputs: NDArray, labels: NDArray) -> Array:
    """Labels as numbers to regress on, NaN where the label is unknown.

    Args:
        task: its config.
        inputs: in raw units; read only with ``residual_feature``.
        labels: in raw units, ``(N,) + label_shape()``.

    Returns:
        float64 ``(N, K)``, ``(N, n, K)`` or ``(N, n, n, K)``, for outputs of graphs, nodes or pairs: regressed values,
        minus the residual feature; one indicator per class; or the 0/1 of each label.
    """
    if task.is_regression:
        values = labels.astype(np.float64).reshape(*_leading_shape(task, labels), task.output_size)
        return values - residual(task, inputs)
    if task.is_multi_label:
        return np.where(labels == IGNORED_CLASS, np.nan, labels.astype(np.float64))
    indicators = (labels[..., None] == np.arange(task.output_size)).astype(np.float64)
    indicators[labels == IGNORED_CLASS] = np.nan
    return indicators


def to_predictions(task: TaskConfig, inputs: NDArray, outputs: Array) -> NDArray:
    """The inverse of :func:`to_targets`, for outputs that need not be 0 or 1.

    Returns:
        Predictions in the labels' shape, in raw units: values, or the likeliest classes; *scores* of the second class
        (of each label, if a row has several) where the task's metric compares scores.
    """
    if task.is_regression:
        values = outputs + residual(task, inputs)
        return values[..., 0] if task.output_size == 1 else values
    uses_scores = METRICS[str(task.metric)].uses_scores
    if task.is_multi_label:
        return outputs if uses_scores else (outputs > 0.5).astype(np.int64)
    return outputs[..., 1] - outputs[..., 0] if uses_scores else outputs.argmax(axis=-1)


def _leading_shape(task: TaskConfig, labels: NDArray) -> tuple[int, ...]:
    return (len(labels), *task.output_shape())


def residual(task: TaskConfig, inputs: NDArray) -> float | Array:
    """The residual feature ``(…, 1)`` in raw units; 0 for a task without one."""
    return 0.0 if task.residual_feature is None else inputs[..., task.residual_feature, None].astype(np.float64)
