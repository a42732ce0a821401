"""Permutation groups that have names: linear groups over finite fields, Mathieu's, Frobenius groups, Q8 and V4.

=====================  ================  ====================================================================
group                  degree            order
=====================  ================  ====================================================================
``quaternion(n)``      n                 n
``klein_four()``       4                 4
``frobenius(n)``       p                 n = p·k, for the largest prime p of n and a divisor k > 1 of p - 1
``mathieu(n)``         n                 7,920; 95,040; 443,520; 10,200,960; 244,823,040 for n = 11, 12, 22, 23, 24
``linear("GL", n, q)`` q^n - 1           (q^n - 1)(q^n - q) … (q^n - q^(n-1)); SL: divided by q - 1
``linear("PGL", …)``   1 + q + … q^(n-1) that of GL divided by q - 1; PSL: that of SL divided by gcd(n, q - 1)
``linear("AGL", …)``   q^n               that of GL times q^n
=====================  ================  ====================================================================
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sympy import factorint
from sympy.combinatorics import PermutationGroup

from ._finite_fields import FiniteField
from ._messages import shown
from ._points import check_size, is_integer, make_group, number_points, positive_integer
from .groups import from_cycles

__all__ = [
    "MATHIEU_DEGREES",
    "LinearKind",
    "frobenius",
    "frobenius_degree",
    "klein_four",
    "linear",
    "linear_degree",
    "mathieu",
    "quaternion",
]

LinearKind = Literal["GL", "SL", "PGL", "PSL", "AGL"]
"""General, special, projective general, projective special and affine general linear group."""

_LARGEST_FROBENIUS = 2**20

# Generators with points 1 … n, as the GAP library writes them (Mathieu, 1861 and 1873).
_MATHIEU: dict[int, list[list[list[int]]]] = {
    11: [[[*range(1, 12)]], [[3, 7, 11, 8], [4, 10, 5, 6]]],
    12: [
        [[*range(1, 12)]],
        [[3, 7, 11, 8], [4, 10, 5, 6]],
        [[1, 12], [2, 11], [3, 6], [4, 8], [5, 9], [7, 10]],
    ],
    22: [
        [[*range(1, 12)], [*range(12, 23)]],
        [[1, 4, 5, 9, 3], [2, 8, 10, 7, 6], [12, 15, 16, 20, 14], [13, 19, 21, 18, 17]],
        [[1, 21], [2, 10, 8, 6], [3, 13, 4, 17], [5, 19, 9, 18], [11, 22], [12, 14, 16, 20]],
    ],
    23: [
        [[*range(1, 24)]],
        [[3, 17, 10, 7, 9], [4, 13, 14, 19, 5], [8, 18, 11, 12, 23], [15, 20, 22, 21, 16]],
    ],
}
_MATHIEU[24] = [
    *_MATHIEU[23],
    [[1, 24], [2, 23], [3, 12], [4, 16], [5, 18], [6, 10], [7, 20], [8, 14], [9, 21], [11, 17], [13, 22], [15, 19]],
]
MATHIEU_DEGREES = tuple(_MATHIEU)


def mathieu(n: int) -> PermutationGroup:
    """The Mathieu group M_n on n points; ``ValueError`` unless n is 11, 12, 22, 23 or 24."""
    if not is_integer(n) or n not in _MATHIEU:
        raise ValueError(f"there are Mathieu groups of degree 11, 12, 22, 23 and 24, not of degree {shown(n)}")
    return from_cycles([[[point - 1 for point in cycle] for cycle in cycles] for cycles in _MATHIEU[int(n)]], int(n))


def quaternion(n: int) -> PermutationGroup:
    """The (generalised) quaternion group of order n, acting on its own n elements by multiplication from the left.

    With m = n/2 and elements a^i b^j, where a^m = 1, b² = a^(m/2) and b a b⁻¹ = a⁻¹: a^i b^j is point i + m·j. The
    group is regular, so every pair orbital is the graph of one permutation.

    Raises:
        ValueError: n is not 4 times an integer of at least 2, or is above ``MAX_DEGREE``.
    """
    if not is_integer(n) or n < 8 or n % 4:
        raise ValueError(f"a quaternion group's order must be 8, 12, 16, …, not {shown(n)}")
    half = number_points(n).size // 2
    i = np.arange(half)
    a = np.concatenate([(i + 1) % half, half + (i + 1) % half])
    b = np.concatenate([half + (-i) % half, (half // 2 - i) % half])  # b a^i = a^-i b, and b a^i b = a^-i b²
    return make_group([a, b], 2 * half)


def klein_four() -> PermutationGroup:
    """The Klein four-group on 4 points, as it lies in A4: the identity, (0 1)(2 3), (0 2)(1 3) and (0 3)(1 2)."""
    return from_cycles([[[0, 1], [2, 3]], [[0, 2], [1, 3]]], 4)


def frobenius_degree(order: int) -> int:
    """The prime p on whose residues :func:`frobenius` acts; ``ValueError`` if there is no such group."""
    order = positive_integer(order, "a Frobenius group's order")
    if order > _LARGEST_FROBENIUS:
        raise ValueError(f"a Frobenius group's order may be at most {_LARGEST_FROBENIUS:,}, not {shown(order)}")
    prime = max(factorint(order), default=1)
    if order == prime or (prime - 1) % (order // prime):
        raise ValueError(
            f"there is no Frobenius group of order {order} on a prime number p of points: the order must be p·k, k > 1 "
            "a divisor of p - 1"
        )
    return prime


def frobenius(order: int) -> PermutationGroup:
    """The Frobenius group of order p·k on the residues modulo a prime p: x → a·x + b with a^k = 1.

    Args:
        order: p·k for a prime p and a divisor k > 1 of p - 1, such as 20 (p = 5, k = 4) and 21 (p = 7, k = 3).

    Raises:
        ValueError: the order has no such factors, or is above 2^20.
    """
    prime = frobenius_degree(order)
    field = FiniteField(prime)
    points = np.arange(prime)
    factor = field.powers[(prime - 1) // (order // prime)]
    return make_group([(points + 1) % prime, points * factor % prime], prime)


def linear_degree(kind: str, n: int, q: int) -> int:
    """The degree of :func:`linear`, computed before anything is allocated; ``ValueError`` as there."""
    if kind not in get_args(LinearKind):
        raise ValueError(f"kind must be one of {', '.join(get_args(LinearKind))}, not {shown(kind)}")
    n, q = positive_integer(n, "the dimension"), positive_integer(q, "the number of field elements")
    FiniteField.check_size(q)
    is_projective = kind in ("PGL", "PSL")
    degree = 1
    for _ in range(n - is_projective):  # step by step: q^n could have too many digits to be computed
        degree = degree * q + is_projective
        check_size(degree)
    return degree - (kind in ("GL", "SL"))


def linear(kind: LinearKind, n: int, q: int) -> PermutationGroup:
    """A linear group in dimension n over the field of q elements, as a permutation group.

    Args:
        kind: ``"GL"`` and ``"SL"`` act on the q^n - 1 vectors other than zero, ``"AGL"`` on all q^n vectors, ``"PGL"``
            and ``"PSL"`` on the points of projective space. On q elements, ``"AGL"`` with n = 1 is x → a·x + b; on
            q + 1 points, ``"PGL"`` with n = 2 is x → (a·x + b)/(c·x + d).
        n: dimension, at least 1.
        q: number of field elements, a prime power of at most 4,096. Element e_0 + e_1·p + … (0 ≤ e_i < p) is number
            e_0 + e_1·x + … modulo the first primitive polynomial; for a prime q, the residues 0 … q-1.

    Returns:
        The group. Vectors are numbered row by row, the last coordinate fastest (without zero, from 0 on). Projective
        points: first (v, 1) for every vector v in that order, then the points at infinity (v, 0) likewise; for n = 2,
        point x < q is the field element x, and point q is infinity.

    Raises:
        ValueError: the kind is unknown, n or q is below 1, q is no prime power or too large, or there are more than
            ``MAX_DEGREE`` points.
    """
    degree = linear_degree(kind, n, q)
    field = FiniteField(q)
    numbers = q ** np.arange(n - 1, -1, -1)
    is_projective = kind in ("PGL", "PSL")
    vectors = _projective_points(n, q) if is_projective else _vectors(n, q)[int(kind != "AGL") :]

    def number(moved: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of the points that the vectors ``(degree, n)`` represent."""
        if not is_projective:
            return moved @ numbers - (kind != "AGL")
        last = n - 1 - np.argmax(moved[:, ::-1] != 0, axis=1)
        moved = field.multiply(moved, field.inverse(moved[np.arange(degree), last])[:, None])
        # Before the points whose last coordinate is this one come those with a later one: q^l points for each l.
        starts = degree - np.cumsum(numbers[::-1])
        return starts[last] + moved @ numbers // (numbers[last] * q)

    return make_group(
        (number(moved) for moved in _images(field, vectors, kind in ("SL", "PSL"), kind == "AGL")), degree
    )


