"""GATv2 attention by message passing with torch_geometric, and conversion to the equivalent PyG layer.

torch_geometric takes 2.6 CPU seconds to import and only sparse supports need it, so it is imported inside the
functions. The ``try`` around these imports matters too: transformers' loader scans uploaded code for imports and
requires every package that is imported outside a ``try``, even for checkpoints on complete supports.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._gatv2_blocks import block_size, join_rows, split_rows
from ._transforms import add_in_place
from .symmetry import OrbitGraph

_INSTALL = "pip install torch_geometric"


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
    try:
        from torch_geometric.utils import scatter
        from torch_geometric.utils import softmax as edge_softmax
    except ImportError as error:
        raise ImportError(f"a sparse support needs torch_geometric: {_INSTALL}") from error
    num_nodes = target.shape[1]
    # Edges as first dimension: gathering and scattering along it is much faster on a CPU.
    incoming = source.transpose(0, 1).index_select(0, sources)  # (E, B, H, C)
    features = add_in_place(target.transpose(0, 1).index_select(0, targets), incoming)
    features = add_in_place(features, edge_table[labels.T])
    scores = (F.leaky_relu_(features, layer.negative_slope) * layer.attention_vector).sum(dim=-1)
    if mask is not None:
        # Not minus infinity: on a sparse support, all sources of a target may be masked.
        is_sent = mask.T[sources].unsqueeze(-1)
        scores = torch.where(is_sent, scores, torch.finfo(scores.dtype).min)
    weights = edge_softmax(scores, targets, num_nodes=num_nodes)
    if mask is not None:
        weights = weights * is_sent
    weights = weights.permute(1, 2, 0)  # (B, H, E)
    messages = incoming if gate_table is None else incoming * (1 + gate_table)[labels.T]
    # Computed from the returned weights themselves, not from a view, so that they can have a gradient.
    output = scatter(weights.permute(2, 0, 1).unsqueeze(-1) * messages, targets, dim_size=num_nodes, reduce="sum")
    return output.transpose(0, 1), weights


def equal_pyg_layer(layer: Any) -> Any:
    """The ``torch_geometric.nn.GATv2Conv`` that computes the same as a ``GATv2Attention``; see its ``to_pyg``."""
    if layer.gate_projection is not None:
        raise ValueError("GATv2Conv has no gated messages, so to_pyg needs a layer with gated_messages=False")
    try:
        from torch_geometric.nn import GATv2Conv
    except ImportError as error:
        raise ImportError(f"to_pyg needs torch_geometric: {_INSTALL}") from error
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
