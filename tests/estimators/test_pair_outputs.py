"""Estimators whose outputs are of pairs of nodes."""

import numpy as np
import pytest

from asen_hf import AsenClassifier, AsenRegressor

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "random_state": 0}


def partners(rows):
    return rows[:, :, None] == rows[:, None]


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).integers(3, size=(120, 5))


def test_classes_of_pairs_are_learned_saved_and_move_with_the_nodes(rows, tmp_path):
    names = np.where(partners(rows), "same", "other")
    model = AsenClassifier(
        "S5", **SMALL, vocab_size=3, relations=["equal"], max_steps=60, task_options={"symmetric_outputs": True}
    ).fit(rows, names)
    assert model.task_.output_level == "pair" and model.score(rows, names) == 1
    predicted, probabilities = model.predict(rows), model.predict_proba(rows)
    assert predicted.tolist() == names.tolist() and probabilities.shape == (120, 5, 5, 2)
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_allclose(model.predict_proba(rows[:, order]), probabilities[:, order][:, :, order], atol=1e-5)
    model.save(tmp_path / "saved")
    np.testing.assert_array_equal(AsenClassifier.load(tmp_path / "saved").predict_proba(rows), probabilities)


def test_unknown_classes_are_not_scored_and_rows_are_weighed(rows):
    names = np.where(partners(rows), "same", "other").astype(object)
    names[:, range(5), range(5)] = None
    model = AsenClassifier("S5", **SMALL, vocab_size=3, output_level="pair", max_steps=2).fit(rows, names)
    weights = np.random.default_rng(0).uniform(size=120)
    predicted, known = model.predict(rows), ~np.eye(5, dtype=bool)
    right = (predicted == names)[:, known].mean(axis=1)
    np.testing.assert_allclose(model.score(rows, names, weights), np.average(right, weights=weights))


@pytest.mark.parametrize("outputs", [1, 2])
def test_values_of_pairs_of_rows_of_unequal_length(outputs):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(int(rng.integers(2, 6)), 1)) for _ in range(60)]
    y = [np.stack([row - row.T] * outputs, axis=-1)[..., 0 if outputs == 1 else slice(None)] for row in X]
    model = AsenRegressor("S5", **SMALL, output_level="pair", max_steps=60, batch_size=16).fit(X, y)
    predicted = model.predict(X)
    assert [value.shape for value in predicted] == [value.shape for value in y]
    flat, truth = (np.concatenate([value.reshape(-1, outputs) for value in values]) for values in (predicted, y))
    residual, total = ((truth - flat) ** 2).sum(axis=0), ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    assert model.score(X, y) == pytest.approx((1 - residual / total).mean(), abs=1e-6) and model.score(X, y) > 0.5
    quantiles = model.predict_quantiles(X, [0.1, 0.9])
    assert all(value.shape == (*target.shape, 2) for value, target in zip(quantiles, y, strict=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X: (AsenRegressor("S5"), X, partners(X).astype(float)), 'set output_level to "node" or "pair"'),
        (lambda X: (AsenRegressor("S5", output_level="pair"), X, X.astype(float)), r"shape \(rows, 5, 5\) or"),
        (lambda X: (AsenClassifier("S5", output_level="pair"), X, X), r"y of shape \(rows, 5, 5\), got"),
        (lambda X: (AsenClassifier("S5"), X, partners(X)[:, :4]), "y must have shape"),
        (
            lambda X: (
                AsenRegressor("S5", output_level="pair"),
                [X[0, :, None], *X[1:, :4, None]],
                [np.zeros((5, 5)), *[np.zeros((4, 3))] * (len(X) - 1)],
            ),
            r"y, row 1: expected shape \(4, 4\), got \(4, 3\)",
        ),
    ],
)
def test_outputs_of_other_shapes_are_refused(rows, make, message):
    model, X, y = make(rows)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
