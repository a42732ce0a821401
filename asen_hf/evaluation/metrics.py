"""Metrics: what a task is scored by beside its loss, under the names that ``TaskConfig.metric`` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.stats import rankdata
from torch import Tensor

from ..model.configuration_task import TaskConfig
from ..model.heads import predictions


class Metric(NamedTuple):
    """One way of scoring a split.

    Attributes:
        compute: predictions, labels and which labels are known, all of the labels' shape ``(N, …)``, to a number.
        larger_is_better: whether a higher score is the better one.
        uses_scores: whether predictions are scores of the second class, or of each label, instead of classes.
        companions: names of metrics that are reported with it.
        by_label: whether it is also reported for each regressed value alone.
    """

    compute: Callable[[Tensor, Tensor, Tensor], float]
    larger_is_better: bool
    uses_scores: bool = False
    companions: tuple[str, ...] = ()
    by_label: bool = False


def accuracy(predicted: Tensor, labels: Tensor, known: Tensor) -> float:
    """Share of labels that are right."""
    return float((predicted == labels)[known].double().mean())


def auc(scores: Tensor, labels: Tensor, known: Tensor) -> float:
    """Area under the ROC curve of two classes: how often a second-class row has the higher score, ties counting half.

    NaN if only one class occurs.
    """
    positive = labels[known] == 1
    ranks = torch.from_numpy(rankdata(scores[known].double().numpy()))
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return float("nan")
    above = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * num_negative))


def mae(predicted: Tensor, labels: Tensor, known: Tensor) -> float:
    """Mean absolute error, in the labels' units."""
    return float((predicted - labels).abs()[known].double().mean())


def mpjpe(predicted: Tensor, labels: Tensor, known: Tensor) -> float:
    """Mean per-joint position error: mean Euclidean distance per node, in the labels' units.

    Predictions and labels are positions ``(N, n, K)``; nodes with an unknown coordinate are left out.
    """
    return float((predicted - labels).norm(dim=-1)[known.all(dim=-1)].double().mean())


def p_mpjpe(predicted: Tensor, labels: Tensor, known: Tensor) -> float:
    """MPJPE after the best translation, rotation and scaling of each row; rows with unknown labels are left out."""
    whole = known.flatten(1).all(dim=1)
    aligned = procrustes(predicted[whole].double(), labels[whole].double())
    return float((aligned - labels[whole].double()).norm(dim=-1).mean())


def procrustes(points: Tensor, targets: Tensor) -> Tensor:
    """Points ``(N, n, K)``, each row translated, rotated and scaled to minimise its distance to the targets.

    By the singular value decomposition of the covariance (Umeyama 1991); reflections are excluded.
    """
    center, target_center = points.mean(dim=1, keepdim=True), targets.mean(dim=1, keepdim=True)
    moved, aim = points - center, targets - target_center
    left, values, right = torch.linalg.svd(moved.mT @ aim)
    signs = torch.ones_like(values)
    signs[:, -1] = torch.linalg.det(left @ right).sign()
    rotation = (left * signs.unsqueeze(1)) @ right
    scale = (values * signs).sum(dim=1) / moved.square().sum(dim=(1, 2)).clamp(min=torch.finfo(points.dtype).tiny)
    return scale[:, None, None] * moved @ rotation + target_center


def guesses(task: TaskConfig, logits: Tensor, inputs: Tensor) -> Tensor:
    """What a task's metric compares with the labels: predictions in raw units, or scores, in the labels' shape."""
    if not METRICS[str(task.metric)].uses_scores:
        return predictions(task, logits, inputs)
    return logits if task.is_multi_label else logits[..., 1] - logits[..., 0]


METRICS = {
    "accuracy": Metric(accuracy, larger_is_better=True),
    "auc": Metric(auc, larger_is_better=True, uses_scores=True),
    "mae": Metric(mae, larger_is_better=False, by_label=True),
    "mpjpe": Metric(mpjpe, larger_is_better=False, companions=("p_mpjpe",)),
    "p_mpjpe": Metric(p_mpjpe, larger_is_better=False, companions=("mpjpe",)),
}


def details(task: TaskConfig, predicted: Tensor, labels: Tensor, known: Tensor) -> dict[str, float]:
    """The numbers that are reported with a task's metric: its companions, and itself for each regressed value.

    Args:
        task: the task; its ``label_names``, or else numbers from 0, name the regressed values.
        predicted, labels, known: as for a metric.

    Returns:
        Name to number, in raw units; empty where the metric stands alone.
    """
    metric = METRICS[str(task.metric)]
    found = {name: METRICS[name].compute(predicted, labels, known) for name in metric.companions}
    if metric.by_label and task.output_size > 1:
        for number, name in enumerate(task.label_names or map(str, range(task.output_size))):
            found[name] = metric.compute(predicted[..., number], labels[..., number], known[..., number])
    return found
