"""GATv2 attention on the complete support in less time and memory than ``attention.eager_attention_forward``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._gatv2_blocks import block_size, join_rows, split_rows
from ._gatv2_compiler import compile_or_warn
from ._gatv2_kernels import compiled_passes, plain_passes
from ._gatv2_recompute import recomputed_attention
from .symmetry import OrbitGraph


def chunked_attention_forward(
    layer: Any,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
) -> tuple[Tensor, Tensor]:
    """The eager formula, computed in blocks of targets in forward and backward.

    Stores no tensor of size pairs × channels (see :mod:`asen_hf.model._gatv2_recompute`).
    """
    target_size = source.shape[1] * layer.bias.numel()  # pairs × channels of one target
    max_elements = block_size(target.device)
    rows = max(1, max_elements // target_size)
    passes = plain_passes(*layer.attention_vector.shape, layer.negative_slope)
    gates = None if gate_table is None else 1 + gate_table
    parts = []
    all_labels = graph.labels.view(-1, graph.num_nodes, graph.num_nodes)
    for target_block, source_block, labels, mask in split_rows(rows, target, source, all_labels, graph.node_mask):
        block = max(1, max_elements // (target_size * max(1, len(target_block))))
        part = recomputed_attention(
            target_block, source_block, edge_table, gates, labels, layer.attention_vector, passes, block, mask
        )
        parts.append(part)
    return join_rows(parts)


def compiled_attention_forward(
    layer: Any,
    target: Tensor,
    source: Tensor,
    edge_table: Tensor,
    gate_table: Tensor | None,
    graph: OrbitGraph,
    fallback: Callable[..., tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """The eager formula in kernels fused by ``torch.compile``.

    Compilation takes seconds and happens once per process and model, again for batches of one row, and again for
    batches with one graph per row. Stores no tensor of size pairs × channels. If no compiler is found, warns once and
    calls ``fallback``, the eager formula.
    """
    passes = compile_or_warn(
        compiled_passes,
        *layer.attention_vector.shape,
        layer.negative_slope,
        torch.promote_types(target.dtype, layer.attention_vector.dtype),
        target.device,
        gate_table is not None,
        len(target) == 1,
        graph.labels.dim() == 2,
    )
    if passes is None:
        return fallback(layer, target, source, edge_table, gate_table, graph)
    gates = None if gate_table is None else 1 + gate_table
    labels = graph.labels.view(-1, graph.num_nodes, graph.num_nodes)
    block = target.shape[1]
    return recomputed_attention(
        target, source, edge_table, gates, labels, layer.attention_vector, passes, block, graph.node_mask
    )


# Elements of a tensor (B, n, n, d) above which chunked attention replaces eager attention, because eager stores about
# four such tensors per layer. On a CPU, chunked attention is also faster above this size.
EAGER_LIMIT = {"cpu": 2**22}
_LARGE_EAGER_LIMIT = 2**27


def is_large(hidden_states: Tensor) -> bool:
    """Whether a tensor ``(B, n, n, d)`` for states ``(B, n, d)`` is too large for the eager formula."""
    limit = EAGER_LIMIT.get(hidden_states.device.type, _LARGE_EAGER_LIMIT)
    return hidden_states.numel() * hidden_states.shape[1] > limit
