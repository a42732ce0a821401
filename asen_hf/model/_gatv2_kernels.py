"""What GATv2 attention does for every pair of nodes and every channel, in plain PyTorch and as compiled kernels.

With z_ij = W_t h_i + W_s h_j + W_e e_r, r the orbital of (i, j), and δ_ij the gradient of a head's score, the scores'
backward is δ_ij · LeakyReLU'(z_ij), summed over the sources of each target (for W_t h), over targets (W_s h) and over
the pairs of each orbital (W_e e), times the attention vector. The latter's own gradient sums δ_ij · LeakyReLU(z_ij).

Shapes: B rows, m targets, n sources, H heads, C channels a head, d = H·C. Labels are ``(1, m, n)`` where all rows share
a graph and ``(B, m, n)`` where each has its own.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PairPasses(NamedTuple):
    """Functions of which each passes over all pairs.

    Attributes:
        scores: target ``(B, m, d)``, source ``(B, n, d)``, edges ``(rank, d)``, labels and attention vector ``(H, C)``
            to the attention scores ``(B, H, m, n)``.
        messages: weights, source, gates ``(rank, d)`` and labels to the output ``(B, m, H, C)``.
        score_gradients: the scores' gradient δ ``(B, H, m, n)``, target, source, edges, labels, and ``(rank, H, C)`` to
            which the sums over each orbital are added, to the sums over sources ``(B, m, H, C)`` and over targets
            ``(B, n, H, C)``, all three without their factor, the attention vector; and to that vector's own gradient,
            target by target ``(B, m, H, C)``.
        weight_gradients: the output's gradient ``(B, m, d)``, source, gates and labels to that of the weights.
        message_gradients: the output's gradient, weights, source, gates, labels, and ``(rank, H, C)`` to which the
            gates' gradient is added, to the gradient of the source ``(B, n, H, C)``.
    """

    scores: Callable[..., Tensor]
    messages: Callable[..., Tensor]
    score_gradients: Callable[..., tuple[Tensor, Tensor, Tensor]]
    weight_gradients: Callable[..., Tensor]
    message_gradients: Callable[..., Tensor]


class _Terms(NamedTuple):
    """The gradients' terms, ``(B, m, n, H, C)``, before they are summed."""

    score: Callable[..., tuple[Tensor, Tensor]]
    message: Callable[..., tuple[Tensor, Tensor]]


def softmax_over_sources(scores: Tensor) -> Tensor:
    """Scores to weights, of any layout ``(…, n)``."""
    if scores.shape[-1] >= 16:
        return scores.softmax(-1)
    # PyTorch's kernel takes over ten times as long along rows that are shorter than a vector register as across them.
    return scores.movedim(-1, 0).softmax(0).movedim(0, -1)


@functools.cache
def plain_passes(heads: int, channels: int, negative_slope: float) -> PairPasses:
    """The passes in plain PyTorch; ``scores`` and ``messages`` can be differentiated by autograd."""
    return _plain(heads, channels, negative_slope)[0]


