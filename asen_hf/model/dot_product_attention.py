"""Dot-product attention over an orbit-coloured graph: the formula and the layer of the transformer backbone.

For target i and source j with orbital r = label(i, j), head by head (Vaswani et al. 2017, with a bias per orbital):

    score_ij  = q_i · k_j / √C + b_r,   b = W_b e
    weight_ij = softmax over the sources j of target i
    output_i  = Σ_j weight_ij · m_ij,   m_ij = v_j,   or (1 + g_r) v_j with gated messages, g = W_g e

b and g are one number per head and orbital, so that messages stay a matrix product, weights ∘ (1 + g) times values.
Blocks that keep no tensor of size pairs are in ``_dot_product_blocks.py``; they compute the same function.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._dot_product_blocks import at_pairs, blockwise_attention, is_stored
from ._gatv2_blocks import block_size, join_rows, split_rows
from ._message_passing import edge_weights, sum_messages
from ._onednn_linear import Linear
from ._transforms import is_transformed
from .configuration_asen import AsenConfig
from .gates import GateProjection
from .symmetry import OrbitGraph


def eager_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, gates: Tensor | None, graph: OrbitGraph
) -> tuple[Tensor, Tensor]:
    """The formula on the complete support, in operators that autograd and all transforms of PyTorch understand.

    Args:
        query, key, value: projected nodes, ``(B, n, H, C)``; queries are divided by √C.
        bias, gates: b and g, ``(rank, H)``.
        graph: labels ``(n, n)``, or ``(B, n, n)`` if every row has its own graph.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, n, n)``, rows = targets.
    """
    scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) + at_pairs(bias, graph.labels)
    if graph.node_mask is not None:
        scores = scores.masked_fill(~graph.node_mask[:, None, None], -torch.inf)
    weights = scores.softmax(dim=-1)
    factors = weights if gates is None else weights * at_pairs(1 + gates, graph.labels)
    return (factors @ value.transpose(1, 2)).transpose(1, 2), weights


def edge_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, gates: Tensor | None, graph: OrbitGraph
) -> tuple[Tensor, Tensor]:
    """The formula on a sparse support, by message passing. Arguments as of :func:`eager_attention_forward`.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, E)`` in the order of the support's edges.
    """
    targets, sources, labels = graph.to_edges()
    labels = labels.view(-1, len(targets))  # (1, E) or (B, E)

    def attend(query: Tensor, key: Tensor, value: Tensor, labels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        query, key, value = (nodes.transpose(0, 1) for nodes in (query, key, value))
        products = query.index_select(0, targets) * key.index_select(0, sources)  # (E, B, H, C)
        weights = edge_weights(products.sum(dim=-1) + bias[labels.T], targets, sources, graph.num_nodes, mask)
        factors = weights if gates is None else weights * (1 + gates)[labels.T].permute(1, 2, 0)
        return sum_messages(factors, value.index_select(0, sources), targets, graph.num_nodes), weights

    # Blocks of rows keep the edge tensors in the cache.
    rows = max(1, 2 * block_size(query.device) // max(1, len(targets) * query.shape[2] * query.shape[3]))
    return join_rows(attend(*block) for block in split_rows(rows, query, key, value, labels, graph.node_mask))


class DotProductAttention(nn.Module):
    """One sublayer of dot-product attention, heads concatenated, without the projection of its output.

    Args:
        config: ``hidden_size`` d, ``num_attention_heads`` H, ``gated_messages`` and the implementation: ``"sdpa"``
            calls ``torch.nn.functional.scaled_dot_product_attention`` with the orbitals' bias in blocks of targets, and
            keeps no tensor of size pairs, but in training stores the weights of small batches; ``"eager"`` computes the
            formula, with the weights. On a sparse support both pass messages along the edges. Both can be
            differentiated any number of times; from the second derivative on, and under ``torch.func``, forward-mode
            differentiation, ``torch.compile`` and ``torch.export``, both compute the plain formula, in its time and
            memory.
    """

    def __init__(self, config: AsenConfig):
        super().__init__()
        self.config = config
        size, self.num_heads = config.hidden_size, config.num_attention_heads
        self.scale = (size // self.num_heads) ** -0.5
        self.input_projection = Linear(size, 3 * size)
        self.edge_projection = Linear(size, self.num_heads, bias=False)
        self.gate_projection = GateProjection(size, self.num_heads) if config.gated_messages else None
        self.register_parameter("bias", None)  # GATv2 adds one to the sum of the messages; here values have theirs

    def forward(
        self, hidden_states: Tensor, orbital_features: Tensor, graph: OrbitGraph, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """``(B, n, d)`` states and ``(rank, d)`` orbital features to ``(B, n, d)`` states and the attention weights.

        Weights are ``None`` if they are neither asked for nor computed on the way.
        """
        query, key, value = (
            nodes.unflatten(-1, (self.num_heads, -1)) for nodes in self.input_projection(hidden_states).chunk(3, dim=-1)
        )
        bias = self.edge_projection(orbital_features)
        gates = None if self.gate_projection is None else self.gate_projection(orbital_features)
        tensors = (query * self.scale, key, value, bias, gates)
        if graph.edge_index is not None:
            output, weights = edge_attention_forward(*tensors, graph)
        elif self._is_eager(query, output_attentions):
            output, weights = eager_attention_forward(*tensors, graph)
        else:
            return blockwise_attention(*tensors, graph, eager_attention_forward).flatten(-2), None
        return output.flatten(-2), weights if output_attentions else None

    def _is_eager(self, query: Tensor, output_attentions: bool) -> bool:
        return self.config._attn_implementation != "sdpa" or output_attentions or is_transformed() or is_stored(query)

    def messages(self, hidden_states: Tensor, orbital_features: Tensor, graph: OrbitGraph) -> Tensor:
        """The messages m of all pairs of the support, ``(B, E, H, C)`` in the order of ``graph.to_edges()``."""
        _, sources, labels = graph.to_edges()
        value = self.input_projection(hidden_states).chunk(3, dim=-1)[2]
        messages = value.unflatten(-1, (self.num_heads, -1))[:, sources]
        if self.gate_projection is None:
            return messages
        return messages * (1 + self.gate_projection(orbital_features))[labels].unsqueeze(-1)
