"""Statistics of a task's training rows: computed where the task states none, and compared with those that it states."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping

import numpy as np
from datasets import Dataset
from transformers.utils import logging

from ..model.configuration_statistics import Statistic, is_per_node, normalized
from ..model.configuration_task import TaskConfig
from ..model.orbits import orbit_labels
from ..model.row_statistics import described_values, row_statistics, unbounded, unstated
from .collator import collate
from .features import evenly_spaced

logger = logging.get_logger(__name__)

# Between these, training does not notice: weights start at unit scale, and AdamW moves them by about lr per step
# whatever the unit. Ten times further, most of a run is spent on reaching the scale, or it is never reached.
_LARGEST_MEAN, _LARGEST_SCALE, _SMALLEST_SPREAD = 10.0, 10.0, 0.1
_LARGEST_RATIO = 10.0  # between the scales of nodes that share one


def with_statistics(task: TaskConfig, train: Dataset, name: str | None = None) -> TaskConfig:
    """The task with the statistics of its training rows where it states none (see :func:`~.row_statistics`).

    Of rows with more than 2²⁴ inputs, evenly spaced ones are read.

    Args:
        task: returned as it is if it states its statistics, or has neither features nor regressed values.
        train: the training rows, with columns ``inputs`` and ``labels``.
        name: the task's name, to log what was computed; ``None`` logs nothing.

    Raises:
        ValueError: rows that the task cannot take; names the row.
    """
    has_quantiles = task.pair_features is None or task.pair_quantiles is not None
    if not unstated(task) and has_quantiles:
        return task
    rows = _arrays(unbounded(task), train)
    computed = row_statistics(task, rows)
    if "label_scale" in computed:
        _warn_if_nodes_differ(task, rows, computed["label_scale"], name)
    if name is not None:
        found = ", ".join(f"{field} {_shown(value)}" for field, value in computed.items())
        num_read = len(evenly_spaced(train, task))
        read = f"{num_read:,} of " * (num_read < len(train)) + f"its {len(train):,} training rows"
        logger.warning(f"task {name!r}: {found}, computed from {read} because its config states none")
    return dataclasses.replace(task, **computed)


def with_statistics_of(task: TaskConfig, other: TaskConfig) -> TaskConfig:
    """The task with the other task's statistics where it states none itself.

    Statistics per node suit the other task's group, so they pass only to a task with an equal one.
    """
    has_equal_group = all(
        getattr(task, field) == getattr(other, field) for field in ("degree", "generators", "value_symmetries")
    )
    kinds = [
        kind
        for kind in unstated(task)
        if has_equal_group or not any(is_per_node(getattr(other, f"{kind}_{part}")) for part in ("mean", "scale"))
    ]
    fields = [f"{kind}_{part}" for kind in kinds for part in ("mean", "scale")]
    if task.pair_quantiles is None and (task.pair_features, task.pair_buckets) == (
        other.pair_features,
        other.pair_buckets,
    ):
        fields.append("pair_quantiles")
    return dataclasses.replace(task, **{field: getattr(other, field) for field in fields})


def warn_if_far_from_unit_scale(name: str, task: TaskConfig, train: Dataset) -> None:
    """Warn of the first feature or regressed value whose training rows are far from mean 0 and scale 1 as normalised.

    Args:
        name: the task's name, for the warning.
        task: its statistics normalise the rows; tokens and classes have none.
        train: the training rows.
    """
    if task.num_features is None and not task.is_regression:
        return
    for kind, values in described_values(task, _arrays(task, train)).items():
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


def _warn_if_nodes_differ(task: TaskConfig, rows: Mapping[str, np.ndarray], scale: Statistic, name: str | None) -> None:
    """Warn of a node whose labels hardly vary in units of the one scale of all nodes: the loss does not see them."""
    if task.output_level != "node":
        return
    orbits, values = orbit_labels(task.point_group(), order=1), described_values(task, rows)["label"]
    for value, own_scale in enumerate(np.atleast_1d(np.asarray(scale, dtype=np.float64))):
        scales = {}  # by the first node of an orbit; what is constant needs none
        for node in np.unique(orbits, return_index=True)[1].tolist():
            known = values[:, orbits == orbits[node], value]
            known = known[~np.isnan(known)]
            if known.size and np.ptp(known) > 0:
                scales[node] = float(known.std())
        if not scales:
            continue
        # With value symmetries, the scale is that of the images too: what changes sign is far from its mean of 0.
        largest = max([*scales.values(), *[own_scale] * (not task.value_symmetries)])
        smallest = min(scales, key=scales.__getitem__)
        if largest > _LARGEST_RATIO * scales[smallest]:
            warnings.warn(
                f"{f'task {name!r}: ' if name is not None else ''}the labels of node {smallest} have the standard "
                f"deviation {scales[smallest]:.4g}, those of other nodes, or of all together, {largest:.4g}; one "
                "label_scale serves all nodes, so that training hardly sees the former: give labels in units in which "
                "all nodes vary alike",
                stacklevel=4,
            )
            return


def _arrays(task: TaskConfig, train: Dataset) -> dict[str, np.ndarray]:
    """Columns of the rows, or of evenly spaced ones, in float64."""
    return {name: column.double().numpy() for name, column in collate(task, evenly_spaced(train, task)).items()}


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
