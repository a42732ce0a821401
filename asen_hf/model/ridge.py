"""Ridge regression whose penalty is chosen by generalised cross-validation, from samples that come in blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PENALTIES = np.logspace(-10, 3, 27)
"""Candidate penalties, per sample, for features of variance 1."""

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Ridge:
    """A fitted linear map.

    Attributes:
        coefficients: float64 ``(p, K)``, of the raw features.
        intercept: float64 ``(K,)``; it is not penalised.
        penalties: float64 ``(K,)``, the chosen entry of ``PENALTIES`` for each output.
        gcv: float64 ``(len(PENALTIES), K)``, the criterion: the lowest entry of each column was chosen.
    """

    coefficients: Array
    intercept: Array
    penalties: Array
    gcv: Array

    def predict(self, features: Array) -> Array:
        """Outputs ``(samples, K)`` of features ``(samples, p)``."""
        return features @ self.coefficients + self.intercept


def fit_ridge(blocks: Iterable[tuple[Array, Array]]) -> Ridge:
    """Minimise ``|y - Xw - b|² + S · penalty · |scale · w|²`` over S samples, separately for each output.

    Features are standardised. The penalty minimises Golub, Heath and Wahba's criterion (Technometrics 1979)
    ``S · RSS / (S - df)²``, where df counts the intercept.

    The blocks are folded into the triangular factor of ``[1, X, Y]``, so only one block is in memory at a time, and the
    condition number is not squared as it is by normal equations. The singular values of the factor serve more features
    than samples and more samples than features alike.

    Args:
        blocks: features ``(s, p)`` and targets ``(s, K)``, float64 and finite, of equal p and K throughout.

    Raises:
        ValueError: there are no samples.
    """
    factor: Array | None = None
    samples = p = 0
    for features, targets in blocks:
        block = np.concatenate([np.ones((len(features), 1)), features, targets], axis=1)
        samples, p = samples + len(block), features.shape[1]
        factor = np.asarray(np.linalg.qr(block if factor is None else np.concatenate([factor, block]), mode="r"))
    if factor is None or not samples:
        raise ValueError("ridge regression needs at least one sample with a known label, got none")
    means = factor[0, 1:] / factor[0, 0]
    centered = factor[1:, 1:]  # of the features and targets minus their means: the first row takes up the ones
    x, y = centered[:, :p], centered[:, p:]
    scale = np.sqrt(np.square(x).sum(axis=0) / samples)
    # A constant feature leaves rounding errors, which must not be scaled up.
    inverse = np.where(scale > 1e-10 * np.abs(means[:p]), 1 / np.where(scale > 0, scale, 1), 0) * (scale > 0)
    left, values, right = np.linalg.svd(x * inverse, full_matrices=False)
    projected = left.T @ y
    unexplained = np.square(y - left @ projected).sum(axis=0)
    penalties = samples * PENALTIES[:, None]
    shrinkage = penalties / (np.square(values) + penalties)  # (penalties, values)
    rss = unexplained + np.square(shrinkage) @ np.square(projected)
    residual_freedom = np.maximum(samples - 1 - len(values) + shrinkage.sum(axis=1, keepdims=True), 1e-150)
    gcv = samples * rss / np.square(residual_freedom)
    best = gcv.argmin(axis=0)
    filtered = (values / (np.square(values) + penalties))[best].T * projected  # (values, K)
    coefficients = inverse[:, None] * (right.T @ filtered)
    return Ridge(coefficients, means[p:] - means[:p] @ coefficients, PENALTIES[best], gcv)
