"""Points 0 … n-1 of a group: how they are numbered, what is checked of them, and how many are taken."""

from numbers import Integral

import numpy as np
from numpy.typing import NDArray

MAX_DEGREE = 2**20
"""Largest degree of a group; checked before anything of that size is allocated."""

MAX_PAIRS = 2**27
"""Largest number of entries in one array (pairs or k-tuples of points, images under all generators): int32, 512 MiB."""


def number_points(n: int) -> NDArray[np.int64]:
    if not is_integer(n) or n < 1:
        raise ValueError(f"the degree must be an integer of at least 1, not {n!r}")
    check_size(n)
    return np.arange(n)


def number_grid(height: int, width: int) -> NDArray[np.int64]:
    """The numbers of a grid's points, row by row, ``(height, width)``."""
    for side in (height, width):
        if not is_integer(side) or side < 1:
            raise ValueError(f"a grid's sides must be integers of at least 1, not {height!r} by {width!r}")
    check_size(height * width)
    return np.arange(height * width).reshape(height, width)


def check_size(degree: int, num_generators: int = 1) -> None:
    """Refuse, before it is allocated, what would not fit into memory."""
    if degree > MAX_DEGREE:
        raise ValueError(f"a group may act on at most {MAX_DEGREE:,} points (MAX_DEGREE), not on {degree:,}")
    if degree * num_generators > MAX_PAIRS:
        raise ValueError(
            f"{num_generators:,} generators of degree {degree:,} have {degree * num_generators:,} images, but at most "
            f"{MAX_PAIRS:,} (MAX_PAIRS) are taken: give fewer generators"
        )


def is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def require_list(value: object, where: str, items: str) -> None:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: expected a list of {items}, not {value!r}")


def check_points(points: list, degree: int, where: str) -> None:
    """Refuse points that are not distinct integers in 0 … degree-1; the searches by name run only on failure."""
    if not all(issubclass(kind, Integral) and kind is not bool for kind in set(map(type, points))):
        wrong = next(point for point in points if not is_integer(point))
        raise ValueError(f"{where}: point {wrong!r} is a {type(wrong).__name__}, not an integer")
    if points and not (min(points) >= 0 and max(points) < degree):
        outside = next(point for point in points if not 0 <= point < degree)
        raise ValueError(f"{where}: point {outside} is outside 0 … {degree - 1} (degree {degree})")
    if len(set(points)) < len(points):
        seen: set[int] = set()
        repeated = next(point for point in points if point in seen or seen.add(point))  # type: ignore[func-returns-value]
        raise ValueError(f"{where}: point {repeated} appears twice")
