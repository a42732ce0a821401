"""Attention along the edges of a sparse support: softmax over the edges into a node, and sums of their messages.

torch_geometric takes 2.6 CPU seconds to import and only sparse supports need it, so it is imported inside a function.
The ``try`` around the import matters too: transformers' loader scans uploaded code for imports and requires every
package that is imported outside a ``try``, even for checkpoints on complete supports.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

INSTALL = "pip install torch_geometric"


def edge_weights(scores: Tensor, targets: Tensor, sources: Tensor, num_nodes: int, node_mask: Tensor | None) -> Tensor:
    """Softmax of the scores over the edges into every target.

    Args:
        scores: ``(E, B, H)``. Edges come first, because gathering and scattering along the first dimension is much
            faster on a CPU.
        targets, sources: int64 ``(E,)``.
        num_nodes: number of nodes n.
        node_mask: bool ``(B, n)``, the nodes that send messages; ``None`` for all.

    Returns:
        Weights ``(B, H, E)``; 0 from a node that sends nothing.

    Raises:
        ImportError: torch_geometric is not installed.
    """
    softmax = _utils().softmax
    if node_mask is None:
        return softmax(scores, targets, num_nodes=num_nodes).permute(1, 2, 0)
    # Not minus infinity: on a sparse support, all sources of a target may be masked.
    is_sent = node_mask.T[sources].unsqueeze(-1)
    scores = torch.where(is_sent, scores, torch.finfo(scores.dtype).min)
    return (softmax(scores, targets, num_nodes=num_nodes) * is_sent).permute(1, 2, 0)


def sum_messages(factors: Tensor, messages: Tensor, targets: Tensor, num_nodes: int) -> Tensor:
    """The sum, over the edges into every target, of a factor ``(B, H, E)`` times a message ``(E, B, H, C)``.

    Returns:
        ``(B, n, H, C)``; 0 at a node without edges.
    """
    # Computed from the factors themselves, not from a view of them, so that returned weights can have a gradient.
    scaled = factors.permute(2, 0, 1).unsqueeze(-1) * messages
    return _utils().scatter(scaled, targets, dim_size=num_nodes, reduce="sum").transpose(0, 1)


def _utils() -> Any:
    try:
        import torch_geometric.utils
    except ImportError as error:
        raise ImportError(f"a sparse support needs torch_geometric: {INSTALL}") from error
    return torch_geometric.utils
