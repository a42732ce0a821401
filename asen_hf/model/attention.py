"""GATv2 attention over an orbit-coloured graph: one layer, several implementations of the same function.

For target i and source j with orbital r = label(i, j), head by head (Brody et al. 2022, with edge features):

    score_ij  = a · LeakyReLU(W_t h_i + W_s h_j + W_e e_r)
    weight_ij = softmax over the sources j of target i
    output_i  = Σ_j weight_ij · m_ij,   m_ij = W_s h_j,   or (1 + W_g e_r) ⊙ W_s h_j with gated messages

The orbital table (rank × d) is projected before it is gathered, so no product of size pairs × d × d is ever done.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv
from torch_geometric.utils import scatter
from torch_geometric.utils import softmax as edge_softmax
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ._gatv2_kernels import PairPasses, compiled_passes, plain_passes, softmax_over_sources
from ._gatv2_recompute import recomputed_attention
from ._onednn_linear import Linear
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
    """Dense implementation for the complete support, differentiated by autograd.

    Args:
        module: gives the attention vector.
        target, source: projected nodes, ``(B, n, H, C)``.
        edge_table, gate_table: projected orbital features, ``(rank, H, C)``.
        graph: labels ``(n, n)``, or ``(B, n, n)``.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, n, n)``, rows = targets.
    """
    passes = plain_passes(*module.attention_vector.shape, module.negative_slope)
    flat_target, flat_source, edges, labels = (
        target.flatten(2),
        source.flatten(2),
        edge_table.flatten(1),
        _by_row(graph),
    )
    weights = softmax_over_sources(passes.scores(flat_target, flat_source, edges, labels, module.attention_vector))
    if gate_table is None:
        output = (weights @ source.transpose(1, 2)).transpose(1, 2)
    else:
        output = passes.messages(weights, flat_source, 1 + gate_table.flatten(1), labels)
    return output, weights


def chunked_attention_forward(
    module: GATv2Attention,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """:func:`eager_attention_forward` block by block of targets, in forward and backward: it keeps nothing of size
    pairs × channels (see :mod:`asen_hf.model._gatv2_recompute`). Differentiable once.
    """
    size = source.shape[1] * module.bias.numel()  # of one target's pairs × channels
    most = _BLOCK.get(target.device.type, _LARGE_BLOCK)
    rows = max(1, most // size)
    passes = plain_passes(*module.attention_vector.shape, module.negative_slope)
    gates = None if gate_table is None else 1 + gate_table
    parts = []
    for some_target, some_source, labels in _some_rows(rows, target, source, _by_row(graph)):
        block = max(1, most // (size * max(1, len(some_target))))
        part = recomputed_attention(
            some_target, some_source, edge_table, gates, labels, module.attention_vector, passes, block
        )
        parts.append(part)
    return _join(parts)


def compiled_attention_forward(
    module: GATv2Attention,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """:func:`eager_attention_forward` in kernels fused by ``torch.compile``.

    Compiling takes some seconds: once a process for a model, and once more for batches of one row, and for rows with
    graphs of their own. Keeps nothing of size pairs × channels and is differentiable once. Falls back to eager, with
    one warning, where no compiler is found.
    """
    passes = _compiled_passes(
        *module.attention_vector.shape,
        module.negative_slope,
        torch.promote_types(target.dtype, module.attention_vector.dtype),
        target.device,
        gate_table is not None,
        len(target) == 1,
        graph.labels.dim() == 2,
    )
    if passes is None:
        return eager_attention_forward(module, target, source, edge_table, gate_table, graph)
    gates = None if gate_table is None else 1 + gate_table
    block = target.shape[1]
    return recomputed_attention(
        target, source, edge_table, gates, _by_row(graph), module.attention_vector, passes, block
    )


@functools.cache
def _compiled_passes(*arguments: Any) -> PairPasses | None:
    """:func:`compiled_passes`, or ``None`` where there is no compiler."""
    try:
        return compiled_passes(*arguments)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # what torch raises where it finds no compiler has changed its name before
        _warn_of_fallback(arguments[4], str(error))
        return None


_warned: set[torch.device] = set()


def _warn_of_fallback(device: torch.device, reason: str) -> None:
    if device not in _warned:
        _warned.add(device)
        warnings.warn(f"gatv2_compile falls back to eager: {reason.partition(chr(10))[0]}", stacklevel=2)


# Elements of a tensor (pairs of a block) × channels: about the second-level cache of a CPU's core.
_BLOCK = {"cpu": 2**19}
_LARGE_BLOCK = 2**25  # elsewhere
# Elements of (B, n, n, d) above which chunks are used instead of eager, which keeps about four such tensors a layer. On
# a CPU that is also where they are faster.
_EAGER_LIMIT = {"cpu": 2**22}
_LARGE_EAGER_LIMIT = 2**27


def _some_rows(rows: int, target: Tensor, source: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Parts of a batch of that many rows; labels of a single row belong to all."""
    some_labels = labels.split(rows) if len(labels) > 1 else itertools.repeat(labels)
    return zip(target.split(rows), source.split(rows), some_labels, strict=False)


