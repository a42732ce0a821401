"""A head for outputs of ordered pairs of nodes, such as links, matchings and contact maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_asen import AsenConfig
from .configuration_task import TaskConfig
from .heads import Head
from .symmetry import OrbitGraph


class PairStates(nn.Module):
    """``h_ij = ReLU(LayerNorm(W_t h_i + W_s h_j + W_e e_ij))``, e_ij the feature of the pair.

    Equivariant as the backbone is: it treats all pairs alike.

    Args:
        config: gives the sizes.
    """

    def __init__(self, config: AsenConfig):
        super().__init__()
        size = config.hidden_size
        self.target_projection = nn.Linear(size, size)
        self.source_projection = nn.Linear(size, size, bias=False)
        self.edge_projection = nn.Linear(size, size, bias=False)
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, orbital_features: Tensor, graph: OrbitGraph) -> Tensor:
        """States ``(B, n, d)`` and features ``(rank, d)`` of the pairs' labels to ``(B, n, n, d)``, row = target."""
        targets, sources = self.target_projection(states), self.source_projection(states)
        edges = F.embedding(graph.labels, self.edge_projection(orbital_features))
        return self.norm(targets.unsqueeze(2) + sources.unsqueeze(1) + edges).relu()


class PairHead(PairStates):
    """``logits_ij = W h_ij + b``; with ``symmetric_outputs``, the mean with (j, i).

    Args:
        config, task: give the sizes.
    """

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__(config)
        self.is_symmetric = task.symmetric_outputs
        self.output = Head(config, task)

    def forward(self, states: Tensor, orbital_features: Tensor, graph: OrbitGraph) -> Tensor:
        """Arguments as of :class:`PairStates`, to ``(B, n, n, K)``."""
        outputs = self.output(super().forward(states, orbital_features, graph))
        return (outputs + outputs.transpose(1, 2)) / 2 if self.is_symmetric else outputs
