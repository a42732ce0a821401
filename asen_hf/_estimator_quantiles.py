"""Quantiles of an ensemble's predictions with the errors that its members made on held-out rows.

Nodes that the group exchanges share their errors, so that intervals move with the nodes; others have their own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np

from .model.configuration_task import TaskConfig
from .model.orbits import orbit_labels

LEVELS = np.linspace(0, 1, 101)  # of the quantiles that stand for the errors on held-out rows
_ROUNDING = 1e-9
_MIXED = 2**22  # numbers that a mixture of predictions and errors may hold at once


def output_orbits(task: TaskConfig) -> np.ndarray:
    """The orbit of every output of a row: of nodes ``(n,)``; pairs ``(n * n,)`` and a graph ``(1,)`` have one orbit."""
    if task.output_level != "node":
        return np.zeros(math.prod(task.output_shape()), dtype=np.int64)
    return orbit_labels(task.point_group(), order=1)


def checked_levels(levels: Sequence[float], num_rows: int) -> np.ndarray:
    """The levels as an array, with a warning of those that need more held-out rows than there are.

    Raises:
        ValueError: a level outside 0 … 1.
    """
    checked = np.asarray(levels, dtype=np.float64)
    if checked.ndim != 1 or not ((checked >= 0) & (checked <= 1)).all():
        raise ValueError(f"quantiles must be a list of numbers in 0 … 1, got {levels!r}")
    least = 1 / (num_rows + 1)
    distance = np.minimum(checked, 1 - checked)
    if ((distance > 0) & (distance < least - _ROUNDING)).any():
        warnings.warn(
            f"quantiles below {least:.2g} and above {1 - least:.2g} need more than {num_rows} held-out rows: the "
            "largest error on these stands for them; fit with more rows, or a larger validation_fraction",
            stacklevel=3,
        )
    return checked


def error_quantiles(errors: np.ndarray, orbits: np.ndarray) -> np.ndarray:
    """The quantiles of the errors of each orbit at ``LEVELS``, at most as far inside as a new row would need.

    They are those of split conformal prediction. Of m rows, the ``ceil((m + 1) · level)``-th of m equal shares of the
    errors stands for a level above 1/2, its mirror image for one below, and the outermost error where there is none.

    Args:
        errors: ``(m, outputs, K)``, NaN where unknown.
        orbits: ``(outputs,)``, from 0.

    Returns:
        ``(orbits, 101, K)``. An orbit whose errors are all unknown gets those of all orbits, or 0 if there are none.
    """
    found = np.empty((orbits.max() + 1, len(LEVELS), errors.shape[-1]))
    for orbit, value in np.ndindex(len(found), errors.shape[-1]):
        own = errors[:, orbits == orbit, value]
        own = errors[..., value] if np.isnan(own).all() else own
        num_rows = int((~np.isnan(own)).any(axis=1).sum())
        known = own[~np.isnan(own)] if num_rows else np.zeros(1)
        upper, lower = _at_least(known, num_rows), -_at_least(-known, num_rows)[::-1]
        found[orbit, :, value] = np.where(LEVELS > 0.5, upper, lower)
        found[orbit, LEVELS == 0.5, value] = (upper + lower)[LEVELS == 0.5] / 2
    return found


def _at_least(errors: np.ndarray, num_rows: int) -> np.ndarray:
    """At each level, the smallest error that the errors of a new row do not exceed with this probability."""
    shares = np.ceil((num_rows + 1) * LEVELS - _ROUNDING) / max(num_rows, 1)
    return np.quantile(errors, np.minimum(shares, 1), method="inverted_cdf")


def mixed_quantiles(values: np.ndarray, errors: np.ndarray, orbits: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of the members' values, each plus each of the errors of its orbit.

    Args:
        values: ``(members, rows, …)``, of the outputs and their K values.
        errors: ``(members, orbits, E, K)``.
        orbits: ``(outputs,)``, from 0.
        levels: ``(Q,)``, in 0 … 1.

    Returns:
        ``(rows, …, Q)``.
    """
    outputs = values.reshape(*values.shape[:2], len(orbits), errors.shape[-1])
    result = np.empty((*outputs.shape[1:], len(levels)))
    for orbit in range(errors.shape[1]):
        result[:, orbits == orbit] = _mixed(outputs[:, :, orbits == orbit], errors[:, orbit], levels)
    return result.reshape(*values.shape[1:], len(levels))


def _mixed(values: np.ndarray, errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    members, shape = len(values), values.shape[1:]
    flat = values.reshape(members, -1, shape[-1])
    step = max(1, _MIXED // errors.size)
    found = [
        np.quantile(flat[:, start : start + step, None] + errors[:, None], levels, axis=(0, 2))
        for start in range(0, flat.shape[1], step)
    ]
    return np.moveaxis(np.concatenate(found, axis=1), 0, -1).reshape(*shape, len(levels))
