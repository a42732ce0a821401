"""The steps of GATv2 attention over lists of neighbours, as kernels compiled for a sparse support.

Notation as in :mod:`asen_hf.model._gatv2_kernels`. Every node has a list of k neighbours: its sources, or, in the other
direction, its targets. A sum over the targets of each source is then the same function as a sum over the sources of
each target, of the other lists: no kernel scatters to nodes.

Shapes: B rows, n nodes, k neighbours, C channels per head, H heads, d = C·H. Heads are the last dimension, so that a
sum over channels adds vectors of heads. Labels are ``(1, n, k)`` if all rows share them, else ``(B, n, k)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ._gatv2_kernels import ONE_THREAD, compiled, compiling


class ListPasses(NamedTuple):
    """Functions that loop over all neighbours of all nodes. Arguments are positional, in the order given here.

    Attributes:
        scores: takes nodes ``(B, n, d)``, their neighbours' ``(B, n, d)``, edges ``(rank, d)``, labels, lists
            ``(n, k)`` of neighbours and attention vector ``(C, H)``; returns the attention scores ``(B, n, k, H)``.
        messages: takes weights ``(B, n, k, H)``, neighbours, gates ``(rank, d)`` or ``None``, labels and lists; returns
            the sums of messages ``(B, n, C, H)``.
        score_gradients: takes the gradient δ of the scores ``(B, n, k, H)`` and the first five of ``scores``; returns
            the sums over each node's list of δ · LeakyReLU' and of δ · LeakyReLU, ``(B, n, C, H)``.
        first_score_gradient: the first of these sums alone.
        edge_gradients: takes a tensor ``(rank, C, H)`` and the arguments of ``score_gradients``; adds to the tensor the
            sums over the pairs of each label of δ · LeakyReLU'.
        weight_gradients: takes the gradient of the output ``(B, n, d)``, and the last four of ``messages``; returns the
            gradient of the weights.
        gate_gradients: takes a tensor ``(rank, C, H)``, the gradient of the output, weights, neighbours, labels and
            lists; adds to the tensor the gradient of the gates.
        negative_slope: slope of the LeakyReLU.
    """

    scores: Callable[..., Tensor]
    messages: Callable[..., Tensor]
    score_gradients: Callable[..., tuple[Tensor, Tensor]]
    first_score_gradient: Callable[..., Tensor]
    edge_gradients: Callable[..., None]
    weight_gradients: Callable[..., Tensor]
    gate_gradients: Callable[..., None]
    negative_slope: float


def list_scores(
    nodes: Tensor,
    neighbours: Tensor,
    edges: Tensor,
    labels: Tensor,
    lists: Tensor,
    attention_vector: Tensor,
    negative_slope: float,
) -> Tensor:
    """The scores in plain PyTorch, which autograd can differentiate; see :class:`ListPasses`."""
    sums = _sums(nodes, neighbours, edges, labels, lists, attention_vector.shape[1])
    return (F.leaky_relu(sums, negative_slope) * attention_vector).sum(-2)


def list_messages(weights: Tensor, neighbours: Tensor, gates: Tensor | None, labels: Tensor, lists: Tensor) -> Tensor:
    """The sums of messages in plain PyTorch, which autograd can differentiate; see :class:`ListPasses`."""
    messages = weights.unsqueeze(-2) * _by_head(_gather(neighbours, lists), weights.shape[-1])
    if gates is not None:
        messages = messages * _by_head(F.embedding(labels, gates), weights.shape[-1])
    return messages.sum(2)


def _sums(nodes: Tensor, neighbours: Tensor, edges: Tensor, labels: Tensor, lists: Tensor, heads: int) -> Tensor:
    """z ``(B, n, k, C, H)``."""
    return _by_head(F.embedding(labels, edges) + nodes.unsqueeze(2) + _gather(neighbours, lists), heads)


def _gather(nodes: Tensor, lists: Tensor) -> Tensor:
    """``(B, n, d)`` at lists ``(n, k)``: ``(B, n, k, d)``."""
    rows, num_nodes, _ = nodes.shape
    first = num_nodes * torch.arange(rows, device=nodes.device)
    # An embedding, because its indices are never negative: indexing would test and wrap them.
    return F.embedding(lists + first[:, None, None], nodes.flatten(0, 1))


def _by_head(tensor: Tensor, heads: int) -> Tensor:
    return tensor.unflatten(-1, (-1, heads))


# Above these numbers of tensors read and of operators, inductor stores what is used twice: here, tensors of pairs ×
# channels.
_STORE_NOTHING = {"realize_reads_threshold": 64, "realize_opcount_threshold": 256}


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
        gated: whether messages have gates.
        one_row: whether the batch is a single row, because torch.compile treats a size of one as a constant. Without
            it, the kernels take any number of rows from two up.
        shared: whether all rows share labels; one row does.

    Raises:
        RuntimeError: there is no compiler.
    """

    def terms(gradient: Tensor, *tensors: Any) -> tuple[Tensor, Tensor]:
        sums, gradient = _sums(*tensors, heads), gradient.unsqueeze(-2)
        # The operator that autograd uses for leaky_relu: torch.where with two numbers is much slower.
        product = torch.ops.aten.leaky_relu_backward(gradient.expand_as(sums), sums, negative_slope, False)
        return product, F.leaky_relu(sums, negative_slope) * gradient

    def gate_terms(gradient: Tensor, weights: Tensor, neighbours: Tensor, lists: Tensor) -> Tensor:
        shares = weights.unsqueeze(-2) * _by_head(gradient, heads).unsqueeze(2)
        return shares * _by_head(_gather(neighbours, lists), heads)

    def over_lists(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        product, times_activated = terms(*tensors)
        return product.sum(2), times_activated.sum(2)

    def first_over_lists(*tensors: Tensor) -> Tensor:
        return terms(*tensors)[0].sum(2)

    def weight_gradients(
        gradient: Tensor, neighbours: Tensor, gates: Tensor | None, labels: Tensor, lists: Tensor
    ) -> Tensor:
        product = _gather(neighbours, lists) * gradient.unsqueeze(2)
        if gates is not None:
            product = product * F.embedding(labels, gates)
        return _by_head(product, heads).sum(-2)

    if shared:  # the sums over rows are compiled, and the fewer elements that remain are scattered

        def edge_sums(*tensors: Tensor) -> Tensor:
            return terms(*tensors)[0].sum(0)

        def gate_sums(*tensors: Tensor) -> Tensor:
            return gate_terms(*tensors).sum(0)

        edge_kernel, gate_kernel = (compiled(function, _STORE_NOTHING) for function in (edge_sums, gate_sums))

        def edge_gradients(by_label: Tensor, *tensors: Tensor) -> None:
            by_label.index_add_(0, tensors[4].flatten(), edge_kernel(*tensors).flatten(0, 1))

        def gate_gradients(
            by_label: Tensor, gradient: Tensor, weights: Tensor, neighbours: Tensor, labels: Tensor, lists: Tensor
        ) -> None:
            terms = gate_kernel(gradient, weights, neighbours, lists)
            by_label.index_add_(0, labels.flatten(), terms.flatten(0, 1))

    else:

        def scatter_edges(by_label: Tensor, *tensors: Tensor) -> None:
            by_label.index_put_((tensors[4],), terms(*tensors)[0], accumulate=True)

        def scatter_gates(
            by_label: Tensor, gradient: Tensor, weights: Tensor, neighbours: Tensor, labels: Tensor, lists: Tensor
        ) -> None:
            by_label.index_put_((labels,), gate_terms(gradient, weights, neighbours, lists), accumulate=True)

        edge_gradients, gate_gradients = (
            compiled(function, _STORE_NOTHING | ONE_THREAD) for function in (scatter_edges, scatter_gates)
        )

    def scores(*tensors: Any) -> Tensor:
        return list_scores(*tensors, negative_slope)

    passes = ListPasses(
        scores=compiled(scores, _STORE_NOTHING),
        messages=compiled(list_messages, _STORE_NOTHING),
        score_gradients=compiled(over_lists, _STORE_NOTHING),
        first_score_gradient=compiled(first_over_lists, _STORE_NOTHING),
        edge_gradients=edge_gradients,
        weight_gradients=compiled(weight_gradients, _STORE_NOTHING),
        gate_gradients=gate_gradients,
        negative_slope=negative_slope,
    )
    _try_out(passes, heads, channels, dtype, device, gated, one_row, shared)
    return passes


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
    rows, nodes, rank, width = [free for free in (6, 28, 50, 9, 7, 29, 51) if free not in taken][:4]
    rows = 1 if one_row else rows

    def new(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)

    with compiling(device):
        target, source, edges = new(rows, nodes, size), new(rows, nodes, size), new(rank, size)
        labels = torch.zeros(1 if shared else rows, nodes, width, dtype=torch.int64, device=device)
        lists = torch.zeros(nodes, width, dtype=torch.int64, device=device)
        by_label = new(rank, channels, heads)
        gates = edges if gated else None
        weights = passes.scores(target, source, edges, labels, lists, new(channels, heads))
        passes.messages(weights, source, gates, labels, lists)
        passes.score_gradients(weights, target, source, edges, labels, lists)
        passes.first_score_gradient(weights, target, source, edges, labels, lists)
        passes.edge_gradients(by_label, weights, target, source, edges, labels, lists)
        passes.weight_gradients(target, source, gates, labels, lists)
        if gated:
            passes.gate_gradients(by_label, target, weights, source, labels, lists)
