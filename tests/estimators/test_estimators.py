"""AsenClassifier and AsenRegressor: what they learn, what they keep symmetric, and that they leave no trace."""

import pickle
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from asen_hf import AsenClassifier, AsenForMultitask, AsenRegressor, groups
from asen_hf._estimator_quantiles import _MIXED

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_steps": 30, "random_state": 0}
TURN, SWAP = np.roll(np.arange(6), 1), np.array([1, 0, 2, 3, 4, 5])  # in D6, and not


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(80, 6, 2))


@pytest.fixture(scope="module")
def kinds(rows):
    return np.where(rows[:, :, 0].max(axis=1) > rows[:, :, 1].max(axis=1), "warm", "cold")


@pytest.fixture(scope="module")
def classifier(rows, kinds):
    return AsenClassifier("D6", **{**SMALL, "max_steps": 100, "learning_rate": 1e-2}).fit(rows, kinds)


@pytest.fixture(scope="module")
def regressor(rows):
    return AsenRegressor("D6", **SMALL, output_level="node", n_estimators=2).fit(rows, neighbours(rows))


def neighbours(rows):
    return np.roll(rows[..., 0], 1, axis=1) + np.roll(rows[..., 0], -1, axis=1)


def test_a_classifier_learns_classes_by_their_names(classifier, rows, kinds):
    assert classifier.classes_.tolist() == ["cold", "warm"]
    assert set(classifier.predict(rows)) == {"cold", "warm"} and classifier.score(rows, kinds) > 0.8
    assert classifier.task_.label_names == ["cold", "warm"] and classifier.task_.group_name == "D6"
    probabilities = classifier.predict_proba(rows)
    assert probabilities.shape == (80, 2) and np.allclose(probabilities.sum(axis=1), 1)
    assert (classifier.classes_[probabilities.argmax(axis=1)] == classifier.predict(rows)).all()
    assert [score.rows for score in classifier.validation_scores_] == [12]


def test_outputs_of_rows_are_invariant_to_the_group_and_to_no_other_permutation(classifier, rows):
    probabilities = classifier.predict_proba(rows)
    assert np.allclose(classifier.predict_proba(rows[:, TURN]), probabilities, atol=1e-5)
    assert np.allclose(classifier.predict_proba(rows[:, ::-1]), probabilities, atol=1e-5)
    assert not np.allclose(classifier.predict_proba(rows[:, SWAP]), probabilities, atol=1e-3)


def test_outputs_of_nodes_are_equivariant_to_the_group_and_to_no_other_permutation(regressor, rows):
    values = regressor.predict(rows)
    assert values.shape == (80, 6)
    assert np.allclose(regressor.predict(rows[:, TURN]), values[:, TURN], atol=1e-5)
    assert not np.allclose(regressor.predict(rows[:, SWAP]), values[:, SWAP], atol=1e-3)


def test_without_a_group_nothing_is_symmetric(rows, kinds):
    model = AsenClassifier(**SMALL).fit(rows, kinds)
    assert not model.task_.generators and model.task_.degree == 6
    assert not np.allclose(model.predict_proba(rows[:, TURN]), model.predict_proba(rows), atol=1e-3)


def test_rows_mean_the_same_as_an_array_a_wide_array_and_a_shuffled_grid_of_columns(classifier, rows, kinds):
    wide = rows.reshape(80, 12)
    assert np.array_equal(_refit(classifier, wide, kinds).predict_proba(wide), classifier.predict_proba(rows))
    deep = rows.reshape(80, 6, 2, 1)
    assert np.array_equal(_refit(classifier, deep, kinds).predict_proba(deep), classifier.predict_proba(rows))
    order = [6 * feature + node for node in range(6) for feature in range(2)]
    columns = [f"s{node}_{channel}" for channel in "xy" for node in range(6)]
    frame = pd.DataFrame(np.empty((80, 12)), columns=columns)
    frame.iloc[:, order] = wide
    model = _refit(classifier, frame, pd.Series(kinds))
    assert np.array_equal(model.predict_proba(frame), classifier.predict_proba(rows))
    assert model.feature_names_in_.tolist() == columns and model.n_features_in_ == 12


