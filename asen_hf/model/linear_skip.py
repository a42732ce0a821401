"""A linear equivariant map from a task's inputs to its outputs, beside the network."""

import torch
from torch import Tensor, nn

from .configuration_task import TaskConfig
from .configuration_values import require
from .symmetry import SymmetryBreaker

MAX_COEFFICIENTS = 2**24
"""Largest number of pairs of nodes, times features, times outputs."""


class LinearSkip(nn.Module):
    """The general linear equivariant map of first order: one coefficient per orbital, feature and output.

    Node outputs are ``y_i = b[orbit of i] + Σ_j x_j W[orbital of (i, j)]``, over the pairs of the task's support; graph
    outputs are ``y = b + Σ_i x_i W[orbit of i]``. Missing features count as their mean. The coefficients are buffers:
    they are fitted at once, by least squares, and steps of a gradient would only disturb them.

    Args:
        task: a regression on features.
        breaker: its orbit labels.

    Attributes:
        weight: ``(rank, F, K)``, or ``(number of node orbits, F, K)`` for graph outputs.
        bias: ``(number of node orbits, K)``, or ``(1, K)`` for graph outputs.

    Raises:
        ValueError: the map would have more than ``MAX_COEFFICIENTS`` coefficients before they are shared.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, task: TaskConfig, breaker: SymmetryBreaker):
        super().__init__()
        self.is_node = task.output_level == "node"
        self.breaker = [breaker]  # in a list, so that it is no submodule
        features, outputs = task.input_shape()[-1], task.output_size
        number = (breaker().num_pairs if self.is_node else task.degree) * features * outputs
        require(
            number <= MAX_COEFFICIENTS,
            f"linear_skip would need {number:,} coefficients, more than {MAX_COEFFICIENTS:,}: leave it out",
        )
        rows = breaker.num_pair_orbits if self.is_node else len(breaker.members)
        self.register_buffer("weight", torch.zeros(rows, features, outputs))
        self.register_buffer("bias", torch.zeros(len(breaker.members) if self.is_node else 1, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features ``(B, n, F)``, NaN where missing, to ``(B, n, K)`` or ``(B, K)``."""
        [breaker] = self.breaker
        features = torch.where(features.isnan(), 0, features)
        if not self.is_node:
            return torch.einsum("bjf,jfk->bk", features, self.weight[breaker.orbits]) + self.bias[0]
        graph = breaker()
        if graph.edge_index is None:
            mapped = torch.einsum("bjf,ijfk->bik", features, self.weight[graph.labels])
        else:
            targets, sources, labels = graph.to_edges()
            messages = torch.einsum("bef,efk->bek", features[:, sources], self.weight[labels])
            mapped = messages.new_zeros(len(features), graph.num_nodes, messages.shape[-1])
            mapped = mapped.index_add(1, targets, messages)
        return mapped + self.bias[breaker.orbits]
