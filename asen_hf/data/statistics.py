"""Statistics of a task's training rows: computed where the task states none, and compared with those that it states."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from datasets import Dataset
from transformers.utils import logging

from ..model.configuration_statistics import LARGEST_NORMALIZED, LARGEST_STATISTIC, is_per_node, normalized
from ..model.configuration_task import TaskConfig
from ..model.orbits import orbit_labels
from ._symmetric_statistics import symmetric_features, symmetric_labels
from .collator import MASK, collate
from .features import evenly_spaced

logger = logging.get_logger(__name__)

# Between these, training does not notice: weights start at unit scale, and AdamW moves them by about lr per step
# whatever the unit. Ten times further, most of a run is spent on reaching the scale, or it is never reached.
_LARGEST_MEAN, _LARGEST_SCALE, _SMALLEST_SPREAD = 10.0, 10.0, 0.1


def with_statistics(task: TaskConfig, train: Dataset, name: str | None = None) -> TaskConfig:
    """The task with means and scales of its training rows, for inputs and labels alike, where it states none.

    Means and standard deviations are per node orbit and feature, so that normalising commutes with the group, and per
    regressed value, without missing entries; with a ``residual_feature``, they are those of the difference from it.
    What is constant gets the scale 1. Pair features get the quantiles of :func:`pair_quantiles`. With value symmetries,
    statistics are those of the rows and of all their images: what changes sign has mean 0, and what is exchanged has
    equal statistics. Of rows with more than 2²⁴ inputs, evenly spaced ones are read.

    Args:
        task: returned as it is if it states its statistics, or has neither features nor regressed values.
        train: the training rows, with columns ``inputs`` and ``labels``.
        name: the task's name, to log what was computed; ``None`` logs nothing.

    Raises:
        ValueError: rows that the task cannot take; names the row.
    """
    unstated = _unstated(task)
    has_quantiles = task.pair_features is None or task.pair_quantiles is not None
    if not unstated and has_quantiles:
        return task
    values = _values(unbounded(task), train)
    computed: dict[str, Any] = {} if has_quantiles else {"pair_quantiles": pair_quantiles(task, train)}
    for kind in unstated:
        if kind == "input":
            mean, scale = _per_orbit(task, values[kind])
        else:
            mean, scale = _per_output(task, values[kind])
        computed[f"{kind}_mean"], computed[f"{kind}_scale"] = mean, scale
    if name is not None:
        found = ", ".join(f"{field} {_shown(value)}" for field, value in computed.items())
        num_read = len(evenly_spaced(train, task))
        rows = f"{num_read:,} of " * (num_read < len(train)) + f"its {len(train):,} training rows"
        logger.warning(f"task {name!r}: {found}, computed from {rows} because its config states none")
    return dataclasses.replace(task, **computed)


def pair_quantiles(task: TaskConfig, train: Dataset) -> list[list[float]]:
    """Evenly spaced quantiles of every pair feature between different nodes, from the least to the largest number.

    Args:
        task: with pair features.
        train: the training rows, with a column ``pairs``; of very many, evenly spaced rows are read.

    Raises:
        ValueError: a feature is missing in all pairs.
    """
    columns = collate(unbounded(task), evenly_spaced(train, task))
    values = columns["pairs"].double().numpy().reshape(-1, task.degree, task.degree, task.pair_features or 1)
    if MASK in columns:
        has_node = columns[MASK].numpy()[..., None]
        values = np.where((has_node[:, :, None] & has_node[:, None]), values, np.nan)
    values = values[:, ~np.eye(task.degree, dtype=bool) if task.degree > 1 else np.ones((1, 1), dtype=bool)]
    found = []
    for feature in range(values.shape[-1]):
        known = values[..., feature].ravel()
        known = known[~np.isnan(known)]
        if not known.size:
            raise ValueError(f"pairs: feature {feature} is missing in all training rows")
        found.append(np.unique(np.quantile(known, np.linspace(0, 1, task.pair_buckets))).tolist())
    return found


def with_statistics_of(task: TaskConfig, other: TaskConfig) -> TaskConfig:
    """The task with the other task's statistics where it states none itself.

    Statistics per node suit the other task's group, so they pass only to a task with an equal one.
    """
    has_equal_group = all(
        getattr(task, field) == getattr(other, field) for field in ("degree", "generators", "value_symmetries")
    )
    kinds = [
        kind
        for kind in _unstated(task)
        if has_equal_group or not any(is_per_node(getattr(other, f"{kind}_{part}")) for part in ("mean", "scale"))
    ]
    fields = [f"{kind}_{part}" for kind in kinds for part in ("mean", "scale")]
    if task.pair_quantiles is None and (task.pair_features, task.pair_buckets) == (
        other.pair_features,
        other.pair_buckets,
    ):
        fields.append("pair_quantiles")
    return dataclasses.replace(task, **{field: getattr(other, field) for field in fields})


def unbounded(task: TaskConfig) -> TaskConfig:
    """The task for rows whose statistics are still to be computed: it takes values as large as any statistic."""
    scales: dict[str, Any] = {f"{kind}_scale": LARGEST_STATISTIC / LARGEST_NORMALIZED for kind in _unstated(task)}
    return dataclasses.replace(task, **scales)


def warn_if_far_from_unit_scale(name: str, task: TaskConfig, train: Dataset) -> None:
    """Warn of the first feature or regressed value whose training rows are far from mean 0 and scale 1 as normalised.

    Args:
        name: the task's name, for the warning.
        task: its statistics normalise the rows; tokens and classes have none.
        train: the training rows.
    """
    for kind, values in _values(task, train).items():
        scores = normalized(values, getattr(task, f"{kind}_mean"), getattr(task, f"{kind}_scale"))
        for index, column in enumerate(scores.reshape(-1, scores.shape[-1]).T):
            known = column[~np.isnan(column)]
            if known.size == 0:
                continue
            mean, scale, spread = known.mean(), known.std(), np.ptp(known)
            if abs(mean) > _LARGEST_MEAN or scale > _LARGEST_SCALE or 0 < spread < _SMALLEST_SPREAD:
                warnings.warn(
                    f"task {name!r}: {_column_name(task, kind, index)} has mean {mean:.4g} and scale {scale:.4g} in "
                    f"the training rows, normalised; training needs about 0 and 1: state {kind}_mean and {kind}_scale "
                    "in the task's config, or neither, and finetune and pretrain compute them",
                    stacklevel=3,
                )
                return


def _unstated(task: TaskConfig) -> list[str]:
    """What the task has and states no statistics of: ``"input"``, ``"label"`` or both."""
    return [kind for kind in _kinds(task) if getattr(task, f"{kind}_mean") is None]


def _kinds(task: TaskConfig) -> list[str]:
    return ["input"] * (task.num_features is not None) + ["label"] * task.is_regression


def _values(task: TaskConfig, train: Dataset) -> dict[str, np.ndarray]:
    """What statistics apply to, in float64: features ``(N, n, F)``, and regressed values ``(…, K)`` or residuals."""
    kinds = _kinds(task)
    if not kinds:
        return {}
    rows = evenly_spaced(train, task)
    columns = {name: column.double().numpy() for name, column in collate(task, rows).items()}
    inputs, labels = columns["inputs"], columns["labels"]
    if MASK in columns and task.num_features is not None:
        inputs = np.where(columns[MASK][..., None] > 0, inputs, np.nan)
    if task.is_regression:
        labels = labels.reshape(len(labels), *task.output_shape(), task.output_size)
    if task.residual_feature is not None:
        labels = labels - inputs[..., task.residual_feature, None]
    values = {"input": inputs, "label": labels}
    return {kind: values[kind] for kind in kinds}


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


def _column_name(task: TaskConfig, kind: str, index: int) -> str:
    if kind == "input":
        return f"feature {index}"
    return f"the value {task.label_names[index]!r}" if task.label_names else f"label {index}"


def _shown(value: float | list) -> str:
    if isinstance(value, list) and isinstance(value[0], list):
        return f"{_shown(value[0])}{' … and so on' * (len(value) > 1)}"
    if not isinstance(value, list):
        return f"{value:.6g}"
    return f"[{', '.join(f'{number:.6g}' for number in value[:4])}{', …' * (len(value) > 4)}]"
