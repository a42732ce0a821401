"""Scores of the estimators: of all outputs of nodes or pairs that are known, or of rows as scikit-learn has them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import _check_sample_weight

from ._estimator_lengths import padded_outputs
from ._estimator_rows import is_unknown


def share_of_right(
    y: Any, predicted: np.ndarray, mask: np.ndarray | None, output_level: str, sample_weight: ArrayLike | None
) -> float:
    """Share of the known classes that are predicted; classes that the training rows did not hold are wrong.

    Args:
        y: classes of rows, or of nodes ``(rows, n)`` or pairs ``(rows, n, n)``, ``None``, NaN or -100 where unknown;
            lists of arrays if rows lack nodes.
        predicted: in the shape of ``y``.
        mask: ``(rows, n)``, the nodes that rows have; ``None`` if all have all.
        output_level: ``"graph"``, ``"node"`` or ``"pair"``.
        sample_weight: ``(rows,)``; ``None`` for equal ones.

    Raises:
        ValueError: ``y`` has another shape, or holds no known class in a row of positive weight.
    """
    if output_level == "graph":
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))
    y = _shaped(padded_outputs(y, mask, output_level), predicted.shape)
    weights = _per_output(sample_weight, y.shape)
    counts = ~is_unknown(y, output_level) & (weights > 0)
    if mask is not None:
        counts &= mask if output_level == "node" else mask[:, :, None] & mask[:, None]
    if not counts.any():
        raise ValueError("y holds no known class in a row of positive weight: give at least one to score predictions")
    is_right = y.astype(object) == predicted.astype(object)  # texts beside numbers are compared, and differ
    return float(np.average(is_right[counts], weights=weights[counts]))


def mean_r2(
    y: Any,
    predicted: np.ndarray,
    mask: np.ndarray | None,
    output_level: str,
    num_values: int,
    sample_weight: ArrayLike | None,
) -> float:
    """R² of the known values, the mean over the K values of an output, but for those that are nowhere known.

    Args:
        y: values of rows ``(rows,)``, nodes ``(rows, n)`` or pairs ``(rows, n, n)``, with a last axis K if there are
            several; of nodes and pairs NaN where unknown, and lists of arrays if rows lack nodes.
        predicted: in the shape of ``y``, NaN for nodes that a row lacks.
        mask, output_level, sample_weight: as for :func:`share_of_right`.
        num_values: K.

    Raises:
        ValueError: ``y`` has another shape, or holds no known value.
    """
    y = _shaped(padded_outputs(y, mask, output_level), predicted.shape).astype(np.float64)
    if output_level == "graph":
        return float(r2_score(y, predicted, sample_weight=sample_weight))
    y, predicted = y.reshape(len(y), -1, num_values), predicted.reshape(len(y), -1, num_values)
    weights = _per_output(sample_weight, y.shape[:2])
    known = ~np.isnan(y) & ~np.isnan(predicted)
    scores = [
        r2_score(y[..., value][own], predicted[..., value][own], sample_weight=weights[own])
        for value, own in enumerate(np.moveaxis(known, -1, 0))
        if own.any()
    ]
    if not scores:
        raise ValueError("y holds no known value: give at least two to score predictions")
    return float(np.mean(scores))


def _shaped(y: Any, shape: tuple[int, ...]) -> np.ndarray:
    """``y`` as an array of the shape of the predictions; it may have a last axis of one value, or nodes as a board."""
    try:
        y = np.asarray(y)
        found = y.shape
    except ValueError:  # of lists
        raise ValueError(f"y must have the shape of the predictions, {shape}, got rows of unequal lengths") from None
    is_board = len(found) > len(shape) > 1 and found[0] == shape[0] and math.prod(found) == math.prod(shape)
    if found != shape and found != (*shape, 1) and not is_board:
        raise ValueError(f"y must have the shape of the predictions, {shape}, to be scored, got {found}")
    return y.reshape(shape)


def _per_output(sample_weight: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    """The weight of every node or pair of every row, ``(rows, n)`` or ``(rows, n, n)``."""
    weights = _check_sample_weight(sample_weight, np.empty(shape[0]), dtype=np.float64)
    return np.broadcast_to(weights.reshape(-1, *[1] * (len(shape) - 1)), shape)
