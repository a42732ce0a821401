"""Names of groups in the notation, with the numbers that follow them; in small letters."""

from collections.abc import Callable
from typing import NamedTuple

from sympy.combinatorics import PermutationGroup

from . import groups, named_groups
from ._points import check_size, positive_integer


class Family(NamedTuple):
    """Groups told apart by numbers; ``degree`` is cheap and raises ``ValueError`` for numbers that name no group."""

    degree: Callable[..., int]
    make: Callable[..., PermutationGroup]
    arity: int | None = 1
    """How many numbers there are; ``None``: one or more."""
    hint: str = ""
    """What to write instead where the number of numbers is wrong."""


def _of_points(make: Callable[[int], PermutationGroup], hint: str = "") -> Family:
    return Family(lambda n: positive_integer(n, "the degree"), make, hint=hint)


def _linear(kind: named_groups.LinearKind) -> Family:
    return Family(
        lambda n, q: named_groups.linear_degree(kind, n, q),
        lambda n, q: named_groups.linear(kind, n, q),
        arity=2,
        hint=f", the dimension and the number of field elements: {kind}(2, 7)",
    )


def _klein_four(n: int) -> int:
    if n != 4:
        raise ValueError(f"V4 is the Klein four-group, but there is no V{n}")
    return 4


def _mathieu_degree(n: int) -> int:
    if n not in named_groups.MATHIEU_DEGREES:
        named_groups.mathieu(n)  # refuses it
    return n


def _quaternion_degree(n: int) -> int:
    check_size(n)
    if n < 8 or n % 4:
        named_groups.quaternion(n)  # refuses it
    return n


def _young_degree(*sizes: int) -> int:
    return sum(positive_integer(size, "a block's size") for size in sizes)


def _young(*sizes: int) -> PermutationGroup:
    """Blocks of these sizes, one after the other."""
    points = iter(range(sum(sizes)))
    return groups.young_subgroup([[next(points) for _ in range(size)] for size in sizes])


FAMILIES: dict[str, Family] = {}
for _names, _family in {
    "s sym symmetric symmetricgroup": _of_points(groups.symmetric, "; a Young subgroup has a list of block sizes"),
    "a alt alternating alternatinggroup": _of_points(groups.alternating),
    "c z cyclic cyclicgroup": _of_points(groups.cyclic),
    "d dih dihedral dihedralgroup": _of_points(groups.dihedral),
    "r reversal": _of_points(groups.reversal),
    "e trivial": _of_points(groups.trivial),
    "q quaternion quaterniongroup": Family(_quaternion_degree, named_groups.quaternion),
    "v": Family(_klein_four, lambda n: named_groups.klein_four()),
    "f frobenius": Family(named_groups.frobenius_degree, named_groups.frobenius),
    "m mathieu mathieugroup": Family(_mathieu_degree, named_groups.mathieu),
    "gl": _linear("GL"),
    "sl": _linear("SL"),
    "pgl": _linear("PGL"),
    "psl": _linear("PSL"),
    "agl": _linear("AGL"),
    "young youngsubgroup": Family(_young_degree, _young, arity=None),
}.items():
    FAMILIES |= dict.fromkeys(_names.split(), _family)

LETTERS = "S, A, C or Z, D, R, E, Q, V, F, M, PSL, PGL, GL, SL, AGL, Young"

PRODUCTS: dict[str, Callable[..., PermutationGroup]] = {}
"""Products as functions: ``wr(S5, S2)``."""
for _names, _make in {
    "wr wreath wreathproduct wreath_product": groups.wreath_product,
    "directproduct direct_product": groups.direct_product,
    "productaction product_action": groups.product_action,
}.items():
    PRODUCTS |= dict.fromkeys(_names.split(), _make)
