"""Messages over triples of nodes: exact equivariance for groups whose 2-closure is too large but which are 3-closed.

For target i, with t = label(i, j, k) the orbit of the triple,

    output_i = 1/n · Σ_jk (W_g e_t) ⊙ (W_1 h_j) ⊙ (W_2 h_k)

The sum keeps what a softmax over triples would average away, and the gate multiplies, since an added orbital feature
cannot pick out triples. (Paper Section 3.2 allows hypergraphs of any order; it builds order 2.)
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
        """``(B, n, d)`` states, with ``(rank, d)`` features and ``(n, n, n)`` labels of the triples' orbits."""
        gates = F.embedding(labels, self.gate_projection(orbit_features))  # (n, n, n, d)
        first, second = self.first_projection(hidden_states), self.second_projection(hidden_states)
        inner = torch.einsum("ijkc,bkc->bijc", gates, second)
        return torch.einsum("bijc,bjc->bic", inner, first) / labels.shape[0]
