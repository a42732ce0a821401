"""GATv2 attention by message passing with torch_geometric, and conversion to the equivalent PyG layer."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ._gatv2_blocks import block_size, join_rows, split_rows
from ._message_passing import INSTALL, edge_weights, sum_messages
from ._transforms import add_in_place
from .symmetry import OrbitGraph


def pyg_attention_forward(
    layer: Any,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """Message passing with torch_geometric, for any support. Arguments as in ``attention.eager_attention_forward``.

    Returns:
        Output ``(B, n, H, C)`` and attention weights ``(B, H, E)`` in the order of the support's edges, or
        ``(B, H, n, n)`` on the complete support.
    """
    targets, sources, labels = graph.to_edges()
    labels = labels.view(-1, len(targets))  # (1, E) or (B, E)
    # Blocks of rows keep the edge tensors in the cache: a large batch takes a third of the time.
    rows = max(1, 2 * block_size(target.device) // max(1, len(targets) * layer.bias.numel()))
    output, weights = join_rows(
        _pass_messages(layer, target_block, source_block, edge_table, gate_table, targets, sources, label_block, mask)
        for target_block, source_block, label_block, mask in split_rows(rows, target, source, labels, graph.node_mask)
    )
    if graph.edge_index is None:
        weights = weights.unflatten(-1, (graph.num_nodes, -1))
    return output, weights


def _pass_messages(
    layer: Any,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    targets: Tensor,
    sources: Tensor,
    labels: Tensor,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    num_nodes = target.shape[1]
    incoming = source.transpose(0, 1).index_select(0, sources)  # (E, B, H, C)
    features = add_in_place(target.transpose(0, 1).index_select(0, targets), incoming)
    features = add_in_place(features, edge_table[labels.T])
    scores = (F.leaky_relu_(features, layer.negative_slope) * layer.attention_vector).sum(dim=-1)
    weights = edge_weights(scores, targets, sources, num_nodes, mask)
    messages = incoming if gate_table is None else incoming * (1 + gate_table)[labels.T]
    return sum_messages(weights, messages, targets, num_nodes), weights


def equal_pyg_layer(layer: Any) -> Any:
    """The ``torch_geometric.nn.GATv2Conv`` that computes the same as a ``GATv2Attention``; see its ``to_pyg``."""
    if layer.gate_projection is not None:
        raise ValueError("GATv2Conv has no gated messages, so to_pyg needs a layer with gated_messages=False")
    try:
        from torch_geometric.nn import GATv2Conv
    except ImportError as error:
        raise ImportError(f"to_pyg needs torch_geometric: {INSTALL}") from error
    size = layer.bias.numel()
    # add_self_loops=False, because PyG would replace the features of diagonal orbitals by a mean.
    conv = GATv2Conv(
        size,
        size // layer.num_heads,
        heads=layer.num_heads,
        edge_dim=size,
        negative_slope=layer.negative_slope,
        add_self_loops=False,
    ).to(layer.bias)
    conv.load_state_dict(
        {
            "att": layer.attention_vector.unsqueeze(0),
            "bias": layer.bias,
            "lin_l.weight": layer.source_projection.weight,
            "lin_l.bias": layer.source_projection.bias,
            "lin_r.weight": layer.target_projection.weight,
            "lin_r.bias": layer.target_projection.bias,
            "lin_edge.weight": layer.edge_projection.weight,
        }
    )
    return conv
