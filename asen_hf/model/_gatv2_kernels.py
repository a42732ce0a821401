"""The pairwise steps of GATv2 attention, in plain PyTorch and as compiled kernels.

Let z_ij = W_t h_i + W_s h_j + W_e e_r, with r the orbital of (i, j), and δ_ij the gradient of a head's score. The
backward pass of the scores sums δ_ij · LeakyReLU'(z_ij) over the sources of each target (for W_t h), over the targets
of each source (W_s h) and over the pairs of each orbital (W_e e), and multiplies by the attention vector. The gradient
of the attention vector sums δ_ij · LeakyReLU(z_ij).

Shapes: B rows, m targets, n sources, H heads, C channels per head, d = H·C. Labels are ``(1, m, n)`` if all rows share
a graph and ``(B, m, n)`` if every row has its own graph.
"""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PairPasses(NamedTuple):
    """Functions that loop over all pairs of nodes. Arguments are positional, in the order given here.

    Attributes:
        scores: takes target ``(B, m, d)``, source ``(B, n, d)``, edges ``(rank, d)``, labels and attention vector
            ``(H, C)``; returns the attention scores ``(B, H, m, n)``.
        messages: takes weights, source, gates ``(rank, d)`` and labels; returns the output ``(B, m, H, C)``.
        score_gradients: takes the gradient δ of the scores ``(B, H, m, n)``, target, source, edges, labels, and a
            tensor ``(rank, H, C)`` to which it adds the sums over the pairs of each orbital. Returns the sums over
            sources ``(B, m, H, C)``, the sums over targets ``(B, n, H, C)`` and the gradient of the attention vector
            per target ``(B, m, H, C)``. The three sums are not yet multiplied by the attention vector.
        weight_gradients: takes the gradient of the output ``(B, m, d)``, source, gates and labels; returns the gradient
            of the weights.
        message_gradients: takes the gradient of the output, weights, source, gates, labels, and a tensor
            ``(rank, H, C)`` to which it adds the gradient of the gates; returns the gradient of the source
            ``(B, n, H, C)``.
        negative_slope: slope of the LeakyReLU.
    """

    scores: Callable[..., Tensor]
    messages: Callable[..., Tensor]
    score_gradients: Callable[..., tuple[Tensor, Tensor, Tensor]]
    weight_gradients: Callable[..., Tensor]
    message_gradients: Callable[..., Tensor]
    negative_slope: float


class _Terms(NamedTuple):
    """The terms ``(B, m, n, H, C)`` of the gradients, before summation."""

    score: Callable[..., tuple[Tensor, Tensor]]
    message: Callable[..., tuple[Tensor, Tensor]]


def softmax_over_sources(scores: Tensor) -> Tensor:
    """Scores ``(…, n)`` to weights, for any memory layout."""
    if scores.shape[-1] >= 16:
        return scores.softmax(-1)
    # PyTorch's softmax over a contiguous dimension shorter than a vector register takes ten times as long as over the
    # first dimension.
    return scores.movedim(-1, 0).softmax(0).movedim(0, -1)


def mask_sources(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Scores ``(B, H, m, n)``, minus infinity for sources that ``mask`` ``(B, n)`` leaves out."""
    return scores if mask is None else scores.masked_fill(~mask[:, None, None, :], -torch.inf)


@functools.cache
def plain_passes(heads: int, channels: int, negative_slope: float) -> PairPasses:
    """The passes in plain PyTorch; autograd can differentiate ``scores`` and ``messages``."""
    return _plain(heads, channels, negative_slope)[0]


def compiled(function: Callable, options: dict[str, Any] | None = None) -> Callable:
    """A function compiled for any sizes of its tensors from two up."""
    # Dynamo counts compilations per code object and silently stops after eight: give every function a new one.
    code = function.__code__.replace()
    copy = types.FunctionType(code, function.__globals__, function.__name__, None, function.__closure__)
    return torch.compile(copy, dynamic=True, options=options)


@contextlib.contextmanager
def compiling(device: torch.device) -> Iterator[None]:
    """In which every function of :func:`compiled` must be called once, on sizes that differ pairwise and from one.

    torch.compile assumes that equal sizes stay equal, and that a size of one stays one.
    """
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
        # Make integers and floats constants of the kernels, which are much slower if the length of the inner loop is
        # unknown.
        torch._dynamo.config.patch(specialize_int=True, specialize_float=True),
    ):
        yield


# Parallel threads would need atomic additions, which are many times slower than a single thread.
ONE_THREAD = {"cpp.threads": 1}


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
    """The passes as kernels fused by ``torch.compile``, for two or more nodes and orbitals.

    Args:
        heads, channels, negative_slope, dtype, device: constants of the kernels.
        gated: whether messages have gates. Without gates, ``messages``, ``weight_gradients`` and ``message_gradients``
            are not needed and not compiled here.
        one_row: whether the batch is a single row, because torch.compile treats a size of one as a constant. Without
            it, the kernels take any number of rows from two up.
        shared: whether all rows share a graph.

    Raises:
        RuntimeError: there is no compiler.
    """
    plain, terms = _plain(heads, channels, negative_slope)

    def scores(*tensors: Tensor) -> Tensor:
        return plain.scores(*tensors).contiguous()

    # One kernel per sum: a kernel for all sums would write the terms to memory and read them again for every sum.
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

    score_over_sources, score_over_targets = compiled(over_sources), compiled(over_targets)
    score_over_orbitals = compiled(over_orbitals, ONE_THREAD)
    source_gradients = compiled(messages_over_targets)
    gate_gradients = compiled(messages_over_orbitals, ONE_THREAD)

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
        negative_slope=negative_slope,
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
    """Compile by calling every pass once, on pairwise different sizes."""
    size = heads * channels
    rows, nodes, rank = [free for free in (6, 28, 50, 7, 29, 51) if free not in (heads, channels, size)][:3]
    rows = 1 if one_row else rows

    def new(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    with compiling(device):
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
        # Product and sum, because matrix products with so few columns take over twice as long, also in the gradient.
        activated = split(F.leaky_relu_(pair_sums(target, source, edges, labels), negative_slope))
        return (activated * attention_vector).sum(-1).permute(0, 3, 1, 2)

    def messages(weights: Tensor, source: Tensor, gates: Tensor, labels: Tensor) -> Tensor:
        # Product and sum, because einsum would copy (B, m, n, H, C) into the layout of its matrix products.
        return (per_channel(weights) * split(source.unsqueeze(1)) * split(F.embedding(labels, gates))).sum(2)

    def score_terms(
        gradient: Tensor, target: Tensor, source: Tensor, edges: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        sums, gradient = split(pair_sums(target, source, edges, labels)), per_channel(gradient)
        # The operator that autograd uses for leaky_relu: torch.where with two numbers is much slower.
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
        if len(labels) == 1:  # all rows share labels: sum over rows first, to scatter fewer elements
            terms = terms.sum(0)
        by_label.index_add_(0, labels.flatten(), terms.reshape(-1, heads, channels))

    passes = PairPasses(scores, messages, score_gradients, weight_gradients, message_gradients, negative_slope)
    return passes, _Terms(score_terms, message_terms)
