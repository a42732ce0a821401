"""GATv2 attention over an orbit-coloured graph: the formula, the layer, and the registry of implementations.

For target i and source j with orbital r = label(i, j), head by head (Brody et al. 2022, with edge features):

    score_ij  = a · LeakyReLU(W_t h_i + W_s h_j + W_e e_r)
    weight_ij = softmax over the sources j of target i
    output_i  = Σ_j weight_ij · m_ij,   m_ij = W_s h_j,   or (1 + W_g e_r) ⊙ W_s h_j with gated messages

The orbital table (rank × d) is projected before it is gathered, which avoids a product of size pairs × d × d.
Faster implementations of the same function are in ``_gatv2_*.py``; they are not needed to understand the network.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ._gatv2_dense import chunked_attention_forward, compiled_attention_forward, is_large
from ._gatv2_pyg import equal_pyg_layer, pyg_attention_forward
from ._gatv2_sparse import sparse_attention_forward
from ._onednn_linear import Linear
from ._transforms import add_in_place, is_transformed
from .configuration_asen import AsenConfig
from .gates import GateProjection
from .symmetry import OrbitGraph

AttentionFunction = Callable[..., tuple[Tensor, Tensor]]


def eager_attention_forward(
    module: GATv2Attention,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """The formula on the complete support, in operators that autograd and all transforms of PyTorch understand.

    Args:
        module: the layer, for its attention vector ``(H, C)`` and the slope of its LeakyReLU.
        target, source: projected nodes W_t h and W_s h, ``(B, n, H, C)``.
        edge_table, gate_table: projected orbital features W_e e and W_g e, ``(rank, H, C)``.
        graph: labels ``(n, n)``, or ``(B, n, n)`` if every row has its own graph.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, n, n)``, rows = targets.
    """
    # In place, because (B, n, n, H, C) are the network's largest tensors: saves a third of the time on a CPU.
    features = add_in_place(_at_pairs(edge_table, graph) + target.unsqueeze(2), source.unsqueeze(1))
    activated = F.leaky_relu_(features, module.negative_slope)
    # Product and sum, because matrix products with so few columns take over twice as long (messages below, too).
    scores = (activated * module.attention_vector).sum(dim=-1)  # (B, n, n, H)
    if graph.node_mask is not None:
        scores = scores.masked_fill(~graph.node_mask[:, None, :, None], -torch.inf)
    # Softmax before the permutation, because PyTorch's softmax over a short contiguous dimension is slow.
    weights = scores.softmax(dim=2).permute(0, 3, 1, 2)  # (B, H, n, n)
    if gate_table is None:
        return (weights @ source.transpose(1, 2)).transpose(1, 2), weights
    messages = _at_pairs(1 + gate_table, graph) * source.unsqueeze(1)
    return (weights.permute(0, 2, 3, 1).unsqueeze(-1) * messages).sum(dim=2), weights


def _at_pairs(table: Tensor, graph: OrbitGraph) -> Tensor:
    """A table ``(rank, H, C)`` gathered at all pairs: ``(B, n, n, H, C)``, with B = 1 if all rows share a graph."""
    labels = graph.labels.view(-1, graph.num_nodes, graph.num_nodes)
    return F.embedding(labels, table.flatten(1)).unflatten(-1, table.shape[1:])


def _eager_if_transformed(attention: AttentionFunction) -> AttentionFunction:
    """An implementation whose kernels PyTorch's transforms cannot see into, replaced by eager under a transform."""

    @functools.wraps(attention)
    def forward(*arguments: Any) -> tuple[Tensor, Tensor]:
        return (eager_attention_forward if is_transformed() else attention)(*arguments)

    return forward


AttentionInterface.register("gatv2_pyg", pyg_attention_forward)
AttentionInterface.register("gatv2_chunked", _eager_if_transformed(chunked_attention_forward))
AttentionInterface.register(
    "gatv2_compile",
    _eager_if_transformed(functools.partial(compiled_attention_forward, fallback=eager_attention_forward)),
)


class GATv2Attention(nn.Module):
    """One GATv2 attention sublayer with concatenated heads; same parameters and formula as PyG's ``GATv2Conv``.

    Args:
        config: ``hidden_size`` d, ``num_attention_heads`` H, ``negative_slope``, ``gated_messages`` and the
            implementation: ``"eager"``, ``"gatv2_chunked"``, ``"gatv2_compile"`` or ``"gatv2_pyg"``. On a sparse
            support all but ``"gatv2_compile"`` are ``"gatv2_pyg"``. ``"eager"`` becomes ``"gatv2_chunked"`` if a tensor
            ``(B, n, n, d)`` would have more than 2²² elements on a CPU, or 2²⁷ on another device. Every implementation
            can be differentiated any number of times; from the second derivative on, and under ``torch.func``,
            forward-mode differentiation, ``torch.compile`` and ``torch.export``, those with kernels compute the plain
            formula, in its time and memory.
    """

    def __init__(self, config: AsenConfig):
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.negative_slope = config.negative_slope
        self.target_projection = Linear(size, size)
        self.source_projection = Linear(size, size)
        self.edge_projection = Linear(size, size, bias=False)
        self.gate_projection = GateProjection(size, size) if config.gated_messages else None
        self.attention_vector = nn.Parameter(torch.empty(self.num_heads, size // self.num_heads))
        self.bias = nn.Parameter(torch.empty(size))

    def forward(
        self, hidden_states: Tensor, orbital_features: Tensor, graph: OrbitGraph, output_attentions: bool = False
    ) -> tuple[Tensor, Tensor]:
        """``(B, n, d)`` states and ``(rank, d)`` orbital features to ``(B, n, d)`` states and the attention weights.

        Weights are always returned, because every implementation computes them.
        """
        attention: AttentionFunction = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation or "eager", eager_attention_forward
        )
        if graph.edge_index is not None:
            is_compiled = self.config._attn_implementation == "gatv2_compile" and not is_transformed()
            attention = sparse_attention_forward if is_compiled else pyg_attention_forward
        elif attention is eager_attention_forward and not is_transformed() and is_large(hidden_states):
            attention = chunked_attention_forward
        output, weights = attention(
            self,
            self._split_heads(self.target_projection(hidden_states)),
            self._split_heads(self.source_projection(hidden_states)),
            self._split_heads(self.edge_projection(orbital_features)),
            None if self.gate_projection is None else self._split_heads(self.gate_projection(orbital_features)),
            graph,
        )
        return output.flatten(-2) + self.bias, weights

    def messages(self, hidden_states: Tensor, orbital_features: Tensor, graph: OrbitGraph) -> Tensor:
        """The messages m of all pairs of the support, ``(B, E, H, C)`` in the order of ``graph.to_edges()``."""
        _, sources, labels = graph.to_edges()
        messages = self._split_heads(self.source_projection(hidden_states))[:, sources]
        if self.gate_projection is None:
            return messages
        return messages * (1 + self._split_heads(self.gate_projection(orbital_features)))[labels]

    def _split_heads(self, features: Tensor) -> Tensor:
        return features.unflatten(-1, (self.num_heads, -1))

    def to_pyg(self) -> nn.Module:
        """The equivalent ``torch_geometric.nn.GATv2Conv``, which takes edges as (source, target).

        Its edge features are one row of ``orbital_features`` per edge.

        Raises:
            ValueError: the layer has gated messages, which PyG does not support.
            ImportError: torch_geometric is not installed.
        """
        return equal_pyg_layer(self)
