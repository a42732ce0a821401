"""Raw units outside, the network's own inside: features and losses are normalised, predictions come back raw."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_task import IGNORED_CLASS, TaskConfig


def normalized_features(task: TaskConfig, inputs: Tensor) -> Tensor:
    """Features ``(B, n, F)`` in raw units to z-scores, float32 (float64 stays)."""
    inputs = _at_least_float32(inputs)
    return (inputs - _constant(task.input_mean, inputs)) / _constant(task.input_scale, inputs)


class FeatureEmbedder(nn.Linear):
    """Continuous features ``(B, n, F)`` in raw units to ``(B, n, d)``."""

    def __init__(self, task: TaskConfig, hidden_size: int):
        super().__init__(task.num_features, hidden_size)  # type: ignore[arg-type]
        self.task = task

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(normalized_features(self.task, inputs).to(self.weight.dtype))


def predictions(task: TaskConfig, logits: Tensor, inputs: Tensor) -> Tensor:
    """Logits in normalised units to classes or raw values, in the shape of the task's labels."""
    if not task.is_regression:
        return logits.argmax(dim=-1)
    values = _at_least_float32(logits)
    values = values * _constant(task.label_scale, values) + _constant(task.label_mean, values)
    if task.residual_feature is not None:
        values = values + inputs[..., task.residual_feature, None]
    return values.squeeze(-1) if task.output_size == 1 else values


def task_loss(task: TaskConfig, logits: Tensor, labels: Tensor, inputs: Tensor) -> Tensor:
    """Mean loss over the labels that count, in float32 at least; 0 where none counts."""
    logits = _at_least_float32(logits)
    if not task.is_regression:
        total = F.cross_entropy(logits.flatten(0, -2), labels.long().flatten(), reduction="sum")
        return total / (labels != IGNORED_CLASS).sum().clamp(min=1)
    targets = labels.to(logits.dtype).reshape(logits.shape)
    if task.residual_feature is not None:
        targets = targets - inputs[..., task.residual_feature, None]
    targets = (targets - _constant(task.label_mean, targets)) / _constant(task.label_scale, targets)
    counts = ~targets.isnan()
    errors = torch.where(counts, logits - targets, 0)
    errors = errors.abs() if task.loss == "l1" else errors.square()
    return errors.sum() / counts.sum().clamp(min=1)


def _constant(value: float | list[float], like: Tensor) -> float | Tensor:
    """A statistic of the config, ready to combine with ``like``; numbers stay numbers, so they cost no transfer."""
    return value if isinstance(value, float | int) else like.new_tensor(value)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
