"""Ridge regression by cross-validation, against scikit-learn and the formulas written out."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeCV

from asen_hf.model.ridge import FEW_ROWS, NUM_FOLDS, PENALTIES, fit_ridge


def problem(samples, features, outputs=3, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features)) * rng.uniform(0.1, 10, size=features) + rng.normal(size=features)
    y = x @ rng.normal(size=(features, outputs)) + noise * rng.normal(size=(samples, outputs)) + 5
    return x, y


def fit(x, y, rows=None):
    return fit_ridge([(x, y, np.arange(len(x)) if rows is None else rows)])


@pytest.mark.parametrize("shape", [(60, 7), (20, 50), (30, 29), (60, 90)], ids=str)
def test_coefficients_are_sklearns_at_the_chosen_penalty(shape):
    x, y = problem(*shape)
    ridge = fit(x, y)
    scale = x.std(axis=0)
    for output, penalty in enumerate(ridge.penalties):
        expected = SklearnRidge(alpha=len(x) * penalty, solver="svd").fit((x - x.mean(axis=0)) / scale, y[:, output])
        np.testing.assert_allclose(ridge.coefficients[:, output] * scale, expected.coef_, rtol=1e-6, atol=1e-8)
        predicted = expected.predict((x - x.mean(axis=0)) / scale)
        np.testing.assert_allclose(ridge.predict(x)[:, output], predicted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(60, 7), (60, 90)], ids=str)
def test_the_criterion_of_many_rows_is_the_formula_with_the_dense_hat_matrix(shape):
    x, y = problem(*shape)
    ridge = fit(x, y)
    samples = len(x)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for place in range(6, len(PENALTIES), 3):
        hat = z @ np.linalg.solve(z.T @ z + samples * PENALTIES[place] * np.eye(z.shape[1]), z.T) + 1 / samples
        rss = np.square(y - hat @ y).sum(axis=0)
        expected = samples * rss / (samples - np.trace(hat)) ** 2
        np.testing.assert_allclose(ridge.errors[place], expected, rtol=1e-5)


def test_the_chosen_penalty_agrees_with_leave_one_out():
    """RidgeCV's criterion is exact leave-one-out, which the generalised one rotates; both choose alike here."""
    x, y = problem(100, 30, outputs=5, noise=30)
    ridge = fit(x, y)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    exact = RidgeCV(alphas=len(x) * PENALTIES, alpha_per_target=True).fit(z, y)
    steps = np.abs(np.log10(exact.alpha_ / len(x)) - np.log10(ridge.penalties))
    assert steps.max() <= 0.51  # one step of PENALTIES


@pytest.mark.parametrize("rows", [3, NUM_FOLDS, 23, FEW_ROWS])
def test_the_criterion_of_few_rows_is_the_error_of_rows_that_are_held_out(rows):
    x, y = problem(rows * 3, 5)
    number = np.arange(rows).repeat(3)
    ridge = fit(x, y, number)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for place in range(6, len(PENALTIES), 3):
        expected = np.zeros(y.shape[1])
        for fold in range(min(rows, NUM_FOLDS)):
            out = number % NUM_FOLDS == fold
            found = SklearnRidge(alpha=(~out).sum() * PENALTIES[place], solver="svd").fit(z[~out], y[~out])
            expected += np.square(found.predict(z[out]) - y[out]).sum(axis=0)
        np.testing.assert_allclose(ridge.errors[place], expected, rtol=1e-5)


def test_noise_that_the_samples_of_a_row_share_is_shrunk_away():
    """By single samples, it would be fitted: what is left out is known from its neighbours."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 1, 30)) + 0.1 * rng.normal(size=(20, 8, 30))
    y = np.repeat(rng.normal(size=(20, 1, 10)), 8, axis=1)
    x, y = x.reshape(160, 30), y.reshape(160, 10)
    new = rng.normal(size=(1000, 30))
    by_row, by_sample = (fit(x, y, rows).predict(new) for rows in (np.arange(160) // 8, np.arange(160)))
    assert by_row.var() < 0.2 * by_sample.var()


@pytest.mark.parametrize("samples", [1, 4])  # of a row: many rows, and few
@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_change_nothing(size, samples):
    x, y = problem(64, 10)
    whole = fit(x, y, np.arange(64) // samples)
    rows = np.arange(64) // samples
    parts = fit_ridge((x[part], y[part], rows[part]) for part in np.split(np.arange(64), range(size, 64, size)))
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(parts.intercept, whole.intercept, rtol=1e-9)


def test_an_exact_map_is_recovered_in_spite_of_constant_and_repeated_features():
    x, _ = problem(80, 6)
    y = x @ np.arange(6.0)[:, None] + 2
    wide = np.concatenate([x, x[:, :2], np.full((80, 1), 1e6 / 3)], axis=1)
    np.testing.assert_allclose(fit(wide, y).predict(wide), y, atol=1e-6)


def test_noise_alone_is_shrunk_away():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(200, 150)), rng.normal(size=(200, 4))
    assert np.abs(fit(x, y).predict(rng.normal(size=(100, 150)))).mean() < 0.3


def test_one_sample_is_predicted_by_itself_and_none_is_refused():
    ridge = fit(np.ones((1, 3)), np.full((1, 2), 4.0))
    np.testing.assert_allclose(ridge.predict(np.zeros((2, 3))), 4)
    with pytest.raises(ValueError, match="at least one sample"):
        fit_ridge([])