def compiled_passes(
    heads: int,
    channels: int,
    negative_slope: float,
    dtype: torch.dtype,
    device: torch.device,
    gated: bool,
    one_row: bool,
    shared: bool,
) -> PairPasses:
    """The passes as kernels fused by ``torch.compile``, for any number of nodes and orbitals from two up.

    Args:
        heads, channels, negative_slope, dtype, device: constants of the kernels.
        gated: whether messages have gates; if not, ``messages``, ``weight_gradients`` and ``message_gradients``, which
            are for those, are not compiled yet.
        one_row: whether the batch is a single row: torch.compile takes a size of one for a constant. If not, any other
            number of rows is as good.
        shared: whether all rows share a graph.

    Raises:
        RuntimeError: there is no compiler.
    """
    plain, terms = _plain(heads, channels, negative_slope)

    def scores(*tensors: Tensor) -> Tensor:
        return plain.scores(*tensors).contiguous()

    # A kernel a sum: one for all would write the terms to memory and read them again for every sum.
    def over_sources(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        product, times_activated = terms.score(*tensors)
        return product.sum(2), times_activated.sum(2)

    def over_targets(*tensors: Tensor) -> Tensor:
        return terms.score(*tensors)[0].sum(1)

    def over_orbitals(by_label: Tensor, *tensors: Tensor) -> None:
        scatter(by_label, tensors[-1], terms.score(*tensors)[0])

    def messages_over_targets(*tensors: Tensor) -> Tensor:
        return terms.message(*tensors)[0].sum(1)

    def messages_over_orbitals(by_label: Tensor, *tensors: Tensor) -> None:
        scatter(by_label, tensors[-1], terms.message(*tensors)[1])

    def scatter(by_label: Tensor, labels: Tensor, product: Tensor) -> None:
        by_label.index_put_((labels.expand(len(product), -1, -1),), product, accumulate=True)

    def compiled(function: Callable, options: Any = None) -> Callable:
        # Dynamo counts compilations by code object, and above eight quietly compiles no more: each gets its own.
        code = function.__code__.replace()
        own = types.FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)
        return torch.compile(own, dynamic=True, options=options)

    # Several threads would have to add atomically, which is many times slower than one thread alone.
    one_thread = {"cpp.threads": 1}
    score_over_sources, score_over_targets = compiled(over_sources), compiled(over_targets)
    score_over_orbitals = compiled(over_orbitals, one_thread)
    source_gradients = compiled(messages_over_targets)
    gate_gradients = compiled(messages_over_orbitals, one_thread)

    def score_gradients(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *tensors, by_label = arguments
        score_over_orbitals(by_label, *tensors)
        sums, attention_vector = score_over_sources(*tensors)
        return sums, score_over_targets(*tensors), attention_vector

    def message_gradients(*arguments: Tensor) -> Tensor:
        *tensors, by_label = arguments
        gate_gradients(by_label, *tensors)
        return source_gradients(*tensors)

    passes = PairPasses(
        scores=compiled(scores),
        messages=compiled(plain.messages),
        score_gradients=score_gradients,
        weight_gradients=compiled(plain.weight_gradients),
        message_gradients=message_gradients,
    )
    _try_out(passes, heads, channels, dtype, device, gated, one_row, shared)
    return passes


def _try_out(
    passes: PairPasses,
    heads: int,
    channels: int,
    dtype: torch.dtype,
    device: torch.device,
    gated: bool,
    one_row: bool,
    shared: bool,
) -> None:
    """Compile, on sizes of which no two are equal: torch.compile would take those to be equal for ever."""
    size = heads * channels
    rows, nodes, rank = [each for each in (6, 28, 50, 7, 29, 51) if each not in (heads, channels, size)][:3]
    rows = 1 if one_row else rows

    def new(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        # Numbers become constants of the kernels, which are several times slower where the length of the inner loop is
        # not known.
        torch._dynamo.config.patch(specialize_int=True, specialize_float=True),
    ):
        target, source, edges = new(rows, nodes, size), new(rows, nodes, size), new(rank, size)
        labels = torch.zeros(1 if shared else rows, nodes, nodes, dtype=torch.int64, device=device)
        weights = passes.scores(target, source, edges, labels, new(heads, channels))
        passes.score_gradients(weights, target, source, edges, labels, new(rank, heads, channels))
        if gated:
            passes.messages(weights, source, edges, labels)
            passes.weight_gradients(target, source, edges, labels)
            passes.message_gradients(target, weights, source, edges, labels, new(rank, heads, channels))


def _plain(heads: int, channels: int, negative_slope: float) -> tuple[PairPasses, _Terms]:
    def split(tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (heads, channels))

    def per_channel(by_head: Tensor) -> Tensor:
        return by_head.permute(0, 2, 3, 1).unsqueeze(-1)

    def activation(sums: Tensor) -> Tensor:
        return F.leaky_relu(sums, negative_slope)

    def pair_sums(target: Tensor, source: Tensor, edges: Tensor, labels: Tensor) -> Tensor:
        return (F.embedding(labels, edges) + target.unsqueeze(2)).add_(source.unsqueeze(1))

    def scores(target: Tensor, source: Tensor, edges: Tensor, labels: Tensor, attention_vector: Tensor) -> Tensor:
        # Product and sum: as matrix products with so few columns, this and its gradient take over twice as long.
        activated = split(F.leaky_relu_(pair_sums(target, source, edges, labels), negative_slope))
        return (activated * attention_vector).sum(-1).permute(0, 3, 1, 2)

    def messages(weights: Tensor, source: Tensor, gates: Tensor, labels: Tensor) -> Tensor:
        # Product and sum again: einsum would copy (B, m, n, H, C) into the order that its matrix products want.
        return (per_channel(weights) * split(source.unsqueeze(1)) * split(F.embedding(labels, gates))).sum(2)

    def score_terms(
        gradient: Tensor, target: Tensor, source: Tensor, edges: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        sums, gradient = split(pair_sums(target, source, edges, labels)), per_channel(gradient)
        # The operator behind leaky_relu's autograd; torch.where with two numbers takes several times as long.
        product = torch.ops.aten.leaky_relu_backward(gradient.expand_as(sums), sums, negative_slope, False)
        return product, activation(sums) * gradient

    def message_terms(
        gradient: Tensor, weights: Tensor, source: Tensor, gates: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        shares = per_channel(weights) * split(gradient.unsqueeze(2))
        return shares * split(F.embedding(labels, gates)), shares * split(source.unsqueeze(1))

    def score_gradients(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        *tensors, by_label = arguments
        product, times_activated = score_terms(*tensors)
        add_by_label(by_label, tensors[-1], product)
        return product.sum(2), product.sum(1), times_activated.sum(2)

    def weight_gradients(gradient: Tensor, source: Tensor, gates: Tensor, labels: Tensor) -> Tensor:
        product = F.embedding(labels, gates) * source.unsqueeze(1) * gradient.unsqueeze(2)
        return split(product).sum(-1).permute(0, 3, 1, 2)

    def message_gradients(*arguments: Tensor) -> Tensor:
        *tensors, by_label = arguments
        to_source, to_gates = message_terms(*tensors)
        add_by_label(by_label, tensors[-1], to_gates)
        return to_source.sum(1)

    def add_by_label(by_label: Tensor, labels: Tensor, terms: Tensor) -> None:
        if len(labels) == 1:  # rows share labels: summed first, there is less to scatter
            terms = terms.sum(0)
        by_label.index_add_(0, labels.flatten(), terms.reshape(-1, heads, channels))

    passes = PairPasses(scores, messages, score_gradients, weight_gradients, message_gradients)
    return passes, _Terms(score_terms, message_terms)
