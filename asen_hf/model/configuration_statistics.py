"""A task's statistics: means and scales that take its inputs and labels from raw units to z-scores.

This module checks them, and the rows that they apply to, without torch. :mod:`asen_hf.model.normalization` applies them
to tensors.
"""

from typing import Any

import numpy as np
from sympy.combinatorics import PermutationGroup

from .orbits import orbit_labels

Statistic = float | int | list | None

# LayerNorm and the mean squared error square normalised values, and float32 overflows where squares exceed 3e38. The
# bound leaves room for sums of weighted features. Beyond it, float64 could not tell neighbouring values apart either.
LARGEST_NORMALIZED = 1e15
# float64 ends at 1e308: within these bounds, neither products nor squares of statistics overflow or underflow.
LARGEST_STATISTIC = 1e100
SMALLEST_SCALE = 1e-100


def checked_statistics(
    mean: Any, scale: Any, size: int | None, names: tuple[str, str], meaning: str, degree: int | None = None
) -> tuple[Statistic, Statistic]:
    """A mean and a scale as plain numbers or lists.

    Args:
        mean, scale: a number, a list ``(size,)``, or lists ``(degree, size)``. ``None`` for both: not stated. ``None``
            for one: 0 or 1.
        size: number of values that they apply to; ``None`` if the task has no such values.
        names: names of the two fields, for error messages.
        meaning: what ``size`` counts, for error messages.
        degree: number of nodes; ``None`` where statistics cannot differ between nodes.

    Raises:
        ValueError: not numbers, another shape, not finite or out of range; or not 0 and 1 though ``size`` is ``None``.
    """
    if mean is None and scale is None:
        return None, None
    mean = _checked(names[0], mean, 0.0, size, meaning, degree)
    scale = _checked(names[1], scale, 1.0, size, meaning, degree)
    smallest = np.min(scale)
    if smallest <= 0:
        raise ValueError(f"{names[1]} must be positive, got {scale}")
    if smallest < SMALLEST_SCALE:
        raise ValueError(f"{names[1]} must be at least {SMALLEST_SCALE:g}, got {scale}: change the unit")
    return mean, scale


def is_per_node(value: Statistic) -> bool:
    """Whether a statistic is a list of lists, one per node."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], list)


def check_constant_on_orbits(name: str, value: list, group: PermutationGroup) -> None:
    """Refuse statistics per node that differ within a node orbit, since normalising would break the symmetry.

    Raises:
        ValueError: names two nodes of one orbit.
    """
    labels = orbit_labels(group, order=1)
    _, first = np.unique(labels, return_index=True)
    for node, representative in enumerate(first[labels].tolist()):
        if value[node] != value[representative]:
            raise ValueError(
                f"{name} differs between nodes {representative} and {node}, which the group maps to each other: "
                "normalising would break the symmetry"
            )


def pooled_over_orbits(mean: Statistic, scale: Statistic, group: PermutationGroup) -> tuple[Statistic, Statistic]:
    """Statistics per node made constant on a group's node orbits: those of all rows of all nodes of an orbit together.

    Every node has as many rows, so that an orbit's variance is the mean of its nodes' variances plus the variance of
    their means. Statistics that are not per node are returned as they are.
    """
    if not is_per_node(mean) and not is_per_node(scale):
        return mean, scale
    labels = orbit_labels(group, order=1)
    means, scales = np.broadcast_arrays(np.array(mean, dtype=np.float64), np.array(scale, dtype=np.float64))
    means, scales = means.copy(), scales.copy()
    for label in range(labels.max() + 1):
        nodes = labels == label
        pooled = means[nodes].mean(axis=0)
        scales[nodes] = np.sqrt((scales[nodes] ** 2 + (means[nodes] - pooled) ** 2).mean(axis=0))
        means[nodes] = pooled
    return means.tolist(), scales.tolist()


def _checked(name: str, value: Any, neutral: float, size: int | None, meaning: str, degree: int | None) -> Any:
    if value is None:
        return neutral
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal length
        array = np.asarray(None)
    if size is None and array.tolist() != neutral:
        raise ValueError(f"{name} applies to {meaning}, which this task lacks; got {value}")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be a number or a list of numbers, got {value}")
    if array.shape not in ((), (size,), (degree, size)):
        per_node = "" if degree is None else f", or {size} for each of {degree} nodes"
        raise ValueError(f"{name} must be one number or {size} ({meaning}){per_node}, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {value}")
    if (np.abs(array) > LARGEST_STATISTIC).any():
        raise ValueError(
            f"{name} must be at most {LARGEST_STATISTIC:g} in absolute value, got {value}: change the unit"
        )
    return array.tolist()


def normalized(values: np.ndarray, mean: Statistic, scale: Statistic) -> np.ndarray:
    """``(values - mean) / scale`` in float64, where overflow is infinite; a statistic of ``None`` is 0 or 1.

    Args:
        values: ``(…, size)``, or ``(…, degree, size)`` with statistics per node.
        mean, scale: of a config.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        centred = values.astype(np.float64) - np.asarray(0.0 if mean is None else mean)
        return centred / np.asarray(1.0 if scale is None else scale)


def largest_value(mean: Statistic, scale: Statistic) -> float:
    """A bound on the absolute value of raw units; where no statistics are stated, any that are computed allow it."""
    if mean is None or scale is None:
        return LARGEST_STATISTIC
    return float(np.max(np.abs(mean)) + LARGEST_NORMALIZED * np.max(scale))


def resolved_by_float32(mean: Statistic, scale: Statistic) -> bool:
    """Whether float32 holds values a few scales from the mean with an error below a millionth of the scale."""
    centre, unit = np.abs(0.0 if mean is None else mean), np.asarray(1.0 if scale is None else scale)
    return bool((centre <= 16 * unit).all() and (unit < 1e30).all() and (unit > 1e-30).all())
