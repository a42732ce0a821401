"""Rows of multiple tasks as one batch: the shared layers compute the same function for every task."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor

from .symmetry import OrbitGraph


@dataclasses.dataclass(frozen=True)
class EmbeddedRows:
    """The backbone's input for a batch of rows.

    Attributes:
        node_features: ``(B, n, d)``.
        orbital_features: ``(rank, d)``, row r for the pairs labelled r.
        triple_features: ``(rank, d)``, row r for the triples labelled r; ``None`` if triples have no labels.
        graph: the support and its labels.
    """

    node_features: Tensor
    orbital_features: Tensor
    triple_features: Tensor | None
    graph: OrbitGraph


def tasks_to_join(rows: Mapping[str, EmbeddedRows]) -> list[list[str]]:
    """Group the names of tasks that :func:`join` can join: equal degree, complete support and no triples."""
    groups: dict[Hashable, list[str]] = {}
    for name, task_rows in rows.items():
        graph = task_rows.graph
        is_alone = graph.edge_index is not None or graph.triple_labels is not None
        groups.setdefault(name if is_alone else graph.num_nodes, []).append(name)
    return list(groups.values())


def join(batches: Sequence[EmbeddedRows]) -> EmbeddedRows:
    """Concatenate the batches of multiple tasks, and their tables of orbital features; labels are shifted to match."""
    if len(batches) == 1:
        return batches[0]
    labels, masks, first_label = [], [], 0
    for batch in batches:
        rows, mask = len(batch.node_features), batch.graph.node_mask
        masks.append(torch.ones(batch.node_features.shape[:2], dtype=torch.bool) if mask is None else mask)
        labels.append((batch.graph.labels + first_label).expand(rows, -1, -1))
        first_label += len(batch.orbital_features)
    node_features = torch.cat([batch.node_features for batch in batches])
    is_masked = any(batch.graph.node_mask is not None for batch in batches)
    mask = torch.cat([mask.to(node_features.device) for mask in masks]) if is_masked else None
    return EmbeddedRows(
        node_features,
        torch.cat([batch.orbital_features for batch in batches]),
        None,
        OrbitGraph(batches[0].graph.num_nodes, torch.cat(labels), node_mask=mask),
    )


def split(tensors: Sequence[Tensor], sizes: Sequence[int]) -> list[list[Tensor]]:
    """Split tensors of joined rows into one list per task.

    Tensors of a single task are returned unchanged: the model's outputs are computed from them, so they can have
    gradients, which a view of them would not get.
    """
    if len(sizes) == 1:
        return [list(tensors)]
    parts = [tensor.split(list(sizes)) for tensor in tensors]
    return [[part[task] for part in parts] for task in range(len(sizes))]
