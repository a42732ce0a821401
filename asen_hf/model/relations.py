"""What refines a row's colouring: relations between the inputs of two nodes, and categories given per pair.

A relation is a function of the two inputs, so it commutes with every permutation of the nodes, and the network stays
exactly equivariant. It is a choice of the symmetry-breaking input v that depends on the row (paper, Section 6).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from .configuration_pairs import num_colours, relation_sizes
from .configuration_task import TaskConfig
from .symmetry import OrbitGraph, SymmetryBreaker

MAX_COUNTS = 2**16
"""Most counts of partners of a row, or of each coset that it is averaged over: 64 MiB for 256 of them in float32."""


def refine(task: TaskConfig, graph: OrbitGraph, inputs: Tensor, pairs: Tensor | None) -> OrbitGraph:
    """The graph of every row, its pairs coloured by orbital, relations and category.

    Args:
        task: says which relations and how many categories there are.
        graph: of the task's group, labels ``(n, n)`` or ``(E,)``.
        inputs: ``(B, n)`` tokens, -1 where missing, or ``(B, n, 1)`` features, NaN where missing.
        pairs: int64 ``(B, n, n)``, categories, -1 where missing; ``None`` if the task has none.

    Returns:
        The graph itself if the task has no colours; else with labels ``orbital · num_colours + colour``, ``(B, n, n)``
        or ``(B, E)``.
    """
    if num_colours(task) == 1:
        return graph
    # In int64, because colours may be too large for the tokens' own type.
    values = inputs.squeeze(-1) if task.vocab_size is None else inputs.long()
    is_known = ~values.isnan() if task.vocab_size is None else values >= 0
    labels = graph.labels
    for relation, size in zip(task.relations, relation_sizes(task), strict=True):
        (target, source), (target_known, source_known) = _of_pairs(graph, values), _of_pairs(graph, is_known)
        related = _RELATIONS[relation](target, source, size - 1).long()
        labels = labels * size + torch.where(target_known & source_known, related, size - 1)
    if task.pair_vocab_size is not None and pairs is not None:
        size = task.pair_vocab_size + 1
        categories = at_pairs(graph, pairs).long()
        labels = labels * size + torch.where(categories < 0, size - 1, categories)
    return dataclasses.replace(graph, given_labels=labels)


def num_partner_counts(task: TaskConfig, breaker: SymmetryBreaker) -> int:
    """Number of kinds of partners: of orbitals, or of the rows that they share, times colours."""
    return (breaker.num_classes or breaker.num_pair_orbits) * num_colours(task)


def counts_fit(task: TaskConfig, breaker: SymmetryBreaker) -> bool:
    """Whether the counts of one row's partners are at most ``MAX_COUNTS`` numbers."""
    return breaker.degree * num_partner_counts(task, breaker) <= MAX_COUNTS


def partner_counts(graph: OrbitGraph, number: int, kinds: Tensor | None = None) -> Tensor:
    """The share of every node's pairs that have each label.

    Args:
        graph: labels of every row ``(B, …)``, as :func:`refine` gives them to a task with colours.
        number: of labels, or of kinds.
        kinds: int64, the kind of every label; by default each is one of its own.

    Returns:
        ``(B, n, number)``. Pairs with nodes that a row lacks count as none.
    """
    targets, sources, labels = graph.to_edges()
    labels = labels if kinds is None else kinds[labels]
    mask, n = graph.node_mask, graph.num_nodes
    present = torch.ones_like(labels, dtype=torch.get_default_dtype()) if mask is None else mask[:, sources].float()
    # len() would be a constant of an exported program
    counts = present.new_zeros(present.shape[0], n * number).scatter_add(1, targets * number + labels, present)
    valency = present.new_zeros(n).index_add(0, targets, present.new_ones(targets.shape)).clamp(min=1)
    return counts.unflatten(1, (n, number)) / valency.unsqueeze(-1)


def at_pairs(graph: OrbitGraph, values: Tensor) -> Tensor:
    """Values ``(B, n, n, …)`` at the pairs of the support: unchanged, or ``(B, E, …)``."""
    return values if graph.edge_index is None else values[:, graph.edge_index[0], graph.edge_index[1]]


def _of_pairs(graph: OrbitGraph, values: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``(B, n)`` of the target and of the source of every pair, in a shape that broadcasts."""
    if graph.edge_index is None:
        return values.unsqueeze(2), values.unsqueeze(1)
    return values[:, graph.edge_index[0]], values[:, graph.edge_index[1]]


# Of target, source and number of values, to 0 … number - 1.
_RELATIONS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "equal": lambda target, source, _: target == source,
    "order": lambda target, source, _: (target <= source).long() + (target < source),  # source less, equal, greater
    "sum": lambda target, source, _: target + source,
    "difference": lambda target, source, number: source - target + number // 2,
}
