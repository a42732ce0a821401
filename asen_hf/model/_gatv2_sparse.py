"""GATv2 attention on a sparse support by compiled kernels over lists of neighbours, several times faster than PyG's.

Stores only the attention weights for its backward. On a graph whose rows share labels, the backward makes one tensor of
size edges × channels, however many rows there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._gatv2_autograd import attend
from ._gatv2_compiler import compile_or_warn
from ._gatv2_pyg import pyg_attention_forward
from ._gatv2_sparse_kernels import ListPasses, compiled_list_passes, list_messages, list_scores
from ._neighbours import Neighbours
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
    if (
        len(edge_table) == 1
    ):  # for torch.compile, which treats a size of one as a constant; no edge has the second label
        edge_table = edge_table.repeat(2, 1, 1)
        gate_table = None if gate_table is None else gate_table.repeat(2, 1, 1)
    # Under autocast, the projections and the attention vector have different dtypes: promote all tensors to one.
    dtype = torch.promote_types(target.dtype, layer.attention_vector.dtype)
    gates = None if gate_table is None else _heads_last(1 + gate_table).to(dtype)
    features = [_heads_last(each).to(dtype) for each in (target, source, edge_table)]
    output, weights = attend(_Attention(passes, neighbours), *features, gates, layer.attention_vector.mT.to(dtype))
    weights = weights.flatten(1, 2).index_select(1, neighbours.edge_slots)
    return output.mT, weights.mT


def _heads_last(features: Tensor) -> Tensor:
    """``(…, H, C)`` to ``(…, C·H)``."""
    return features.mT.flatten(-2)


class _Attention(NamedTuple):
    """A function of target ``(B, n, d)``, source, edges ``(rank, d)``, gates and attention vector ``(C, H)``.

    Its results are the output ``(B, n, C, H)`` and the weights ``(B, n, k, H)``.
    """

    passes: ListPasses
    neighbours: Neighbours

    def forward(
        self, target: Tensor, source: Tensor, edges: Tensor, gates: Tensor | None, attention_vector: Tensor
    ) -> tuple[Tensor, Tensor]:
        sources, labels = self.neighbours.sources, self.neighbours.labels
        scores = self.passes.scores(target, source, edges, labels, sources, attention_vector.contiguous())
        weights = _softmax(scores, self.neighbours.is_sent)
        return self.passes.messages(weights, source, gates, labels, sources), weights

    def plain(
        self, target: Tensor, source: Tensor, edges: Tensor, gates: Tensor | None, attention_vector: Tensor
    ) -> tuple[Tensor, Tensor]:
        sources, labels, slope = self.neighbours.sources, self.neighbours.labels, self.passes.negative_slope
        scores = list_scores(target, source, edges, labels, sources, attention_vector, slope)
        weights = _softmax(scores, self.neighbours.is_sent)
        return list_messages(weights, source, gates, labels, sources), weights

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
        passes, (sources, labels, _, _, targets, out_labels, _, _) = self
        by_label = edges.new_zeros(len(edges), *attention_vector.shape)
        output_gradient = torch.zeros_like(output) if output_gradient is None else output_gradient
        # Σ_j weight · gradient, which the softmax's backward needs, equals gradient · output: no pass over pairs.
        expected = (output_gradient * output).sum(-2).unsqueeze(2)
        gradient = output_gradient.contiguous().flatten(2)
        weight_gradient = passes.weight_gradients(gradient, source, gates, labels, sources)
        if weights_gradient is not None:
            expected = expected + (weights_gradient * weights).sum(2, keepdim=True)
            weight_gradient = weight_gradient + weights_gradient
        score_gradient = weight_gradient.sub_(expected).mul_(weights).contiguous()
        gates_gradient = None
        if gates is not None:
            gates_gradient = torch.zeros_like(by_label)
            passes.gate_gradients(gates_gradient, gradient, weights, source, labels, sources)
        passes.edge_gradients(by_label, score_gradient, target, source, edges, labels, sources)
        to_target, to_attention_vector = passes.score_gradients(score_gradient, target, source, edges, labels, sources)
        # Sums over the targets of each source: the same functions, of the other lists.
        through_messages = passes.messages(self._out(weights), gradient, gates, out_labels, targets)
        to_source = passes.first_score_gradient(self._out(score_gradient), source, target, edges, out_labels, targets)
        return (
            (to_target * attention_vector).flatten(2),
            through_messages.addcmul_(to_source, attention_vector).flatten(2),
            (by_label * attention_vector).flatten(1),
            None if gates_gradient is None else gates_gradient.flatten(1),
            to_attention_vector.sum((0, 1)),
        )

    def _out(self, values: Tensor) -> Tensor:
        """Values ``(B, n, k, H)`` of the edges into nodes, by the edges out of nodes ``(B, n, r, H)``."""
        targets, out_slots, is_out = self.neighbours.targets, self.neighbours.out_slots, self.neighbours.is_out
        # Apart from the kernels, which would read one number at a time.
        gathered = values.flatten(1, 2).index_select(1, out_slots).unflatten(1, targets.shape)
        return gathered if is_out is None else gathered.mul_(is_out.unsqueeze(-1))


def _softmax(scores: Tensor, is_sent: Tensor | None) -> Tensor:
    """Scores ``(B, n, k, H)`` to weights; a target that is sent nothing has none."""
    if is_sent is not None:
        # Not minus infinity: all sources of a target may be masked.
        scores = torch.where(is_sent.unsqueeze(-1), scores, torch.finfo(scores.dtype).min)
    # Along the first dimension, because PyTorch's softmax between others is twice as slow on a CPU.
    weights = scores.movedim(2, 0).contiguous().softmax(0).movedim(0, 2).contiguous()
    return weights if is_sent is None else weights * is_sent.unsqueeze(-1)
