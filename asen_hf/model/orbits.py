"""Algorithm 1 of the paper (Section 3.2, Appendix A): the orbits of a permutation group on k-tuples of points.

The paper lifts every generator to a permutation of n² points and computes the orbits with SymPy. The orbits are also
the connected components of the graph that joins every tuple to its image under every generator. This graph needs no
edges for tuples that a generator fixes, and SciPy finds its components in compiled code.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sympy.combinatorics import PermutationGroup

from ._messages import shown
from ._points import is_integer
from .groups import MAX_PAIRS, array_forms, check_group

__all__ = [
    "check_edges",
    "check_num_tuples",
    "close_support",
    "is_invariant_support",
    "number_by_first_appearance",
    "orbit_labels",
    "read_array",
    "refine_by_support",
]

_MAX_ORDER = MAX_PAIRS.bit_length() - 1  # from degree 2 on, higher orders have more than MAX_PAIRS tuples

Moves = tuple[NDArray[np.integer], NDArray[np.integer]]
"""The numbers of the tuples that a generator moves and of their images; two integer arrays of equal length."""


def orbit_labels(group: PermutationGroup, order: int = 2, edges: ArrayLike | None = None) -> NDArray[np.int32]:
    """Label the orbits of ``group`` on k-tuples of points, or on the pairs of a support (paper, Algorithm 1).

    Labels are numbered by first appearance in row-major order (for a support, in the order given), so they depend only
    on the group, not on its generators. The number of orbits is ``labels.max() + 1``.

    Args:
        group: a permutation group of degree n.
        order: the length k of the tuples: 1 for orbits on points, 2 for orbitals, 3 for triples, …
        edges: the support, distinct pairs ``(target i, source j)`` as an integer array ``(E, 2)``; only with order 2.
            It need not be invariant under the group: two edges get the same label iff they lie in the same orbital of
            the complete graph. The cost is O(E) for an invariant support and O(n²) otherwise.

    Returns:
        int32 array of shape ``(n,) * order``, or ``(E,)`` for a support.

    Raises:
        ValueError: the order is not in 1 … 24; edges are given with an order other than 2, have the wrong shape or
            dtype, are out of range or repeated; or there are more than ``MAX_PAIRS`` tuples.
    """
    check_group(group)
    if not is_integer(order) or not 1 <= order <= _MAX_ORDER:
        raise ValueError(f"order must be an integer in 1 … {_MAX_ORDER}, not {shown(order)}")
    if edges is None:
        return _tuple_labels(group, order).reshape((group.degree,) * order)
    if order != 2:
        raise ValueError(f"edges are pairs, so they need order=2, not order={order}")
    pairs = check_edges(edges, group.degree)
    if _is_invariant(group, pairs):
        return number_by_first_appearance(_components(len(pairs), _edge_moves(group, pairs)))
    targets, sources = pairs.T
    return number_by_first_appearance(_tuple_labels(group, 2)[targets * group.degree + sources])


def refine_by_support(labels: NDArray[np.integer], edges: ArrayLike) -> NDArray[np.int32]:
    """Split orbitals ``(n, n)`` into pairs inside and pairs outside the support.

    Args:
        labels: int ``(n, n)``, row = target.
        edges: distinct pairs ``(target i, source j)``, integer array ``(E, 2)``.

    Returns:
        int32 ``(n, n)``, numbered by first appearance in row-major order.

    Raises:
        ValueError: edges have the wrong shape or dtype, are out of range or repeated.
    """
    targets, sources = check_edges(edges, len(labels)).T
    split = 2 * labels.astype(np.int32)
    split[targets, sources] += 1
    return number_by_first_appearance(split.ravel()).reshape(labels.shape)


def is_invariant_support(group: PermutationGroup, edges: ArrayLike) -> bool:
    """Whether every element of ``group`` maps the support to itself.

    Args:
        group: a permutation group of degree n.
        edges: distinct pairs ``(target i, source j)``, integer array ``(E, 2)``.

    Raises:
        ValueError: edges have the wrong shape or dtype, are out of range or repeated.
    """
    check_group(group)
    return _is_invariant(group, check_edges(edges, group.degree))


def close_support(group: PermutationGroup, edges: ArrayLike) -> NDArray[np.int64]:
    """The smallest support that contains ``edges`` and that every element of ``group`` maps to itself.

    A sparse network on it is equivariant to all elements of the group; on ``edges`` alone, it is not equivariant to
    elements that map an edge outside ``edges``.

    Args:
        group: a permutation group of degree n.
        edges: distinct pairs ``(target i, source j)``, integer array ``(E, 2)``.

    Returns:
        int64 ``(E', 2)`` with E' ≥ E, the union of the orbitals of all edges, in row-major order.

    Raises:
        ValueError: edges have the wrong shape or dtype, are out of range or repeated.
    """
    check_group(group)
    pairs = check_edges(edges, group.degree)
    labels = orbit_labels(group)
    return np.argwhere(np.isin(labels, labels[tuple(pairs.T)])).astype(np.int64)


def check_edges(edges: ArrayLike, degree: int) -> NDArray[np.int64]:
    """A support as an int64 array ``(E, 2)``, in the order given.

    Raises:
        ValueError: edges are not an integer array ``(E, 2)``, or an edge is repeated or has a point outside 0 … n-1.
    """
    pairs = read_array(edges, "edges")
    if pairs.shape == (0,):  # NumPy makes an empty list an array of floats
        pairs = np.zeros((0, 2), dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(
            "edges must be an integer array of shape (num_edges, 2) of (target, source) pairs, "
            f"not {pairs.dtype} of shape {pairs.shape}"
        )
    outside = ((pairs < 0) | (pairs >= degree)).any(axis=1)
    if outside.any():
        index = int(outside.argmax())
        raise ValueError(f"edge {index}, {pairs[index].tolist()}, has a point outside 0 … {degree - 1}")
    pairs = pairs.astype(np.int64)
    codes, counts = np.unique(pairs @ np.array([degree, 1]), return_counts=True)
    if len(codes) < len(pairs):
        repeated = divmod(int(codes[counts.argmax()]), degree)
        raise ValueError(f"edge {list(repeated)} appears {counts.max()} times: a support holds each pair once")
    return pairs


def read_array(values: ArrayLike, subject: str) -> NDArray:
    """The values as an array; ``ValueError`` for lists of unequal length or what is no array at all."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor that requires gradients
        raise ValueError(f"{subject} must be an array, or lists of equal length, not {shown(values)}") from None


def _tuple_labels(group: PermutationGroup, order: int) -> NDArray[np.int32]:
    """Labels of all n^k tuples in row-major order: the number of a tuple has its coordinates as digits in base n."""
    num_tuples = check_num_tuples(group.degree, order)
    forms = array_forms(group).astype(np.int32)
    return number_by_first_appearance(_components(num_tuples, (_tuple_moves(form, order) for form in forms)))


def check_num_tuples(degree: int, order: int) -> int:
    """The number of tuples of points; ``ValueError`` if there are more than ``MAX_PAIRS``."""
    num_tuples = degree**order
    if num_tuples > MAX_PAIRS:
        raise ValueError(
            f"degree {degree:,} has {num_tuples:,} {order}-tuples, but at most {MAX_PAIRS:,} (MAX_PAIRS) are "
            f"labelled: {'give an invariant support' if order == 2 else 'choose a lower order'}"
        )
    return num_tuples


def _tuple_moves(form: NDArray[np.int32], order: int) -> Moves:
    """The tuples with a moved coordinate, split by the first moved coordinate, so that every tuple is listed once."""
    points = np.arange(len(form), dtype=np.int32)
    moved, fixed = points[form != points], points[form == points]
    splits = [[fixed] * first + [moved] + [points] * (order - first - 1) for first in range(order)]
    tuples = np.concatenate([_codes(axes, len(form)) for axes in splits])
    images = np.concatenate([_codes([form[axis] for axis in axes], len(form)) for axes in splits])
    return tuples, images


def _codes(axes: list[NDArray[np.int32]], base: int) -> NDArray[np.int32]:
    """The numbers of all tuples in the product of ``axes``, flat."""
    codes = axes[0]
    for axis in axes[1:]:
        codes = (codes[:, None] * base + axis).ravel()
    return codes


def _is_invariant(group: PermutationGroup, edges: NDArray[np.int64]) -> bool:
    # A generator is one-to-one on pairs, so it keeps the support iff it permutes the edges that it moves.
    return all(np.array_equal(np.sort(codes), np.sort(images)) for _, codes, images in _moved_edges(group, edges))


def _edge_moves(group: PermutationGroup, edges: NDArray[np.int64]) -> Iterator[Moves]:
    """Moves of an invariant support's edges, by position: sorting codes and images pairs every image with its edge."""
    for moved, codes, images in _moved_edges(group, edges):
        yield moved[np.argsort(images)], moved[np.argsort(codes)]


def _moved_edges(
    group: PermutationGroup, edges: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """For every generator, the positions of the edges that it moves, their codes and the codes of their images."""
    base = np.array([group.degree, 1])
    for form in array_forms(group):
        images = form[edges]
        moved = np.flatnonzero((images != edges).any(axis=1))
        yield moved, edges[moved] @ base, images[moved] @ base


def _components(num_tuples: int, moves: Iterable[Moves]) -> NDArray[np.int32]:
    """Component numbers, int32 ``(num_tuples,)``, of the graph with all moves as edges."""
    labels = np.arange(num_tuples, dtype=np.int32)
    batch: list[Moves] = []
    batch_size = 0
    # Merge whenever there are as many moves as tuples, which bounds the memory for any number of generators.
    for move in moves:
        batch.append(move)
        batch_size += len(move[0])
        if batch_size >= num_tuples:
            labels = _merge(labels, batch)
            batch, batch_size = [], 0
    return _merge(labels, batch) if batch else labels


def _merge(labels: NDArray[np.int32], batch: list[Moves]) -> NDArray[np.int32]:
    rows, columns = (labels[np.concatenate(side)] for side in zip(*batch, strict=True))
    num_labels = int(labels.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(num_labels, num_labels))
    return connected_components(graph, directed=False)[1][labels]


def number_by_first_appearance(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Renumber 0, 1, … in the order in which labels first appear; linear time, no sort."""
    positions = np.arange(len(labels), dtype=np.int32)
    first = np.empty(labels.max(initial=-1) + 1, dtype=np.int32)
    first[labels[::-1]] = positions[::-1]  # NumPy keeps the last of repeated assignments, which is the first position
    leaders = first[labels]
    return (np.cumsum(leaders == positions, dtype=np.int32) - 1)[leaders]
