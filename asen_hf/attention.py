"""GATv2 attention over an orbit-coloured graph: one layer, several implementations of the same function.

For target i and source j with orbital r = label(i, j), head by head (Brody et al. 2022, with edge features):

    score_ij  = a · LeakyReLU(W_t h_i + W_s h_j + W_e e_r)
    weight_ij = softmax over the sources j of target i
    output_i  = Σ_j weight_ij · m_ij,   m_ij = W_s h_j,   or (1 + W_g e_r) ⊙ W_s h_j with gated messages

The orbital table (rank × d) is projected before it is gathered, so no product of size pairs × d × d is ever done.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv
from torch_geometric.utils import scatter, softmax
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_asen import AsenConfig
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
    """Dense implementation for the complete support.

    Args:
        module: gives the attention vector.
        target, source: projected nodes, ``(B, n, H, C)``.
        edge_table, gate_table: projected orbital features, ``(rank, H, C)``.
        graph: labels ``(n, n)``.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, n, n)``, rows = targets.
    """
    return _dense(target, source, edge_table, gate_table, graph.labels, module.attention_vector, module.negative_slope)


def compiled_attention_forward(
    module: GATv2Attention,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """:func:`eager_attention_forward`, fused by ``torch.compile``: half a minute once a process, then about twice as
    fast on a CPU. Falls back to eager, with one warning, where no compiler is found.
    """
    tensors = (target, source, edge_table, gate_table, graph.labels, module.attention_vector)
    device = target.device.type
    if device not in _fused:
        try:
            _fused[device] = torch.compile(_dense, dynamic=True)
            return _fused[device](*tensors, module.negative_slope)
        except RuntimeError as error:  # what torch raises where it finds no compiler has changed its name before
            warnings.warn(f"gatv2_compile falls back to eager: {str(error).splitlines()[0]}", stacklevel=2)
            _fused[device] = _dense
    return _fused[device](*tensors, module.negative_slope)


# By type of device. Functions of tensors alone, so that all layers, models and tasks share the graphs; compiled for the
# first sizes that come, since a small example would leave kernels that are slow on larger ones.
_fused: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {}


def _dense(
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    labels: Tensor,
    attention_vector: Tensor,
    negative_slope: float,
) -> tuple[Tensor, Tensor]:
    flat_target, flat_source = target.flatten(2).unsqueeze(2), source.flatten(2).unsqueeze(1)
    features = F.embedding(labels, edge_table.flatten(1)) + flat_target + flat_source  # (B, n, n, H·C)
    weights = _score(features, attention_vector, negative_slope).softmax(dim=2)  # (B, n, n, H)
    by_head = weights.permute(0, 3, 1, 2)
    if gate_table is None:
        output = (by_head @ source.transpose(1, 2)).transpose(1, 2)
    else:
        # Product and sum again: einsum would copy (B, n, n, H, C) into the order that its matrix products want.
        gates = F.embedding(labels, 1 + gate_table.flatten(1)).unflatten(-1, source.shape[2:])
        output = (weights.unsqueeze(-1) * source.unsqueeze(1) * gates).sum(dim=2)
    return output, by_head


def _score(features: Tensor, attention_vector: Tensor, negative_slope: float) -> Tensor:
    """Attention scores before the softmax, ``(…, H·C)`` to ``(…, H)``."""
    # Product and sum: as matrix products with so few columns, this and its gradient take over twice as long.
    by_head = F.leaky_relu(features, negative_slope).unflatten(-1, attention_vector.shape)
    return (by_head * attention_vector).sum(dim=-1)


def pyg_attention_forward(
    module: GATv2Attention,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """Message passing with torch_geometric, for any support. Arguments as in :func:`eager_attention_forward`.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, E)`` in the order of the support's edges, or
        ``(B, H, n, n)`` on the complete support.
    """
    targets, sources, labels = graph.to_edges()
    # Edges first: gathering and scattering whole rows along the first dimension is several times faster on a CPU.
    incoming = source.transpose(0, 1).index_select(0, sources)  # (E, B, H, C)
    features = target.transpose(0, 1).index_select(0, targets) + incoming + edge_table[labels].unsqueeze(1)
    scores = _score(features.flatten(-2), module.attention_vector, module.negative_slope)
    weights = softmax(scores, targets, num_nodes=graph.num_nodes)  # (E, B, H)
    messages = incoming if gate_table is None else incoming * (1 + gate_table[labels]).unsqueeze(1)
    output = scatter(weights.unsqueeze(-1) * messages, targets, dim_size=graph.num_nodes, reduce="sum")
    weights = weights.permute(1, 2, 0)
    if graph.edge_index is None:
        weights = weights.unflatten(-1, graph.labels.shape)
    return output.transpose(0, 1), weights


AttentionInterface.register("gatv2_pyg", pyg_attention_forward)
AttentionInterface.register("gatv2_compile", compiled_attention_forward)


class GATv2Attention(nn.Module):
    """One GATv2 attention sublayer, heads concatenated; parameters and mathematics of PyG's ``GATv2Conv``.

    Args:
        config: ``hidden_size`` d, ``num_attention_heads`` H, ``negative_slope``, ``gated_messages`` and the
            implementation (``"eager"``, ``"gatv2_compile"`` or ``"gatv2_pyg"``). A graph with a sparse support always
            takes message passing.
    """

    def __init__(self, config: AsenConfig):
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.num_heads = config.num_attention_heads
        self.negative_slope = config.negative_slope
        self.target_projection = nn.Linear(size, size)
        self.source_projection = nn.Linear(size, size)
        self.edge_projection = nn.Linear(size, size, bias=False)
        self.gate_projection = nn.Linear(size, size) if config.gated_messages else None
        self.attention_vector = nn.Parameter(torch.empty(self.num_heads, size // self.num_heads))
        self.bias = nn.Parameter(torch.empty(size))

    def forward(self, hidden_states: Tensor, orbital_features: Tensor, graph: OrbitGraph) -> tuple[Tensor, Tensor]:
        """``(B, n, d)`` states and ``(rank, d)`` orbital features to ``(B, n, d)`` states and the attention weights."""
        attention: AttentionFunction = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation or "eager", eager_attention_forward
        )
        if graph.edge_index is not None:
            attention = pyg_attention_forward
        output, weights = attention(
            self,
            self._split_heads(self.target_projection(hidden_states)),
            self._split_heads(self.source_projection(hidden_states)),
            self._split_heads(self.edge_projection(orbital_features)),
            None if self.gate_projection is None else self._split_heads(self.gate_projection(orbital_features)),
            graph,
        )
        return output.flatten(-2) + self.bias, weights

    def _split_heads(self, features: Tensor) -> Tensor:
        return features.unflatten(-1, (self.num_heads, -1))

    def to_pyg(self) -> GATv2Conv:
        """The equal PyG layer; it takes one row of ``orbital_features`` an edge, and edges as (source, target).

        Raises:
            ValueError: for a layer with gated messages, which PyG does not have.
        """
        if self.gate_projection is not None:
            raise ValueError("GATv2Conv has no gated messages: only a layer with gated_messages=False has an equal")
        size = self.bias.numel()
        # With add_self_loops=True PyG would replace the diagonal orbitals' features by a mean of the others.
        conv = GATv2Conv(
            size,
            size // self.num_heads,
            heads=self.num_heads,
            edge_dim=size,
            negative_slope=self.negative_slope,
            add_self_loops=False,
        ).to(self.bias)
        conv.load_state_dict(
            {
                "att": self.attention_vector.unsqueeze(0),
                "bias": self.bias,
                "lin_l.weight": self.source_projection.weight,
                "lin_l.bias": self.source_projection.bias,
                "lin_r.weight": self.target_projection.weight,
                "lin_r.bias": self.target_projection.bias,
                "lin_edge.weight": self.edge_projection.weight,
            }
        )
        return conv
