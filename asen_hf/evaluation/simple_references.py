"""The simplest reference predictions: majority, constant, both by orbital, a linear map of each node, persistence.

Each function takes the task, training inputs in raw units and targets ``(N,) + output_shape() + (K,)``, NaN where
unknown (see :func:`asen_hf.evaluation.targets.to_targets`), and returns a function from inputs to such outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.configuration_task import TaskConfig
from .equivariant_ridge import Predictor
from .pair_colours import pair_colours
from .targets import residual

Array = NDArray[np.float64]


def fit_majority(task: TaskConfig, inputs: NDArray, targets: Array) -> Predictor:
    """The share of each class, or of each label, whatever the inputs."""
    return _always(task, _known_columns(targets, np.mean))


def fit_constant(task: TaskConfig, inputs: NDArray, targets: Array) -> Predictor:
    """The median of each regressed value, whatever the inputs; with a residual feature, of the value itself."""
    offset = residual(task, inputs)
    medians = _known_columns(targets + offset, np.median)
    always = _always(task, medians)
    return lambda new: always(new) - residual(task, new)


def fit_by_orbital(task: TaskConfig, inputs: NDArray, targets: Array) -> Predictor:
    """For pair outputs: the share of each class, or the median of each regressed value, over each orbital by itself.

    The best equivariant map that reads no inputs. An orbital without a known label has those of all pairs.
    """
    statistic = np.median if task.is_regression else np.mean
    of_all = _known_columns(targets, statistic)
    by_pair = targets.reshape(len(targets), -1, targets.shape[-1])
    outputs = np.empty(by_pair.shape[1:])
    for orbital in pair_colours(task).orbitals():
        own = by_pair[:, orbital.places]
        outputs[orbital.places] = np.where(np.isnan(own).all(axis=(0, 1)), of_all, _known_columns(own, statistic))
    outputs = outputs.reshape(targets.shape[1:])
    return lambda new: np.broadcast_to(outputs, (len(new), *outputs.shape))


def fit_persistence(task: TaskConfig, inputs: NDArray, targets: Array) -> Predictor:
    """The residual feature itself: a difference of 0."""
    return _always(task, np.zeros(targets.shape[-1]))


def fit_linear(task: TaskConfig, inputs: NDArray, targets: Array) -> Predictor:
    """One least-squares map from a node's features to its targets, shared by all nodes.

    Missing features count as the mean; nodes with an unknown target are left out.
    """
    flat = inputs.reshape(-1, inputs.shape[-1]).astype(np.float64)
    means = _known_columns(flat, np.mean)

    def design(features: NDArray) -> Array:
        filled = np.where(np.isnan(features), means, features)
        return np.concatenate([filled - means, np.ones((*filled.shape[:-1], 1))], axis=-1)

    values = targets.reshape(-1, targets.shape[-1])
    known = ~np.isnan(values).any(axis=1)
    weights = np.linalg.lstsq(design(flat)[known], values[known], rcond=None)[0]
    return lambda new: design(new) @ weights


def _always(task: TaskConfig, outputs: Array) -> Predictor:
    return lambda new: np.broadcast_to(outputs, (len(new), *task.output_shape(), len(outputs)))


def _known_columns(values: Array, statistic: Callable[[Array], Any]) -> Array:
    """A statistic of the known values of each column; 0 for a column without any."""
    columns = values.reshape(-1, values.shape[-1]).T
    known = [column[~np.isnan(column)] for column in columns]
    return np.array([float(statistic(column)) if len(column) else 0.0 for column in known])
