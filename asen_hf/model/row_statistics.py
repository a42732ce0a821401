"""Statistics of rows as arrays: the means, scales and quantiles that a task's config lacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._symmetric_statistics import symmetric_features, symmetric_labels
from .configuration_rows import MASK, PAIRS
from .configuration_statistics import LARGEST_NORMALIZED, LARGEST_STATISTIC
from .configuration_task import TaskConfig
from .orbits import orbit_labels


def row_statistics(task: TaskConfig, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a task does not state, by field: ``input_mean`` … ``label_scale`` of its numbers, and ``pair_quantiles``.

    Means and standard deviations are per node orbit and feature, so that normalising commutes with the group, and per
    regressed value, without missing entries; with a ``residual_feature``, they are those of the difference from it.
    What is constant gets the scale 1. With value symmetries, statistics are those of the rows and of all their images:
    what changes sign has mean 0, and what is exchanged has equal statistics. Pair features get evenly spaced quantiles
    over the pairs of different nodes, from the least to the largest number.

    Args:
        task: its config.
        columns: ``inputs``, ``labels`` and, if there are any, ``pairs`` and ``attention_mask``, valid for
            ``unbounded(task)``; numbers in float64, NaN where missing.

    Raises:
        ValueError: a pair feature is missing in all pairs.
    """
    found: dict[str, Any] = {}
    if task.pair_features is not None and task.pair_quantiles is None:
        found["pair_quantiles"] = pair_quantiles(task, columns)
    kinds = unstated(task)
    for kind, values in described_values(task, columns).items() if kinds else ():
        if kind in kinds:
            mean, scale = _per_orbit(task, values) if kind == "input" else _per_output(task, values)
            found |= {f"{kind}_mean": mean, f"{kind}_scale": scale}
    return found


def unstated(task: TaskConfig) -> list[str]:
    """What the task has and states no means and scales of: ``"input"``, ``"label"`` or both."""
    return [kind for kind in _kinds(task) if getattr(task, f"{kind}_mean") is None]


def unbounded(task: TaskConfig) -> TaskConfig:
    """The task for rows whose statistics are still to be computed: it takes values as large as any statistic."""
    scales: dict[str, Any] = {f"{kind}_scale": LARGEST_STATISTIC / LARGEST_NORMALIZED for kind in unstated(task)}
    return dataclasses.replace(task, **scales)


def described_values(task: TaskConfig, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What means and scales apply to, by kind: features ``(N, n, F)``, and regressed values ``(…, K)`` or residuals.

    Args:
        task, columns: as of :func:`row_statistics`.
    """
    inputs, labels, mask = columns["inputs"], columns["labels"], columns.get(MASK)
    if mask is not None and task.num_features is not None:
        inputs = np.where(mask[..., None] > 0, inputs, np.nan)
    if task.is_regression:
        labels = labels.reshape(len(labels), *task.output_shape(), task.output_size)
    if task.residual_feature is not None:
        labels = labels - inputs[..., task.residual_feature, None]
    values = {"input": inputs, "label": labels}
    return {kind: values[kind] for kind in _kinds(task)}


def pair_quantiles(task: TaskConfig, columns: Mapping[str, np.ndarray]) -> list[list[float]]:
    """Evenly spaced quantiles of every pair feature. Arguments and errors as of :func:`row_statistics`."""
    values = columns[PAIRS].reshape(-1, task.degree, task.degree, task.pair_features or 1)
    if (mask := columns.get(MASK)) is not None:
        has_node = mask[..., None] > 0
        values = np.where(has_node[:, :, None] & has_node[:, None], values, np.nan)
    values = values[:, ~np.eye(task.degree, dtype=bool) if task.degree > 1 else np.ones((1, 1), dtype=bool)]
    found = []
    for feature in range(values.shape[-1]):
        known = values[..., feature].ravel()
        known = known[~np.isnan(known)]
        if not known.size:
            raise ValueError(f"pairs: feature {feature} is missing in all training rows")
        found.append(np.unique(np.quantile(known, np.linspace(0, 1, task.pair_buckets))).tolist())
    return found


def _kinds(task: TaskConfig) -> list[str]:
    return ["input"] * (task.num_features is not None) + ["label"] * task.is_regression


def _per_orbit(task: TaskConfig, values: np.ndarray) -> tuple[Any, Any]:
    """Mean and standard deviation of features ``(N, n, F)``, as lists per node if there are several node orbits."""
    if task.value_symmetries:
        return symmetric_features(task, values)
    orbits = orbit_labels(task.permutation_group(), order=1)
    found = [
        _mean_and_scale(values[:, orbits == orbit].reshape(-1, values.shape[-1])) for orbit in range(orbits.max() + 1)
    ]
    if len(found) == 1:
        return found[0]
    means, scales = ([np.atleast_1d(part[index]).tolist() for part in found] for index in (0, 1))
    return [means[orbit] for orbit in orbits], [scales[orbit] for orbit in orbits]


def _per_output(task: TaskConfig, values: np.ndarray) -> tuple[Any, Any]:
    """Mean and standard deviation of each regressed value of ``(…, K)``."""
    return symmetric_labels(task, values) if task.value_symmetries else _mean_and_scale(values)


def _mean_and_scale(values: np.ndarray) -> tuple[float | list, float | list]:
    """Mean and standard deviation of each column ``(…, F)`` as a list, or as a number if there is only one."""
    columns = [column[~np.isnan(column)] for column in values.reshape(-1, values.shape[-1]).T]
    # Not by a standard deviation of 0: rounding leaves a little of it for equal numbers.
    are_constant = [known.size == 0 or np.ptp(known) == 0 for known in columns]
    means = [float(known.mean()) if known.size else 0.0 for known in columns]
    scales = [1.0 if constant else float(known.std()) for constant, known in zip(are_constant, columns, strict=True)]
    return (means, scales) if len(means) > 1 else (means[0], scales[0])
