"""Quantiles of an ensemble's predictions with the errors that its members made on held-out rows."""

from __future__ import annotations

import numpy as np

_MIXED = 2**22  # numbers that a mixture of predictions and errors may hold at once


def mixed_quantiles(values: np.ndarray, errors: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of the members' values, each plus each of its errors.

    Args:
        values: ``(members, rows, …, K)``.
        errors: ``(members, E, K)``.
        levels: ``(Q,)``, in 0 … 1.

    Returns:
        ``(rows, …, K, Q)``.
    """
    members, shape = len(values), values.shape[1:]
    flat = values.reshape(members, -1, shape[-1])
    step = max(1, _MIXED // errors.size)
    found = [
        np.quantile(flat[:, start : start + step, None] + errors[:, None], levels, axis=(0, 2))
        for start in range(0, flat.shape[1], step)
    ]
    return np.moveaxis(np.concatenate(found, axis=1), 0, -1).reshape(*shape, len(levels))
