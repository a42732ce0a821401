"""From logits to predictions in raw units, and to the loss of a task."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_asen import AsenConfig
from .configuration_task import IGNORED_CLASS, TaskConfig
from .normalization import at_least_float32, normalized_labels, raw_values


class Head(nn.Linear):
    """Linear map of a task's node states, or of its pooled state, to logits.

    Attributes:
        num_summed: number of node states that pooling adds up; the initial weights are divided by it.
    """

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__(config.hidden_size, task.output_size)
        self.num_summed = task.degree if task.output_level == "graph" and config.pooling == "sum" else 1


def is_known(task: TaskConfig, labels: Tensor) -> Tensor:
    """Boolean mask of the labels' shape: false for labels to ignore, the class -100 and the value NaN."""
    return ~labels.isnan() if task.is_regression else labels != IGNORED_CLASS


def predictions(task: TaskConfig, logits: Tensor, inputs: Tensor) -> Tensor:
    """Logits in normalised units to classes or values in raw units (see ``raw_values``), in the shape of the labels."""
    return raw_values(task, logits, inputs) if task.is_regression else logits.argmax(dim=-1)


def task_loss(
    task: TaskConfig, logits: Tensor, labels: Tensor, inputs: Tensor, num_labels: Tensor | float | None = None
) -> Tensor:
    """Mean loss over the labels that are not ignored, in float32 or float64; 0 if all are ignored.

    Args:
        task: its config.
        logits: in normalised units, with a last dimension of outputs.
        labels: in raw units, as in ``AsenForMultitask.forward``.
        inputs: in raw units; read only with ``residual_feature``.
        num_labels: divide the sum of the losses by this number instead of the number of labels that are not ignored.
    """
    logits = at_least_float32(logits)
    if not task.is_regression:
        total = F.cross_entropy(logits.flatten(0, -2), labels.long().flatten(), reduction="sum")
        return total / _divisor(is_known(task, labels), num_labels)
    targets = normalized_labels(task, labels, inputs).to(logits.dtype)
    known = is_known(task, targets)
    errors = torch.where(known, logits - targets, 0)
    errors = errors.abs() if task.loss == "l1" else errors.square()
    return errors.sum() / _divisor(known, num_labels)


def _divisor(known: Tensor, num_labels: Tensor | float | None) -> Tensor:
    number = known.sum() if num_labels is None else torch.as_tensor(num_labels, device=known.device)
    return torch.where(number > 0, number, 1)  # a batch without labels has loss 0