def _join(parts: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    outputs, weights = zip(*parts, strict=True)
    return (torch.cat(outputs), torch.cat(weights)) if len(outputs) > 1 else (outputs[0], weights[0])


def _is_large(hidden_states: Tensor) -> bool:
    limit = _EAGER_LIMIT.get(hidden_states.device.type, _LARGE_EAGER_LIMIT)
    return hidden_states.numel() * hidden_states.shape[1] > limit


def _by_row(graph: OrbitGraph) -> Tensor:
    """Labels ``(1, n, n)`` for all rows of the batch, or ``(B, n, n)``."""
    return graph.labels.view(-1, graph.num_nodes, graph.num_nodes)


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
    labels = labels.view(-1, len(targets))  # (1, E) or (B, E)
    # Some rows at a time, so that what belongs to edges fits in the cache: a large batch takes a third of the time.
    rows = max(1, 2 * _BLOCK.get(target.device.type, _LARGE_BLOCK) // max(1, len(targets) * module.bias.numel()))
    output, weights = _join(
        _pass_messages(module, some_target, some_source, edge_table, gate_table, targets, sources, some_labels)
        for some_target, some_source, some_labels in _some_rows(rows, target, source, labels)
    )
    if graph.edge_index is None:
        weights = weights.unflatten(-1, (graph.num_nodes, -1))
    return output, weights


def _pass_messages(
    module: GATv2Attention,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    targets: Tensor,
    sources: Tensor,
    labels: Tensor,
) -> tuple[Tensor, Tensor]:
    num_nodes = target.shape[1]
    # Edges first: gathering and scattering whole rows along the first dimension is several times faster on a CPU.
    incoming = source.transpose(0, 1).index_select(0, sources)  # (E, B, H, C)
    features = target.transpose(0, 1).index_select(0, targets).add_(incoming).add_(edge_table[labels.T])
    scores = (F.leaky_relu_(features, module.negative_slope) * module.attention_vector).sum(dim=-1)
    weights = edge_softmax(scores, targets, num_nodes=num_nodes).permute(1, 2, 0)  # (B, H, E)
    messages = incoming if gate_table is None else incoming * (1 + gate_table)[labels.T]
    # From the weights that are returned, so that these too can be asked for their gradient.
    output = scatter(weights.permute(2, 0, 1).unsqueeze(-1) * messages, targets, dim_size=num_nodes, reduce="sum")
    return output.transpose(0, 1), weights


AttentionInterface.register("gatv2_pyg", pyg_attention_forward)
AttentionInterface.register("gatv2_chunked", chunked_attention_forward)
AttentionInterface.register("gatv2_compile", compiled_attention_forward)


class GATv2Attention(nn.Module):
    """One GATv2 attention sublayer, heads concatenated; parameters and mathematics of PyG's ``GATv2Conv``.

    Args:
        config: ``hidden_size`` d, ``num_attention_heads`` H, ``negative_slope``, ``gated_messages`` and the
            implementation: ``"eager"``, ``"gatv2_chunked"``, ``"gatv2_compile"`` or ``"gatv2_pyg"``. A sparse support
            always takes message passing, and eager gives way to chunks, which are differentiable once, where a tensor
            ``(B, n, n, d)`` would have more than 2²² elements (on a CPU; 2²⁷ elsewhere).
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
        self.gate_projection = Linear(size, size) if config.gated_messages else None
        self.attention_vector = nn.Parameter(torch.empty(self.num_heads, size // self.num_heads))
        self.bias = nn.Parameter(torch.empty(size))

    def forward(self, hidden_states: Tensor, orbital_features: Tensor, graph: OrbitGraph) -> tuple[Tensor, Tensor]:
        """``(B, n, d)`` states and ``(rank, d)`` orbital features to ``(B, n, d)`` states and the attention weights."""
        attention: AttentionFunction = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation or "eager", eager_attention_forward
        )
        if graph.edge_index is not None:
            attention = pyg_attention_forward
        elif attention is eager_attention_forward and _is_large(hidden_states):
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
