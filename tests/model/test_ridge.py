"""Ridge regression by generalised cross-validation, against scikit-learn and the formulas written out."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeCV

from asen_hf.model.ridge import PENALTIES, fit_ridge


def problem(samples, features, outputs=3, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features)) * rng.uniform(0.1, 10, size=features) + rng.normal(size=features)
    y = x @ rng.normal(size=(features, outputs)) + noise * rng.normal(size=(samples, outputs)) + 5
    return x, y


@pytest.mark.parametrize("shape", [(60, 7), (20, 50), (30, 29)], ids=str)
def test_coefficients_are_sklearns_at_the_chosen_penalty(shape):
    x, y = problem(*shape)
    ridge = fit_ridge([(x, y)])
    scale = x.std(axis=0)
    for output, penalty in enumerate(ridge.penalties):
        expected = SklearnRidge(alpha=len(x) * penalty, solver="svd").fit((x - x.mean(axis=0)) / scale, y[:, output])
        np.testing.assert_allclose(ridge.coefficients[:, output] * scale, expected.coef_, rtol=1e-6, atol=1e-8)
        predicted = expected.predict((x - x.mean(axis=0)) / scale)
        np.testing.assert_allclose(ridge.predict(x)[:, output], predicted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(60, 7), (20, 50)], ids=str)
def test_the_criterion_is_the_formula_with_the_dense_hat_matrix(shape):
    x, y = problem(*shape)
    ridge = fit_ridge([(x, y)])
    samples = len(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for place in range(6, len(PENALTIES), 3):
        hat = z @ np.linalg.solve(z.T @ z + samples * PENALTIES[place] * np.eye(z.shape[1]), z.T) + 1 / samples
        rss = np.square(y - hat @ y).sum(axis=0)
        expected = samples * rss / (samples - np.trace(hat)) ** 2
        np.testing.assert_allclose(ridge.gcv[place], expected, rtol=1e-5)


def test_the_chosen_penalty_agrees_with_leave_one_out():
    """RidgeCV's criterion is exact leave-one-out, which the generalised one rotates; both choose alike here."""
    x, y = problem(100, 30, outputs=5, noise=30)
    ridge = fit_ridge([(x, y)])
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    exact = RidgeCV(alphas=len(x) * PENALTIES, alpha_per_target=True).fit(z, y)
    steps = np.abs(np.log10(exact.alpha_ / len(x)) - np.log10(ridge.penalties))
    assert steps.max() <= 0.51  # one step of PENALTIES


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_change_nothing(size):
    x, y = problem(64, 10)
    whole = fit_ridge([(x, y)])
    parts = fit_ridge((x[start : start + size], y[start : start + size]) for start in range(0, 64, size))
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(parts.intercept, whole.intercept, rtol=1e-9)


def test_an_exact_map_is_recovered_in_spite_of_constant_and_repeated_features():
    x, _ = problem(80, 6)
    y = x @ np.arange(6.0)[:, None] + 2
    wide = np.concatenate([x, x[:, :2], np.full((80, 1), 1e6 / 3)], axis=1)
    np.testing.assert_allclose(fit_ridge([(wide, y)]).predict(wide), y, atol=1e-6)


def test_noise_alone_is_shrunk_away():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(200, 150)), rng.normal(size=(200, 4))
    assert np.abs(fit_ridge([(x, y)]).predict(rng.normal(size=(100, 150)))).mean() < 0.3


def test_one_sample_is_predicted_by_itself_and_none_is_refused():
    ridge = fit_ridge([(np.ones((1, 3)), np.full((1, 2), 4.0))])
    np.testing.assert_allclose(ridge.predict(np.zeros((2, 3))), 4)
    with pytest.raises(ValueError, match="at least one sample"):
        fit_ridge([])
