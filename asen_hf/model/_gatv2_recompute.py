"""GATv2 attention on the complete support that stores only the attention weights ``(B, H, n, n)`` for its backward.

Tensors with channels per pair exist only for one block of targets, small enough for the cache, or, in compiled passes,
not at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._gatv2_kernels import PairPasses, mask_sources, plain_passes, softmax_over_sources
from ._recomputed_backward import attend


def recomputed_attention(
    target: Tensor,
    source: Tensor,
    edges: Tensor,
    gates: Tensor | None,
    labels: Tensor,
    attention_vector: Tensor,
    passes: PairPasses,
    block: int,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention on the complete graph, differentiable any number of times in all tensors and through both outputs.

    Args:
        target, source: projected nodes, ``(B, n, H, C)``.
        edges: projected orbital features, ``(rank, H, C)``.
        gates: factors of the messages, ``(rank, H, C)``; ``None`` for messages without gates.
        labels: int64 ``(1, n, n)`` or ``(B, n, n)``, row = target, column = source.
        attention_vector: ``(H, C)``.
        passes: plain or compiled functions over all pairs.
        block: number of targets per block.
        mask: bool ``(B, n)``, the sources that send messages; ``None`` for all.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, n, n)``.
    """
    # Under autocast, the projections and the attention vector have different dtypes: promote all tensors to one.
    dtype = torch.promote_types(target.dtype, attention_vector.dtype)
    target, source, edges = (features.flatten(-2).to(dtype) for features in (target, source, edges))
    gates = None if gates is None else gates.flatten(1).to(dtype)
    return attend(_Attention(passes, block), target, source, edges, gates, labels, mask, attention_vector.to(dtype))


class _Attention(NamedTuple):
    """Attention in blocks of targets, a function of the seven tensors from ``target`` to ``attention_vector``."""

    passes: PairPasses
    block: int

    def forward(
        self,
        target: Tensor,
        source: Tensor,
        edges: Tensor,
        gates: Tensor | None,
        labels: Tensor,
        mask: Tensor | None,
        attention_vector: Tensor,
    ) -> tuple[Tensor, Tensor]:
        nodes = target.shape[1]
        output, weights = _Blocks(nodes, dim=1), _Blocks(nodes, dim=2)
        for rows in _slices(nodes, self.block):
            block_output, block_weights = _attend(
                self.passes, target[:, rows], source, edges, gates, labels[:, rows], mask, attention_vector
            )
            output.put(rows, block_output)
            weights.put(rows, block_weights)
        return output.whole, weights.whole

    def plain(self, *tensors: Any) -> tuple[Tensor, Tensor]:
        return _attend(plain_passes(*tensors[-1].shape, self.passes.negative_slope), *tensors)

    def backward(self, *tensors: Any) -> tuple[Tensor | None, ...]:
        return _backward(self.passes, self.block, *tensors)


def _attend(
    passes: PairPasses,
    target: Tensor,
    source: Tensor,
    edges: Tensor,
    gates: Tensor | None,
    labels: Tensor,
    mask: Tensor | None,
    attention_vector: Tensor,
) -> tuple[Tensor, Tensor]:
    """Output ``(B, m, H, C)`` and weights ``(B, H, m, n)`` of m targets; autograd sees through plain passes."""
    scores = mask_sources(passes.scores(target, source, edges, labels, attention_vector), mask)
    weights = softmax_over_sources(scores).contiguous()
    if gates is None:
        return (weights @ _by_head(source, len(attention_vector))).transpose(1, 2), weights
    return passes.messages(weights, source, gates, labels), weights


def _backward(
    passes: PairPasses,
    block: int,
    output_gradient: Tensor | None,
    weights_gradient: Tensor | None,
    target: Tensor,
    source: Tensor,
    edges: Tensor,
    gates: Tensor | None,
    labels: Tensor,
    _mask: Tensor | None,  # masked sources have no weight, so no gradient passes through them
    attention_vector: Tensor,
    output: Tensor,
    weights: Tensor,
) -> tuple[Tensor | None, ...]:
    """The gradients of the seven tensors from ``target`` to ``attention_vector``."""
    heads, channels = attention_vector.shape
    output_gradient = torch.zeros_like(output) if output_gradient is None else output_gradient
    # Σ_j weight · gradient, which the softmax's backward needs, equals gradient · output: no pass over pairs.
    expected = (output_gradient * output).sum(-1).transpose(1, 2).unsqueeze(-1)
    if weights_gradient is not None:
        expected = expected + (weights_gradient * weights).sum(-1, keepdim=True)
    output_gradient = output_gradient.flatten(2).contiguous()
    edges_gradient = edges.new_zeros(len(edges), heads, channels)
    gates_gradient = None if gates is None else torch.zeros_like(edges_gradient)
    nodes = target.shape[1]
    target_gradient, attention_vector_gradient = _Blocks(nodes, dim=1), _Blocks(nodes, dim=1)
    source_gradient, through_messages = torch.zeros_like(output), torch.zeros_like(output)
    for rows in _slices(nodes, block):
        gradient, block_weights, block_labels = output_gradient[:, rows], weights[:, :, rows], labels[:, rows]
        if gates is None:
            by_head = _by_head(gradient, heads)
            weight_gradient = by_head @ _by_head(source, heads).mT
            through_messages += (block_weights.mT @ by_head).transpose(1, 2)
        else:
            weight_gradient = passes.weight_gradients(gradient, source, gates, block_labels)
            through_messages += passes.message_gradients(
                gradient, block_weights, source, gates, block_labels, gates_gradient
            )
        if weights_gradient is not None:
            weight_gradient = weight_gradient + weights_gradient[:, :, rows]
        score_gradient = weight_gradient.sub_(expected[:, :, rows]).mul_(block_weights).contiguous()
        to_target, to_source, to_attention_vector = passes.score_gradients(
            score_gradient, target[:, rows], source, edges, block_labels, edges_gradient
        )
        target_gradient.put(rows, to_target)
        source_gradient += to_source
        attention_vector_gradient.put(rows, to_attention_vector)
    return (
        (target_gradient.whole * attention_vector).flatten(2),
        through_messages.addcmul_(source_gradient, attention_vector).flatten(2),
        (edges_gradient * attention_vector).flatten(1),
        None if gates_gradient is None else gates_gradient.flatten(1),
        None,
        None,
        attention_vector_gradient.whole.sum((0, 1)),
    )


class _Blocks:
    """Collects the results of all blocks of targets in one tensor, because many small tensors would fragment memory."""

    def __init__(self, nodes: int, dim: int):
        self.nodes, self.dim = nodes, dim

    def put(self, rows: slice, part: Tensor) -> None:
        if part.shape[self.dim] == self.nodes:
            self.whole = part
            return
        if rows.start == 0:
            self.whole = part.new_empty((*part.shape[: self.dim], self.nodes, *part.shape[self.dim + 1 :]))
        self.whole.narrow(self.dim, rows.start, part.shape[self.dim]).copy_(part)


def _slices(nodes: int, block: int) -> list[slice]:
    return [slice(start, min(start + block, nodes)) for start in range(0, nodes, block)]


def _by_head(tensor: Tensor, heads: int) -> Tensor:
    """``(B, n, d)`` to ``(B, H, n, C)``."""
    return tensor.unflatten(-1, (heads, -1)).transpose(1, 2)
