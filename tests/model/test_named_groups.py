"""Named groups have the degree, order and transitivity of the textbooks, and act as their definitions say."""

import itertools
import math

import numpy as np
import pytest
from sympy import GF, Matrix
from sympy.combinatorics import Permutation

from asen_hf.closures import group_order, is_k_closed
from asen_hf.model._finite_fields import FiniteField
from asen_hf.model.groups import array_forms
from asen_hf.model.named_groups import (
    frobenius,
    klein_four,
    linear,
    linear_degree,
    mathieu,
    quaternion,
)
from asen_hf.model.orbits import orbit_labels

KINDS = ("GL", "SL", "PGL", "PSL", "AGL")
FIELDS = [
    (1, 2),
    (1, 5),
    (1, 8),
    (2, 2),
    (2, 3),
    (2, 4),
    (2, 7),
    (2, 8),
    (2, 9),
    (3, 2),
    (3, 3),
    (3, 4),
    (4, 2),
    (5, 2),
]


def linear_order(kind, n, q):
    general = math.prod(q**n - q**i for i in range(n))
    special = general // (q - 1)
    return {
        "GL": general,
        "SL": special,
        "PGL": special,
        "PSL": special // math.gcd(n, q - 1),
        "AGL": general * q**n,
    }[kind]


@pytest.mark.parametrize(("n", "q"), FIELDS)
@pytest.mark.parametrize("kind", KINDS)
def test_linear_groups_have_the_degree_and_order_of_the_textbooks(kind, n, q):
    group = linear(kind, n, q)
    degrees = {"AGL": q**n, "GL": q**n - 1, "SL": q**n - 1}
    assert group.degree == linear_degree(kind, n, q) == degrees.get(kind, (q**n - 1) // (q - 1))
    assert group_order(group) == linear_order(kind, n, q)


def test_the_special_linear_group_moves_vectors_as_all_matrices_of_determinant_1_do():
    """By brute force, for residues modulo 3: the elements are the permutations that such matrices make."""
    vectors = [vector for vector in itertools.product(range(3), repeat=2) if any(vector)]
    found = set()
    for entries in itertools.product(range(3), repeat=4):
        matrix = Matrix(2, 2, entries)
        if matrix.det() % 3 == 1:
            images = [tuple(entry % 3 for entry in matrix * Matrix(vector)) for vector in vectors]
            found.add(tuple(vectors.index(image) for image in images))
    assert {tuple(element.array_form) for element in linear("SL", 2, 3).elements} == found


@pytest.mark.parametrize("q", [2, 3, 4, 5, 8, 9])
def test_affine_maps_of_the_line_are_a_x_plus_b(q):
    field = FiniteField(q)
    x = np.arange(q)
    maps = {tuple(field.add(field.multiply(a, x), b)) for a in np.arange(1, q) for b in np.arange(q)}
    assert {tuple(element.array_form) for element in linear("AGL", 1, q).elements} == maps


def test_the_projective_line_is_the_residues_and_infinity():
    elements = {tuple(element.array_form) for element in linear("PSL", 2, 7).elements}
    assert (1, 2, 3, 4, 5, 6, 0, 7) in elements  # x + 1
    assert tuple([7, *(-pow(x, -1, 7) % 7 for x in range(1, 7)), 0]) in elements  # -1/x
    assert (0, 3, 6, 2, 5, 1, 4, 7) not in elements  # 3 x, and 3 is no square
    assert (0, 3, 6, 2, 5, 1, 4, 7) in {tuple(element.array_form) for element in linear("PGL", 2, 7).elements}


@pytest.mark.parametrize("q", [2, 3, 4, 5, 7, 8, 9, 16, 25, 27])
def test_a_finite_field_is_one(q):
    field = FiniteField(q)
    a, b, c = np.ix_(*[np.arange(q)] * 3)
    sums, products = field.add(a, b)[..., 0], field.multiply(a, b)[..., 0]
    for table in (sums, products[1:, 1:]):
        assert all(len(set(row)) == len(row) for row in table)  # a group has Latin squares
        np.testing.assert_array_equal(table, table.T)
    np.testing.assert_array_equal(
        field.multiply(a, field.add(b, c)), field.add(field.multiply(a, b), field.multiply(a, c))
    )
    np.testing.assert_array_equal(field.multiply(field.multiply(a, b), c), field.multiply(a, field.multiply(b, c)))
    units = np.arange(1, q)
    assert (field.multiply(units, field.inverse(units)) == 1).all()
    assert (field.add(a, field.negative(a)) == 0).all()
    if field.k == 1:
        domain = GF(q)
        assert all(int(domain(i) * domain(j)) % q == products[i, j] for i in range(q) for j in range(q))


@pytest.mark.parametrize(
    ("n", "order", "transitivity"),
    [(11, 7920, 4), (12, 95040, 5), (22, 443520, 3), (23, 10200960, 4), (24, 244823040, 5)],
)
def test_mathieu_groups_have_their_order_and_transitivity(n, order, transitivity):
    group = mathieu(n)
    assert (group.degree, group_order(group)) == (n, order)
    assert group.order() == order  # SymPy's count
    # Orbit i is that of base point i under the stabilizer of the base points before it.
    sizes = [len(orbit) for orbit in group.basic_orbits]
    assert sizes[:transitivity] == [n - fixed for fixed in range(transitivity)]
    assert len(sizes) == transitivity or sizes[transitivity] < n - transitivity


@pytest.mark.parametrize("n", [8, 12, 16, 20, 64])
def test_quaternion_groups_are_regular_and_have_one_involution(n):
    group = quaternion(n)
    elements = list(group.elements)
    assert (len(elements), group.degree, group.is_transitive(), group.is_abelian) == (n, n, True, False)
    assert sum(element.order() == 2 for element in elements) == 1
    i, j = group.generators
    assert i.order() == n // 2 and j**2 == i ** (n // 4) and j * i * j**-1 == i**-1


def test_the_klein_four_group_is_regular_and_in_a4():
    elements = klein_four().elements
    assert {element.is_even for element in elements} == {True} and len(elements) == 4
    assert orbit_labels(klein_four()).max() == 3
    assert all(element * element == Permutation(3) for element in elements)


@pytest.mark.parametrize(
    ("order", "prime"), [(6, 3), (10, 5), (20, 5), (21, 7), (42, 7), (55, 11), (110, 11), (253, 23)]
)
def test_frobenius_groups_fix_at_most_one_point(order, prime):
    group = frobenius(order)
    assert (group.degree, group.order(), group.is_transitive()) == (prime, order, True)
    assert all(
        (np.array(element.array_form) == np.arange(prime)).sum() <= 1 for element in group if not element.is_Identity
    )


def test_the_frobenius_group_of_order_20_is_all_affine_maps():
    assert frobenius(20).equals(linear("AGL", 1, 5))
    assert is_k_closed(frobenius(20), 2) is False  # 2-transitive


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mathieu(13), "11, 12, 22, 23 and 24, not of degree 13"),
        (lambda: mathieu(True), "not of degree True"),
        (lambda: quaternion(4), "must be 8, 12, 16"),
        (lambda: quaternion(10), "must be 8, 12, 16"),
        (lambda: quaternion(4 * 10**9), "at most 1,048,576 points"),
        (lambda: frobenius(15), "no Frobenius group of order 15"),
        (lambda: frobenius(1), "no Frobenius group of order 1"),
        (lambda: frobenius(10**30), "may be at most"),
        (lambda: linear("PSU", 2, 7), "kind must be one of GL, SL, PGL, PSL, AGL"),
        (lambda: linear("PSL", 2, 6), "a prime power of elements, here at most 4,096, not 6"),
        (lambda: linear("PSL", 2, 1), "a prime power"),
        (lambda: linear("PSL", 0, 7), "the dimension must be an integer of at least 1"),
        (lambda: linear("PSL", 10**9, 2), "at most 1,048,576 points"),
        (lambda: linear("AGL", 1, 10**40), "at most 4,096, not more"),
    ],
)
def test_what_is_no_such_group_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_generators_permute_the_points_of_large_groups_too():
    for group in (linear("PGL", 2, 1024), linear("AGL", 9, 2), linear("GL", 3, 16)):
        for form in array_forms(group):
            assert (np.sort(form) == np.arange(group.degree)).all()
