"""Which trained orbital does an orbital of another group resemble?

A new group's embedding rows start from noise, although its orbitals often play roles that trained ones play already:
"same block" of S_4 wr S_2 is "same block" of S_7 wr S_2. Here every orbital gets a signature, numbers that say what a
pair's target sees when it walks along the orbital, and a target orbital is matched with the donor's nearest one.

Orbital matrices span an algebra (D. G. Higman's coherent configurations): a power of one has one value on each
orbit of points. So one starting point an orbital stands for all, and all signatures together cost a few passes over the
n² pairs, whatever the rank; nothing of size rank · n² is made.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

__all__ = ["OrbitalMatch", "PointOrder", "match_orbitals", "orbital_signatures"]

PointOrder = Literal["line", "ring"]
"""How points 0 … n-1 lie in their domain: along a line, or around a ring where n-1 and 0 are neighbours."""

_WALK_LENGTHS = range(1, 7)
_NUM_STRUCTURAL = 10 + 2 * len(_WALK_LENGTHS)  # the columns after these are about the order of the points
_DECIMALS = 9  # signatures that differ by less are equal: what is left is rounding
# Measured without an order: members of one family, up to 2.5 times the size, lie below .6; C_10, R_10 or no symmetry
# beside S_4 wr S_2 at 2 to 14. Between them some unlike groups pass, such as D_10 (.85): a donor must be well chosen.
_MAX_DISTANCE = 1.5
# Weights of the two kinds of columns where points have an order. At this ratio, not below, a shift by 3 of 9 around a
# ring is matched with a shift by 3 of 12, which is as long, rather than by 4 of 12, whose cycles are triangles too.
_STRUCTURE_WEIGHT, _ORDER_WEIGHT = 0.5, 4.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class OrbitalMatch:
    """What :func:`match_orbitals` found.

    Attributes:
        donor_rows: int64 ``(rank,)``, for each target orbital its donor orbital, or -1 for a fresh row.
        distances: float64 ``(rank,)``, to the nearest candidate, also if that is too far; ``inf`` where there is none.
        ties: groups of target orbitals that share a donor orbital.
        target_names: what people call the target's orbitals, if they said.
    """

    donor_rows: Ints
    distances: Floats
    ties: tuple[tuple[int, ...], ...]
    target_names: tuple[str, ...] | None = None

    @property
    def fresh(self) -> tuple[int, ...]:
        """The target orbitals that resemble none of the donor's."""
        return tuple(np.flatnonzero(self.donor_rows < 0).tolist())

    @property
    def sentence(self) -> str:
        """What people should know: which orbitals tie and which start fresh; empty where none does."""
        parts = []
        if self.ties:
            groups = _shortened([f"{{{_shortened([self._name(each) for each in tie])}}}" for tie in self.ties], "; ")
            parts.append(
                f"orbitals that share a donor row cannot be told apart, so the network starts with more symmetry than "
                f"the group has, until training separates them: {groups}"
            )
        if self.fresh:
            nearest = float(self.distances[list(self.fresh)].min())
            parts.append(
                f"{len(self.fresh)} of {len(self.donor_rows)} orbitals resemble none of the donor's and start fresh "
                f"(nearest distance {nearest:.2g}): {_shortened([self._name(each) for each in self.fresh])}"
            )
        return ". ".join(parts)

    def _name(self, orbital: int) -> str:
        return f"{orbital}" if self.target_names is None else f"{orbital} ({self.target_names[orbital]})"


def match_orbitals(
    target_labels: ArrayLike,
    donor_labels: ArrayLike,
    target_names: Sequence[str] | None = None,
    donor_names: Sequence[str] | None = None,
    ordered: PointOrder | None = None,
    max_distance: float = _MAX_DISTANCE,
) -> OrbitalMatch:
    """For every orbital of a target group the most similar one of a donor group.

    A name that both sides know comes first: its bearers are matched with each other, however far. Everything else goes
    by distance between signatures: the mean squared difference of the columns of :func:`orbital_signatures`, z-scored
    over both groups' orbitals together. Where points have an order it is half that mean, plus four times the mean over
    the columns about the order. Columns that differ between the groups but not within them are left out.
    Diagonal orbitals are matched with diagonal ones only. Of equally near donor orbitals the first is taken.

    Args:
        target_labels, donor_labels: orbitals as ``orbit_labels(group)`` numbers them, ``(n, n)`` and ``(m, m)``.
        target_names, donor_names: a name an orbital, in the order of the labels. A name may be given to several.
        ordered: whether the points of both lie on a line or a ring.
        max_distance: a target orbital whose nearest donor is farther gets none.

    Raises:
        ValueError: for labels that are not a group's orbitals, the wrong number of names, a name that means diagonal
            orbitals on one side only, an unknown order or a negative distance.
    """
    if not max_distance >= 0:
        raise ValueError(f"max_distance must be at least 0, got {max_distance}")
    target, donor = _Orbitals(target_labels, "target"), _Orbitals(donor_labels, "donor")
    targets, donors = _standardised(target.signatures(ordered), donor.signatures(ordered))
    rows, distances = np.full(len(targets), -1), np.full(len(targets), np.inf)
    for is_diagonal in (False, True):
        queries, candidates = (np.flatnonzero(side.is_diagonal == is_diagonal) for side in (target, donor))
        rows[queries], distances[queries] = _nearest(targets, donors, queries, candidates)
    rows[distances > max_distance] = -1
    for queries, candidates in _bearers_of_equal_names(target, donor, target_names, donor_names):
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


