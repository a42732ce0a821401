"""Orbit labels agree with the paper's own Algorithm 1 and depend on the group alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import Permutation, PermutationGroup

from asen_hf.model.groups import (
    alternating,
    array_forms,
    cyclic,
    dihedral,
    direct_product,
    from_array_form,
    grid_symmetries,
    reversal,
    symmetric,
    trivial,
    wreath_product,
    young_subgroup,
)
from asen_hf.model.orbits import check_edges, close_support, is_invariant_support, orbit_labels, refine_by_support
from tests.conftest import every_group


def renumber(labels) -> np.ndarray:
    """Labels renumbered by first appearance, the obvious way."""
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(int(label), len(numbers)) for label in labels], dtype=np.int32)


def sympy_labels(group: PermutationGroup, order: int) -> np.ndarray:
    """Algorithm 1 as the paper prints it: lift every generator to n^k points and let SymPy find the orbits."""
    tuples = list(itertools.product(range(group.degree), repeat=order))
    number = {point: index for index, point in enumerate(tuples)}
    lifted = [Permutation([number[tuple(form[i] for i in point)] for point in tuples]) for form in array_forms(group)]
    labels = np.empty(len(tuples), dtype=np.int32)
    for label, orbit in enumerate(PermutationGroup(lifted).orbits()):
        labels[list(orbit)] = label
    return renumber(labels).reshape((group.degree,) * order)


@st.composite
def permutations_of(draw, degree):
    """A permutation that moves only some points, since two that move all nearly always generate S_n or A_n."""
    moved = draw(st.lists(st.integers(0, degree - 1), unique=True))
    form = np.arange(degree)
    form[moved] = draw(st.permutations(moved))
    return form


@st.composite
def random_groups(draw, min_degree=1, max_degree=12):
    degree = draw(st.integers(min_degree, max_degree))
    return from_array_form(draw(st.lists(permutations_of(degree), min_size=1, max_size=3)))


@given(random_groups())
@settings(max_examples=250, deadline=None)
def test_orbitals_of_random_groups_equal_those_of_sympy(group):
    labels = orbit_labels(group)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, sympy_labels(group, 2))


@every_group
@pytest.mark.parametrize("order", [1, 2, 3])
def test_orbits_of_named_groups_equal_those_of_sympy(group, order):
    np.testing.assert_array_equal(orbit_labels(group, order), sympy_labels(group, order))


@given(random_groups(max_degree=6), st.sampled_from([1, 3]))
@settings(max_examples=60, deadline=None)
def test_orbits_on_points_and_triples_equal_those_of_sympy(group, order):
    np.testing.assert_array_equal(orbit_labels(group, order), sympy_labels(group, order))


@pytest.mark.parametrize(
    ("group", "rank"),
    [
        (trivial(1), 1),
        (trivial(10), 100),
        (symmetric(1), 1),
        (symmetric(8), 2),
        (symmetric(100), 2),
        (alternating(3), 3),
        (alternating(4), 2),
        (alternating(9), 2),
        (cyclic(10), 10),
        (cyclic(33), 33),
        (dihedral(8), 5),
        (dihedral(10), 6),
        (dihedral(33), 17),
        (reversal(8), 32),
        (reversal(10), 50),
        (reversal(9), 41),
        (wreath_product(symmetric(5), symmetric(2)), 3),
        (wreath_product(symmetric(4), symmetric(2)), 3),
        (wreath_product(cyclic(5), symmetric(2)), 6),
        (direct_product(symmetric(1), symmetric(7)), 5),
        (direct_product(symmetric(3), symmetric(4)), 6),
        (direct_product(cyclic(3), dihedral(4)), 8),
        (young_subgroup([list(range(b, b + 4)) for b in range(0, 32, 4)]), 8 * 9),
        (grid_symmetries(4, 4, "translations"), 16),
    ],
)
def test_rank_is_the_one_known_from_theory(group, rank):
    assert orbit_labels(group).max() + 1 == rank


def test_more_moves_than_tuples_are_merged_in_batches():
    rng = np.random.default_rng(0)
    keep_halves = [np.concatenate([rng.permutation(8), 8 + rng.permutation(8)]) for _ in range(40)]
    swaps = [np.r_[0:i, i + 1, i, i + 2 : 16] for i in (0, 9, 14)]
    group = from_array_form([*swaps, *keep_halves, *swaps])
    np.testing.assert_array_equal(orbit_labels(group), orbit_labels(direct_product(symmetric(8), symmetric(8))))


@given(random_groups(), st.data())
@settings(max_examples=60, deadline=None)
def test_labels_are_constant_on_orbits_and_numbered_by_first_appearance(group, data):
    order = data.draw(st.integers(1, 3))
    labels = orbit_labels(group, order)
    for form in array_forms(group):
        np.testing.assert_array_equal(labels[np.ix_(*[form] * order)], labels)
    np.testing.assert_array_equal(labels.ravel(), renumber(labels.ravel()))


@given(random_groups(), st.data())
@settings(max_examples=60, deadline=None)
def test_conjugating_a_group_relabels_the_same_partition(group, data):
    p = np.array(data.draw(st.permutations(range(group.degree))))
    conjugate = from_array_form([p[form[np.argsort(p)]] for form in array_forms(group)])
    there = orbit_labels(conjugate)[np.ix_(p, p)]
    np.testing.assert_array_equal(renumber(there.ravel()), orbit_labels(group).ravel())


@given(random_groups(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_other_generators_of_the_same_group_give_the_same_array(group, random):
    first, *rest = group.generators
    # Multiplying every other generator by the first, inverting and shuffling changes the generators, not the group.
    generators = [first**-1, *(first * other for other in rest), first**2]
    random.shuffle(generators)
    np.testing.assert_array_equal(orbit_labels(PermutationGroup(generators)), orbit_labels(group))


@st.composite
def groups_with_supports(draw):
    group = draw(random_groups(min_degree=2, max_degree=8))
    pair = st.tuples(*[st.integers(0, group.degree - 1)] * 2)
    return group, draw(st.lists(pair, unique=True, min_size=1, max_size=20))


@given(groups_with_supports())
@settings(max_examples=100, deadline=None)
def test_labels_on_any_support_are_those_of_the_complete_graph_renumbered(case):
    group, edges = case
    expected = renumber(sympy_labels(group, 2)[tuple(np.transpose(edges))])
    labels = orbit_labels(group, edges=edges)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@given(groups_with_supports(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_labels_on_a_union_of_orbitals_need_no_other_pairs(case, random):
    group, edges = case
    labels = sympy_labels(group, 2)
    union = np.argwhere(np.isin(labels, labels[tuple(np.transpose(edges))])).tolist()
    random.shuffle(union)
    assert is_invariant_support(group, union)
    np.testing.assert_array_equal(orbit_labels(group, edges=union), renumber(labels[tuple(np.transpose(union))]))
    if len(union) > len(edges):
        assert not is_invariant_support(group, edges)


def test_edges_of_one_orbital_share_a_label_although_the_path_between_them_leaves_the_support():
    edges = [[0, 1], [1, 2], [5, 6], [4, 2]]
    assert not is_invariant_support(cyclic(8), edges)
    assert orbit_labels(cyclic(8), edges=edges).tolist() == [0, 0, 0, 1]


def test_an_invariant_support_of_a_huge_degree_costs_only_its_edges():
    n = 100_000
    ring = np.stack([np.arange(n), np.roll(np.arange(n), -1)], axis=1)
    edges = np.concatenate([ring, ring[:, ::-1]])
    labels = orbit_labels(cyclic(n), edges=edges)
    np.testing.assert_array_equal(labels, np.repeat([0, 1], n))
    assert (orbit_labels(dihedral(n), edges=edges) == 0).all()


@pytest.mark.parametrize("edges", [[], np.empty((0, 2), dtype=int)])
def test_a_support_without_edges_has_no_labels(edges):
    assert orbit_labels(symmetric(3), edges=edges).shape == (0,)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0, 1], [2, 3]], r"edge 1, \[2, 3\], has a point outside 0 … 2"),
        ([[0, -1]], "outside"),
        ([[0, 1], [1, 0], [0, 1]], r"edge \[0, 1\] appears 2 times"),
        ([[0, 1, 2]], r"shape \(num_edges, 2\)"),
        ([0, 1], r"shape \(num_edges, 2\)"),
        ([[0.0, 1.0]], "integer array"),
        ([[True, False]], "integer array"),
    ],
)
def test_bad_supports_are_refused(edges, message):
    for call in (lambda: orbit_labels(trivial(3), edges=edges), lambda: is_invariant_support(trivial(3), edges)):
        with pytest.raises(ValueError, match=message):
            call()


def test_checked_edges_keep_their_order():
    assert check_edges([[2, 0], [0, 1]], 3).tolist() == [[2, 0], [0, 1]]
    assert check_edges(np.array([[2, 0]], dtype=np.uint8), 3).dtype == np.int64


@pytest.mark.parametrize("order", [1, 3])
def test_a_support_needs_order_two(order):
    with pytest.raises(ValueError, match=f"order={order}"):
        orbit_labels(trivial(3), order=order, edges=[[0, 1]])


@pytest.mark.parametrize("order", [0, -1, 26, 2.0, True, None])
def test_an_order_outside_the_bounds_is_refused(order):
    with pytest.raises(ValueError, match="order must be an integer in 1 … 24"):
        orbit_labels(trivial(3), order=order)


def test_too_many_tuples_are_refused_before_memory_runs_out():
    with pytest.raises(ValueError, match="3-tuples"):
        orbit_labels(trivial(2000), order=3)


@pytest.mark.parametrize("degree", [24, 48, 64])
@pytest.mark.parametrize(
    "family",
    [
        trivial,
        reversal,
        cyclic,
        dihedral,
        symmetric,
        alternating,
        lambda n: wreath_product(symmetric(8), cyclic(n // 8)),
        lambda n: wreath_product(dihedral(4), symmetric(n // 4)),
        lambda n: young_subgroup([list(range(start, n, 3)) for start in range(3)]),
        lambda n: grid_symmetries(8, n // 8, "translations"),
    ],
)
def test_orbitals_of_large_families_equal_those_of_sympy(family, degree):
    group = family(degree)
    np.testing.assert_array_equal(orbit_labels(group), sympy_labels(group, 2))


@given(st.integers(2, 6), st.randoms(use_true_random=False))
def test_refined_labels_agree_where_orbital_and_support_do(n, random):
    labels = orbit_labels(random.choice([cyclic, dihedral, trivial, symmetric])(n))
    pairs = list(itertools.product(range(n), repeat=2))
    edges = random.sample(pairs, random.randint(1, len(pairs)))
    refined = refine_by_support(labels, edges)
    for first, second in itertools.combinations(pairs, 2):
        same = labels[first] == labels[second] and (first in edges) == (second in edges)
        assert (refined[first] == refined[second]) == same
    flat = refined.ravel()
    assert list(dict.fromkeys(flat.tolist())) == list(range(flat.max() + 1))  # numbered by first appearance


@given(st.data())
def test_a_closed_support_holds_all_images_of_its_edges_and_nothing_else(data):
    degree = data.draw(st.integers(1, 6))
    group = PermutationGroup(
        [Permutation(data.draw(st.permutations(range(degree)))) for _ in range(data.draw(st.integers(1, 2)))]
    )
    pairs = list(itertools.product(range(degree), repeat=2))
    edges = data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    elements = [element.array_form for element in group.generate()]
    images = sorted({(form[i], form[j]) for form in elements for i, j in edges})
    closed = close_support(group, edges)
    assert closed.tolist() == [list(pair) for pair in images]
    assert is_invariant_support(group, closed)
    np.testing.assert_array_equal(close_support(group, closed), closed)


def test_a_support_with_a_bad_edge_is_not_closed():
    with pytest.raises(ValueError, match=r"edge 0, \[0, 4\]"):
        close_support(cyclic(4), [[0, 4]])
