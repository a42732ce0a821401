"""Numbers given per pair of nodes, such as distances, as a part of the pair's feature.

A number is placed between quantiles of the training rows, and its vector is the linear interpolation of the vectors of
its two neighbours (piecewise linear encoding, Gorishniy et al. 2022), so that nearby numbers have nearby vectors and
the network can be differentiated by them. Several numbers add their vectors.
"""

from __future__ import annotations

import dataclasses
from statistics import NormalDist

import torch
from torch import Tensor, nn

from ._precision import in_float64
from .configuration_task import TaskConfig
from .relations import at_pairs
from .symmetry import OrbitGraph


class PairEmbedder(nn.Embedding):
    """For every pair feature, one learned vector per quantile, and one for a missing number.

    Args:
        task: with ``pair_features``.
        hidden_size: width d.
    """

    def __init__(self, task: TaskConfig, hidden_size: int):
        super().__init__((task.pair_features or 0) * (task.pair_buckets + 1), hidden_size)


def add_pair_vectors(
    task: TaskConfig, graph: OrbitGraph, orbital_features: Tensor, vectors: Tensor, pairs: Tensor
) -> tuple[OrbitGraph, Tensor]:
    """Give every pair of every row a label and a feature of its own: its orbital's, plus the vectors of its numbers.

    Args:
        task: with ``pair_features`` P.
        graph: labels ``(n, n)``, ``(B, n, n)``, ``(E,)`` or ``(B, E)``.
        orbital_features: ``(rank, d)``.
        vectors: ``(P · (buckets + 1), d)``, the rows of a :class:`PairEmbedder`.
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
    return dataclasses.replace(graph, labels=labels), features.flatten(0, -2)


def _shares(task: TaskConfig, values: Tensor, feature: int) -> Tensor:
    """The weights ``(…, buckets + 1)`` of a feature's vectors for numbers ``(…)``; the last is for missing ones."""
    values = in_float64(values)
    knots = values.new_tensor(_quantiles(task, feature))
    is_missing = values.isnan()
    known = torch.where(is_missing, knots[0], values).clamp(knots[0], knots[-1])
    upper = torch.searchsorted(knots, known.detach().contiguous()).clamp(1, max(1, len(knots) - 1))
    if len(knots) == 1:
        shares = torch.ones_like(known).unsqueeze(-1)
    else:
        low, high = knots[upper - 1], knots[upper]
        share = ((known - low) / (high - low)).unsqueeze(-1)
        places = torch.arange(len(knots), device=knots.device)
        upper = upper.unsqueeze(-1)
        shares = torch.where(places == upper, share, torch.where(places == upper - 1, 1 - share, 0))
    padding = (0, task.pair_buckets - len(knots))
    shares = torch.where(is_missing.unsqueeze(-1), 0, nn.functional.pad(shares, padding))
    return torch.cat([shares, is_missing.to(shares).unsqueeze(-1)], dim=-1)


def _quantiles(task: TaskConfig, feature: int) -> list[float]:
    """The stated quantiles, or those of a standard normal distribution."""
    if task.pair_quantiles is not None:
        return list(task.pair_quantiles[feature])
    normal = NormalDist()
    return [normal.inv_cdf((place + 0.5) / task.pair_buckets) for place in range(task.pair_buckets)]
