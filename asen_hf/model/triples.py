"""Messages over triples of nodes: exact equivariance for groups that are 3-closed but not 2-closed.

For target i, with t = label(i, j, k) the orbit of the triple,

    output_i = 1/n · Σ_jk (W_g e_t) ⊙ (W_1 h_j) ⊙ (W_2 h_k)

A sum, because a softmax over triples would average out differences between them; a multiplied gate, because an added
orbital feature cannot select triples. (Paper Section 3.2 allows hypergraphs of any order and implements order 2.)
"""

import torch
from torch import Tensor, nn


class TripleMessages(nn.Module):
    """Sum over all pairs of sources, gated by the orbit of the triple.

    Args:
        hidden_size: width d.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.first_projection = nn.Linear(hidden_size, hidden_size)
        self.second_projection = nn.Linear(hidden_size, hidden_size)
        self.gate_projection = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, hidden_states: Tensor, orbit_features: Tensor, labels: Tensor) -> Tensor:
        """``(B, n, d)`` states, ``(rank, d)`` orbit features and ``(n, n, n)`` labels to ``(B, n, d)`` updates."""
        nodes = labels.shape[0]
        # Channels first, in memory too: the sum over k is one matrix product per channel. Rows last: they are what is
        # vectorised.
        table = self.gate_projection(orbit_features).T.contiguous()
        gates = table.index_select(1, labels.flatten()).unflatten(1, (nodes * nodes, nodes))  # (d, n², n)
        first = self.first_projection(hidden_states).permute(2, 1, 0).contiguous()  # (d, n, B)
        second = self.second_projection(hidden_states).permute(2, 1, 0).contiguous()
        inner = torch.bmm(gates, second).unflatten(1, (nodes, nodes))  # (d, n, n, B)
        return (inner * first.unsqueeze(1)).sum(2).permute(2, 1, 0) / nodes
