"""Signatures of orbitals: numbers by which orbitals of different groups are compared.

A signature describes walks along the orbital from the target of a pair. Orbital matrices span an algebra (D. G.
Higman's coherent configurations), so the diagonal of a matrix power is constant on each orbit of points. One starting
point per orbital is therefore enough, and all signatures together cost a few passes over the n² pairs, independent of
the rank; no tensor of size rank · n² is needed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .groups import PointOrder

__all__ = ["Orbitals", "orbital_signatures"]

_WALK_LENGTHS = range(1, 7)
NUM_STRUCTURAL = 10 + 2 * len(_WALK_LENGTHS)  # the columns that follow describe the order of the points

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def orbital_signatures(labels: ArrayLike, ordered: PointOrder | None = None) -> Floats:
    """Numbers that describe every orbital; without ``ordered``, they do not depend on the numbering of points.

    Let A be the 0/1 matrix of an orbital, whose targets form an orbit of n_t points and whose sources an orbit of n_s
    points. The columns are:

    - whether A is diagonal, and whether it equals its converse;
    - the valency k (ones per row), k/n, log k, n_t/n, n_s/n and 1/n_t;
    - the transitivity of A, which is the share of two steps i → j → l ≠ i closed by a step i → l, and the transitivity
      of the complement of A ∪ Aᵀ on the points that A touches;
    - the probability that a random walk along A from a target returns after m = 1 … 6 steps, and the same along A ∪ Aᵀ.
      For a transitive group it is tr((A/k)^m)/n. Walks start from a target instead of all n points, so that points of
      other orbits do not change the probabilities.

    If points have an order, further columns are the minimum, mean and maximum distance of i and j (the shorter way
    around a ring) and the shift j - i, or 0 if pairs have different shifts. All four are log(1 + distance) with the
    sign of the shift, because short distances matter at any n. On a line, which has ends, the last columns are the
    mean position of targets and of sources and their mean distance from the middle, divided by n.

    Args:
        labels: integers ``(n, n)``, the orbitals of a group as numbered by ``orbit_labels(group)``.
        ordered: the order of the points, or ``None``.

    Returns:
        float64 ``(rank, F)``, row r for the pairs labelled r. Time and memory grow as n², independent of the rank.

    Raises:
        ValueError: labels have the wrong shape or dtype or are not the orbitals of a group (only valencies and orbits
            of points are checked), or the order is unknown.
    """
    return Orbitals(labels, "labels").signatures(ordered)


class Orbitals:
    """The orbitals of a labelling, with one graph per orbital on the points that it touches.

    The points of all graphs are stored in one vector: place p is a point in the graph of orbital ``owner[p]``. The
    number of orbitals between two orbits of points is at most the size of either orbit, so there are at most 2n²
    places.
    """

    def __init__(self, labels: ArrayLike, side: str):
        array = np.asarray(labels)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size or array.dtype.kind not in "iu":
            raise ValueError(f"{side}: expected integer orbit labels (n, n), got {array.dtype} of shape {array.shape}")
        self.degree = len(array)
        self.labels = array.astype(np.int64).ravel()
        numbers, first, counts = np.unique(self.labels, return_index=True, return_counts=True)
        if not np.array_equal(numbers, np.arange(len(numbers))):
            raise ValueError(f"{side}: labels must be 0 … rank-1, each used, got {len(numbers)} from {numbers[0]} on")
        self.rank = len(numbers)
        self.rows, self.columns = np.divmod(np.arange(self.degree**2), self.degree)
        targets, sources = self.rows[first], self.columns[first]  # one pair per orbital
        self.is_diagonal = targets == sources
        self.is_symmetric = array[sources, targets] == numbers
        orbits = array.diagonal().astype(np.int64)  # an orbit of points is numbered by its diagonal orbital
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
            raise ValueError(f"{side}: these labels are not the orbitals of a group: pairs with one label differ")

    def signatures(self, ordered: PointOrder | None) -> Floats:
        if ordered not in (None, "line", "ring"):
            raise ValueError(f"ordered must be None, 'line' or 'ring', got {ordered!r}")
        both_ways = np.where(self.is_symmetric, 1, 2)
        in_valency = self.valency * self.num_targets / self.num_sources
        is_bipartite = self.num_points > self.num_targets
        # Spectral radius of A ∪ Aᵀ: its valency, or the geometric mean of its two valencies between different orbits.
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
        assert len(columns) == NUM_STRUCTURAL
        if ordered is not None:
            columns += self._order_columns(ordered)
        return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)

    def _along(self, counts: Floats) -> Floats:
        """Number of walks that end at each place after another step along the orbital."""
        return _sums(self.source_places, counts[self.target_places], len(self.owner))

    def _either_way(self, counts: Floats) -> Floats:
        back = _sums(self.target_places, counts[self.source_places], len(self.owner))
        return self._along(counts) + np.where(self.is_symmetric[self.owner], 0, back)

    def _complement(self, counts: Floats) -> Floats:
        """A step to any point of the orbital's graph that is neither the same point nor a neighbour in A ∪ Aᵀ."""
        steps = np.where(self.is_diagonal[self.owner], 0, self._either_way(counts))
        return self._total(counts)[self.owner] - counts - steps

    def _total(self, values: Floats) -> Floats:
        return _sums(self.owner, values, self.rank)

    def _start(self) -> Floats:
        counts = np.zeros(len(self.owner))
        counts[self.start_places] = 1
        return counts

    def _returns(self, step: Callable[[Floats], Floats], radius: ArrayLike) -> list[Floats]:
        # Counts are integers, exact in float64 up to 2⁵³ (n = 450), so equal structures give equal bits.
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
            # -n/2 … n/2; a shift by n/2 is the same in both directions, so it gets no sign
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
        """Mean over the pairs of each orbital."""
        return _sums(self.labels, values, self.rank) / np.bincount(self.labels)


def _sums(places: Ints, values: Floats, size: int) -> Floats:
    """The sum of the values at each place."""
    return np.asarray(np.bincount(places, values, minlength=size), dtype=np.float64)
