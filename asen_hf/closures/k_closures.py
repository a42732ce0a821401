"""Exact k-closures of permutation groups, as automorphisms of coloured tuples; and the order of a group.

A network that sees the orbits of G on k-tuples is equivariant to the k-closure of G: the largest group with the same
orbits on k-tuples (paper, Section 3.2).
"""

import numpy as np
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup

from ..model.groups import check_group
from ..model.orbits import orbit_labels
from .automorphisms import MAX_CLOSURE_POINTS, ColoredTuples, Undecided
from .stabilizer_chain import prove_order


def two_closure(group: PermutationGroup) -> PermutationGroup:
    """The 2-closure: all permutations that keep every orbital of ``group`` (paper, Section 3.2).

    Up to degree 207 it takes at most a second.

    Raises:
        ValueError: more than ``MAX_CLOSURE_POINTS`` points, or a closure with generators too many to be listed.
    """
    return orbit_coloring(group, 2).automorphisms()


def is_k_closed(group: PermutationGroup, k: int) -> bool | None:
    """Whether ``group`` equals its k-closure, the largest group with the same orbits on k-tuples of points.

    With ``k=3``, all n³ triples are processed unless the group is 2-closed, which takes about two seconds at degree 60.

    Args:
        group: a permutation group of degree n.
        k: 1, 2 or 3.

    Returns:
        The exact answer, or ``None`` if it could not be proved: for the groups described in ``group_order``, and with
        ``k=3`` for most groups of more than 50 points.

    Raises:
        ValueError: k is not 1, 2 or 3.
    """
    if k not in (1, 2, 3):
        raise ValueError(f"k must be 1, 2 or 3, not {k!r}")
    if k == 3 and is_k_closed(group, 2):
        return True  # the 3-closure lies between the group and its 2-closure
    try:
        coloring = orbit_coloring(group, k)
        supergroup = coloring.automorphisms()
    except Undecided:
        return None
    return prove_order(group, supergroup, coloring.num_automorphisms).is_whole


def group_order(group: PermutationGroup) -> int | None:
    """The exact number of elements of ``group``, also for groups where SymPy's ``order()`` takes minutes.

    Returns:
        The order, or ``None`` if it could not be proved: above degree 60 for a few groups that are much smaller than
        their 2-closure and have a long base, such as A_100 wr S_2; above degree 512 for all groups with a base of
        almost n points, such as S_600; and above ``MAX_CLOSURE_POINTS``.
    """
    try:
        coloring = orbit_coloring(group, 2)
        return prove_order(group, coloring.automorphisms(), coloring.num_automorphisms).order
    except Undecided:
        return None


def orbit_coloring(group: PermutationGroup, k: int) -> ColoredTuples:
    """A colouring whose automorphisms are the k-closure of ``group``, with few tuples.

    Tuples of distinct points are enough: their colours determine the colours of all tuples, or, with fewer than k
    points, the colours of points do. One colour is omitted, because the tuples of all other colours determine it.

    Raises:
        Undecided: more than ``MAX_CLOSURE_POINTS`` points, or too many tuples.
    """
    check_group(group)
    if group.degree > MAX_CLOSURE_POINTS or group.degree**k > MAX_CLOSURE_POINTS**2:
        raise Undecided(
            f"the {k}-closure is computed up to {min(MAX_CLOSURE_POINTS, int(MAX_CLOSURE_POINTS ** (2 / k))):,} "
            f"points, but the group has {group.degree:,}"
        )
    labels, points = orbit_labels(group, k), orbit_labels(group, 1)
    if k == 2:
        is_kept = _generating_orbitals(labels)[labels]
        tuples = np.stack(np.nonzero(is_kept))
    else:
        tuples = np.indices(labels.shape).reshape(k, -1)
        tuples = tuples[:, (np.diff(np.sort(tuples, axis=0), axis=0) > 0).all(axis=0)]
        colors = labels[tuple(tuples)]
        tuples = tuples[:, colors != np.bincount(colors, minlength=1).argmax()]
    return ColoredTuples(points, tuples, labels[tuple(tuples)])


def _generating_orbitals(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Boolean mask ``(rank,)`` of orbitals that, together with the orbits on points, generate all orbitals.

    A permutation that keeps the chosen orbitals also keeps all orbitals that are distinguished by counting, for a pair
    (i, j), the points k such that (i, k) and (k, j) have given colours (B. Weisfeiler and A. Leman, 1968). One product
    of integer matrices with random weights for colours does the counting: equal counts always give equal numbers, and
    if different counts collide, the only effect is that a redundant orbital is chosen.
    """
    rng = np.random.default_rng(0)
    max_weight = 2 ** ((53 - len(labels).bit_length()) // 2)  # sums of n products stay exact in float64
    sizes = np.bincount(labels.ravel())
    rows, columns = np.divmod(np.unique(labels, return_index=True)[1], len(labels))  # one pair per orbital
    targets, sources, converses = labels[rows, rows], labels[columns, columns], labels[columns, rows]
    is_kept = np.zeros(len(sizes), dtype=bool)
    colors = _number_rows(targets, sources, rows == columns)
    while colors.max() + 1 < len(sizes):
        left, right = rng.integers(max_weight, size=(2, len(sizes))).astype(np.float64)[:, colors][:, labels]
        refined = _number_rows(colors, colors[converses], (left @ right)[rows, columns])
        if refined.max() == colors.max():
            mixed = np.flatnonzero(np.bincount(colors)[colors] > 1)
            mixed = mixed[np.argsort(sizes[mixed], kind="stable")]
            chosen = mixed[np.unique(targets[mixed], return_index=True)[1]]  # the smallest orbital per orbit of targets
            is_kept[chosen] = True
            refined[chosen] = refined.max() + 1 + np.arange(len(chosen))
        colors = refined
    return is_kept


def _number_rows(*columns: NDArray) -> NDArray[np.int64]:
    """Number the rows of a table 0, 1, …; equal rows get equal numbers."""
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].ravel()
