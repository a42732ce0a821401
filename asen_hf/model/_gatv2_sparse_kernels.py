"""The steps of GATv2 attention over lists of neighbours, as kernels compiled for a sparse support.

Notation as in :mod:`asen_hf.model._gatv2_kernels`. Every node has a list of k neighbours: its sources, or, in the other
direction, its targets. A sum over the targets of each source is then a sum over a list, too: no kernel scatters to
nodes.

Shapes: B rows, n nodes, k neighbours, H heads, C channels per head, d = H·C. Lists are ``(k, n)``, and labels
``(1, k, n)`` if all rows share them, else ``(B, k, n)``. The place in the list comes first, because inductor
vectorises the dimension that most tensors store contiguously, which must be the channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._gatv2_kernels import ONE_THREAD, compiled, compiling


class ListPasses(NamedTuple):
    """Functions that loop over all neighbours of all nodes. Arguments are positional, in the order given here.

    Attributes:
        scores: takes nodes ``(B, n, d)``, their neighbours' ``(B, n, d)``, edges ``(rank, d)``, labels, lists and
            attention vector ``(H, C)``; returns the attention scores ``(B, k, n, H)``.
        messages: takes weights ``(B, k, n, H)``, neighbours, gates ``(rank, d)`` or ``None``, labels and lists; returns
            the sums of messages ``(B, n, H, C)``.
        score_gradients: takes the gradient of the output ``(B, n, d)``, the last four of ``messages``, weights and the
            expected gradients of the weights ``(B, n, H)``; returns the gradient δ of the scores ``(B, k, n, H)``.
        target_gradients: takes δ and the first five of ``scores``; returns the sums over each node's list of
            δ · LeakyReLU' and of δ · LeakyReLU, ``(B, n, H, C)``.
        source_gradients: takes weights, δ, slots ``(r, n)`` at which the edges out of each node lie in these two, and
            numbers ``(r, n)``, 1 where there is an edge and 0 elsewhere; the gradient of the output ``(B, n, d)``,
            gates or ``None``; the arguments of ``scores`` with the source as nodes, the target as neighbours, and the
            lists of the edges out of nodes. Returns the gradient of the source ``(B, n, H, C)``.
        edge_gradients: takes a tensor ``(rank, H, C)``, δ and the first five of ``scores``; adds to the tensor the sums
            over the pairs of each label of δ · LeakyReLU'.
        gate_gradients: takes a tensor ``(rank, H, C)``, the gradient of the output, weights, neighbours, labels and
            lists; adds to the tensor the gradient of the gates.
        negative_slope: slope of the LeakyReLU.
    """

    scores: Callable[..., Tensor]
    messages: Callable[..., Tensor]
    score_gradients: Callable[..., Tensor]
    target_gradients: Callable[..., tuple[Tensor, Tensor]]
    source_gradients: Callable[..., Tensor]
    edge_gradients: Callable[..., None]
    gate_gradients: Callable[..., None]
    negative_slope: float


@functools.cache
def plain_list_passes(heads: int, channels: int, negative_slope: float) -> ListPasses:
    """The passes in plain PyTorch; autograd can differentiate ``scores`` and ``messages``."""

    def split(tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (heads, channels))

    def sums(nodes: Tensor, neighbours: Tensor, edges: Tensor, labels: Tensor, lists: Tensor) -> Tensor:
        """z ``(B, k, n, H, C)``."""
        return split(F.embedding(labels, edges) + nodes.unsqueeze(1) + _gather(neighbours, lists))

    def slopes(gradient: Tensor, sums: Tensor) -> Tensor:
        # The operator that autograd uses for leaky_relu: torch.where with two numbers is much slower.
        gradient = gradient.unsqueeze(-1).expand_as(sums)
        return torch.ops.aten.leaky_relu_backward(gradient, sums, negative_slope, False)

    def gated(messages: Tensor, gates: Tensor | None, labels: Tensor) -> Tensor:
        return messages if gates is None else messages * F.embedding(labels, gates)

    def scores(*arguments: Tensor) -> Tensor:
        *tensors, attention_vector = arguments
        return (F.leaky_relu(sums(*tensors), negative_slope) * attention_vector).sum(-1)

    def messages(weights: Tensor, neighbours: Tensor, gates: Tensor | None, labels: Tensor, lists: Tensor) -> Tensor:
        return (weights.unsqueeze(-1) * split(gated(_gather(neighbours, lists), gates, labels))).sum(1)

    def score_gradients(
        gradient: Tensor,
        neighbours: Tensor,
        gates: Tensor | None,
        labels: Tensor,
        lists: Tensor,
        weights: Tensor,
        expected: Tensor,
    ) -> Tensor:
        product = gated(_gather(neighbours, lists) * gradient.unsqueeze(1), gates, labels)
        return (split(product).sum(-1) - expected.unsqueeze(1)) * weights

    def target_gradients(gradient: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        z = sums(*tensors)
        return slopes(gradient, z).sum(1), (F.leaky_relu(z, negative_slope) * gradient.unsqueeze(-1)).sum(1)

    def source_gradients(
        weights: Tensor,
        score_gradient: Tensor,
        slots: Tensor,
        is_edge: Tensor,
        gradient: Tensor,
        gates: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        *tensors_of_sums, attention_vector = tensors
        labels, lists = tensors_of_sums[3:]
        weights, score_gradient = (
            _gather(values.flatten(1, 2), slots) * is_edge.unsqueeze(-1) for values in (weights, score_gradient)
        )
        through_messages = weights.unsqueeze(-1) * split(gated(_gather(gradient, lists), gates, labels))
        return (through_messages + slopes(score_gradient, sums(*tensors_of_sums)) * attention_vector).sum(1)

    def edge_gradients(by_label: Tensor, gradient: Tensor, *tensors: Tensor) -> None:
        add_by_label(by_label, tensors[3], slopes(gradient, sums(*tensors)))

    def gate_gradients(
        by_label: Tensor, gradient: Tensor, weights: Tensor, neighbours: Tensor, labels: Tensor, lists: Tensor
    ) -> None:
        product = split(_gather(neighbours, lists) * gradient.unsqueeze(1))
        add_by_label(by_label, labels, weights.unsqueeze(-1) * product)

    def add_by_label(by_label: Tensor, labels: Tensor, product: Tensor) -> None:
        by_label.index_put_((labels.expand(len(product), -1, -1),), product, accumulate=True)

    return ListPasses(
        scores,
        messages,
        score_gradients,
        target_gradients,
        source_gradients,
        edge_gradients,
        gate_gradients,
        negative_slope,
    )


def _gather(nodes: Tensor, lists: Tensor) -> Tensor:
    """``(B, n, d)`` at lists ``(k, n)``: ``(B, k, n, d)``."""
    rows, num_nodes, _ = nodes.shape
    first = num_nodes * torch.arange(rows, device=nodes.device)
    # An embedding, because its indices are never negative: indexing would test and wrap them.
    return F.embedding(lists + first[:, None, None], nodes.flatten(0, 1))


def compiled_list_passes(
    heads: int,
    channels: int,
    negative_slope: float,
    dtype: torch.dtype,
    device: torch.device,
    gated: bool,
    one_row: bool,
    shared: bool,
) -> ListPasses:
    """The passes as kernels fused by ``torch.compile``, for two or more nodes, neighbours and orbitals.

    Args:
        heads, channels, negative_slope, dtype, device: constants of the kernels.
        gated: whether messages have gates. Without gates, ``gate_gradients`` is not needed and not compiled here.
        one_row: whether the batch is a single row, because torch.compile treats a size of one as a constant. Without
            it, the kernels take any number of rows from two up.
        shared: whether all rows share labels; one row does.

    Raises:
        RuntimeError: there is no compiler.
    """
    plain = plain_list_passes(heads, channels, negative_slope)
    options = _options(channels, dtype, device)
    one_thread = options | ONE_THREAD
    passes = ListPasses(
        scores=compiled(plain.scores, options),
        messages=compiled(plain.messages, options),
        score_gradients=compiled(plain.score_gradients, options),
        target_gradients=compiled(plain.target_gradients, options),
        source_gradients=compiled(plain.source_gradients, options),
        edge_gradients=compiled(plain.edge_gradients, one_thread),
        gate_gradients=compiled(plain.gate_gradients, one_thread),
        negative_slope=negative_slope,
    )
    _try_out(passes, heads, channels, dtype, device, gated, one_row, shared)
    return passes


def _options(channels: int, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Options of inductor."""
    options = {
        # Above these numbers of tensors read and of operators, inductor stores what is used twice: here, tensors of
        # pairs × channels.
        "realize_reads_threshold": 64,
        "realize_opcount_threshold": 256,
        # Lists and labels are made here: testing every index in the inner loop takes as long as the arithmetic.
        "assert_indirect_indexing": False,
    }
    has_avx512 = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    if has_avx512 and channels * dtype.itemsize % 64:
        options["cpp.simdlen"] = 256  # half-filled vectors of 512 bits take twice as long as full ones of 256
    return options


