"""Match the orbitals of a new group with the most similar orbitals of a trained group.

The embedding rows of a new group would start from noise, although its orbitals often have the same role as trained
orbitals: "same block" of S_4 wr S_2 corresponds to "same block" of S_7 wr S_2. This module matches every target orbital
with the donor orbital of the nearest signature (see :mod:`asen_hf.model.orbital_signatures`).
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from ._messages import shortened
from .groups import PointOrder
from .orbital_signatures import NUM_STRUCTURAL, Floats, Ints, Orbitals

__all__ = ["OrbitalMatch", "match_orbitals"]

_DECIMALS = 9  # smaller differences between signatures are rounding errors
# Measured distances without an order: below 0.6 between members of one family of up to 2.5 times the size; from 2 to 14
# between S_4 wr S_2 and C_10, R_10 or no symmetry. A few dissimilar groups pass, such as D_10 (0.85).
_MAX_DISTANCE = 1.5
# Weights of the two kinds of columns if points have an order. From this ratio on, a shift by 3 on a ring of 9 matches
# the equally long shift by 3 on a ring of 12, not the shift by 4, whose cycles are triangles as well.
_STRUCTURE_WEIGHT, _ORDER_WEIGHT = 0.5, 4.0


@dataclasses.dataclass(frozen=True)
class OrbitalMatch:
    """The result of :func:`match_orbitals`.

    Attributes:
        donor_rows: int64 ``(rank,)``, the donor orbital of every target orbital, or -1 for a fresh row.
        distances: float64 ``(rank,)``, distance to the nearest candidate, even if it is too far; ``inf`` without one.
        ties: groups of target orbitals that share a donor orbital.
        target_names: names of the target orbitals, or ``None``.
    """

    donor_rows: Ints
    distances: Floats
    ties: tuple[tuple[int, ...], ...]
    target_names: tuple[str, ...] | None = None

    @property
    def fresh(self) -> tuple[int, ...]:
        """The target orbitals that resemble no donor orbital."""
        return tuple(np.flatnonzero(self.donor_rows < 0).tolist())

    @property
    def sentence(self) -> str:
        """A warning about orbitals that share a donor row or start fresh; empty if there are none."""
        parts = []
        if self.ties:
            groups = shortened((f"{{{self._names(tie)}}}" for tie in self.ties), "; ", most=6)
            parts.append(
                f"orbitals that share a donor row cannot be told apart, so the network starts with more symmetry than "
                f"the group has, until training separates them: {groups}"
            )
        if self.fresh:
            nearest = float(self.distances[list(self.fresh)].min())
            parts.append(
                f"{len(self.fresh)} of {len(self.donor_rows)} orbitals resemble none of the donor's orbitals and start "
                f"fresh (nearest distance {nearest:.2g}): {self._names(self.fresh)}"
            )
        return ". ".join(parts)

    def _names(self, orbitals: Iterable[int]) -> str:
        names = self.target_names
        return shortened((f"{each}" if names is None else f"{each} ({names[each]})" for each in orbitals), most=6)


def match_orbitals(
    target_labels: ArrayLike,
    donor_labels: ArrayLike,
    target_names: Sequence[str] | None = None,
    donor_names: Sequence[str] | None = None,
    ordered: PointOrder | None = None,
    max_distance: float = _MAX_DISTANCE,
) -> OrbitalMatch:
    """Find the most similar orbital of a donor group for every orbital of a target group.

    Orbitals with a name that both groups use are matched with each other at any distance. All remaining orbitals are
    matched by the distance between signatures: the mean squared difference of the columns of
    :func:`~asen_hf.model.orbital_signatures.orbital_signatures`, z-scored over the orbitals of both groups. If points
    have an order, the distance is half this mean plus four times the mean over the columns that describe the order.
    Columns that differ between the groups but not within a group are ignored. Diagonal orbitals are matched only with
    diagonal orbitals. Among equally near donor orbitals, the first is chosen.

    Args:
        target_labels, donor_labels: orbitals as numbered by ``orbit_labels(group)``, ``(n, n)`` and ``(m, m)``.
        target_names, donor_names: one name per orbital, in the order of the labels. Names may repeat.
        ordered: whether the points of both groups lie on a line or a ring.
        max_distance: target orbitals whose nearest donor orbital is farther away get a fresh row.

    Raises:
        ValueError: labels are not the orbitals of a group, the number of names is wrong, a name is given to both
            diagonal and off-diagonal orbitals, the order is unknown or the distance is negative.
    """
    if not max_distance >= 0:
        raise ValueError(f"max_distance must be at least 0, got {max_distance}")
    target, donor = Orbitals(target_labels, "target"), Orbitals(donor_labels, "donor")
    targets, donors = _standardised(target.signatures(ordered), donor.signatures(ordered))
    rows, distances = np.full(len(targets), -1), np.full(len(targets), np.inf)
    for is_diagonal in (False, True):
        queries, candidates = (np.flatnonzero(side.is_diagonal == is_diagonal) for side in (target, donor))
        rows[queries], distances[queries] = _nearest(targets, donors, queries, candidates)
    rows[distances > max_distance] = -1
    for queries, candidates in _orbitals_of_equal_names(target, donor, target_names, donor_names):
        rows[queries], distances[queries] = _nearest(targets, donors, queries, candidates)
    sharing: dict[int, list[int]] = defaultdict(list)
    for orbital, row in enumerate(rows.tolist()):
        sharing[row].append(orbital)
    return OrbitalMatch(
        donor_rows=rows,
        distances=distances,
        ties=tuple(tuple(orbitals) for row, orbitals in sharing.items() if row >= 0 and len(orbitals) > 1),
        target_names=None if target_names is None else tuple(target_names),
    )


def _standardised(targets: Floats, donors: Floats) -> tuple[Floats, Floats]:
    """Scale the signatures of both groups, so that their squared distance is the distance used for matching."""
    together = np.concatenate([targets, donors])
    is_structural = np.arange(together.shape[1]) < NUM_STRUCTURAL
    spread = together.std(axis=0)
    # A column that is constant within each group distinguishes the groups, not their orbitals: ignore it.
    varies = np.maximum(targets.std(axis=0), donors.std(axis=0)) > 10.0**-_DECIMALS * abs(together).max(axis=0)
    scores = (together[:, varies] - together[:, varies].mean(axis=0)) / spread[varies]
    kinds = is_structural[varies]
    if together.shape[1] == NUM_STRUCTURAL:
        weights = np.full(len(kinds), 1 / max(len(kinds), 1))
    else:
        weights = np.where(kinds, _STRUCTURE_WEIGHT / max(kinds.sum(), 1), _ORDER_WEIGHT / max((~kinds).sum(), 1))
    scores *= np.sqrt(weights)
    scores = scores.round(_DECIMALS)
    return scores[: len(targets)], scores[len(targets) :]


def _nearest(targets: Floats, donors: Floats, queries: Ints, candidates: Ints) -> tuple[Ints, Floats]:
    """For every row in ``queries``, the nearest row in ``candidates`` and its squared distance."""
    if not len(queries) or not len(candidates):
        return np.full(len(queries), -1), np.full(len(queries), np.inf)
    points, first = np.unique(donors[candidates], axis=0, return_index=True)
    if not points.shape[1]:  # all signatures are equal
        return np.full(len(queries), candidates[0]), np.zeros(len(queries))
    wanted, inverse = np.unique(targets[queries], axis=0, return_inverse=True)
    # Query up to 8 neighbours, to choose the first among equally near candidates.
    found, indices = KDTree(points).query(wanted, k=list(range(1, min(8, len(points)) + 1)))
    rows = candidates[first][indices]
    is_near = found <= found[:, :1] + 10.0**-_DECIMALS
    best = np.where(is_near, rows, rows.max() + 1).min(axis=1)
    inverse = inverse.reshape(-1)
    return best[inverse], (found[:, 0] ** 2)[inverse]


def _orbitals_of_equal_names(
    target: Orbitals, donor: Orbitals, target_names: Sequence[str] | None, donor_names: Sequence[str] | None
) -> list[tuple[Ints, Ints]]:
    """For every name that both groups use, the target and donor orbitals of this name."""
    for argument, orbitals, names in (("target_names", target, target_names), ("donor_names", donor, donor_names)):
        if names is not None and len(names) != orbitals.rank:
            raise ValueError(f"{argument}: expected a name for each of the {orbitals.rank} orbitals, got {len(names)}")
    if target_names is None or donor_names is None:
        return []
    matches = []
    for name in sorted(set(target_names) & set(donor_names)):
        queries, candidates = (
            np.array([orbital for orbital, orbital_name in enumerate(names) if orbital_name == name])
            for names in (target_names, donor_names)
        )
        kinds = {*target.is_diagonal[queries].tolist(), *donor.is_diagonal[candidates].tolist()}
        if len(kinds) > 1:
            raise ValueError(
                f"the name {name!r} is given to both diagonal and off-diagonal orbitals; use different names"
            )
        matches.append((queries, candidates))
    return matches
