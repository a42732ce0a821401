"""Reference predictions: each kind on rows with holes, its bounds, and what a missing scikit-learn leaves."""

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.data.features import to_dataset
from asen_hf.evaluation import reference_predictions as module
from asen_hf.evaluation import sklearn_references
from asen_hf.evaluation.reference_predictions import (
    REFERENCES,
    fit_reference,
    reference_predictions,
    reference_scores,
    simplest_reference,
    unsuited,
)
from asen_hf.evaluation.targets import to_predictions, to_targets

VALUES = {"num_features": 2, "problem_type": "regression"}
TASKS = {
    "node values": {**VALUES, "num_labels": 2, "residual_feature": 1},
    "one node value": {**VALUES, "edges": [[i, (i + 1) % 5] for i in range(5)]},
    "row values": {**VALUES, "output_level": "graph", "num_labels": 2},
    "node classes": {"vocab_size": 4, "num_labels": 3},
    "row classes": {"vocab_size": 4, "num_labels": 3, "output_level": "graph"},
    "row scores": {"num_features": 2, "output_level": "graph", "metric": "auc"},
}
CONFIGS = {name: TaskConfig(degree=5, group="D5", **fields) for name, fields in TASKS.items()}


def arrays(config, count=60, seed=0, holes=0.15):
    rng = np.random.default_rng(seed)
    shape, label_shape = (count, *config.input_shape()), (count, *config.label_shape())
    tokens = config.vocab_size is not None
    inputs = rng.integers(4, size=shape) if tokens else rng.normal(size=shape)
    labels = rng.normal(size=label_shape) if config.is_regression else rng.integers(config.num_labels, size=label_shape)
    inputs = np.where(rng.random(shape) < holes, -1 if tokens else np.nan, inputs)
    labels = np.where(rng.random(label_shape) < holes, np.nan if config.is_regression else -100, labels)
    return {"inputs": inputs, "labels": labels}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", REFERENCES)
def test_holes_in_inputs_and_labels_leave_no_hole_in_predictions(task, name):
    config = CONFIGS[task]
    if unsuited(config, name) is not None:
        assert not REFERENCES[name].suits(config)
        return
    predicted = fit_reference(config, name, arrays(config))(arrays(config, seed=1)).numpy()
    assert predicted.shape == (60, *config.label_shape())
    assert np.isfinite(predicted).all()
    if not config.is_regression and config.metric == "accuracy":
        assert set(np.unique(predicted)) <= set(range(config.num_labels))


@pytest.mark.parametrize("task", TASKS)
def test_targets_and_back(task):
    config = CONFIGS[task]
    rows = arrays(config, holes=0)
    targets = to_targets(config, rows["inputs"], rows["labels"])
    back = to_predictions(config, rows["inputs"], targets)
    expected = 2 * rows["labels"] - 1 if config.metric == "auc" else rows["labels"]
    np.testing.assert_allclose(back, expected)
    holes = arrays(config)
    unknown = np.isnan(holes["labels"]) if config.is_regression else holes["labels"] == -100
    found = np.isnan(to_targets(config, np.nan_to_num(holes["inputs"]), holes["labels"])).any(axis=-1)
    np.testing.assert_array_equal(
        found, unknown.any(axis=-1) if config.output_size > 1 and config.is_regression else unknown
    )


def test_labels_of_which_several_hold_are_regressed_on_one_by_one():
    task = TaskConfig(
        degree=5, vocab_size=3, output_level="graph", problem_type="multi_label_classification", num_labels=3
    )
    labels = np.array([[0, 1, -100], [1, 1, 0]])
    targets = to_targets(task, np.zeros((2, 5)), labels)
    np.testing.assert_array_equal(targets, [[0, 1, np.nan], [1, 1, 0]])
    np.testing.assert_array_equal(to_predictions(task, np.zeros((2, 5)), np.array([[0.2, 0.7, 0.5]])), [[0, 1, 0]])


def test_trees_learn_what_one_node_shows_about_another():
    config = TaskConfig(degree=5, group="S2 x S3", num_features=1, problem_type="regression")
    inputs = np.random.default_rng(0).normal(size=(400, 5, 1))
    labels = np.concatenate([inputs[:, 1::-1, 0] * 3, inputs[:, 2:, 0]], axis=1)  # one orbit's nodes show each other
    guess = fit_reference(config, "boosted_trees", {"inputs": inputs[:300], "labels": labels[:300]})(
        {"inputs": inputs[300:]}
    )
    assert np.abs(guess.numpy() - labels[300:]).mean() < 0.3
    wide = TaskConfig(degree=5, group="D5", num_features=200, problem_type="regression")  # orbitals not told apart
    rows = arrays(wide, 20)
    assert fit_reference(wide, "boosted_trees", rows)(rows).shape == (20, 5)


