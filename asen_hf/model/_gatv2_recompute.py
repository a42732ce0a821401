"""GATv2 attention whose backward recomputes all tensors of size pairs × channels instead of storing them.

Autograd would store tensors ``(B, n, n, d)`` in every layer and read them from memory again. This function stores only
the attention weights ``(B, H, n, n)``. Tensors with channels per pair exist only for one block of targets, small enough
for the cache, or, in compiled passes, not at all. Only a backward that is itself differentiated stores them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._gatv2_kernels import PairPasses, mask_sources, plain_passes, softmax_over_sources
from ._transforms import are_batched, is_transformed


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
    tensors = (target, source, edges, gates, labels, mask, attention_vector.to(dtype))
    if torch.is_grad_enabled():
        return _RecomputedAttention.apply(passes, block, *tensors)
    # torch.compile recompiles for inference tensors: clone them into normal tensors.
    with torch.inference_mode(False), torch.no_grad():
        normal = [x.clone() if x is not None and x.is_inference() else x for x in tensors]
        return _forward(passes, block, *normal)  # type: ignore[arg-type]


def _forward(
    passes: PairPasses,
    block: int,
    target: Tensor,
    source: Tensor,
    edges: Tensor,
    gates: Tensor | None,
    labels: Tensor,
    mask: Tensor | None,
    attention_vector: Tensor,
) -> tuple[Tensor, Tensor]:
    # torch.compile guards on parameters and on requires_grad even under no_grad: detach, so that it compiles once.
    target, source, edges, attention_vector = (x.detach() for x in (target, source, edges, attention_vector))
    gates = None if gates is None else gates.detach()
    nodes = target.shape[1]
    output, weights = _Blocks(nodes, dim=1), _Blocks(nodes, dim=2)
    with torch.autocast(target.device.type, enabled=False):
        for rows in _slices(nodes, block):
            block_output, block_weights = _attend(
                passes, target[:, rows], source, edges, gates, labels[:, rows], mask, attention_vector
            )
            output.put(rows, block_output)
            weights.put(rows, block_weights)
    return output.whole, weights.whole


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


class _RecomputedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, passes: PairPasses, block: int, *tensors: Any) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.passes, ctx.block = passes, block
        results = _forward(passes, block, *tensors)
        ctx.save_for_backward(*tensors, *results)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        with torch.autocast(saved[0].device.type, enabled=False):
            # Gradients are enabled if the backward itself will be differentiated.
            if torch.is_grad_enabled() or is_transformed() or are_batched(gradients):
                needed = ctx.needs_input_grad[2:]
                return None, None, *_plain_backward(ctx.passes.negative_slope, needed, gradients, *saved[:7])
            tensors: list[Any] = [None if x is None else x.detach() for x in saved]
            return None, None, *_backward(ctx.passes, ctx.block, *gradients, *tensors)


def _plain_backward(
    negative_slope: float,
    needed: Sequence[bool],
    output_gradients: Sequence[Tensor | None],
    *tensors: Any,
) -> tuple[Tensor | None, ...]:
    """The needed gradients of the seven tensors from ``target`` to ``attention_vector``, by autograd."""
    create_graph = torch.is_grad_enabled()
    passes = plain_passes(*tensors[-1].shape, negative_slope)
    with torch.enable_grad():
        # Aliases, because one tensor may have been computed from another one: no alias depends on another alias.
        aliases: list[Any] = [None if x is None else x.view_as(x) for x in tensors]
        results = zip(_attend(passes, *aliases), output_gradients, strict=True)
        outputs, gradients = zip(*((y, gradient) for y, gradient in results if gradient is not None), strict=True)
        inputs = [alias for alias, is_needed in zip(aliases, needed, strict=True) if is_needed]
        found = iter(torch.autograd.grad(outputs, inputs, gradients, create_graph=create_graph, allow_unused=True))
    return tuple(next(found) if is_needed else None for is_needed in needed)


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
