"""Normalise inputs from raw units to z-scores, with statistics that the config stores."""

import torch
from torch import Tensor, nn

from .configuration_task import TaskConfig


def normalized_features(task: TaskConfig, inputs: Tensor) -> Tensor:
    """Features ``(B, n, F)`` in raw units to z-scores, in float32, or float64 for float64 inputs."""
    inputs = at_least_float32(inputs)
    return (inputs - constant(task.input_mean, inputs)) / constant(task.input_scale, inputs)


class FeatureEmbedder(nn.Linear):
    """Linear map of continuous features ``(B, n, F)`` in raw units to ``(B, n, d)``."""

    def __init__(self, task: TaskConfig, hidden_size: int):
        super().__init__(task.num_features, hidden_size)  # type: ignore[arg-type]
        self.task = task

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(normalized_features(self.task, inputs).to(self.weight.dtype))


def constant(value: float | list[float], like: Tensor) -> float | Tensor:
    """A statistic of the config with the dtype and device of ``like``; a single number needs no transfer."""
    return value if isinstance(value, float | int) else like.new_tensor(value)


def at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