def _refit(model, rows, kinds):
    return clone(model).fit(rows, kinds)


def test_it_works_in_cross_validation_grids_and_pipelines(rows, kinds):
    wide = rows.reshape(80, 12)
    model = AsenClassifier("D6", **{**SMALL, "max_steps": 4})
    assert cross_val_score(model, wide, kinds, cv=2, error_score="raise").shape == (2,)
    grid = GridSearchCV(model, {"group": ["D6", groups.cyclic(6), None], "hidden_size": [8]}, cv=2)
    grid.set_params(estimator__degree=6)
    assert grid.fit(wide, kinds).best_estimator_.hidden_size == 8
    assert set(make_pipeline(StandardScaler(), model).fit(wide, kinds).predict(wide)) <= {"cold", "warm"}
    target = TransformedTargetRegressor(
        AsenRegressor("D6", **{**SMALL, "max_steps": 4}), func=np.log, inverse_func=np.exp
    )
    assert (target.fit(wide, np.exp(wide[:, 0])).predict(wide) > 0).all()


@pytest.mark.parametrize("seed", [3, np.random.RandomState(3)])
def test_fits_repeat_themselves_and_leave_the_global_generators_alone(rows, kinds, seed):
    settings = {**SMALL, "max_steps": 3, "random_state": 3, "hidden_dropout_prob": 0.1}
    first = AsenClassifier("D6", **settings).fit(rows, kinds).predict_proba(rows)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(())
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    second = AsenClassifier("D6", **{**settings, "random_state": seed}).fit(rows, kinds).predict_proba(rows)
    assert (random.random(), np.random.rand(), torch.rand(())) == expected
    assert np.array_equal(first, second)
    third = AsenClassifier("D6", **{**settings, "random_state": 4}).fit(rows, kinds).predict_proba(rows)
    assert not np.array_equal(first, third)


def test_it_is_silent_unless_asked(rows, kinds, capfd, tmp_path):
    model = AsenClassifier("D6", **{**SMALL, "max_steps": 2}).fit(rows, kinds)
    model.save(tmp_path / "model")
    AsenClassifier.load(tmp_path / "model").predict(rows)
    assert capfd.readouterr() == ("", "")
    model.set_params(verbose=True).fit(rows, kinds)
    printed = capfd.readouterr()
    assert "validation loss" in printed.out and "2/2" in printed.err


def test_it_stops_early_when_validation_no_longer_improves(rows):
    noise = np.random.default_rng(1).choice(["a", "b"], size=80)
    losses = [
        AsenClassifier("D6", **{**SMALL, "max_steps": steps, "patience": patience, "learning_rate": 0.02})
        .fit(rows, noise)
        .validation_scores_[0]
        .loss
        for steps, patience in ((200, 1), (200, None))
    ]
    assert losses[0] >= losses[1]  # it saw fewer checkpoints


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_saved_and_pickled_estimators_predict_the_same(kind, request, rows, tmp_path):
    model = request.getfixturevalue(kind)
    model.save(tmp_path / "model")
    for copy in (type(model).load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(copy.predict(rows), model.predict(rows))
        assert copy.get_params() == model.get_params()
        for name in ("classes_", "residual_quantiles_", "n_features_in_"):
            assert np.array_equal(getattr(copy, name, None), getattr(model, name, None))
    is_ensemble = len(model.models_) > 1
    network = AsenForMultitask.from_pretrained(tmp_path / "model" / ("member-0" if is_ensemble else ""))
    assert network.config.tasks["task"].group_name == "D6"
    if is_ensemble:  # whose first network would be taken for the whole
        with pytest.raises(OSError, match=r"config\.json"):
            AsenForMultitask.from_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="not an empty folder"):
        model.save(tmp_path / "model")


def test_a_group_that_is_no_text_is_saved_by_its_generators(rows, kinds, tmp_path):
    model = AsenClassifier(groups.dihedral(6), **{**SMALL, "max_steps": 2}).fit(rows, kinds)
    model.set_params(random_state=np.random.RandomState(0)).save(tmp_path / "model")
    loaded = AsenClassifier.load(tmp_path / "model")
    assert loaded.group.order() == 12 and loaded.random_state is None
    assert np.array_equal(_refit(loaded.set_params(random_state=0), rows, kinds).predict(rows), model.predict(rows))


