"""A head for outputs of ordered pairs of nodes, such as links, matchings and contact maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_asen import AsenConfig
from .configuration_task import TaskConfig
from .heads import Head
from .symmetry import OrbitGraph


class PairHead(nn.Module):
    """``logits_ij = W ReLU(LayerNorm(W_t h_i + W_s h_j + W_e e_ij)) + b``, e_ij the feature of the pair.

    Equivariant as the backbone is: it treats all pairs alike. With ``symmetric_outputs``, the mean with (j, i).

    Args:
        config, task: give the sizes.
    """

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__()
        size = config.hidden_size
        self.is_symmetric = task.symmetric_outputs
        self.target_projection = nn.Linear(size, size)
        self.source_projection = nn.Linear(size, size, bias=False)
        self.edge_projection = nn.Linear(size, size, bias=False)
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.output = Head(config, task)

    def forward(self, states: Tensor, orbital_features: Tensor, graph: OrbitGraph) -> Tensor:
        """States ``(B, n, d)`` and features ``(rank, d)`` of the pairs' labels to ``(B, n, n, K)``, row = target."""
        targets, sources = self.target_projection(states), self.source_projection(states)
        edges = F.embedding(graph.labels, self.edge_projection(orbital_features))
        outputs = self.output(self.norm(targets.unsqueeze(2) + sources.unsqueeze(1) + edges).relu())
        return (outputs + outputs.transpose(1, 2)) / 2 if self.is_symmetric else outputs