def orbital_signatures(labels: ArrayLike, ordered: PointOrder | None = None) -> Floats:
    """What can be said of each orbital without saying how its points are numbered.

    Let A be an orbital's 0/1 matrix, from the n_t points of its targets' orbit to the n_s points of its sources'. The
    columns are: whether A is diagonal, whether it is its own converse, the valency k (ones in a row), k/n, log k,
    n_t/n, n_s/n, 1/n_t; the transitivity of A (the share of two steps i → j → l ≠ i that one step i → l closes) and
    that of the complement of A ∪ Aᵀ on the points that A touches; the probabilities that a random walk from a target
    along A is back after m = 1 … 6 steps, and the same along A ∪ Aᵀ. (For a transitive group these are tr((A/k)^m)/n.
    Returns are counted from a target, not averaged over all n points, so that points of other orbits do not dilute
    them, and one orbit's blocks look like another group's.)

    With an order come the least, mean and greatest distance of i and j (the shorter way around, on a ring), and the
    shift j - i where all pairs have the same, else 0; all four as log(1 + distance) with the shift's sign, since short
    distances matter at any n. On a line, which has ends, also the mean place of the targets and of the sources, and
    their mean distances from the middle, as shares of n.

    Args:
        labels: integers ``(n, n)``, the orbitals of a group as ``orbit_labels(group)`` numbers them.
        ordered: the points' order, if they have one.

    Returns:
        float64 ``(rank, F)``, row r for the pairs labelled r. Without an order it does not depend on how the points are
        numbered. Time and memory grow as n², whatever the rank.

    Raises:
        ValueError: for labels of another shape or dtype, or that no group has as orbitals (as far as valencies and
            orbits of points tell); or an unknown order.
    """
    return _Orbitals(labels, "labels").signatures(ordered)