def test_loading_refuses_what_is_no_such_estimator(classifier, tmp_path):
    with pytest.raises(ValueError, match="no estimator that save"):
        AsenClassifier.load(tmp_path)
    classifier.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"expected an AsenRegressor, found 'AsenClassifier'"):
        AsenRegressor.load(tmp_path / "model")
    (tmp_path / "model" / "estimator.json").write_text('{"class": "AsenClassifier"}')
    with pytest.raises(ValueError, match="expected what save"):
        AsenClassifier.load(tmp_path / "model")


def test_members_of_an_ensemble_differ_and_their_mean_and_spread_are_reported(regressor, rows):
    mean, spread = regressor.predict(rows, return_std=True)
    single = [model.predict(torch.from_numpy(rows)).numpy() for model in regressor.models_]
    assert not np.allclose(*single)
    assert np.allclose(mean, np.mean(single, axis=0), atol=1e-6) and np.allclose(
        spread, np.std(single, axis=0), atol=1e-6
    )
    with pytest.raises(ValueError, match="n_estimators to at least 2"):
        AsenRegressor().predict(rows, return_std=True)


def test_quantiles_cover_what_was_held_out(monkeypatch):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2400, 4))
    values = inputs.sum(axis=1) + rng.normal(size=2400)
    model = AsenRegressor("S4", **{**SMALL, "max_steps": 150, "learning_rate": 1e-2}).fit(inputs[:1200], values[:1200])
    low, middle, high = model.predict_quantiles(inputs[1200:], [0.1, 0.5, 0.9]).T
    covered = (low <= values[1200:]) & (values[1200:] <= high)
    assert 0.74 < covered.mean() < 0.86 and (low < middle).all() and (middle < high).all()
    monkeypatch.setattr("asen_hf._estimator_quantiles._MIXED", _MIXED // 2**12)
    assert np.array_equal(model.predict_quantiles(inputs[1200:], [0.1, 0.5, 0.9]).T, [low, middle, high])
    with pytest.raises(ValueError, match=r"numbers in 0 … 1"):
        model.predict_quantiles(inputs, [50])


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("level", ["node", "graph"])
def test_values_have_the_shape_of_y(rows, level, outputs):
    values = rows[:, :, :1].repeat(outputs, axis=2) * np.arange(1, outputs + 1)
    values = values if level == "node" else values.mean(axis=1)
    y = values[..., 0] if outputs == 1 else values
    model = AsenRegressor("D6", **SMALL, output_level=level).fit(rows, y)
    assert model.predict(rows).shape == y.shape and model.predict_quantiles(rows).shape == (*y.shape, 3)
    assert model.task_.output_level == level and model.task_.num_labels == outputs
    assert model.score(rows, y) <= 1


def test_unknown_labels_of_nodes_are_left_out(rows):
    y = neighbours(rows)
    y[::2, ::2] = np.nan
    model = AsenRegressor("D6", **SMALL, output_level="node").fit(rows, y)
    assert np.isfinite(model.predict(rows)).all() and np.isfinite(model.score(rows, y))
    states = np.where(np.isnan(y), None, np.where(y > 0, "up", "down"))
    model = AsenClassifier("D6", **SMALL).fit(rows, states)
    assert model.classes_.tolist() == ["down", "up"] and model.task_.output_level == "node"
    assert model.predict(rows).shape == (80, 6) and model.predict_proba(rows).shape == (80, 6, 2)
    assert model.score(rows, states) > 0.4


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda X: (AsenRegressor("D6"), X, X[:, :, 0]), 'set output_level to "node" or "graph"'),
        (lambda X: (AsenClassifier("D6"), X, X[:, :, 0] > 0), 'set output_level to "node" or "graph"'),
        (lambda X: (AsenClassifier("D6", output_level="row"), X, X[:, 0, 0] > 0), "output_level must be"),
        (lambda X: (AsenClassifier("D6", output_level="node"), X, X[:, 0, 0] > 0), r"shape \(rows, 6\)"),
        (lambda X: (AsenClassifier("C5"), X.reshape(80, 12), X[:, 0, 0] > 0), "12 columns, but the group acts on 5"),
        (lambda X: (AsenClassifier("C5"), X, X[:, 0, 0] > 0), "acts on 5 points, not on 6"),
        (lambda X: (AsenClassifier(degree=4), X, X[:, 0, 0] > 0), "6 nodes, but the group acts on 4"),
        (lambda X: (AsenClassifier(), X, np.zeros(80)), "at least 2 classes in y, got 1 class"),
        (lambda X: (AsenClassifier(n_estimators=0), X, X[:, 0, 0] > 0), "n_estimators must be an integer"),
        (lambda X: (AsenClassifier(validation_fraction=1), X, X[:, 0, 0] > 0), "validation_fraction must be"),
        (lambda X: (AsenClassifier(init_from="one"), X, X[:, 0, 0] > 0), "give checkpoint too"),
        (lambda X: (AsenClassifier(task_options={"degree": 6}), X, X[:, 0, 0] > 0), "degree cannot be set there"),
        (lambda X: (AsenClassifier(training_options={"rate": 6}), X, X[:, 0, 0] > 0), "rate"),
        (lambda X: (AsenClassifier(model_options={"tasks": {}}), X, X[:, 0, 0] > 0), "model_options: tasks cannot be"),
        (lambda X: (AsenClassifier(model_options={"rate": 6}), X, X[:, 0, 0] > 0), "AsenConfig has no rate"),
        (
            lambda X: (AsenClassifier(checkpoint="one", model_options={"pooling": "max"}), X, X[:, 0, 0] > 0),
            "leave them out beside a checkpoint",
        ),
        (lambda X: (AsenClassifier(hidden_size=6), X, X[:, 0, 0] > 0), "num_attention_heads must divide"),
        (lambda X: (AsenClassifier(vocab_size=3), X[..., 0], X[:, 0, 0] > 0), r"row 0: expected tokens in 0 … 2"),
        (lambda X: (AsenClassifier(vocab_size=3), X, X[:, 0, 0] > 0), "one token per node, got 2 numbers"),
    ],
)
def test_what_cannot_be_fitted_is_refused_by_a_sentence(rows, make, message):
    model, X, y = make(rows)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


