"""Reference predictions as rivals: their rows are moved by the group, and their outcomes kept by row."""

import numpy as np
import pytest
from datasets import DatasetDict

from asen_hf import TaskConfig
from asen_hf.data.features import to_dataset
from asen_hf.experiments.reference_runs import augmented, run_reference
from asen_hf.training.recipe import TrainingRecipe

RING = TaskConfig(degree=5, group="C5", vocab_size=4, output_level="graph")


def make(count, seed):
    inputs = np.random.default_rng(seed).integers(4, size=(count, 5))
    return inputs, (inputs == np.roll(inputs, 1, axis=1)).any(axis=1).astype(int)


SPLITS = DatasetDict({name: to_dataset(RING, *make(count, count)) for name, count in
                      (("train", 120), ("validation", 90), ("test", 100))})  # fmt: skip


def test_moved_rows_are_images_under_the_group_with_the_same_labels():
    inputs, labels = make(7, 0)
    more = augmented(RING, {"inputs": inputs, "labels": labels}, seed=0)
    assert len(more["inputs"]) == 7 * 21
    np.testing.assert_array_equal(more["labels"], np.tile(labels, 21))
    for number, row in enumerate(more["inputs"]):
        assert any((np.roll(inputs[number % 7], shift) == row).all() for shift in range(5))
    assert len(np.unique(more["inputs"], axis=0)) == len(
        np.unique(np.concatenate([np.roll(inputs, shift, axis=1) for shift in range(5)]), axis=0)
    )
    nothing = TaskConfig(degree=5, group="E5", vocab_size=4, output_level="graph")
    assert len(augmented(nothing, {"inputs": inputs, "labels": labels}, seed=0)["inputs"]) == 7


@pytest.mark.parametrize("name", ["majority", "structural_ridge", "boosted_trees", "logistic_regression"])
def test_scores_and_outcomes_by_row_belong_together(name):
    scores, outcomes = run_reference(RING, name, SPLITS, TrainingRecipe(output_dir="unset", train_rows=100))
    assert (scores["validation"].rows, scores["test"].rows) == (90, 100)
    assert outcomes.score() == pytest.approx(scores["validation"].value)
    assert np.isnan(scores["test"].loss)
    if name == "structural_ridge":
        assert scores["test"].value > 0.9


def test_trees_gain_from_rows_that_the_group_has_moved():
    plain = TaskConfig(degree=5, group="E5", vocab_size=4, output_level="graph")
    training = TrainingRecipe(output_dir="unset")
    moved, unmoved = (run_reference(task, "boosted_trees", SPLITS, training)[0]["test"] for task in (RING, plain))
    assert moved.value > unmoved.value + 0.05


def test_the_loss_of_a_regression_is_that_of_its_predictions_in_units_of_the_labels_scale():
    rng = np.random.default_rng(0)
    task = TaskConfig(
        group="S3",
        num_features=1,
        output_level="graph",
        problem_type="regression",
        num_labels=2,
        label_mean=[1.0, 2.0],
        label_scale=[2.0, 5.0],
    )
    inputs, labels = rng.normal(size=(200, 3, 1)), rng.normal(size=(200, 2)) * [2.0, 5.0] + [1.0, 2.0]
    rows = to_dataset(task, inputs=inputs, labels=labels)
    splits = DatasetDict(
        {
            name: rows.select(range(start, start + 50))
            for name, start in (("train", 0), ("validation", 50), ("test", 100))
        }
    )
    scores, _ = run_reference(task, "constant", splits, TrainingRecipe(output_dir="unset"))
    guess = np.median(labels[:50], axis=0) if task.loss == "l1" else labels[:50].mean(axis=0)
    expected = np.square((labels[100:150] - guess) / [2.0, 5.0]).mean()
    assert scores["test"].loss == pytest.approx(expected, rel=0.05)
