"""The order of a permutation group by randomised Schreier–Sims, in NumPy.

SymPy's ``PermutationGroup.order()`` takes minutes at degree 100 for large groups; this module takes about a second at
degree 207. A chain built from random elements may be incomplete, so its order is a lower bound. The order is proved
exact if it equals a known upper bound, or else by Schreier's lemma.

Source: Á. Seress, Permutation Group Algorithms (2003), chapter 4.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup

from ..model.groups import array_forms, to_cycles
from ..model.orbits import orbit_labels

__all__ = ["OrderProof", "StabilizerChain", "prove_order"]

_MAX_WORK = 2 * 10**9  # images of points that a proof by Schreier's lemma may compute, within seconds
_MAX_ENTRIES = 2**27  # number of entries of all transversals: half a gigabyte of int32
_MIN_POOL = 10  # minimum number of elements in the pool of the product replacement algorithm
# An incomplete chain contains this many consecutive uniform random elements with a probability below 2⁻³⁰.
_MAX_MISSES = 30


class OrderProof(NamedTuple):
    """Proved properties of a group G that is contained in a supergroup.

    Attributes:
        order: |G|, or ``None`` if it could not be proved.
        is_whole: whether G equals the supergroup; ``None`` if unknown.
        transitivity: the largest t such that G maps any t distinct points to any t distinct points; a lower bound if
            the order is unknown.
    """

    order: int | None
    is_whole: bool | None
    transitivity: int


def prove_order(group: PermutationGroup, supergroup: PermutationGroup, supergroup_order: int) -> OrderProof:
    """Find the order of ``group``, using a supergroup of known order with the same orbits.

    The upper bound is the order of the subgroup of the supergroup that satisfies the sign conditions of G: every
    product of signs on orbits that is trivial on G must be trivial. For example, this proves the order of A_n in S_n.

    Args:
        group: G, of degree n.
        supergroup: a group that contains G and has the same orbits on points.
        supergroup_order: order of the supergroup.
    """
    at_most = supergroup_order >> (_sign_rank(supergroup) - _sign_rank(group))
    chain = StabilizerChain(group, at_most)
    is_proved = chain.order == at_most or chain.verify(_MAX_WORK)
    order = chain.order if is_proved else None
    is_whole = False if at_most < supergroup_order else None if order is None else order == supergroup_order
    return OrderProof(order, is_whole, chain.transitivity)


def _sign_rank(group: PermutationGroup) -> int:
    """Rank r over GF(2) of the generators' sign vectors, one sign per orbit; the group has 2^r sign vectors."""
    points = orbit_labels(group, 1).tolist()
    basis: list[int] = []
    for generator in to_cycles(group):
        signs = 0  # bit b: is the permutation odd on orbit b?
        for cycle in generator:
            signs ^= (len(cycle) - 1) % 2 << points[cycle[0]]
        for vector in basis:
            signs = min(signs, signs ^ vector)
        if signs:
            basis.append(signs)
    return len(basis)


