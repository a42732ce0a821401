"""Means and scales of rows and of all their images under value symmetries, so that normalising commutes with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .configuration_symmetries import value_gathers, value_group
from .configuration_task import TaskConfig


def symmetric_features(task: TaskConfig, values: np.ndarray) -> tuple[Any, Any]:
    """Mean and scale of features ``(N, n, F)``: lists ``(F,)``, or ``(n, F)`` if they differ between nodes."""
    sources, signs = value_gathers(task)[0]
    nodes, size = np.arange(task.degree), values.shape[-1]
    moves = []
    for element in value_group(task).generators:
        # Feature source[k] of node i becomes feature k, and goes to node π(i). Statistics are equal after either step:
        # so they are constant on node orbits, whatever the value maps there are.
        columns = nodes[:, None] * size + np.arange(size)
        moves.append((nodes[:, None] * size + sources[element.maps], columns, signs[element.maps]))
        moves.append((columns, element.points[:, None] * size + np.arange(size), np.ones_like(columns)))
    mean, scale = _of_images(values.reshape(len(values), -1), moves)
    return _compact(mean.reshape(-1, size)), _compact(scale.reshape(-1, size))


def symmetric_labels(task: TaskConfig, values: np.ndarray) -> tuple[Any, Any]:
    """Mean and scale of regressed values ``(…, K)``."""
    sources, signs = value_gathers(task)[1]
    size = values.shape[-1]
    ends = np.broadcast_to(np.arange(size), sources.shape)
    mean, scale = _of_images(values.reshape(-1, size), [(sources, ends, signs)])
    return _compact(mean[None]), _compact(scale[None])


def _of_images(columns: np.ndarray, moves: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[Any, Any]:
    """Mean and scale of columns ``(N, C)``, NaN where missing, pooled over those that moves exchange.

    A move takes columns ``starts`` to ``ends``, with a sign; where any sign is negative, the mean of all images is 0.
    """
    starts, ends, signs = (np.concatenate([np.ravel(part) for part in parts]) for parts in zip(*moves, strict=True))
    count = columns.shape[1]
    graph = coo_array((np.ones(len(starts)), (starts, ends)), shape=(count, count))
    number, labels = connected_components(graph, directed=False)
    mean, scale = np.zeros(count), np.ones(count)
    for label in range(number):
        members = labels == label
        known = columns[:, members]
        known = known[~np.isnan(known)]
        changes_sign = bool((signs[labels[starts] == label] < 0).any())
        if known.size and not changes_sign:
            mean[members] = known.mean()
        if known.size and (np.ptp(known) > 0 or (changes_sign and known[0] != 0)):
            scale[members] = np.sqrt(np.square(known - mean[members][0]).mean())
    return mean, scale


def _compact(numbers: np.ndarray) -> Any:
    """``(n, F)`` as lists, as one list if all nodes are equal, as a number if there is only one."""
    if (numbers == numbers[0]).all():
        row = numbers[0].tolist()
        return row if len(row) > 1 else row[0]
    return numbers.tolist()
