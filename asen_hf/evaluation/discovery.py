"""Which symmetries trained weights show: orbitals whose features became equal, and the group that they imply.

Paper Section 5.2 and Figure 5: given a group smaller than the task's own, training ties the features of orbitals that
the larger group would join.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform
from sympy.combinatorics import PermutationGroup

from ..closures import graph_automorphisms
from ..model.configuration_pairs import num_colours
from ..model.layers import AsenLayer
from ..model.modeling_asen import AsenModel
from ..model.orbits import number_by_first_appearance, orbit_labels
from ..model.pretrained_asen import AsenPreTrainedModel
from ..model.symmetry import SymmetryBreaker


@dataclasses.dataclass(frozen=True)
class Agreement:
    """A discovered colouring beside the orbitals of a reference group.

    Attributes:
        equal: whether they are the same partition of the pairs.
        adjusted_rand_index: their agreement over pairs (Hubert and Arabie 1985): 1 if equal, about 0 by chance.
        distance_ratio: mean distance between labels that the reference merges, over the mean between labels that it
            separates: about 1 when nothing is learned, 0 when the reference's symmetry is exact; NaN if it merges none.
    """

    equal: bool
    adjusted_rand_index: float
    distance_ratio: float


@dataclasses.dataclass(frozen=True)
class Discovery:
    """What :func:`discovered_orbits` found.

    Attributes:
        labels: int64 ``(n, n)``, the coarser colouring, numbered by first appearance in row-major order.
        num_classes: number of its colours.
        distances: float64 ``(rank, rank)``, between the features of the task's own orbitals.
        group: the automorphisms of ``labels``.
        agreement: with the reference group, if one was given.
    """

    labels: NDArray[np.int64]
    num_classes: int
    distances: NDArray[np.float64]
    group: PermutationGroup
    agreement: Agreement | None


def discovered_orbits(
    model: AsenPreTrainedModel, task: str | None, tolerance: float = 0.1, reference: PermutationGroup | None = None
) -> Discovery:
    """Merge the orbitals that a model's attention no longer tells apart (paper Section 5.2, Figure 5).

    Args:
        model: ``AsenForMultitask`` or ``AsenModel``.
        task: name of the task; ``None`` if there is only one.
        tolerance: labels whose distance is below this fraction of the mean distance merge, and so do labels joined by a
            chain of such steps (single linkage). Diagonal and off-diagonal labels never merge.
        reference: a group that contains the task's group, to compare with.

    Raises:
        ValueError: unknown task, one that does not label all pairs, or a reference that does not contain its group.
    """
    name, config = model.config.task(task)
    if config.symmetry_breaking != "pairs" or config.support != "complete":
        raise ValueError(f'task {name!r}: discovery needs symmetry_breaking="pairs" on the complete support')
    labels = cast(SymmetryBreaker, _asen(model).symmetry_breakers[name])().labels.cpu().numpy()
    distances = orbital_distances(model, name)
    rank = len(distances)
    is_diagonal = np.isin(np.arange(rank), np.diagonal(labels))
    threshold = tolerance * distances.sum() / max(1, rank * (rank - 1))
    close = (distances <= threshold) & (is_diagonal[:, None] == is_diagonal)
    classes = number_by_first_appearance(connected_components(close, directed=False)[1]).astype(np.int64)
    merged = classes[labels]  # the task's labels are numbered by first appearance, so these are too
    pairs = np.indices(labels.shape).reshape(2, -1)
    return Discovery(
        labels=merged,
        num_classes=int(classes.max()) + 1,
        distances=distances,
        group=graph_automorphisms(pairs, len(labels), edge_colors=merged.ravel()),
        agreement=None if reference is None else _compare(labels, classes, distances, reference),
    )


def orbital_distances(model: AsenPreTrainedModel, task: str | None = None) -> NDArray[np.float64]:
    """Euclidean distances ``(rank, rank)`` between a task's orbitals as the attention sees them."""
    return squareform(pdist(orbital_features(model, task)))


@torch.no_grad()
def orbital_features(model: AsenPreTrainedModel, task: str | None = None) -> NDArray[np.float64]:
    """A task's orbitals as the attention sees them, float64 ``(rank, D)``.

    An orbital's feature is its row of all layers' projected tables, and of their gates where messages are gated. Where
    relations or categories of pairs divide orbitals, it is the rows of all its parts: orbitals are equal if all are.
    """
    asen, (name, config) = _asen(model), model.config.task(task)
    table, colours = asen.orbital_features(name), num_colours(config)
    features = []
    for layer in asen.backbone.layers:
        attention = cast(AsenLayer, layer).attention
        for projection in (attention.edge_projection, attention.gate_projection):
            if projection is not None:
                features.append(projection(table).unflatten(0, (-1, colours)).flatten(1))
    return torch.cat(features, dim=1).double().cpu().numpy()


def _asen(model: AsenPreTrainedModel) -> AsenModel:
    return cast(AsenModel, model.base_model)


def _compare(
    labels: NDArray[np.int64], classes: NDArray[np.int64], distances: NDArray[np.float64], reference: PermutationGroup
) -> Agreement:
    if reference.degree != len(labels):
        raise ValueError(f"the task has degree {len(labels)}, the reference group {reference.degree}")
    reference_labels = orbit_labels(reference)
    wanted = np.empty(
        len(distances), dtype=np.int64
    )  # for every orbital of the task, the orbital of the reference that contains it
    wanted[labels] = reference_labels
    if not np.array_equal(wanted[labels], reference_labels):
        raise ValueError("the reference does not contain the task's group: it separates pairs that the task joins")
    merges = wanted[:, None] == wanted
    joined, separated = distances[merges & ~np.eye(len(distances), dtype=bool)], distances[~merges]
    return Agreement(
        equal=bool(np.array_equal(classes, wanted)),
        adjusted_rand_index=_adjusted_rand_index(classes[labels], wanted[labels]),
        distance_ratio=float(joined.mean() / separated.mean()) if joined.size and separated.size else float("nan"),
    )


def _adjusted_rand_index(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    counts = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(counts, (first, second), 1)
    together, by_first, by_second, total = (
        float((sizes * (sizes - 1)).sum()) for sizes in (counts, counts.sum(axis=1), counts.sum(axis=0), counts.sum())
    )
    chance, best = by_first * by_second / max(total, 1.0), (by_first + by_second) / 2
    return 1.0 if best == chance else (together - chance) / (best - chance)
