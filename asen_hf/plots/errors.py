"""Errors per row and per node, and a choice of entries from the best to the worst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.metrics import METRICS
from ..model.configuration_task import TaskConfig
from ..model.heads import is_known
from ._arrays import takes_arrays


@takes_arrays
def row_errors(task: TaskConfig, predicted: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """The task's metric, computed on each row alone.

    Args:
        task: config of the task.
        predicted, labels: ``(N,) + task.label_shape()``, in raw units, as ``model.predict`` and ``collate`` give them.

    Returns:
        ``(N,)``, in raw units; NaN where the row's labels are unknown.

    Raises:
        ValueError: predictions or labels of another shape, or no known label.
    """
    known = checked_known(task, predicted, labels)
    compute = METRICS[str(task.metric)].compute
    rows = zip(predicted.split(1), labels.split(1), known.split(1), strict=True)
    return np.array([compute(*row) for row in rows])


@takes_arrays
def node_errors(task: TaskConfig, predicted: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Each node's mean absolute error over rows and labels, or the share of its classes that are wrong.

    Args:
        task, predicted, labels: as for :func:`row_errors`, of a node-level task.

    Returns:
        ``(n,)``, in raw units; NaN for a node without known labels.

    Raises:
        ValueError: outputs of graphs or pairs, predictions or labels of another shape, or no known label.
    """
    if task.output_level != "node":
        raise ValueError("outputs of graphs and of pairs have no error per node")
    known = checked_known(task, predicted, labels)
    errors = (predicted - labels).abs() if task.is_regression else (predicted != labels)
    by_node = errors.double().masked_fill(~known, float("nan")).reshape(len(labels), task.degree, -1)
    return by_node.nanmean(dim=(0, 2)).numpy()


def spread_over_quantiles(errors: NDArray[np.floating], count: int) -> list[tuple[int, float]]:
    """Choose entries from the best to the worst, evenly spaced over the quantiles of their errors.

    Args:
        errors: ``(N,)``, none negative; entries that are not finite are never chosen.
        count: how many to choose; fewer if there are fewer.

    Returns:
        Index and quantile (0 for the best, 1 for the worst) of every chosen entry.

    Raises:
        ValueError: if no error is finite.
    """
    ranked = np.argsort(errors, kind="stable")[: np.count_nonzero(np.isfinite(errors))]  # inf and NaN sort last
    if len(ranked) == 0:
        raise ValueError("no error is finite: labels are missing, or predictions are not numbers")
    places = np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int))
    return [(int(ranked[place]), place / max(len(ranked) - 1, 1)) for place in places]


def quantile_name(quantile: float) -> str:
    return {0.0: "best", 1.0: "worst"}.get(quantile, f"{quantile:.0%} quantile")


def checked_known(task: TaskConfig, predicted: Tensor, labels: Tensor, outputs: tuple[int, ...] = ()) -> Tensor:
    """Which labels are known; ``ValueError`` for predictions ``(N,) + label_shape() + outputs`` of another shape."""
    for what, tensor, more in (("predictions", predicted, outputs), ("labels", labels, ())):
        shape = (*task.label_shape(), *more)
        if tensor.shape != (len(labels), *shape):
            expected = ", ".join(map(str, ("rows", *shape)))
            raise ValueError(f"{what} must have shape ({expected}), got {tuple(tensor.shape)}")
    known = is_known(task, labels)
    if not known.any():
        raise ValueError("every label is missing (-100 or NaN)")
    return known
