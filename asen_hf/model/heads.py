"""From logits to predictions in raw units, and to the loss of a task."""

from collections.abc import Sequence
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._messages import shown
from .configuration_asen import AsenConfig
from .configuration_rows import IGNORED_CLASS
from .configuration_task import TaskConfig
from .normalization import at_least_float32, normalized_labels, raw_values


class Head(nn.Linear):
    """Linear map of a task's node states, or of its pooled states, to logits.

    Args:
        config, task: give the sizes.
        num_pooled: number of pooled states that it reads at once.
        num_points: number of states that are pooled; by default the degree.
        num_counts: how many counts of partners every state carries besides (``TaskConfig.partner_counts``).

    Attributes:
        num_summed: number of node states that pooling adds up; the initial weights are divided by it.
    """

    def __init__(
        self,
        config: AsenConfig,
        task: TaskConfig,
        num_pooled: int = 1,
        num_points: int | None = None,
        num_counts: int = 0,
    ):
        super().__init__(num_pooled * (config.hidden_size + num_counts), task.output_size)
        self.num_states, self.num_counts = config.hidden_size, num_counts  # of every pooled state, in this order
        is_sum = task.output_level == "graph" and pooling_of(config, task) == "sum"
        self.num_summed = (num_points or task.degree) if is_sum else 1


def pooling_of(config: AsenConfig, task: TaskConfig) -> str:
    """How a graph-level task pools node states: as it says, or as the model does."""
    return task.pooling or config.pooling


def pool(states: Tensor, how: str, orbits: Sequence[Sequence[int]] | None = None, mask: Tensor | None = None) -> Tensor:
    """Node states ``(B, n, d)`` to a graph state, invariant to every permutation that maps each orbit to itself.

    Args:
        states: ``(B, n, d)``.
        how: ``"sum"``, ``"mean"`` or ``"max"``.
        orbits: the nodes of each of k orbits, pooled by themselves; ``None`` to pool all nodes together.
        mask: bool ``(B, n)``, the nodes to pool; ``None`` for all. Without any, the result is 0.

    Returns:
        ``(B, d)``, or with orbits ``(B, k · d)``.
    """
    if orbits is not None:
        masks = [None if mask is None else mask[:, list(nodes)] for nodes in orbits]
        parts = zip(orbits, masks, strict=True)
        return torch.cat([pool(states[:, list(nodes)], how, None, part) for nodes, part in parts], dim=-1)
    if mask is not None:
        return _pool_masked(states, how, mask.bool().unsqueeze(-1))
    if how == "max":
        return states.amax(dim=1)
    return states.sum(dim=1) if how == "sum" else states.mean(dim=1)


def _pool_masked(states: Tensor, how: str, mask: Tensor) -> Tensor:
    if how == "max":
        largest = torch.where(mask, states, -torch.inf).amax(dim=1)
        return torch.where(mask.any(dim=1), largest, 0)
    total = torch.where(mask, states, 0).sum(dim=1)
    return total if how == "sum" else total / mask.sum(dim=1).clamp(min=1)


def is_known(task: TaskConfig, labels: Tensor) -> Tensor:
    """Boolean mask of the labels' shape: false for labels to ignore, the class -100 and the value NaN."""
    return ~labels.isnan() if task.is_regression else labels != IGNORED_CLASS


def without_padding(task: TaskConfig, labels: Tensor, mask: Tensor) -> Tensor:
    """Labels or predictions, with -100 or NaN at nodes (or pairs of nodes) that a row lacks.

    Args:
        task: its config.
        labels: ``(B,) + task.label_shape()``.
        mask: ``(B, n)``, 1 for the nodes that a row has.
    """
    return fill_padding(task.output_level, labels, mask, torch.nan if task.is_regression else IGNORED_CLASS)


def fill_padding(output_level: str, outputs: Tensor, mask: Tensor, value: float) -> Tensor:
    """Outputs ``(B, n, …)`` of nodes, or ``(B, n, n, …)`` of pairs, with a value where a row lacks nodes."""
    if output_level == "graph":
        return outputs
    known = mask.bool()
    if output_level == "pair":
        known = known.unsqueeze(2) & known.unsqueeze(1)
    known = known.reshape(*known.shape, *[1] * (outputs.ndim - known.ndim))
    return torch.where(known, outputs, value)


def predictions(task: TaskConfig, logits: Tensor, inputs: Tensor) -> Tensor:
    """Logits in normalised units to classes or values in raw units (see ``raw_values``), in the shape of the labels."""
    if task.is_regression:
        return raw_values(task, logits, inputs)
    return (logits > 0).long() if task.is_multi_label else logits.argmax(dim=-1)


def probabilities(task: TaskConfig, logits: Tensor) -> Tensor:
    """Logits ``(…, K)`` to the probabilities of the classes, which sum to 1, or of each label, in at least float32.

    Raises:
        ValueError: the task is a regression.
    """
    if task.is_regression:
        raise ValueError("a regression has values and no probabilities: use predict")
    logits = at_least_float32(logits)
    return logits.sigmoid() if task.is_multi_label else logits.softmax(dim=-1)


def task_loss(
    task: TaskConfig,
    logits: Tensor,
    labels: Tensor,
    inputs: Tensor,
    num_labels: Tensor | float | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean loss over the labels that are not ignored, in float32 or float64; 0 if all are ignored.

    Weights of classes and rows multiply the labels' losses, and the mean remains one over the number of labels, so that
    it does not depend on how a step's rows are divided into batches.

    Args:
        task: its config.
        logits: in normalised units, with a last dimension of outputs.
        labels: in raw units, as in ``AsenForMultitask.forward``.
        inputs: in raw units; read only with ``residual_feature``.
        num_labels: divide the sum of the losses by this number instead of the number of labels that are not ignored.
        weights: ``(B,)``, one per row; ``None`` for 1.
    """
    logits = at_least_float32(logits)
    if task.is_regression:
        labels = normalized_labels(task, labels, inputs).to(logits.dtype)
    known = is_known(task, labels)
    losses = _LOSSES[str(task.loss)](task, logits, labels, known)
    if weights is not None:
        losses = losses * weights.to(losses).reshape(-1, *[1] * (losses.ndim - 1))
    return losses.sum() / _divisor(known, num_labels)


def _cross_entropy(task: TaskConfig, logits: Tensor, labels: Tensor, _: Tensor) -> Tensor:
    weight = None if task.class_weights is None else logits.new_tensor(task.class_weights)
    flat = F.cross_entropy(logits.flatten(0, -2), labels.long().flatten(), weight, reduction="none")
    return flat.reshape(labels.shape)


def _binary_cross_entropy(task: TaskConfig, logits: Tensor, labels: Tensor, known: Tensor) -> Tensor:
    weight = None if task.class_weights is None else logits.new_tensor(task.class_weights)
    targets = torch.where(known, labels, 0).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
    return torch.where(known, losses, 0)


def _absolute(_: TaskConfig, logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, logits - targets, 0).abs()


def _squared(_: TaskConfig, logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, logits - targets, 0).square()


_LOSSES = {
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "l1": _absolute,
    "mse": _squared,
}


def _divisor(known: Tensor, num_labels: Tensor | float | None) -> Tensor:
    if num_labels is None:
        number = known.sum()
    elif isinstance(num_labels, Real) or (isinstance(num_labels, Tensor) and num_labels.numel() == 1):
        number = torch.as_tensor(num_labels, device=known.device).reshape(())
    else:
        raise ValueError(f"a loss is divided by one number of labels, got {shown(num_labels)}")
    return torch.where(number > 0, number, 1)  # a batch without labels has loss 0
