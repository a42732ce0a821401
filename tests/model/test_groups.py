"""Groups have the degree, the order and the generators that their names promise; bad ones are refused by name."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sympy.combinatorics import AlternatingGroup, DihedralGroup, Permutation, PermutationGroup, SymmetricGroup

from asen_hf import TaskConfig
from asen_hf.model.groups import (
    action_on_subsets,
    alternating,
    array_forms,
    cyclic,
    dihedral,
    direct_product,
    from_array_form,
    from_cycles,
    generators_from_cycles,
    grid_patches,
    grid_symmetries,
    product_action,
    reversal,
    symmetric,
    to_cycles,
    trivial,
    wreath_product,
    young_subgroup,
)
from asen_hf.model.orbits import orbit_labels

FAMILIES = [trivial, symmetric, alternating, cyclic, dihedral, reversal]


@st.composite
def generator_arrays(draw, max_degree=12):
    """Array forms of one to three permutations of the same few points."""
    degree = draw(st.integers(1, max_degree))
    return draw(st.lists(st.permutations(range(degree)), min_size=1, max_size=3))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_every_family_has_exactly_the_degree_asked_for(family, n):
    group = family(n)
    assert isinstance(group, PermutationGroup)
    assert group.degree == n
    assert array_forms(group).shape == (len(group.generators), n)


@pytest.mark.parametrize(
    ("family", "orders"),
    [
        (trivial, [1, 1, 1, 1, 1, 1]),
        (symmetric, [1, 2, 6, 24, 120, 720]),
        (alternating, [1, 1, 3, 12, 60, 360]),
        (cyclic, [1, 2, 3, 4, 5, 6]),
        (dihedral, [1, 2, 6, 8, 10, 12]),
        (reversal, [1, 2, 2, 2, 2, 2]),
    ],
)
def test_orders_of_the_families_for_n_from_1_to_6(family, orders):
    assert [family(n).order() for n in range(1, 7)] == orders


@pytest.mark.parametrize("n", [5, 6])
def test_families_equal_those_of_sympy(n):
    assert symmetric(n).equals(SymmetricGroup(n))
    assert alternating(n).equals(AlternatingGroup(n))
    assert dihedral(n).equals(DihedralGroup(n))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [0, -3, 2.0, True, None])
def test_a_degree_that_is_no_positive_integer_is_refused(family, n):
    with pytest.raises(ValueError, match="at least 1"):
        family(n)


def test_young_subgroup_moves_points_within_their_blocks_only():
    group = young_subgroup([[4, 0], [1, 2, 5], [3]])
    assert group.degree == 6
    assert group.order() == 2 * 6
    assert sorted(map(sorted, group.orbits())) == [[0, 4], [1, 2, 5], [3]]


def test_young_subgroup_has_at_most_two_generators_per_block():
    group = young_subgroup([range(16 * block, 16 * block + 16) for block in range(8)])
    assert group.degree == 128
    assert len(group.generators) == 16


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([[0, 1], [1, 2]], "blocks: point 1 appears twice"),
        ([[0, 1], [3]], "blocks: point 3 is outside 0 … 2"),
        ([[0, -1]], "blocks: point -1 is outside"),
        ([[0, 1.0]], "blocks: point 1.0 is a float"),
        ([], "at least 1"),
        ([range(10**12)], "MAX_DEGREE"),
    ],
)
def test_blocks_that_are_no_partition_are_refused(blocks, message):
    with pytest.raises(ValueError, match=message):
        young_subgroup(blocks)


def test_direct_product_acts_on_the_disjoint_union():
    group = direct_product(trivial(1), symmetric(3), cyclic(2))
    assert group.degree == 6
    assert group.order() == 12
    assert sorted(map(sorted, group.orbits())) == [[0], [1, 2, 3], [4, 5]]
    assert direct_product(trivial(2), trivial(1)).order() == 1


def test_direct_product_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        direct_product()


@pytest.mark.parametrize(
    ("inner", "outer", "order"),
    [
        (symmetric(5), symmetric(2), 28_800),
        (cyclic(3), trivial(2), 9),
        (trivial(3), symmetric(2), 2),
        (symmetric(2), direct_product(cyclic(2), trivial(1), cyclic(3)), 2**6 * 6),
        (cyclic(1), dihedral(5), 10),
    ],
)
def test_wreath_product_has_order_inner_to_the_degree_of_outer_times_outer(inner, outer, order):
    group = wreath_product(inner, outer)
    assert group.degree == inner.degree * outer.degree
    assert group.order() == order


def test_wreath_product_keeps_consecutive_blocks_together():
    for form in array_forms(wreath_product(symmetric(3), cyclic(4))):
        blocks = form.reshape(4, 3) // 3
        assert (blocks == blocks[:, :1]).all()


@pytest.mark.parametrize(
    ("height", "width", "kind", "order"),
    [
        (2, 3, "flips", 4),
        (3, 3, "flips", 4),
        (3, 3, "rotations", 4),
        (2, 3, "rotations", 2),
        (3, 3, "dihedral", 8),
        (3, 4, "translations", 12),
        (1, 5, "translations", 5),
        (1, 1, "dihedral", 1),
    ],
)
def test_grid_symmetries_have_the_expected_order(height, width, kind, order):
    group = grid_symmetries(height, width, kind)
    assert group.degree == height * width
    assert group.order() == order


def test_grid_points_are_numbered_row_by_row():
    flips = {tuple(form) for form in array_forms(grid_symmetries(2, 3, "flips"))}
    assert flips == {(3, 4, 5, 0, 1, 2), (2, 1, 0, 5, 4, 3)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 3, "dihedral"), "square"),
        ((2, 2, "shears"), "shears"),
        ((0, 2, "flips"), "at least 1"),
        ((2, 0, "flips"), "1"),
    ],
)
def test_grids_without_such_symmetries_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid_symmetries(*arguments)


@given(generator_arrays())
def test_cycles_and_groups_convert_into_each_other(arrays):
    group = from_array_form(arrays)
    cycles = json.loads(json.dumps(to_cycles(group)))
    again = from_cycles(cycles, group.degree)
    np.testing.assert_array_equal(array_forms(again), array_forms(group))
    assert to_cycles(again) == cycles


@given(generator_arrays())
def test_array_forms_from_cycles_agree_with_sympy(arrays):
    cycles = [Permutation(form).full_cyclic_form for form in arrays]
    np.testing.assert_array_equal(generators_from_cycles(cycles, len(arrays[0])), arrays)


def test_a_cycle_sends_each_point_to_the_next():
    assert generators_from_cycles([[[0, 2, 3]], [[1, 4], [3, 2]]], 5).tolist() == [[2, 1, 3, 0, 4], [0, 4, 3, 2, 1]]


def test_to_cycles_leaves_out_the_identity_and_fixed_points():
    assert to_cycles(trivial(4)) == []
    assert to_cycles(from_cycles([[], [[3, 1]], [[2]], [[0, 2], [1]]], 4)) == [[[1, 3]], [[0, 2]]]
    assert to_cycles(from_array_form(np.array([[1, 0, 2]]))) == [[[0, 1]]]


def test_no_generators_give_the_trivial_group():
    assert generators_from_cycles([], 3).shape == (0, 3)
    assert from_cycles([], 3).order() == 1
    assert from_array_form([[0, 1], [0, 1]]).order() == 1


@pytest.mark.parametrize(
    ("cycles", "message"),
    [
        ([[[0, 1]], [[1, 4]]], "generator 1: point 4 is outside 0 … 3"),
        ([[[0, -1]]], "generator 0: point -1 is outside"),
        ([[[0, 1], [2, 1]]], "generator 0: point 1 appears twice"),
        ([[[3, 3]]], "generator 0: point 3 appears twice"),
        ([[[0, 1.0]]], "generator 0: point 1.0 is a float"),
        ([[[0, float("nan")]]], "generator 0: point nan is a float"),
        ([[[0, True]]], "generator 0: point True is a bool"),
        ([[[0, "1"]]], "generator 0: point '1' is a str"),
        ([[[0, None]]], "generator 0: point None"),
        ([[[0, 10**30]]], "is outside"),
        ([[0, 1], [2, 3]], r"generator 0 is \[0, 1\].*is written \[\[\[0, 1\], \[2, 3\]\]\]"),
        ([["01"]], "generator 0: expected a list of points"),
        (["01"], "generator 0: expected a list of cycles"),
        ("01", "expected a list of generators"),
        (None, "expected a list of generators"),
    ],
)
@pytest.mark.parametrize("function", [from_cycles, generators_from_cycles])
def test_cycles_that_are_no_permutation_are_refused(function, cycles, message):
    with pytest.raises(ValueError, match=message):
        function(cycles, 4)


@pytest.mark.parametrize(
    ("forms", "message"),
    [
        ([[1, 0, 2], [0, 0, 1]], "generator 1: point 0 appears twice"),
        ([[1, 2, 3]], "generator 0: point 3 is outside 0 … 2"),
        ([[1, 0], [1, 2, 0]], "generator 1 has length 3"),
        ([[0.0, 1.0]], "generator 0: point 0.0 is a float"),
        ([np.array([True, False])], "generator 0: point .* is a bool"),
        ([1, 0], "generator 0 is 1"),
        ([[]], "at least 1"),
        ([], "at least one generator"),
    ],
)
def test_array_forms_that_are_no_permutation_are_refused(forms, message):
    with pytest.raises(ValueError, match=message):
        from_array_form(forms)


def test_grid_patches_exchange_points_within_each_patch_only():
    group = grid_patches(4, 6, 2, 3)
    assert sorted(map(sorted, group.orbits())) == [
        [0, 1, 2, 6, 7, 8],
        [3, 4, 5, 9, 10, 11],
        [12, 13, 14, 18, 19, 20],
        [15, 16, 17, 21, 22, 23],
    ]
    assert group.order() == 720**4


@pytest.mark.parametrize("sides", [(4, 6, 2, 3), (5, 7, 2, 3), (3, 3, 5, 2), (1, 4, 1, 3), (2, 2, 1, 1)])
def test_patches_hold_the_points_whose_coordinates_agree_after_division_and_the_last_may_be_ragged(sides):
    height, width, rows, columns = sides
    patches: dict[tuple[int, int], list[int]] = {}
    for row, column in itertools.product(range(height), range(width)):
        patches.setdefault((row // rows, column // columns), []).append(row * width + column)
    group = grid_patches(*sides)
    assert group.degree == height * width
    assert sorted(map(sorted, group.orbits())) == sorted(patches.values())
    assert group.order() == math.prod(math.factorial(len(patch)) for patch in patches.values())


@pytest.mark.parametrize("patch", [(0, 3), (-2, 3), (2, 0), (2, 1.5), (True, 1)])
def test_patches_without_sides_are_refused(patch):
    with pytest.raises(ValueError, match="must be an integer of at least 1"):
        grid_patches(4, 6, *patch)


def elements(group):
    return {tuple(element.array_form) for element in group.elements}


@pytest.mark.parametrize("factors", [[cyclic(3)], [cyclic(3), symmetric(2)], [reversal(2), cyclic(3), dihedral(2)]])
def test_the_product_action_moves_coordinates_apart(factors):
    points = list(itertools.product(*(range(group.degree) for group in factors)))
    expected = {
        tuple(points.index(tuple(g[i] for g, i in zip(chosen, point, strict=True))) for point in points)
        for chosen in itertools.product(*map(elements, factors))
    }
    assert elements(product_action(*factors)) == expected


def test_factors_of_degree_1_leave_a_product_action_as_it_is_however_many_they_are():
    group = product_action(*[trivial(1)] * 70, cyclic(3), trivial(1), symmetric(2))
    np.testing.assert_array_equal(array_forms(group), array_forms(product_action(cyclic(3), symmetric(2))))
    assert product_action(trivial(1), trivial(1)).degree == 1


def test_sudoku_is_a_product_action_of_rows_columns_and_digits():
    lines = wreath_product(symmetric(3), symmetric(3))
    sudoku = product_action(lines, lines, symmetric(9))
    assert sudoku.degree == 729 and sudoku.is_transitive()
    labels = orbit_labels(sudoku)
    assert labels.max() + 1 == 3 * 3 * 2


@pytest.mark.parametrize(("group", "k"), [(cyclic(5), 2), (dihedral(4), 3), (symmetric(4), 1), (cyclic(6), 6)])
def test_the_action_on_subsets_moves_subsets_in_lexicographic_order(group, k):
    subsets = list(itertools.combinations(range(group.degree), k))
    expected = {
        tuple(subsets.index(tuple(sorted(g[i] for i in subset))) for subset in subsets) for g in elements(group)
    }
    assert elements(action_on_subsets(group, k)) == expected


@pytest.mark.parametrize("k", [0, 5, -1, 1.0, True])
def test_subsets_have_between_one_and_all_points(k):
    with pytest.raises(ValueError, match=r"k must be an integer in 1 … 4"):
        action_on_subsets(cyclic(4), k)


def test_a_product_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one group"):
        product_action()


FORMS = {
    "array": np.asarray,
    "small integers": lambda lists: np.asarray(lists, dtype=np.uint8),
    "tensor": torch.tensor,
    "list of arrays": lambda lists: [np.asarray(entry) for entry in lists],
    "list of tensors": lambda lists: [torch.tensor(entry) for entry in lists],
    "tuples": lambda lists: tuple(map(tuple, lists)),
}
TAKERS = {
    "from_array_form": (from_array_form, [[1, 0, 2], [1, 2, 0]]),
    "young_subgroup": (young_subgroup, [[0, 3], [1, 2]]),
    "from_cycles": (lambda cycles: from_cycles(cycles, 4), [[[0, 1], [2, 3]], [[0, 2], [1, 3]]]),
    "cycles of arrays": (lambda cycles: from_cycles([cycles], 4), [[0, 1], [2, 3]]),
    "TaskConfig": (lambda cycles: TaskConfig(degree=4, generators=[cycles], num_features=1), [[0, 1], [2, 3]]),
}


@pytest.mark.parametrize(("take", "lists"), TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_points_may_be_lists_arrays_and_tensors(take, lists, form):
    assert take(form(lists)) == take(lists)


@pytest.mark.parametrize("function", [from_array_form, young_subgroup, lambda cycles: from_cycles(cycles, 4)])
@pytest.mark.parametrize(
    "points",
    [
        *(np.zeros((1, 2, 2)), torch.zeros(1, 2, 2), np.array(3), torch.tensor(3), torch.zeros(2, 2, device="meta")),
        *(np.broadcast_to(0, (10**6, 10**6)), torch.zeros(2, 2).to_sparse(), np.array([[True, False]]), np.array("a")),
    ],
)
def test_arrays_that_hold_no_points_are_refused(function, points):
    with pytest.raises(ValueError, match=" "):
        function(points)
