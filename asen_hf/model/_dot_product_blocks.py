"""Dot-product attention with a bias per orbital, in blocks of targets, forward and backward.

Keeps nothing of size pairs for its backward, which computes the weights again: memory is linear in the number of nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._recomputed_backward import attend
from .symmetry import OrbitGraph

# Pairs × heads per block. Smaller blocks take longer on a CPU: 2**16 twice as long.
BLOCK = {"cpu": 2**20}
_LARGE_BLOCK = 2**26  # devices that BLOCK does not list
# Weights (B, H, n, n) up to which training stores them: on a CPU, this takes three quarters of the time.
STORED = {"cpu": 2**23}
_LARGE_STORED = 2**28  # devices that STORED does not list


def at_pairs(table: Tensor, labels: Tensor) -> Tensor:
    """A table ``(rank, H)`` at labels ``(n, m)`` or ``(B, n, m)``: ``(1, H, n, m)`` or ``(B, H, n, m)``."""
    # Selected by head, because a gathered tensor with heads last takes several times as long in both directions.
    by_head = table.T.contiguous().index_select(1, labels.flatten())
    return by_head.view(-1, *labels.view(-1, *labels.shape[-2:]).shape).transpose(0, 1)


def is_stored(query: Tensor) -> bool:
    """Whether training on queries ``(B, n, H, C)`` stores the weights ``(B, H, n, n)`` for the backward."""
    num_weights = query[..., 0].numel() * query.shape[1]
    return torch.is_grad_enabled() and num_weights <= STORED.get(query.device.type, _LARGE_STORED)


def blockwise_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    gates: Tensor | None,
    graph: OrbitGraph,
    plain: Callable[..., tuple[Tensor, Tensor]],
) -> Tensor:
    """Output ``(B, n, H, C)``; arguments as of ``plain``, ``dot_product_attention.eager_attention_forward``."""
    (output,) = attend(_Attention(graph, plain), query, key, value, bias, gates)
    return output


class _Attention(NamedTuple):
    """A function of query, key and value ``(B, n, H, C)``, bias ``(rank, H)`` and gates; its result is the output."""

    graph: OrbitGraph
    formula: Callable[..., tuple[Tensor, Tensor]]

    def plain(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, gates: Tensor | None) -> tuple[Tensor]:
        return (self.formula(query, key, value, bias, gates, self.graph)[0],)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, gates: Tensor | None) -> tuple[Tensor]:
        output = torch.empty_like(query)
        query, key, value, by_head = (nodes.transpose(1, 2) for nodes in (query, key, value, output))
        for rows, targets in _blocks(self.graph, query):
            biases = _bias(self.graph, bias, rows, targets)
            if gates is None:
                by_head[rows, :, targets] = F.scaled_dot_product_attention(
                    query[rows, :, targets], key[rows], value[rows], biases, scale=1.0
                )
                continue
            weights, sums = _exponentials(query[rows, :, targets], key[rows], biases)
            weights *= 1 + at_pairs(gates, self.graph.labels_into(targets, rows))
            by_head[rows, :, targets] = (weights @ value[rows]) / sums
        return (output,)

    def backward(
        self,
        gradient: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor,
        gates: Tensor | None,
        output: Tensor,
    ) -> tuple[Tensor | None, ...]:
        dtype = query.dtype
        # In float32, because exponentials of scores in half precision are too rough.
        work = torch.promote_types(dtype, torch.float32)
        # Σ_j weight · gradient, which the softmax's backward needs, equals gradient · output: no pass over pairs.
        expected = (gradient.to(work) * output.to(work)).sum(-1, keepdim=True).transpose(1, 2)
        query, key, value, gradient = (
            nodes.transpose(1, 2).to(work).contiguous() for nodes in (query, key, value, gradient)
        )
        to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        to_bias = bias.new_zeros(bias.T.shape, dtype=work)
        to_gates = torch.zeros_like(to_bias)
        for rows, targets in _blocks(self.graph, query):
            labels = self.graph.labels_into(targets, rows)
            weights, sums = _exponentials(
                query[rows, :, targets], key[rows], _bias(self.graph, bias, rows, targets).to(work)
            )
            # Divided by the sums here, where a tensor has channels, and not sources.
            scaled = gradient[rows, :, targets] / sums
            slopes = scaled @ value[rows].mT
            if gates is None:
                to_value[rows] += weights.mT @ scaled
            else:
                factors = 1 + at_pairs(gates.to(work), labels)
                to_value[rows] += (weights * factors).mT @ scaled
                _add_by_label(to_gates, labels, weights * slopes)
                slopes *= factors
            slopes = slopes.sub_(expected[rows, :, targets] / sums).mul_(weights)
            to_query[rows, :, targets] = slopes @ key[rows]
            to_key[rows] += slopes.mT @ query[rows, :, targets]
            _add_by_label(to_bias, labels, slopes)
        by_node = (nodes.transpose(1, 2).to(dtype) for nodes in (to_query, to_key, to_value))
        return *by_node, to_bias.T.to(dtype), None if gates is None else to_gates.T.to(dtype)


def _blocks(graph: OrbitGraph, query: Tensor) -> Iterator[tuple[slice, slice]]:
    """Blocks of rows and of targets for queries ``(B, H, n, C)``."""
    num_rows, heads, nodes = query.shape[:3]
    limit = BLOCK.get(query.device.type, _LARGE_BLOCK)
    num_targets = max(1, min(nodes, limit // (heads * nodes)))
    rows_at_once = max(1, limit // (heads * nodes * num_targets))
    for first_target in range(0, nodes, num_targets):
        for first_row in range(0, num_rows, rows_at_once):
            yield slice(first_row, first_row + rows_at_once), slice(first_target, first_target + num_targets)


def _bias(graph: OrbitGraph, bias: Tensor, rows: slice, targets: slice) -> Tensor:
    """The bias of the pairs into some targets, ``(1, H, m, n)`` or per row; minus infinity from nodes that are not."""
    biases = at_pairs(bias, graph.labels_into(targets, rows))
    if graph.node_mask is None:
        return biases
    return biases.masked_fill(~graph.node_mask[rows, None, None], -torch.inf)


def _exponentials(query: Tensor, key: Tensor, biases: Tensor) -> tuple[Tensor, Tensor]:
    """Weights ``(B, H, m, n)`` before they are divided by their sums ``(B, H, m, 1)``."""
    scores = (query @ key.mT).add_(biases)
    weights = scores.sub_(scores.amax(dim=-1, keepdim=True)).exp_()
    return weights, weights.sum(dim=-1, keepdim=True)


def _add_by_label(table: Tensor, labels: Tensor, values: Tensor) -> None:
    """Add values ``(B, H, m, n)`` to the entries of a table ``(H, rank)`` that labels ``(m, n)`` or per row name."""
    values = values.sum(dim=0) if labels.dim() == 2 else values.transpose(0, 1)
    table.index_add_(1, labels.flatten(), values.flatten(1))