def _images(
    field: FiniteField, vectors: NDArray[np.int64], is_special: bool, is_affine: bool
) -> list[NDArray[np.int64]]:
    """The images of the vectors under generators of SL or GL and, if affine, a translation."""
    n = vectors.shape[1]
    generators = []
    scaled = vectors.copy()  # diag(g, 1, …), or diag(g, 1/g, 1, …) of determinant 1; g generates the field's units
    primitive = np.array(field.powers[1 % len(field.powers)])
    scaled[:, 0] = field.multiply(scaled[:, 0], primitive)
    if is_special and n > 1:
        scaled[:, 1] = field.multiply(scaled[:, 1], field.inverse(primitive))
    if n > 1 or not is_special:
        generators.append(scaled)
    if n > 1:
        sheared = vectors.copy()
        sheared[:, 0] = field.add(sheared[:, 0], sheared[:, 1])
        turned = np.roll(vectors, 1, axis=1)  # a cycle of the coordinates, with the sign that makes its determinant 1
        if n % 2 == 0:
            turned[:, 0] = field.negative(turned[:, 0])
        generators += [sheared, turned]
    if is_affine:
        shifted = vectors.copy()
        shifted[:, -1] = field.add(shifted[:, -1], np.ones(len(vectors), dtype=np.int64))
        generators.append(shifted)
    return generators


def _vectors(n: int, q: int) -> NDArray[np.int64]:
    """All vectors of n coordinates, ``(q^n, n)``, row by row, the last coordinate fastest."""
    return np.arange(q**n)[:, None] // q ** np.arange(n - 1, -1, -1) % q


def _projective_points(n: int, q: int) -> NDArray[np.int64]:
    """The points of projective space as vectors whose last coordinate other than 0 is 1, ``(degree, n)``."""
    parts = []
    for length in range(n - 1, -1, -1):
        part = np.zeros((q**length, n), dtype=np.int64)
        part[:, :length] = _vectors(length, q)
        part[:, length] = 1
        parts.append(part)
    return np.concatenate(parts)
