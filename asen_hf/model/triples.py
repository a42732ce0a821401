"""Messages over triples of nodes: exact equivariance for groups that are 3-closed but not 2-closed.

For target i, with t = label(i, j, k) the orbit of the triple,

    output_i = 1/n · Σ_jk (W_g e_t) ⊙ (W_1 h_j) ⊙ (W_2 h_k)

A sum, because a softmax over triples would average out differences between them; a multiplied gate, because an added
orbital feature cannot select triples. (Paper Section 3.2 allows hypergraphs of any order and implements order 2.)
"""

import torch
import torch.nn.functional as F
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
        gates = F.embedding(labels, self.gate_projection(orbit_features))  # (n, n, n, d)
        first, second = self.first_projection(hidden_states), self.second_projection(hidden_states)
        inner = torch.einsum("ijkc,bkc->bijc", gates, second)
        return torch.einsum("bijc,bjc->bic", inner, first) / labels.shape[0]