def test_a_new_network_takes_further_fields_of_its_config(rows):
    options = {"backbone_type": "transformer", "num_recurrences": 2, "pooling": "max"}
    config = AsenClassifier("D6", **SMALL, model_options=options).fit(rows, rows[:, 0, 0] > 0).models_[0].config
    assert options == {name: getattr(config, name) for name in options}


def test_it_must_be_trained_first(rows):
    for use in (AsenClassifier().predict, AsenClassifier().predict_proba, AsenRegressor().predict):
        with pytest.raises(NotFittedError):
            use(rows)
    with pytest.raises(NotFittedError):
        _ = AsenClassifier().task_


def test_a_checkpoint_and_a_donor_task_give_tokens_a_start():
    tokens = np.random.default_rng(0).integers(7, size=(40, 14))
    teams = tokens.reshape(40, 2, 7)
    is_equal = teams[:, :, :, None] == teams[:, ::-1, None]
    labels = np.where(is_equal.any(axis=3).reshape(40, 14), "shared", "single")  # does the other team have my number?
    model = AsenClassifier(
        "S7 wr S2",
        checkpoint="asen-sequence-base",
        init_from="equivariant/intersect-16",
        relations=["equal"],
        vocab_size=7,
        output_level="node",
        max_steps=10,
        random_state=0,
    )
    model.fit(tokens, labels)
    assert model.models_[0].config.hidden_size == 128
    assert model.score(tokens, labels) > 0.9