class _Orbitals:
    """The orbitals of a labelling, each with a graph of its own on the points that it touches.

    The graphs lie side by side: place p of one long vector is some point in the graph of orbital ``owner[p]``. Orbitals
    between two orbits of points are at most as many as either has points, so there are at most 2n² places.
    """

    def __init__(self, labels: ArrayLike, what: str):
        array = np.asarray(labels)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size or array.dtype.kind not in "iu":
            raise ValueError(f"{what}: expected integer orbit labels (n, n), got {array.dtype} of shape {array.shape}")
        self.degree = len(array)
        self.labels = array.astype(np.int64).ravel()
        numbers, first, counts = np.unique(self.labels, return_index=True, return_counts=True)
        if not np.array_equal(numbers, np.arange(len(numbers))):
            raise ValueError(f"{what}: labels must be 0 … rank-1, each used, got {len(numbers)} from {numbers[0]} on")
        self.rank = len(numbers)
        self.rows, self.columns = np.divmod(np.arange(self.degree**2), self.degree)
        targets, sources = self.rows[first], self.columns[first]  # one pair stands for its orbital
        self.is_diagonal = targets == sources
        self.is_symmetric = array[sources, targets] == numbers
        orbits = array.diagonal().astype(np.int64)  # an orbit of points goes by the label of its diagonal orbital
        orbit_sizes = np.bincount(orbits, minlength=self.rank)
        self.num_targets, self.num_sources = orbit_sizes[orbits[targets]], orbit_sizes[orbits[sources]]
        self.valency = counts // self.num_targets

        is_homogeneous = orbits[targets] == orbits[sources]
        self.num_points = self.num_targets + np.where(is_homogeneous, 0, self.num_sources)
        is_coherent = (
            self.num_points.sum() <= 2 * self.degree**2
            and (self.valency[self.is_diagonal] == 1).all()
            and np.array_equal(orbits[self.rows], orbits[targets][self.labels])
            and np.array_equal(orbits[self.columns], orbits[sources][self.labels])
        )
        if is_coherent:
            order = np.argsort(orbits, kind="stable")
            number_in_orbit = np.empty(self.degree, dtype=np.int64)
            number_in_orbit[order] = np.arange(self.degree) - (np.cumsum(orbit_sizes) - orbit_sizes)[orbits[order]]
            starts = np.cumsum(self.num_points) - self.num_points
            self.owner = np.repeat(numbers, self.num_points)
            self.target_places = starts[self.labels] + number_in_orbit[self.rows]
            shift = np.where(is_homogeneous, 0, self.num_targets)
            self.source_places = (starts + shift)[self.labels] + number_in_orbit[self.columns]
            self.start_places = starts + number_in_orbit[targets]
            out_degrees = np.bincount(self.target_places)
            is_coherent = np.array_equal(out_degrees[self.target_places], self.valency[self.labels])
        if not is_coherent:
            raise ValueError(f"{what}: these labels are not the orbitals of a group: pairs with one label differ")

    def signatures(self, ordered: PointOrder | None) -> Floats:
        if ordered not in (None, "line", "ring"):
            raise ValueError(f"ordered must be None, 'line' or 'ring', got {ordered!r}")
        both_ways = np.where(self.is_symmetric, 1, 2)  # A ∪ Aᵀ between different orbits has two valencies
        in_valency = self.valency * self.num_targets / self.num_sources
        is_bipartite = self.num_points > self.num_targets
        radius = np.where(is_bipartite, np.sqrt(self.valency * in_valency), both_ways * self.valency)
        columns = [
            self.is_diagonal,
            self.is_symmetric,
            self.valency,
            self.valency / self.degree,
            np.log(self.valency),
            self.num_targets / self.degree,
            self.num_sources / self.degree,
            1 / self.num_targets,
            self._transitivity(self._along),
            self._transitivity(self._complement),
            *self._returns(self._along, self.valency),
            *self._returns(self._either_way, radius),
        ]
        assert len(columns) == _NUM_STRUCTURAL
        if ordered is not None:
            columns += self._order_columns(ordered)
        return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)

    def _along(self, counts: Floats) -> Floats:
        """Numbers of walks that end at each place, after one more step along the orbital."""
        return _sums(self.source_places, counts[self.target_places], len(self.owner))

    def _either_way(self, counts: Floats) -> Floats:
        back = _sums(self.target_places, counts[self.source_places], len(self.owner))
        return self._along(counts) + np.where(self.is_symmetric[self.owner], 0, back)

    def _complement(self, counts: Floats) -> Floats:
        """A step to any other point of the orbital's graph that is no neighbour, either way."""
        steps = np.where(self.is_diagonal[self.owner], 0, self._either_way(counts))
        return self._total(counts)[self.owner] - counts - steps

    def _total(self, values: Floats) -> Floats:
        return _sums(self.owner, values, self.rank)

    def _start(self) -> Floats:
        counts = np.zeros(len(self.owner))
        counts[self.start_places] = 1
        return counts

    def _returns(self, step: Callable[[Floats], Floats], radius: ArrayLike) -> list[Floats]:
        # Counts are whole numbers, exact up to 2⁵³ (n = 450): equal structures give equal bits.
        counts, returns = self._start(), []
        for length in _WALK_LENGTHS:
            counts = step(counts)
            returns.append(counts[self.start_places] / np.asarray(radius, dtype=np.float64) ** length)
        return returns

    def _transitivity(self, step: Callable[[Floats], Floats]) -> Floats:
        start = self._start()
        once = step(start)
        twice = np.where(start > 0, 0, step(once))
        return self._total(once * twice) / np.maximum(self._total(twice), 1)

    def _order_columns(self, ordered: PointOrder) -> list[Floats]:
        shifts = self.columns - self.rows
        if ordered == "ring":
            # -n/2 … n/2; half-way round has no sign
            half = self.degree // 2
            shifts = (shifts + half) % self.degree - half
            shifts[2 * abs(shifts) == self.degree] = half
        distances = abs(shifts).astype(np.float64)
        by_label = np.argsort(self.labels, kind="stable")
        starts = np.searchsorted(self.labels[by_label], np.arange(self.rank))
        smallest, largest = (
            extreme.reduceat(values[by_label], starts)
            for values, extreme in ((distances, np.minimum), (distances, np.maximum))
        )
        first, last = (extreme.reduceat(shifts[by_label], starts) for extreme in (np.minimum, np.maximum))
        mean = self._mean(distances)
        columns = [smallest, mean, largest, np.where(first == last, first, 0)]
        columns = [np.sign(column) * np.log1p(abs(column)) for column in columns]
        if ordered == "line":
            middle = (self.degree - 1) / 2
            places = [(points - middle) / self.degree for points in (self.rows, self.columns)]
            columns += [self._mean(values) for place in places for values in (place, abs(place))]
        return columns

    def _mean(self, values: Floats) -> Floats:
        """Mean over each orbital's pairs."""
        return _sums(self.labels, values, self.rank) / np.bincount(self.labels)


