"""score counts what is known: classes that were not in training are wrong, NaN, None and -100 are left out."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from asen_hf import AsenClassifier, AsenRegressor

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_steps": 2, "random_state": 0}
X = np.random.default_rng(0).integers(3, size=(40, 4)).astype(float)
LEVELS = {"node": X, "pair": X[:, :, None] - X[:, None]}  # what is classified and regressed


@pytest.fixture(scope="module", params=LEVELS)
def level(request):
    return request.param


@pytest.fixture(scope="module")
def classifier(level):
    return AsenClassifier("S4", **SMALL, output_level=level).fit(X, named(LEVELS[level]))


@pytest.fixture(scope="module")
def regressor(level):
    values = LEVELS[level]
    return AsenRegressor("S4", **SMALL, output_level=level).fit(X, np.stack([values, values**2], axis=-1))


def named(values):
    return np.where(values == 1, "one", "other")


@pytest.mark.parametrize("unseen", ["never", 5, 2.5], ids=str)
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_classes_that_were_not_in_training_are_wrong(classifier, level, unseen, share):
    truth = named(LEVELS[level]).astype(object)
    is_unseen = np.random.default_rng(1).random(truth.shape) < share
    truth[is_unseen] = unseen
    right = (classifier.predict(X) == truth).mean()
    assert classifier.score(X, truth) == pytest.approx(right) and right <= 1 - is_unseen.mean()


def test_numbers_are_no_class_of_a_classifier_of_texts(classifier, level):
    assert classifier.score(X, LEVELS[level].astype(int)) == 0


@pytest.mark.parametrize(
    ("unknown", "dtype"),
    [(None, object), (np.nan, object), (np.nan, float), (-100, object), (-100, int), (-100, float)],
    ids=str,
)
def test_an_unknown_class_of_a_node_or_pair_is_no_class(level, unknown, dtype):
    y = (LEVELS[level] == 1).astype(dtype)
    y[:, 0] = unknown
    model = AsenClassifier("S4", **SMALL, output_level=level).fit(X, y)
    assert model.classes_.tolist() == [0, 1]
    hidden = np.where(model.predict(X) == 1, 0, 1).astype(dtype)
    hidden[:, 0] = unknown
    assert model.score(X, hidden) == 0


def test_a_class_of_rows_may_be_minus_100():
    assert AsenClassifier("S4", **SMALL).fit(X, np.where(X[:, 0] > 1, -100, 1)).classes_.tolist() == [-100, 1]


@pytest.mark.parametrize("unknown", [None, np.nan, -100], ids=str)
def test_unknown_classes_are_left_out(classifier, level, unknown):
    predicted = classifier.predict(X).astype(object)
    wrong = np.where(predicted == "one", "other", "one").astype(object)
    wrong[:, 0] = predicted[:, 0]
    wrong[:, 1:] = unknown
    assert classifier.score(X, wrong) == 1
    wrong[:] = unknown
    with pytest.raises(ValueError, match="y holds no known class"):
        classifier.score(X, wrong)


def test_outputs_of_nodes_that_a_row_lacks_are_left_out(classifier, level):
    full, short = list(X[:20]), [row[:3] for row in X[20:]]
    predicted = classifier.predict(full + short)
    assert classifier.score(full + short, predicted) == 1
    padded = np.full((40, *[4] * (1 if level == "node" else 2)), "none", dtype=object)
    for row, own in zip(padded, predicted, strict=True):
        row[tuple(map(slice, own.shape))] = own
    assert classifier.score(full + short, padded) == 1


@pytest.mark.parametrize("estimator", ["classifier", "regressor"])
@pytest.mark.parametrize("cut", [np.s_[:5], np.s_[:, :3], np.s_[:, 0]], ids=["rows", "nodes", "axes"])
def test_outputs_of_another_shape_are_refused_in_a_sentence(request, estimator, level, cut):
    model = request.getfixturevalue(estimator)
    truth = model.predict(X)
    with pytest.raises(ValueError, match="y must have the shape of the predictions"):
        model.score(X, truth[cut])
    with pytest.raises(ValueError, match=r"y must have the shape of the predictions, .* got rows of unequal lengths"):
        model.score(X, [*truth[:-1].tolist(), truth[-1].tolist()[:2]])


def test_values_that_are_nowhere_known_are_left_out_of_the_mean(regressor, level):
    values = LEVELS[level]
    truth = np.stack([values, np.full_like(values, np.nan)], axis=-1)
    expected = r2_score(values.reshape(-1), regressor.predict(X)[..., 0].reshape(-1))
    assert regressor.score(X, truth) == pytest.approx(expected)
    with pytest.raises(ValueError, match="y holds no known value"):
        regressor.score(X, np.full_like(truth, np.nan))


def test_weights_are_one_per_row(classifier, level):
    with pytest.raises(ValueError, match="sample_weight"):
        classifier.score(X, named(LEVELS[level]), sample_weight=np.ones(3))
