"""Lists of the edges into and out of every node of a sparse support, so that sums over edges gather and never scatter.

All lists of one kind have one length; shorter ones are padded. Supports whose lists would be nearly all padding have
none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Shorter lists are padded to this length, because torch.compile treats a size of one as a constant.
_SHORTEST = 2
# Slots per edge above which scattering is as fast.
_MOST_PADDING = 4


def edge_lists(edges: np.ndarray, degree: int) -> dict[str, np.ndarray]:
    """The lists of a support, by the name of their field in ``OrbitGraph``.

    Args:
        edges: int64 ``(2, E)``, targets then sources.
        degree: number of nodes n.

    Returns:
        ``in_edges`` ``(k, n)`` and ``out_edges`` ``(r, n)``: numbers of the edges into and out of every node, in the
        order of the edges; E where there are no more. Empty if one of them would be nearly all padding.
    """
    in_edges, out_edges = (_edges_by_node(nodes, degree) for nodes in edges)
    if max(in_edges.size, out_edges.size) > _MOST_PADDING * edges.shape[1]:
        return {}
    return {"in_edges": in_edges, "out_edges": out_edges}


def _edges_by_node(nodes: np.ndarray, degree: int) -> np.ndarray:
    order = np.argsort(nodes, kind="stable")
    counts = np.bincount(nodes, minlength=degree)
    lists = np.full((max(_SHORTEST, counts.max(initial=0)), degree), len(nodes))
    places = np.arange(len(nodes)) - np.repeat(np.cumsum(counts) - counts, counts)
    lists[places, nodes[order]] = order
    return lists


class Neighbours(NamedTuple):
    """For every node, the edges into it (k slots) and out of it (r slots); a slot without an edge holds any one.

    Attributes:
        sources: int64 ``(k, n)``, the source of every edge into a node.
        labels: int64 ``(1, k, n)`` or ``(B, k, n)``, its label.
        is_sent: bool ``(1, k, n)`` or ``(B, k, n)``, whether a slot has an edge whose source sends messages; ``None``
            if all do.
        edge_slots: int64 ``(E,)``, the slot ``place · n + target`` of every edge.
        targets: int64 ``(r, n)``, the target of every edge out of a node.
        out_labels: int64 ``(1, r, n)`` or ``(B, r, n)``, its label.
        out_slots: int64 ``(r, n)``, its slot ``place · n + target`` among the edges into nodes.
        is_out: bool ``(r, n)``, whether a slot has an edge.
    """

    sources: Tensor
    labels: Tensor
    is_sent: Tensor | None
    edge_slots: Tensor
    targets: Tensor
    out_labels: Tensor
    out_slots: Tensor
    is_out: Tensor


def list_neighbours(
    in_edges: Tensor, out_edges: Tensor, edge_index: Tensor, labels: Tensor, node_mask: Tensor | None
) -> Neighbours:
    """The lists of a support in the form that kernels read.

    Args:
        in_edges, out_edges: as from :func:`edge_lists`.
        edge_index: int64 ``(2, E)``, targets then sources.
        labels: int64 ``(E,)`` or ``(B, E)``.
        node_mask: bool ``(B, n)``, the nodes that send messages; ``None`` for all.
    """
    num_edges = edge_index.shape[1]
    # Normal tensors also in inference mode, for which torch.compile would compile again.
    with torch.inference_mode(False), torch.no_grad():
        edge_slots = torch.zeros(num_edges + 1, dtype=torch.int64, device=in_edges.device)
        edge_slots[in_edges.flatten()] = torch.arange(in_edges.numel(), device=in_edges.device)
        edge_slots = edge_slots[:-1].clone()
        # Full lists need no mask; their size tells, so that no value is read from a device.
        is_sent = None if in_edges.numel() == num_edges else (in_edges < num_edges).unsqueeze(0)
        is_out = out_edges < num_edges
        in_edges, out_edges = in_edges.clamp(max=num_edges - 1), out_edges.clamp(max=num_edges - 1)
        labels = labels.view(-1, num_edges)
        sources = edge_index[1][in_edges]
        if node_mask is not None:
            is_from_node = _at(node_mask, sources)
            is_sent = is_from_node if is_sent is None else is_sent & is_from_node
        return Neighbours(
            sources,
            _at(labels, in_edges),
            is_sent,
            edge_slots,
            edge_index[0][out_edges],
            _at(labels, out_edges),
            edge_slots[out_edges],
            is_out,
        )


def _at(values: Tensor, lists: Tensor) -> Tensor:
    """``(B, N)`` at places ``(k, n)``: ``(B, k, n)``, always a copy."""
    return values.index_select(1, lists.flatten()).unflatten(1, lists.shape)
