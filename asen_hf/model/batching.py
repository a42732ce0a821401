"""Rows of several tasks as one batch: what the shared layers do is the same for all, whatever their orbits."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence

import torch
from torch import Tensor

from .symmetry import OrbitGraph


@dataclasses.dataclass(frozen=True)
class EmbeddedRows:
    """All that the backbone sees of some rows.

    Attributes:
        node_features: ``(B, n, d)``.
        orbital_features: ``(rank, d)``, row r for the pairs labelled r.
        triple_features: the same for the triples, where the graph labels them.
        graph: the support and its labels.
    """

    node_features: Tensor
    orbital_features: Tensor
    triple_features: Tensor | None
    graph: OrbitGraph


def tasks_to_join(rows: Mapping[str, EmbeddedRows]) -> list[list[str]]:
    """The tasks' names, those together that :func:`join` can join: of equal degree, on complete supports."""
    groups: dict[Hashable, list[str]] = {}
    for name, each in rows.items():
        alone = each.graph.edge_index is not None or each.graph.triple_labels is not None
        groups.setdefault(name if alone else each.graph.num_nodes, []).append(name)
    return list(groups.values())


def join(several: Sequence[EmbeddedRows]) -> EmbeddedRows:
    """One batch of all rows, with the tables of orbital features one after the other."""
    if len(several) == 1:
        return several[0]
    labels, first = [], 0
    for each in several:
        rows = len(each.node_features)
        labels.append((each.graph.labels + first).expand(rows, -1, -1))
        first += len(each.orbital_features)
    return EmbeddedRows(
        torch.cat([each.node_features for each in several]),
        torch.cat([each.orbital_features for each in several]),
        None,
        OrbitGraph(several[0].graph.num_nodes, torch.cat(labels)),
    )


def split(tensors: Sequence[Tensor], sizes: Sequence[int]) -> list[list[Tensor]]:
    """Joined rows' tensors, to each task its own.

    Those of a single task stay what they are: a view of them would be on no way to the outputs, and get no gradient.
    """
    if len(sizes) == 1:
        return [list(tensors)]
    return [list(parts) for parts in zip(*(tensor.split(list(sizes)) for tensor in tensors), strict=True)]
