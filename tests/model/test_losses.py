"""Losses of several labels, and weights of classes and rows, against torch's own and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import DatasetDict

from asen_hf import TaskConfig, finetune
from asen_hf.data import collate
from asen_hf.data.features import to_dataset
from asen_hf.model.heads import predictions, probabilities, task_loss
from tests.conftest import make_model

SEVERAL = {"problem_type": "multi_label_classification", "num_labels": 3}


def several(level="graph", **settings):
    return TaskConfig(group="C4", num_features=2, output_level=level, **SEVERAL, **settings)


@pytest.mark.parametrize("level", ["graph", "node"])
def test_several_labels_have_the_binary_cross_entropy_of_torch(level):
    task = several(level)
    logits = torch.randn(6, *task.label_shape())
    labels = torch.randint(2, logits.shape)
    labels[0, 0] = -100
    known = labels != -100
    expected = F.binary_cross_entropy_with_logits(logits[known], labels[known].float())
    torch.testing.assert_close(task_loss(task, logits, labels, logits), expected)
    assert torch.equal(predictions(task, logits, logits), (probabilities(task, logits) > 0.5).long())


def test_class_weights_multiply_the_losses_of_their_labels():
    task = TaskConfig(group="C4", vocab_size=2, output_level="graph", class_weights=[1.0, 3.0])
    logits, labels = torch.randn(5, 2), torch.tensor([0, 1, 1, -100, 0])
    each = F.cross_entropy(logits, labels, reduction="none")
    expected = (each * torch.tensor([1.0, 3.0, 3.0, 0.0, 1.0])).sum() / 4
    torch.testing.assert_close(task_loss(task, logits, labels, logits), expected)
    positive = several(class_weights=[2.0, 1.0, 0.5])
    logits, labels = torch.randn(5, 3), torch.randint(2, (5, 3))
    expected = F.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=torch.tensor([2.0, 1.0, 0.5]))
    torch.testing.assert_close(task_loss(positive, logits, labels, logits), expected)


@pytest.mark.parametrize(
    "task",
    [
        TaskConfig(group="C4", num_features=2),
        TaskConfig(group="C4", num_features=2, problem_type="regression", num_labels=2),
        several(),
    ],
    ids=["classes", "values", "labels"],
)
def test_a_weight_of_two_counts_like_a_row_that_comes_twice(task):
    model = make_model({"t": task}, spread=0.5).eval()
    inputs = torch.randn(3, 4, 2)
    labels = torch.randn(3, *task.label_shape()) if task.is_regression else torch.randint(2, (3, *task.label_shape()))
    number = labels.numel()
    weighted = model(inputs, labels=labels, weights=torch.tensor([2.0, 1.0, 0.0]), num_items_in_batch=number).loss
    twice = [0, 0, 1]
    repeated = model(inputs[twice], labels=labels[twice], num_items_in_batch=number).loss
    torch.testing.assert_close(weighted, repeated)


def test_weights_are_a_column_of_a_dataset_and_reach_training():
    """Rows of weight 0 have no influence, whatever their labels."""
    rng = np.random.default_rng(0)
    task = TaskConfig(group="C4", vocab_size=2, output_level="graph")
    inputs = rng.integers(2, size=(60, 4))
    labels, wrong = inputs.max(axis=1), rng.random(60) < 0.5
    weights = np.where(wrong, 0.0, 1.0)
    finished = []
    for spoiled in (labels, np.where(wrong, 1 - labels, labels)):
        rows = to_dataset(task, inputs, spoiled).add_column("weights", weights)
        model = make_model({"t": task})
        result = finetune(model, task, DatasetDict(train=rows, validation=rows, test=rows), name="t", max_steps=3)
        finished.append(result.model.state_dict())
    assert all(torch.equal(finished[0][key], tensor) for key, tensor in finished[1].items())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -1.0], "weights, row 1: expected a finite number of at least 0, got -1.0"),
        ([1.0, np.nan], "weights, row 1"),
        ([[1.0], [1.0]], r"weights must have shape \(rows\), got \(2, 1\)"),
        ([1.0], "equally many rows"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    task = TaskConfig(group="C4", vocab_size=2, output_level="graph")
    with pytest.raises(ValueError, match=message):
        collate(task, {"inputs": np.zeros((2, 4), int), "labels": [0, 1], "weights": weights})


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, -1.0], [1.0, "a"], [1.0, float("nan")]])
def test_wrong_class_weights_are_refused(weights):
    with pytest.raises(ValueError, match="class_weights must be 2 numbers"):
        TaskConfig(group="C4", vocab_size=2, class_weights=weights)


def test_a_regression_has_no_probabilities():
    task = TaskConfig(group="C4", num_features=2, problem_type="regression")
    with pytest.raises(ValueError, match="a regression has values and no probabilities"):
        make_model({"t": task}).predict_proba(torch.zeros(1, 4, 2))
