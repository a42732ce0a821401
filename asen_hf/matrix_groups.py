"""Subgroups of a group of matrices, by a fixed auxiliary input (paper, Section 3.1); see docs/matrix_groups.md.

The rest of the package is the case of permutation matrices. Here, a network's inputs are vectors, and a matrix g acts
on each of them: in tensors whose last dimension holds the coordinates, ``inputs @ g.T``.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class SubgroupEquivariant(nn.Module):
    """f(x) = h(x, v): equivariant to the stabiliser of v, if h is equivariant to a group that acts on x and on v.

    Equations 2 and 3, Proposition 1. That h(gx, gv) = g h(x, v) is the caller's promise; if h is also injective in v,
    f is equivariant to nothing else. Which g leave v unchanged depends on how the group acts on it: as a vector, as a
    pseudo-vector, as the line along a vector.

    Args:
        network: h, a module or any function of inputs ``(B, …)`` and of one auxiliary input per row,
            ``(B, *auxiliary.shape)``.
        auxiliary: v, of any shape, without a batch dimension. A buffer: it is saved, and moves with the module, but
            it is not trained.
    """

    auxiliary: Tensor

    def __init__(self, network: Callable[[Tensor, Tensor], Tensor], auxiliary: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("auxiliary", auxiliary)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs, self.auxiliary.expand(len(inputs), *self.auxiliary.shape))


class VectorNetwork(nn.Module):
    """Vectors to vectors, equivariant to O(d): sums of all vectors, weighted by functions of all inner products.

    Every O(d)-equivariant polynomial is such a sum (Villar et al., *Scalars are universal*, 2021), so that the network
    is universal, and with it every network broken to a stabiliser (Theorem 2). The weights are the outputs of a
    perceptron with two hidden layers.

    Args:
        num_vectors: vectors that a row has, those of the auxiliary input included.
        num_outputs: vectors per row of the output.
        hidden_size: width of the perceptron.

    Raises:
        ValueError: when it is called with another number of vectors.
    """

    def __init__(self, num_vectors: int, num_outputs: int, hidden_size: int = 64):
        super().__init__()
        self.num_vectors = num_vectors
        self.weights = nn.Sequential(
            nn.Flatten(),
            nn.Linear(num_vectors**2, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, num_outputs * num_vectors),
            nn.Unflatten(1, (num_outputs, num_vectors)),
        )

    def forward(self, inputs: Tensor, auxiliary: Tensor) -> Tensor:
        """``(B, num_outputs, d)`` from vectors ``(B, C, d)`` and ``(B, K, d)``, where C + K must be ``num_vectors``."""
        if inputs.shape[1] + auxiliary.shape[1] != self.num_vectors:
            raise ValueError(
                f"the network takes {self.num_vectors} vectors per row, those of the auxiliary input included, "
                f"got {inputs.shape[1]} + {auxiliary.shape[1]}"
            )
        vectors = torch.cat([inputs, auxiliary], dim=1)
        return self.weights(vectors @ vectors.mT) @ vectors


@torch.no_grad()
def matrix_equivariance_error(
    function: Callable[[Tensor], Tensor], inputs: Tensor, matrices: Iterable[Tensor]
) -> float:
    """The largest ``max|f(gx) - g f(x)| / max|f(x)|`` over matrices g, as ``equivariance_error`` over permutations.

    Args:
        function: f, of ``(B, …, d)`` to ``(B, …, d)``.
        inputs: x, ``(B, …, d)``; float64, if errors are to be told from rounding.
        matrices: elements g of the group, ``(d, d)`` each, in the dtype of the inputs.
    """
    outputs = function(inputs)
    errors = [(function(inputs @ matrix.T) - outputs @ matrix.T).abs().max() for matrix in matrices]
    return float(torch.stack(errors).max() / outputs.abs().max())