def _sums(places: Ints, values: Floats, size: int) -> Floats:
    """The sum of the values at each place."""
    return np.asarray(np.bincount(places, values, minlength=size), dtype=np.float64)


def _standardised(targets: Floats, donors: Floats) -> tuple[Floats, Floats]:
    """Both groups' signatures in coordinates whose squared distance is the one that matching goes by."""
    together = np.concatenate([targets, donors])
    is_structural = np.arange(together.shape[1]) < _NUM_STRUCTURAL
    spread = together.std(axis=0)
    # A column that is constant on each side says which side an orbital is from, not which orbital it is.
    varies = np.maximum(targets.std(axis=0), donors.std(axis=0)) > 10.0**-_DECIMALS * abs(together).max(axis=0)
    scores = (together[:, varies] - together[:, varies].mean(axis=0)) / spread[varies]
    kinds = is_structural[varies]
    if together.shape[1] == _NUM_STRUCTURAL:
        weights = np.full(len(kinds), 1 / max(len(kinds), 1))
    else:
        weights = np.where(kinds, _STRUCTURE_WEIGHT / max(kinds.sum(), 1), _ORDER_WEIGHT / max((~kinds).sum(), 1))
    scores *= np.sqrt(weights)
    scores = scores.round(_DECIMALS)
    return scores[: len(targets)], scores[len(targets) :]


def _nearest(targets: Floats, donors: Floats, queries: Ints, candidates: Ints) -> tuple[Ints, Floats]:
    """For each of the rows ``queries`` the nearest of the rows ``candidates``, and its squared distance."""
    if not len(queries) or not len(candidates):
        return np.full(len(queries), -1), np.full(len(queries), np.inf)
    points, first = np.unique(donors[candidates], axis=0, return_index=True)
    if not points.shape[1]:  # all signatures are equal
        return np.full(len(queries), candidates[0]), np.zeros(len(queries))
    wanted, inverse = np.unique(targets[queries], axis=0, return_inverse=True)
    # A few more than one, so that of equally near ones the first can be taken.
    found, indices = KDTree(points).query(wanted, k=list(range(1, min(8, len(points)) + 1)))
    rows = candidates[first][indices]
    is_near = found <= found[:, :1] + 10.0**-_DECIMALS
    best = np.where(is_near, rows, rows.max() + 1).min(axis=1)
    inverse = inverse.reshape(-1)
    return best[inverse], (found[:, 0] ** 2)[inverse]


def _bearers_of_equal_names(
    target: _Orbitals, donor: _Orbitals, target_names: Sequence[str] | None, donor_names: Sequence[str] | None
) -> list[tuple[Ints, Ints]]:
    """For each name that both sides know, the orbitals that bear it."""
    for what, orbitals, names in (("target_names", target, target_names), ("donor_names", donor, donor_names)):
        if names is not None and len(names) != orbitals.rank:
            raise ValueError(f"{what}: expected a name for each of the {orbitals.rank} orbitals, got {len(names)}")
    if target_names is None or donor_names is None:
        return []
    bearers = []
    for name in sorted(set(target_names) & set(donor_names)):
        queries, candidates = (
            np.array([index for index, other in enumerate(names) if other == name])
            for names in (target_names, donor_names)
        )
        kinds = {*target.is_diagonal[queries].tolist(), *donor.is_diagonal[candidates].tolist()}
        if len(kinds) > 1:
            raise ValueError(
                f"the name {name!r} is given to diagonal and to other orbitals: it must mean one or the other"
            )
        bearers.append((queries, candidates))
    return bearers


def _shortened(items: Sequence[str], separator: str = ", ", most: int = 6) -> str:
    return separator.join([*items[:most], *([f"… ({len(items)} in all)"] if len(items) > most else [])])