def test_missing_readings_and_tokens_are_taken_everywhere(rows, kinds):
    holes = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
    frame = pd.DataFrame(holes.reshape(80, 12)).convert_dtypes()  # with pandas' own missing values
    model = AsenClassifier("D6", **SMALL).fit(frame, kinds)
    expected = _refit(model, holes, kinds).predict_proba(holes)
    assert np.isfinite(expected).all() and np.array_equal(model.predict_proba(frame), expected)
    assert np.isfinite(model.predict_proba(np.full((1, 12), np.nan))).all()
    tokens = np.where(np.isnan(holes[..., 0]), np.nan, holes[..., 0] > 0)
    model = AsenClassifier("D6", **SMALL, vocab_size=2).fit(tokens, kinds)
    whole = np.nan_to_num(tokens, nan=-1).astype(int)
    assert np.array_equal(model.predict_proba(tokens), model.predict_proba(whole))
    assert not np.allclose(model.predict_proba(np.abs(whole)), model.predict_proba(whole))


def test_weights_of_rows_and_of_classes_change_what_is_learnt(rows):
    noise = np.random.default_rng(1).choice(["often", "seldom"], size=80, p=[0.8, 0.2])
    settings = {**SMALL, "validation_fraction": 0, "max_steps": 60}

    def share(**how):
        model = AsenClassifier("D6", **settings, class_weight=how.pop("class_weight", None)).fit(rows, noise, **how)
        return model.predict_proba(rows)[:, 1].mean()

    by_rows, by_classes = share(sample_weight=np.where(noise == "seldom", 4.0, 1.0)), share(class_weight="balanced")
    assert share() < 0.3 < 0.4 < by_rows and by_classes > 0.4
    only = noise == "often"
    with pytest.raises(ValueError, match="at least 2 classes"):
        share(sample_weight=only.astype(float))


def test_rows_of_weight_zero_are_as_if_they_were_not_there(rows, kinds):
    weights = (np.arange(80) < 50).astype(float)
    model = AsenClassifier("D6", **SMALL).fit(rows, kinds, sample_weight=weights)
    fewer = AsenClassifier("D6", **SMALL).fit(rows[:50], kinds[:50], sample_weight=np.ones(50))
    assert np.array_equal(model.predict_proba(rows), fewer.predict_proba(rows))


def test_several_labels_per_row(rows):
    labels = np.stack([rows[:, :, 0].max(axis=1) > 1.5, rows[:, :, 1].max(axis=1) > 1.5, rows[:, 0, 0] > 9], axis=1)
    model = AsenClassifier("D6", **{**SMALL, "max_steps": 100, "learning_rate": 1e-2}).fit(rows, labels.astype(int))
    assert model.classes_.tolist() == [0, 1, 2] and model.task_.problem_type == "multi_label_classification"
    predicted, probabilities = model.predict(rows), model.predict_proba(rows)
    assert np.array_equal(predicted, probabilities > 0.5) and (predicted == labels).mean() > 0.8
    assert model.score(rows, labels.astype(int)) == (predicted == labels).all(axis=1).mean()
    with pytest.raises(ValueError, match="classes of one label"):
        AsenClassifier("D6", class_weight="balanced").fit(rows, labels.astype(int))


@pytest.mark.slow
def test_predicting_many_rows_takes_little_memory():
    code = """
import resource
import numpy as np
from asen_hf import AsenClassifier
rows = np.random.default_rng(0).normal(size=(100_000, 8, 3))
few = rows[:200]
model = AsenClassifier("D8", max_steps=2).fit(few, few[:, 0, 0] > 0)
model.predict(rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1  # GiB


def test_signs_turn_with_the_points_of_a_regressor(tmp_path):
    """The label is odd in the features: a reversal of the row that negates them negates it."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4, 2))
    labels = rows[:, 0, 0] - 2 * rows[:, 3, 0] + rows[:, 1, 1] ** 3
    mirror = {"mirror": {"inputs": [-1, -2], "outputs": [-1]}}
    regressor = AsenRegressor(**SMALL, value_symmetries=mirror).fit(rows, labels)
    assert np.allclose(regressor.predict(-rows), -regressor.predict(rows), atol=1e-4)
    assert abs(regressor.predict(np.zeros((1, 4, 2)))) < 1e-5
    assert clone(regressor).get_params() == regressor.get_params()
    regressor.save(tmp_path / "mirror")
    loaded = AsenRegressor.load(tmp_path / "mirror")
    assert np.array_equal(loaded.predict(rows), regressor.predict(rows))
    assert loaded.value_symmetries == [{"name": "mirror", **mirror["mirror"]}]
    plain = AsenRegressor(**SMALL).fit(rows, labels)
    assert not np.allclose(plain.predict(-rows), -plain.predict(rows), atol=1e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"vocab_size": 3},
        {"value_symmetries": [{"inputs": [-1], "outputs": [-1]}], "task_options": {"symmetrization": "lift"}},
    ],
    ids=["tokens", "lift"],
)
def test_a_regressor_without_a_linear_map_needs_no_word_about_it(options):
    """The parameter ``linear_skip`` is on by default; outputs of pairs are in test_pair_outputs.py."""
    rows = np.random.default_rng(0).integers(3, size=(40, 4))
    regressor = AsenRegressor("S4", **SMALL, **options).fit(rows, rows.sum(axis=1))
    assert not regressor.task_.linear_skip and np.isfinite(regressor.predict(rows)).all()