def _try_out(
    passes: ListPasses,
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
    taken = (heads, channels, size)
    rows, nodes, rank, width, out_width = [free for free in (6, 28, 50, 9, 11, 7, 29, 51) if free not in taken][:5]
    rows = 1 if one_row else rows

    def new(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    def indices(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int64, device=device)

    with compiling(device):
        # No tensor twice in one call: kernels would be compiled for equal tensors.
        target, source, gradient, expected = (new(rows, nodes, size) for size in (size, size, size, heads))
        edges, by_label = new(rank, size), new(rank, heads, channels)
        gates = new(rank, size) if gated else None
        lists, labels = indices(width, nodes), indices(1 if shared else rows, width, nodes)
        scored = (target, source, edges, labels, lists)
        attention_vector = new(heads, channels)
        weights = passes.scores(*scored, attention_vector)
        passes.messages(weights, source, gates, labels, lists)
        delta = passes.score_gradients(gradient, source, gates, labels, lists, weights, expected)
        passes.target_gradients(delta, *scored)
        passes.edge_gradients(by_label, delta, *scored)
        out_lists, out_labels = indices(out_width, nodes), indices(1 if shared else rows, out_width, nodes)
        slots, is_edge = indices(out_width, nodes), new(out_width, nodes)
        out_scored = (source, target, edges, out_labels, out_lists, attention_vector)
        passes.source_gradients(weights, delta, slots, is_edge, gradient, gates, *out_scored)
        if gated:
            passes.gate_gradients(by_label, gradient, weights, source, labels, lists)
