"""Points 0 … n-1 and generators of a group: how they are numbered, what is checked of them, and how many are taken."""

import math
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup
from sympy.combinatorics.permutations import _af_new

from ._messages import shown

MAX_DEGREE = 2**20
"""Largest degree of a group; checked before anything of that size is allocated."""

MAX_GENERATORS = 2**14
"""Largest number of generators of a group; n/2 are enough for any group of degree n ≥ 4 (McIver and Neumann, 1987)."""

MAX_PAIRS = 2**24
"""Largest number of entries in one array (pairs or k-tuples of points, images under all generators).

All pairs of 4,096 points, all triples of 256. Labelling so many takes about 1 GB and some seconds.
"""


def number_points(n: int) -> NDArray[np.int64]:
    n = positive_integer(n, "the degree")
    check_size(n)
    return np.arange(n)


def number_grid(height: int, width: int) -> NDArray[np.int64]:
    """The numbers of a grid's points, row by row, ``(height, width)``."""
    height, width = positive_integer(height, "a grid's height"), positive_integer(width, "a grid's width")
    check_size(height * width)
    return np.arange(height * width).reshape(height, width)


def check_size(degree: int, num_generators: int = 1) -> None:
    """Refuse, before it is allocated, what would not fit into memory."""
    if degree > MAX_DEGREE:
        given = f"{degree:,}" if degree < 10**18 else shown(degree)
        raise ValueError(f"a group may act on at most {MAX_DEGREE:,} points (MAX_DEGREE), not on {given}")
    if num_generators > MAX_GENERATORS:
        raise ValueError(
            f"a group may have at most {MAX_GENERATORS:,} generators (MAX_GENERATORS), not {num_generators:,}: give "
            "fewer that generate the same group"
        )
    if degree * num_generators > MAX_PAIRS:
        raise ValueError(
            f"{num_generators:,} generators of degree {degree:,} have {degree * num_generators:,} images, but at most "
            f"{MAX_PAIRS:,} (MAX_PAIRS) are taken: give fewer generators"
        )


def subsets_degree(n: int, k: int) -> int:
    """The number of k-subsets of n points, once it and their size are known to be within the bounds."""
    if not is_integer(k) or not 1 <= k <= n:
        raise ValueError(f"k must be an integer in 1 … {n} (the degree), not {shown(k)}")
    k = int(k)
    # There are at least 2^min(k, n - k) subsets; their exact number can take seconds to compute.
    if min(k, n - k) >= MAX_DEGREE.bit_length():
        raise ValueError(f"{n:,} points have over {MAX_DEGREE:,} (MAX_DEGREE) subsets of size {k:,}")
    degree = math.comb(n, k)
    check_size(degree)
    if degree * k > MAX_PAIRS:
        raise ValueError(f"the {degree:,} subsets of size {k:,} hold over {MAX_PAIRS:,} (MAX_PAIRS) points")
    return degree


def positive_integer(value: object, subject: str) -> int:
    """The value as a Python int, whose products do not overflow as NumPy's do; ``ValueError`` if it is below 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{subject} must be an integer of at least 1, not {shown(value)}")
    return int(value)


def is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def as_lists(value: Any, depth: int = 0) -> Any:
    """Arrays and tensors, also within ``depth`` lists, as lists of Python's numbers; anything else unchanged."""
    if hasattr(value, "tolist") and not isinstance(value, type):
        shape = tuple(value.shape)
        if math.prod(shape) > MAX_PAIRS:
            raise ValueError(f"expected at most {MAX_PAIRS:,} (MAX_PAIRS) points, got an array of shape {shape}")
        try:
            value = value.tolist()
        except (RuntimeError, TypeError) as error:  # a tensor without values
            raise ValueError(f"expected lists or arrays of points, not a {type(value).__name__}: {error}") from error
    if depth and isinstance(value, list | tuple):
        return [as_lists(item, depth - 1) for item in value]
    return value


def require_list(value: object, where: str, items: str) -> None:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: expected a list of {items}, not {shown(value)}")


def check_points(points: list, degree: int, where: str) -> None:
    """Refuse points that are not distinct integers in 0 … degree-1; the searches by name run only on failure."""
    if not all(issubclass(kind, Integral) and kind is not bool for kind in set(map(type, points))):
        wrong = next(point for point in points if not is_integer(point))
        raise ValueError(f"{where}: point {shown(wrong)} is a {type(wrong).__name__}, not an integer")
    if points and not (min(points) >= 0 and max(points) < degree):
        outside = next(point for point in points if not 0 <= point < degree)
        raise ValueError(f"{where}: point {shown(outside)} is outside 0 … {degree - 1} (degree {degree})")
    if len(set(points)) < len(points):
        seen: set[int] = set()
        repeated = next(point for point in points if point in seen or seen.add(point))  # type: ignore[func-returns-value]
        raise ValueError(f"{where}: point {repeated} appears twice")


def check_group(*groups: PermutationGroup) -> None:
    """Refuse anything but groups within the bounds; SymPy's own constructors have none."""
    for group in groups:
        if not isinstance(group, PermutationGroup):
            raise ValueError(f"expected a PermutationGroup (asen_hf.parse_group makes one of text), not {shown(group)}")
        check_size(group.degree, len(group.generators))


def array_forms(group: PermutationGroup) -> NDArray[np.int64]:
    """The generators of ``group`` as an int64 array ``(num_generators, degree)`` of images."""
    check_group(group)
    return np.array([generator.array_form for generator in group.generators], dtype=np.int64)


def make_group(forms: Iterable[NDArray[np.int64]], degree: int) -> PermutationGroup:
    """The group generated by valid array forms; ``_af_new`` spares SymPy's own validation, which is slow."""
    identity = number_points(degree)
    moving = [form for form in forms if not np.array_equal(form, identity)]
    return PermutationGroup([_af_new(form.tolist()) for form in moving or [identity]])


def embed(group: PermutationGroup, start: int, degree: int) -> NDArray[np.int64]:
    """Array forms of ``group`` acting on the points ``start`` … of a larger set."""
    forms = np.tile(np.arange(degree), (len(group.generators), 1))
    forms[:, start : start + group.degree] = array_forms(group) + start
    return forms