def test_colours_are_exchanged_with_the_sorted_classes():
    rng = np.random.default_rng(0)
    boards = rng.integers(3, size=(80, 9))
    majority = np.array(["black", "draw", "white"])[1 + np.sign((boards == 2).sum(axis=1) - (boards == 1).sum(axis=1))]
    colours = [{"inputs": [0, 2, 1], "outputs": [2, 1, 0]}]
    classifier = AsenClassifier("S9", vocab_size=3, value_symmetries=colours, **SMALL).fit(boards, majority)
    swapped = np.array([0, 2, 1])[boards]
    assert np.allclose(classifier.predict_proba(swapped), classifier.predict_proba(boards)[:, [2, 1, 0]], atol=1e-5)


def test_value_symmetries_serve_frames_and_copies():
    """Wind at four stations, named by station and direction: the east changes sign, and stations turn round."""
    rng = np.random.default_rng(0)
    names = [f"s{station}_{direction}" for station in range(4) for direction in ("east", "north")]
    frame = pd.DataFrame(rng.normal(3, [4, 1] * 4, size=(60, 8)), columns=names)
    turns = {"mirror": {"points": "R4", "inputs": [-1, 2], "outputs": [-1]}}
    regressor = AsenRegressor(**SMALL, degree=4, value_symmetries=turns)
    regressor.fit(frame, frame["s0_east"] + frame["s3_east"] * frame["s1_north"])
    assert np.array(regressor.task_.input_mean)[..., 0].tolist() == [0.0] * 4  # of rows and their images
    assert regressor.task_.label_mean == 0
    mirrored = pd.DataFrame(frame.to_numpy().reshape(-1, 4, 2)[:, ::-1].reshape(-1, 8) * ([-1, 1] * 4), columns=names)
    predicted = regressor.predict(frame)
    assert np.abs(predicted).max() > 1
    np.testing.assert_allclose(regressor.predict(mirrored), -predicted, atol=1e-4)
    assert np.array_equal(pickle.loads(pickle.dumps(regressor)).predict(frame), predicted)
    again = clone(regressor).fit(frame, frame["s0_east"] + frame["s3_east"] * frame["s1_north"])
    assert np.array_equal(again.predict(frame), predicted)


def test_value_symmetries_that_do_not_suit_the_rows_are_refused():
    rng = np.random.default_rng(0)
    boards, classes = rng.integers(3, size=(30, 4)), rng.integers(2, size=30)
    with pytest.raises(ValueError, match="value symmetry 0: outputs must be a permutation of 0 … 1"):
        AsenClassifier("S4", vocab_size=3, value_symmetries=[{"outputs": [0, 2, 1]}], **SMALL).fit(boards, classes)
    colours = [{"inputs": [0, 2, 1], "outputs": [1, 0]}]
    uneven = {"class_weight": {0: 1.0, 1: 3.0}, "value_symmetries": colours}
    with pytest.raises(ValueError, match="exchanges classes 1 and 0, but class_weights differs"):
        AsenClassifier("S4", vocab_size=3, **uneven, **SMALL).fit(boards, classes)
