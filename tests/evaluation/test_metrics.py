"""Metrics against definitions written out, and SciPy."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from asen_hf import TaskConfig
from asen_hf.evaluation.metrics import METRICS, auc, mpjpe, p_mpjpe, procrustes


def everything(labels):
    return torch.ones_like(labels, dtype=torch.bool)


@pytest.mark.parametrize("levels", [1000, 3], ids=["distinct", "tied"])
def test_auc_is_how_often_the_second_class_scores_higher(levels):
    rng = np.random.default_rng(0)
    scores, labels = (
        torch.from_numpy(rng.integers(levels, size=(9, 5))).float(),
        torch.from_numpy(rng.integers(2, size=(9, 5))),
    )
    known = torch.from_numpy(rng.integers(4, size=(9, 5)) > 0)
    positive, negative = (scores[known & (labels == label)].tolist() for label in (1, 0))
    wins = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(positive, negative)]
    assert auc(scores, labels, known) == pytest.approx(np.mean(wins))
    assert np.isnan(auc(scores, torch.ones_like(labels), known))


def test_mpjpe_is_the_mean_distance_of_nodes_whose_labels_are_known():
    labels = torch.tensor([[[0.0, 0, 0], [1, 1, 1]], [[2, 2, 2], [float("nan"), 0, 0]]])
    predicted = labels.nan_to_num() + torch.tensor([3.0, 4.0, 0.0])
    predicted[0, 0] = 0
    assert mpjpe(predicted, labels, ~labels.isnan()) == pytest.approx((0 + 5 + 5) / 3)


def test_alignment_undoes_any_turn_shift_and_scaling_but_no_mirror():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(20, 16, 3))
    turns = Rotation.random(20, random_state=0).as_matrix()
    points = rng.uniform(0.2, 3, size=(20, 1, 1)) * targets @ turns + rng.normal(size=(20, 1, 3))
    points, targets = torch.from_numpy(points), torch.from_numpy(targets)
    torch.testing.assert_close(procrustes(points, targets), targets)
    assert p_mpjpe(points, targets, everything(targets)) < 1e-12
    mirrored = points * torch.tensor([-1.0, 1, 1])
    assert p_mpjpe(mirrored, targets, everything(targets)) > 0.1


def test_alignment_is_that_of_scipy():
    rng = np.random.default_rng(1)
    targets = rng.normal(size=(8, 16, 3))
    points = targets + rng.normal(size=targets.shape) * 0.3  # so near that no mirror image is nearer
    aligned = procrustes(torch.from_numpy(points), torch.from_numpy(targets)).numpy()
    for row in range(8):
        expected, best, _ = scipy_procrustes(targets[row], points[row])
        center, size = targets[row].mean(axis=0), np.linalg.norm(targets[row] - targets[row].mean(axis=0))
        np.testing.assert_allclose((targets[row] - center) / size, expected)
        np.testing.assert_allclose((aligned[row] - center) / size, best, atol=1e-9)


def test_a_task_refuses_a_metric_that_does_not_suit_it():
    position = {"degree": 3, "num_features": 2, "problem_type": "regression", "num_labels": 3}
    assert TaskConfig(degree=3, vocab_size=2).metric == "accuracy"
    assert TaskConfig(**position).metric == "mae"
    for fields in ({"metric": "auc", "degree": 3, "vocab_size": 2}, {**position, "metric": "p_mpjpe"}):
        assert TaskConfig(**fields).metric in METRICS
    for fields in (
        {"degree": 3, "vocab_size": 2, "metric": "mae"},
        {"degree": 3, "vocab_size": 2, "metric": "auc", "num_labels": 3},
        {**position, "metric": "mpjpe", "output_level": "graph"},
        {**position, "metric": "mpjpe", "num_labels": 1},
    ):
        with pytest.raises(ValueError, match="metric must be"):
            TaskConfig(**fields)
