"""GATv2 attention on a sparse support by compiled kernels over lists of neighbours, several times faster than PyG's.

Stores only the attention weights for its backward. On a graph whose rows share labels, the backward makes one tensor of
size edges × channels, however many rows there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._gatv2_compiler import compile_or_warn
from ._gatv2_pyg import pyg_attention_forward
from ._gatv2_sparse_kernels import ListPasses, compiled_list_passes, plain_list_passes
from ._neighbours import Neighbours
from ._recomputed_backward import attend
from .symmetry import OrbitGraph


def sparse_attention_forward(
    layer: Any,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """The function of ``pyg_attention_forward``, on sparse supports, in kernels fused by ``torch.compile``.

    Compilation happens once per process and model, again for batches of one row, and again for labels per row. Passes
    messages with torch_geometric if no compiler is found, which it warns of once, and where the graph has no lists of
    neighbours or the batch has no rows.
    """
    neighbours = graph.neighbours
    passes: ListPasses | None = None
    if neighbours is not None and len(target) > 0 and graph.num_nodes > 1:
        passes = compile_or_warn(
            compiled_list_passes,
            *layer.attention_vector.shape,
            layer.negative_slope,
            torch.promote_types(target.dtype, layer.attention_vector.dtype),
            target.device,
            gate_table is not None,
            len(target) == 1,
            len(neighbours.labels) == 1,
        )
    if neighbours is None or passes is None:
        return pyg_attention_forward(layer, target, source, edge_table, gate_table, graph)
    # torch.compile treats a size of one as a constant: give a table of one row a second one, which no edge has.
    if len(edge_table) == 1:
        edge_table = edge_table.repeat(2, 1, 1)
        gate_table = None if gate_table is None else gate_table.repeat(2, 1, 1)
    # Under autocast, the projections and the attention vector have different dtypes: promote all tensors to one.
    dtype = torch.promote_types(target.dtype, layer.attention_vector.dtype)
    gates = None if gate_table is None else (1 + gate_table).flatten(1).to(dtype)
    features = [features.flatten(-2).to(dtype) for features in (target, source, edge_table)]
    output, weights = attend(_Attention(passes, neighbours), *features, gates, layer.attention_vector.to(dtype))
    return output, weights.flatten(1, 2).index_select(1, neighbours.edge_slots).mT


class _Attention(NamedTuple):
    """A function of target ``(B, n, d)``, source, edges ``(rank, d)``, gates and attention vector ``(H, C)``.

    Its results are the output ``(B, n, H, C)`` and the weights ``(B, k, n, H)``.
    """

    passes: ListPasses
    neighbours: Neighbours

    def forward(
        self, target: Tensor, source: Tensor, edges: Tensor, gates: Tensor | None, attention_vector: Tensor
    ) -> tuple[Tensor, Tensor]:
        return _attend(self.passes, self.neighbours, target, source, edges, gates, attention_vector)

    def plain(self, *tensors: Any) -> tuple[Tensor, Tensor]:
        passes = plain_list_passes(*tensors[-1].shape, self.passes.negative_slope)
        return _attend(passes, self.neighbours, *tensors)

    def backward(
        self,
        output_gradient: Tensor | None,
        weights_gradient: Tensor | None,
        target: Tensor,
        source: Tensor,
        edges: Tensor,
        gates: Tensor | None,
        attention_vector: Tensor,
        output: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor | None, ...]:
        passes, lists = self
        output_gradient = torch.zeros_like(output) if output_gradient is None else output_gradient
        # Σ_j weight · gradient, which the softmax's backward needs, equals gradient · output: no pass over pairs.
        expected = (output_gradient * output).sum(-1)
        if weights_gradient is not None:
            expected = expected + (weights_gradient * weights).sum(1)
        gradient = output_gradient.flatten(2).contiguous()
        delta = passes.score_gradients(gradient, source, gates, lists.labels, lists.sources, weights, expected)
        if weights_gradient is not None:
            delta = delta.addcmul_(weights_gradient, weights)
        edges_gradient, gates_gradient = edges.new_zeros(len(edges), *attention_vector.shape), None
        if gates is not None:
            gates_gradient = torch.zeros_like(edges_gradient)
            passes.gate_gradients(gates_gradient, gradient, weights, source, lists.labels, lists.sources)
        passes.edge_gradients(edges_gradient, delta, target, source, edges, lists.labels, lists.sources)
        to_target, to_attention_vector = passes.target_gradients(
            delta, target, source, edges, lists.labels, lists.sources
        )
        out_tensors = (source, target, edges, lists.out_labels, lists.targets, attention_vector)
        to_source = passes.source_gradients(
            weights, delta, lists.out_slots, lists.is_out.to(weights.dtype), gradient, gates, *out_tensors
        )
        return (
            (to_target * attention_vector).flatten(2),
            to_source.flatten(2),
            (edges_gradient * attention_vector).flatten(1),
            None if gates_gradient is None else gates_gradient.flatten(1),
            to_attention_vector.sum((0, 1)),
        )


def _attend(
    passes: ListPasses,
    lists: Neighbours,
    target: Tensor,
    source: Tensor,
    edges: Tensor,
    gates: Tensor | None,
    attention_vector: Tensor,
) -> tuple[Tensor, Tensor]:
    """Output and weights; autograd sees through plain passes."""
    scores = passes.scores(target, source, edges, lists.labels, lists.sources, attention_vector)
    weights = _softmax(scores, lists.is_sent)
    return passes.messages(weights, source, gates, lists.labels, lists.sources), weights


def _softmax(scores: Tensor, is_sent: Tensor | None) -> Tensor:
    """Scores ``(B, k, n, H)`` to weights; a target that is sent nothing has none."""
    if is_sent is None:
        return scores.softmax(1)
    # Not minus infinity: all sources of a target may be masked.
    scores = torch.where(is_sent.unsqueeze(-1), scores, torch.finfo(scores.dtype).min)
    return scores.softmax(1) * is_sent.unsqueeze(-1)