class StabilizerChain:
    """A chain of pointwise stabilisers of the first 0, 1, 2, … base points, with their transversals.

    Level i stores generators of a subgroup of G that fixes the first i base points, and, for every point p in the orbit
    of base point i, a permutation in this subgroup that maps the base point to p.

    Args:
        group: a permutation group G of degree n.
        at_most: a known upper bound of |G|; a chain of this order is complete and stops growing.

    Attributes:
        base: the base points found so far.
    """

    def __init__(self, group: PermutationGroup, at_most: int | None = None):
        self.degree = group.degree
        self.base: list[int] = []
        self._generators: list[list[NDArray[np.integer]]] = []
        self._reached: list[NDArray[np.bool_]] = []  # (n,): is the point in the orbit of the base point?
        self._inverses: list[NDArray[np.integer]] = []  # (n, n): row p takes p back to the base point
        self._identity = np.arange(group.degree)
        generators = [form for form in array_forms(group) if not self._is_identity(form)]
        for form in generators:
            self._insert(form, 0)
        if generators:
            self._grow(_random_elements(generators), at_most)

    @property
    def order(self) -> int:
        """The product of the orbit sizes, a lower bound of |G|; exact after ``verify`` or at a known upper bound."""
        return math.prod(self._orbit_sizes())

    @property
    def transitivity(self) -> int:
        """The largest t such that any t distinct points map to any t distinct points: a bound like ``order``."""
        sizes = [*self._orbit_sizes(), *[1] * (self.degree - len(self.base))]
        wanted = range(self.degree, 0, -1)
        return next((t for t, (size, free) in enumerate(zip(sizes, wanted, strict=True)) if size < free), self.degree)

    def verify(self, max_work: int) -> bool:
        """Complete the chain by Schreier's lemma: every Schreier generator of a level must be in the levels below.

        Args:
            max_work: approximate maximum number of images of points to compute before giving up.

        Returns:
            Whether the chain is proved complete.
        """
        level = len(self.base) - 1
        while level >= 0:
            if self._is_full() or self._work() > max_work:
                return False
            inserted = self._close(level)
            level = level - 1 if inserted is None else inserted
        return True

    def count_members(self, forms: NDArray[np.integer]) -> int | None:
        """How many of these permutations ``(B, n)`` are in the group; ``None`` if not all could be told."""
        for is_complete in (False, True):
            if is_complete and not self.verify(_MAX_WORK):
                return None
            number = sum(self._sift(form[None], 0)[0] is None for form in forms)
            if is_complete or number == len(forms):  # what an incomplete chain holds is in the group
                return number
        raise AssertionError

    def _orbit_sizes(self) -> list[int]:
        return [int(reached.sum()) for reached in self._reached]

    def _is_full(self) -> bool:
        return len(self.base) * self.degree**2 > _MAX_ENTRIES

    def _is_identity(self, form: NDArray[np.integer]) -> bool:
        return np.array_equal(form, self._identity)

    def _work(self) -> int:
        products = zip(self._orbit_sizes(), self._generators, strict=True)
        return sum(size * len(generators) for size, generators in products) * len(self.base) * self.degree

    def _grow(self, elements: Iterator[NDArray[np.integer]], at_most: int | None) -> None:
        misses = 0
        while misses < _MAX_MISSES and self.order != at_most and not self._is_full():
            residue, level = self._sift(next(elements)[None], 0)
            misses += 1
            if residue is not None:
                self._insert(residue, level)
                misses = 0

    def _close(self, level: int) -> int | None:
        """Sift the Schreier generators of a level; insert the first that the chain lacks and return its level."""
        points = np.flatnonzero(self._reached[level])
        transversal = np.argsort(self._inverses[level][points], axis=1)
        for generator in self._generators[level]:
            residue, where = self._sift(generator[transversal], level)
            if residue is not None:
                self._insert(residue, where)
                return where
        return None

    def _sift(self, forms: NDArray[np.integer], level: int) -> tuple[NDArray[np.integer] | None, int]:
        """Divide ``(B, n)`` permutations by the transversals from ``level`` on.

        Returns the first remainder that the chain does not hold, if any, and the level that it belongs to.
        """
        for where in range(level, len(self.base)):
            points = forms[:, self.base[where]]
            missing = ~self._reached[where][points]
            if missing.any():
                return forms[missing.argmax()], where
            forms = np.take_along_axis(self._inverses[where][points], forms, axis=1)
        missing = (forms != self._identity).any(axis=1)
        return (forms[missing.argmax()], len(self.base)) if missing.any() else (None, 0)

    def _insert(self, form: NDArray[np.integer], level: int) -> None:
        """Add to the chain a permutation that fixes the first ``level`` base points."""
        if level == len(self.base):
            point = int((form != self._identity).argmax())
            self.base.append(point)
            self._generators.append([])
            self._reached.append(self._identity == point)
            # np.empty: rows are written when their point is reached, and untouched pages take no memory.
            self._inverses.append(np.empty((self.degree, self.degree), dtype=np.int32))
            self._inverses[level][point] = self._identity
        for upper in range(level + 1):
            self._generators[upper].append(form)
            self._extend(upper, form)

    def _extend(self, level: int, form: NDArray[np.integer]) -> None:
        """Extend a level's orbit, breadth first, after ``form`` became one of its generators."""
        reached, inverses = self._reached[level], self._inverses[level]
        frontier = np.flatnonzero(reached)
        if reached[form[frontier]].all():
            return
        forms = np.array(self._generators[level])
        backwards = np.argsort(forms, axis=1)
        while len(frontier):
            images, first = np.unique(forms[:, frontier], return_index=True)
            fresh = ~reached[images]
            generators, sources = np.divmod(first[fresh], len(frontier))
            origins, frontier = frontier[sources], images[fresh]
            inverses[frontier] = np.take_along_axis(inverses[origins], backwards[generators], axis=1)
            reached[frontier] = True


def _random_elements(generators: list[NDArray[np.integer]]) -> Iterator[NDArray[np.integer]]:
    """An infinite iterator of nearly uniform elements, by product replacement with an accumulator ("rattle")."""
    rng = np.random.default_rng(0)
    pool = [generators[index % len(generators)] for index in range(max(_MIN_POOL, len(generators)))]
    accumulator = np.arange(len(generators[0]))
    for step in itertools.count():
        changed, multiplied = rng.choice(len(pool), size=2, replace=False)
        factor = pool[multiplied] if rng.random() < 0.5 else np.argsort(pool[multiplied])
        pool[changed] = factor[pool[changed]] if rng.random() < 0.5 else pool[changed][factor]
        accumulator = pool[changed][accumulator]
        if step >= 10 * len(pool):
            yield accumulator