def test_logistic_regression_separates_rows():
    config = TaskConfig(degree=5, group="D5", vocab_size=3, output_level="graph")
    inputs = np.random.default_rng(0).integers(3, size=(300, 5))
    labels = (inputs.sum(axis=1) > 5).astype(int)
    guess = fit_reference(config, "logistic_regression", {"inputs": inputs[:200], "labels": labels[:200]})(
        {"inputs": inputs[200:]}
    )
    assert (guess.numpy() == labels[200:]).mean() > 0.9


@pytest.mark.parametrize("task", ["node classes", "row scores"])
@pytest.mark.parametrize("name", ["boosted_trees", "logistic_regression"])
def test_one_class_alone_is_predicted_throughout(task, name):
    config = CONFIGS[task]
    rows = arrays(config, holes=0)
    rows["labels"][:] = 1
    predicted = fit_reference(config, name, rows)(rows)
    assert (predicted == 1).all()


def test_rows_beyond_the_bound_are_left_out(monkeypatch):
    monkeypatch.setattr(sklearn_references, "MAX_SAMPLES", 25)
    config = CONFIGS["one node value"]
    rows = arrays(config, holes=0)
    rows["labels"][1:-1] = np.nan  # of 5 rows that are spaced evenly, the first and the last are two
    seen = fit_reference(config, "boosted_trees", rows)(rows)
    assert np.isfinite(seen.numpy()).all()
    assert sklearn_references._spaced(60, 5).tolist() == [0, 15, 30, 44, 59]
    assert sklearn_references._spaced(3, 0).tolist() == [0]


def test_what_is_too_large_is_left_out_and_logged(monkeypatch):
    monkeypatch.setattr("asen_hf.evaluation.equivariant_ridge.MAX_FEATURES", 1)
    messages = []
    monkeypatch.setattr(module.logger, "warning", messages.append)
    config = CONFIGS["row values"]
    rows = to_dataset(config, *arrays(config, holes=0).values())
    assert "equivariant_ridge" not in reference_predictions(config, rows, rows)
    assert messages == ["reference prediction equivariant_ridge is left out: 2 features are more than 1 (MAX_FEATURES)"]


def test_without_scikit_learn_the_remaining_kinds_are_made(monkeypatch):
    monkeypatch.setattr(module, "has_sklearn", lambda: False)
    config = CONFIGS["row classes"]
    rows = to_dataset(config, *arrays(config, holes=0).values())
    assert list(reference_scores(config, rows, rows)) == ["majority", "equivariant_ridge", "structural_ridge"]
    assert "pip install" in unsuited(config, "boosted_trees")


def test_some_kinds_alone_can_be_asked_for():
    config = CONFIGS["node values"]
    rows = to_dataset(config, *arrays(config, holes=0).values())
    assert simplest_reference(config) == "constant"
    assert list(reference_scores(config, rows, rows, ["constant"])) == ["constant"]
    assert "unknown reference prediction 'svm'" in unsuited(config, "svm")


def test_predictions_that_came_with_the_data_are_kept():
    config = CONFIGS["one node value"]
    rows = arrays(config, holes=0)
    mine = rows["labels"] + 1
    split = to_dataset(config, rows["inputs"], rows["labels"], predictions={"mine": mine})
    found = reference_predictions(config, split, split)
    torch.testing.assert_close(found["mine"], torch.from_numpy(mine))
    assert list(found)[-1] == "mine"


def test_trees_do_without_a_feature_that_is_missing_in_all_rows():
    """Such as a sensor that was dead throughout; it may live in later rows."""
    config = TaskConfig(degree=4, num_features=2, output_level="graph")
    inputs = np.random.default_rng(0).normal(size=(120, 4, 2))
    labels = (inputs[:, 0, 0] > 0).astype(np.int64)
    dead = inputs.copy()
    dead[:, 2], dead[:, 1, 0] = np.nan, np.nan
    predict = fit_reference(config, "boosted_trees", {"inputs": dead, "labels": labels})
    assert (predict({"inputs": inputs}).numpy() == labels).mean() > 0.95
