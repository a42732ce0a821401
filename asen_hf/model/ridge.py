"""Ridge regression whose penalty is chosen by cross-validation, from samples that come in blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

PENALTIES = np.logspace(-10, 3, 27)
"""Candidate penalties, per sample, for features of variance 1."""
FEW_ROWS = 50
"""Of up to so many rows, whole rows are held out to choose the penalty: samples of one row are alike."""
NUM_FOLDS = 10

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Ridge:
    """A fitted linear map.

    Attributes:
        coefficients: float64 ``(p, K)``, of the raw features.
        intercept: float64 ``(K,)``; it is not penalised.
        penalties: float64 ``(K,)``, the chosen entry of ``PENALTIES`` for each output.
        errors: float64 ``(len(PENALTIES), K)``, the criterion: the lowest entry of each column was chosen.
    """

    coefficients: Array
    intercept: Array
    penalties: Array
    errors: Array

    def predict(self, features: Array) -> Array:
        """Outputs ``(samples, K)`` of features ``(samples, p)``."""
        return features @ self.coefficients + self.intercept


def fit_ridge(
    blocks: Iterable[tuple[Array, Array, NDArray[np.int64]]], parts: NDArray[np.int64] | None = None
) -> Ridge:
    """Minimise ``|y - Xw - b|² + S · penalty · |scale · w|²`` over S samples, separately for each output.

    Features are standardised. Of up to ``FEW_ROWS`` rows, the penalty minimises the squared error of rows that are held
    out, each once, a tenth of the rows at a time. Of more it minimises Golub, Heath and Wahba's criterion
    (Technometrics 1979) ``S · RSS / (S - df)²``, where df counts the intercept: one regression instead of eleven, but
    it takes samples of one row, such as its nodes, for independent, and so penalises few rows too little.

    The blocks are folded into the triangular factor of ``[1, X, Y]``, so only one block is in memory at a time, and the
    condition number is not squared as it is by normal equations. The singular values of the factor serve more features
    than samples and more samples than features alike.

    Args:
        blocks: features ``(s, p)`` and targets ``(s, K)``, float64 and finite, of equal p and K throughout, and the
            number of the row ``(s,)`` that each sample is of.
        parts: the part ``(p,)`` of the features that each belongs to; all parts together count alike, however many
            features they have. By default there is one.

    Raises:
        ValueError: there are no samples.
    """
    factors: dict[int, Array] = {}  # of every fold; of one if there are many rows
    order: dict[int, int] = {}  # of the rows
    p = 0
    for features, targets, rows in blocks:
        block = np.concatenate([np.ones((len(features), 1)), features, targets], axis=1)
        p = features.shape[1]
        numbers, places = np.unique(rows, return_inverse=True)
        if len(order) <= FEW_ROWS:
            for row in numbers.tolist():
                order.setdefault(row, len(order))
        if len(order) > FEW_ROWS:
            factors = {0: _factor([*factors.values(), block])}
        else:
            folds = np.array([order[row] % NUM_FOLDS for row in numbers.tolist()], dtype=np.int64)[places]
            for fold in np.unique(folds).tolist():
                factors[fold] = _factor([*([factors[fold]] if fold in factors else []), block[folds == fold]])
    if not factors:
        raise ValueError("ridge regression needs at least one sample with a known label, got none")
    whole = _Path.of(_factor(list(factors.values())), p, parts)
    errors = _held_out(factors, p, whole.scale) if len(factors) > 1 else whole.generalised_errors()
    best = errors.argmin(axis=0)
    return Ridge(*whole.maps(best), PENALTIES[best], errors)


def _factor(parts: list[Array]) -> Array:
    return np.asarray(np.linalg.qr(np.concatenate(parts), mode="r"))


def _held_out(factors: dict[int, Array], p: int, scale: Array) -> Array:
    """The sum of squared errors ``(len(PENALTIES), K)`` of every fold, predicted from the others."""
    errors: Array = np.zeros(())
    for held_out, factor in factors.items():
        path = _Path.of(_factor([other for fold, other in factors.items() if fold != held_out]), p, scale=scale)
        for_each = []
        for place in range(len(PENALTIES)):
            coefficients, intercept = path.maps(np.full(path.projected.shape[1], place))
            # Of the fold, too, the factor suffices: |y - Xw - b|² = |R [-b, -w, 1]|².
            residuals = factor[:, p + 1 :] - factor[:, 1 : p + 1] @ coefficients - factor[:, :1] * intercept
            for_each.append(np.square(residuals).sum(axis=0))
        errors = errors + np.stack(for_each)
    return errors


@dataclasses.dataclass(frozen=True)
class _Path:
    """The regressions of one factor with every penalty.

    Attributes:
        samples: their number S.
        x_means, y_means: ``(p,)`` and ``(K,)``.
        scale: by which features are divided: standard deviations, times a factor for each part; 0 for constant ones.
        values, right: singular values and right vectors of the standardised features.
        projected: targets along the left vectors ``(values, K)``.
        unexplained: squared norm of the rest ``(K,)``.
    """

    samples: int
    x_means: Array
    y_means: Array
    scale: Array
    values: Array
    right: Array
    projected: Array
    unexplained: Array

    @classmethod
    def of(cls, factor: Array, p: int, parts: NDArray[np.int64] | None = None, scale: Array | None = None) -> _Path:
        """From the triangular factor of ``[1, X, Y]``; without ``scale``, that of its own samples and ``parts``."""
        samples = round(float(factor[0, 0]) ** 2)
        means = factor[0, 1:] / factor[0, 0]
        centered = factor[1:, 1:]  # of the features and targets minus their means: the first row takes up the ones
        x, y = centered[:, :p], centered[:, p:]
        if scale is None:
            scale = np.sqrt(np.square(x).sum(axis=0) / samples)
            # A constant feature leaves rounding errors, which must not be scaled up.
            scale = np.where(scale > 1e-10 * np.abs(means[:p]), scale, 0)
            scale = scale * _balance(scale > 0, np.zeros(p, dtype=np.int64) if parts is None else parts)
        left, values, right = np.linalg.svd(x * _inverse(scale), full_matrices=False)
        projected = left.T @ y
        unexplained = np.square(y - left @ projected).sum(axis=0)
        return cls(samples, means[:p], means[p:], scale, values, right, projected, unexplained)

    def maps(self, places: NDArray[np.int64]) -> tuple[Array, Array]:
        """Coefficients ``(p, K)`` of raw features, intercepts ``(K,)``; each output at its entry of ``PENALTIES``."""
        penalties = self.samples * PENALTIES[places][:, None]
        filtered = (self.values / (np.square(self.values) + penalties)).T * self.projected  # (values, K)
        coefficients = _inverse(self.scale)[:, None] * (self.right.T @ filtered)
        return coefficients, self.y_means - self.x_means @ coefficients

    def generalised_errors(self) -> Array:
        """Golub, Heath and Wahba's criterion ``(len(PENALTIES), K)``."""
        penalties = self.samples * PENALTIES[:, None]
        shrinkage = penalties / (np.square(self.values) + penalties)  # (penalties, values)
        rss = self.unexplained + np.square(shrinkage) @ np.square(self.projected)
        freedom = np.maximum(self.samples - 1 - len(self.values) + shrinkage.sum(axis=1, keepdims=True), 1e-150)
        return np.asarray(self.samples * rss / np.square(freedom))


def _balance(varies: NDArray[np.bool_], parts: NDArray[np.int64]) -> Array:
    """Factors ``(p,)`` of the scales after which every part has the same variance; 1 if there is one part."""
    sizes = np.bincount(parts, weights=varies)
    mean = sizes.sum() / max(np.count_nonzero(sizes), 1)
    return np.sqrt(sizes / max(mean, 1))[parts]


def _inverse(scale: Array) -> Array:
    return np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0)
