"""Numbers given per pair of nodes, such as distances, as a part of the pair's feature.

A number adds a multiple of one vector, linear in the number, and a smooth correction: one vector per quantile of the
training rows, weighted by a Gaussian bump around it. Corrections start at zero, so a fresh network is smooth in the
number, and leaves the line where rows ask for it. Several numbers add their vectors.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from .configuration_statistics import LARGEST_NORMALIZED
from .configuration_task import TaskConfig
from .normalization import in_float64
from .relations import at_pairs
from .symmetry import OrbitGraph

_WIDTH = 2.0  # standard deviation of a bump, in distances between neighbouring quantiles


class PairEmbedder(nn.Embedding):
    """For every pair feature, a learned vector of the slope, one per quantile, and one for a missing number.

    Args:
        task: with ``pair_features``.
        hidden_size: width d.
    """

    def __init__(self, task: TaskConfig, hidden_size: int):
        self.num_rows = task.pair_buckets + 2  # per feature
        super().__init__((task.pair_features or 0) * self.num_rows, hidden_size)

    def initial_weights(self) -> Tensor:
        """N(0, 1), but 0 for quantiles."""
        weights = torch.randn(self.weight.shape)
        weights.unflatten(0, (-1, self.num_rows))[:, 1:-1] = 0
        return weights


def add_pair_vectors(
    task: TaskConfig, graph: OrbitGraph, orbital_features: Tensor, vectors: Tensor, pairs: Tensor
) -> tuple[OrbitGraph, Tensor]:
    """Give every pair of every row a label and a feature of its own: its orbital's, plus the vectors of its numbers.

    Args:
        task: with ``pair_features`` P.
        graph: labels ``(n, n)``, ``(B, n, n)``, ``(E,)`` or ``(B, E)``.
        orbital_features: ``(rank, d)``.
        vectors: ``(P · (buckets + 2), d)``, the rows of a :class:`PairEmbedder`.
        pairs: ``(B, n, n)``, or ``(B, n, n, P)``, in raw units, NaN where missing.

    Returns:
        The graph with labels ``0 … B · pairs - 1``, and the features ``(B · pairs, d)``.
    """
    values = at_pairs(graph, pairs if pairs.ndim == 4 else pairs.unsqueeze(-1))  # (B, pairs, P)
    shares = torch.cat(
        [_shares(task, values[..., feature], feature).to(vectors.dtype) for feature in range(task.pair_features or 0)],
        dim=-1,
    )
    features = orbital_features[graph.labels] + shares @ vectors
    shape = features.shape[:-1]
    labels = torch.arange(features[..., 0].numel(), device=features.device).view(shape)
    return dataclasses.replace(graph, given_labels=labels), features.flatten(0, -2)


def _shares(task: TaskConfig, values: Tensor, feature: int) -> Tensor:
    """The weights ``(…, buckets + 2)`` of a feature's vectors for numbers ``(…)``: slope, quantiles, missing."""
    values = in_float64(values)
    centres = _quantiles(task, feature, values)
    is_missing = values.isnan()
    known = torch.where(is_missing, centres[0], values).unsqueeze(-1)
    scale = centres.std(correction=0) if len(centres) > 1 else torch.ones_like(centres[0])
    slope = ((known - centres.mean()) / scale).clamp(-LARGEST_NORMALIZED, LARGEST_NORMALIZED)
    spacing = torch.gradient(centres)[0] if len(centres) > 1 else scale
    bumps = torch.exp(-(((known - centres) / (_WIDTH * spacing)) ** 2) / 2)
    bumps = nn.functional.pad(bumps, (0, task.pair_buckets - len(centres)))
    shares = torch.where(is_missing.unsqueeze(-1), 0, torch.cat([slope, bumps], dim=-1))
    return torch.cat([shares, is_missing.to(shares).unsqueeze(-1)], dim=-1)


def _quantiles(task: TaskConfig, feature: int, like: Tensor) -> Tensor:
    """The stated quantiles, or those of a standard normal distribution, with the dtype and device of ``like``."""
    if task.pair_quantiles is not None:
        return like.new_tensor(task.pair_quantiles[feature])
    shares = (torch.arange(task.pair_buckets, dtype=like.dtype, device=like.device) + 0.5) / task.pair_buckets
    return torch.special.ndtri(shares)  # not by Python's NormalDist, which torch.compile cannot trace
