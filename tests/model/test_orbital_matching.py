"""Orbitals are described by what they are, not by how points are numbered, and matched with their like elsewhere."""

import numpy as np
import pytest

from asen_hf.model.group_notation import parse_group
from asen_hf.model.groups import array_forms, from_array_form, from_cycles
from asen_hf.model.orbital_matching import match_orbitals
from asen_hf.model.orbital_signatures import orbital_signatures
from asen_hf.model.orbits import orbit_labels

GROUPS = ["E1", "E4", "S6", "A5", "C7", "D8", "R9", "S1 x S5", "S3 x C4", "S4 wr S2", "C3 wr C4", "grid 3x4 flips"]
every_group = pytest.mark.parametrize("group", GROUPS)
TRANSITIVITY, COMPLEMENT, ALONG, EITHER_WAY = 8, 9, slice(10, 16), slice(16, 22)
DIAGONAL, SAME, OTHER = 0, 1, 2  # the orbitals of S_a wr S_b, in the order of their labels


def labels_of(group: str) -> np.ndarray:
    return orbit_labels(parse_group(group))


def matrices(group: str) -> list[np.ndarray]:
    labels = labels_of(group)
    return [(labels == label).astype(float) for label in range(labels.max() + 1)]


def transitivity(matrix: np.ndarray, start: int) -> float:
    """By loops: of all walks start → j → l that do not come back, the share that a step start → l closes."""
    points = range(len(matrix))
    walks = [(j, end) for j in points for end in points if end != start and matrix[start, j] * matrix[j, end]]
    return sum(matrix[start, end] for _, end in walks) / max(len(walks), 1)


# Signatures


@every_group
def test_returns_equal_traces_of_matrix_powers(group):
    signatures = orbital_signatures(labels_of(group))
    for matrix, signature in zip(matrices(group), signatures, strict=True):
        either = np.maximum(matrix, matrix.T)
        is_target = matrix.sum(axis=1) > 0
        for columns, walk in ((ALONG, matrix), (EITHER_WAY, either)):
            radius = walk.sum(axis=1).max() if columns == ALONG else abs(np.linalg.eigvalsh(walk)).max()
            powers = [np.linalg.matrix_power(walk / radius, m).diagonal()[is_target] for m in range(1, 7)]
            # All targets return alike, so one stands for them.
            np.testing.assert_allclose(
                np.transpose(powers), np.tile(signature[columns], (is_target.sum(), 1)), atol=1e-12
            )


@pytest.mark.parametrize("group", ["S6", "C7", "D8", "S4 wr S2", "C3 wr C4"])
def test_of_a_transitive_group_they_are_the_normalised_traces_over_all_points(group):
    for matrix, signature in zip(matrices(group), orbital_signatures(labels_of(group)), strict=True):
        either = np.maximum(matrix, matrix.T)
        for columns, walk in ((ALONG, matrix), (EITHER_WAY, either)):
            step = walk / walk[0].sum()
            traces = [np.trace(np.linalg.matrix_power(step, m)) / len(walk) for m in range(1, 7)]
            np.testing.assert_allclose(signature[columns], traces, atol=1e-12)


@every_group
def test_transitivity_equals_that_of_plain_loops(group):
    for matrix, signature in zip(matrices(group), orbital_signatures(labels_of(group)), strict=True):
        touched = np.flatnonzero(matrix.any(axis=0) | matrix.any(axis=1))
        complement = 1 - np.maximum(np.maximum(matrix, matrix.T), np.eye(len(matrix)))[np.ix_(touched, touched)]
        for start in np.flatnonzero(matrix.any(axis=1)):
            assert signature[TRANSITIVITY] == pytest.approx(transitivity(matrix, start))
            number = int(np.searchsorted(touched, start))
            assert signature[COMPLEMENT] == pytest.approx(transitivity(complement, number))


@every_group
def test_valencies_converses_and_orbit_sizes_are_as_counted(group):
    labels = labels_of(group)
    for matrix, signature in zip(matrices(group), orbital_signatures(labels), strict=True):
        n, (targets, sources) = len(matrix), np.nonzero(matrix)
        valency, num_targets, num_sources = matrix[targets[0]].sum(), len(set(targets)), len(set(sources))
        expected = [
            bool((targets == sources).all()),
            bool((matrix == matrix.T).all()),
            *(valency, valency / n, np.log(valency)),
            *(num_targets / n, num_sources / n, 1 / num_targets),
        ]
        np.testing.assert_allclose(signature[:8], expected)


@every_group
def test_signatures_do_not_depend_on_how_points_are_numbered(group):
    group = parse_group(group)
    numbering = np.random.default_rng(group.degree).permutation(group.degree)
    conjugate = [numbering[form[np.argsort(numbering)]].tolist() for form in array_forms(group)]
    labels, other = orbit_labels(group), orbit_labels(from_array_form(conjugate))
    renumbered = other[np.ix_(numbering, numbering)]  # the same pairs in the first numbering
    first = np.unique(labels, return_index=True)[1]
    found = orbital_signatures(other)[renumbered.ravel()[first]]
    assert np.array_equal(found, orbital_signatures(labels))  # bit for bit: walks are counted in whole numbers


def test_orders_tell_shifts_apart_that_structure_cannot():
    labels = labels_of("C7")
    assert len(np.unique(orbital_signatures(labels)[1:], axis=0)) == 1
    shifts = orbital_signatures(labels, ordered="ring")[:, -1]
    np.testing.assert_allclose(np.sign(shifts) * np.expm1(abs(shifts)), [0, 1, 2, 3, -3, -2, -1])
    on_a_line = orbital_signatures(labels_of("E4"), ordered="line")
    assert len(np.unique(on_a_line, axis=0)) == 16


def test_distances_on_a_line_are_those_of_the_pairs():
    labels = labels_of("S2 x S3")  # between the blocks: i in {0, 1}, j in {2, 3, 4}
    smallest, mean, largest, shift = np.expm1(orbital_signatures(labels, ordered="line")[labels[0, 2], -8:-4])
    np.testing.assert_allclose([smallest, mean, largest, shift], [1, 2.5, 4, 0])
    target, from_middle, source, _ = orbital_signatures(labels, ordered="line")[labels[0, 2], -4:]
    np.testing.assert_allclose([target, from_middle, source], [-1.5 / 5, 1.5 / 5, 1 / 5])


@pytest.mark.parametrize("group", ["E200", "C200", "S100 wr S2"])
def test_two_hundred_points_take_seconds_whatever_the_rank(group):
    labels = labels_of(group)
    match = match_orbitals(labels, labels, ordered="line")
    np.testing.assert_allclose(match.distances, 0)


# Matching


@pytest.mark.parametrize("donor", ["S4 wr S2", "S6 wr S2"])
@pytest.mark.parametrize("target", ["S5 wr S2", "S7 wr S2", "S10 wr S2", "S4 wr S3", "S3 wr S4"])
def test_blocks_match_blocks_of_other_sizes_and_numbers(target, donor):
    match = match_orbitals(labels_of(target), labels_of(donor))
    assert match.donor_rows.tolist() == [DIAGONAL, SAME, OTHER]
    assert (match.distances < 0.6).all()
    assert (match.ties, match.fresh, match.sentence) == ((), (), "")


@pytest.mark.parametrize("target", ["S5 x S5", "S7 x S7"])
def test_blocks_that_cannot_be_exchanged_share_rows_and_people_are_told(target):
    labels = labels_of(target)
    match = match_orbitals(labels, labels_of("S4 wr S2"))
    n = len(labels)
    roles = {DIAGONAL: [(0, 0), (n - 1, n - 1)], SAME: [(0, 1), (n - 2, n - 1)], OTHER: [(0, n - 1), (n - 1, 0)]}
    for role, pairs in roles.items():
        assert [match.donor_rows[labels[pair]] for pair in pairs] == [role, role]
    assert {frozenset(tie) for tie in match.ties} == {frozenset({0, 4}), frozenset({1, 5}), frozenset({2, 3})}
    assert "more symmetry" in match.sentence
    assert "{0, 4}" in match.sentence


def test_rings_match_by_distance_around_the_ring():
    match = match_orbitals(labels_of("D12"), labels_of("D8"), ordered="ring")
    assert match.donor_rows[:4].tolist() == [0, 1, 2, 3]
    assert match.donor_rows[6] == 4  # half-way round: the one orbital of valency 1
    match = match_orbitals(labels_of("C12"), labels_of("C8"), ordered="ring")
    assert match.donor_rows[[0, 1, 2, 3, 9, 10, 11]].tolist() == [0, 1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize("n", [7, 9, 10, 11, 14, 15, 20])
def test_near_neighbours_stay_near_neighbours_whatever_their_cycles(n):
    match = match_orbitals(labels_of(f"D{n}"), labels_of("D12"), ordered="ring")
    assert match.donor_rows[:4].tolist() == [0, 1, 2, 3]


def test_without_the_order_shifts_tie():
    match = match_orbitals(labels_of("C7"), labels_of("C5"))
    assert match.ties == ((1, 2, 3, 4, 5, 6),)
    assert match.donor_rows.tolist() == [0, 1, 1, 1, 1, 1, 1]  # of equally near rows the first


@pytest.mark.parametrize(("target", "donor"), [("R10", "S4 wr S2"), ("D10", "S8"), ("C10", "S8"), ("E5", "S5")])
def test_unlike_donors_give_fresh_rows_and_people_are_told(target, donor):
    match = match_orbitals(labels_of(target), labels_of(donor))
    others = labels_of(target)[~np.eye(len(labels_of(target)), dtype=bool)]
    assert (match.donor_rows[others] == -1).all()
    assert set(others) == set(match.fresh) - set(labels_of(target).diagonal())
    assert f"{len(match.fresh)} of {len(match.donor_rows)} orbitals resemble none" in match.sentence


def test_max_distance_decides_what_is_too_far():
    target, donor = labels_of("S4 wr S3"), labels_of("S4 wr S2")
    distances = match_orbitals(target, donor).distances
    assert match_orbitals(target, donor, max_distance=distances[OTHER] - 1e-6).fresh == (OTHER,)
    assert match_orbitals(target, donor, max_distance=distances[OTHER] + 1e-6).fresh == ()
    np.testing.assert_array_equal(match_orbitals(target, donor, max_distance=0).distances, distances)


@every_group
def test_a_group_matches_itself_at_distance_zero(group):
    labels = labels_of(group)
    match = match_orbitals(labels, labels)
    assert (match.distances == 0).all()
    assert np.array_equal(orbital_signatures(labels)[match.donor_rows], orbital_signatures(labels))


@pytest.mark.parametrize(("target", "donor"), [("S3 x C4", "D8"), ("E5", "S5"), ("S1 x S5", "S4 wr S2"), ("S5", "E1")])
def test_diagonal_orbitals_match_diagonal_ones_only(target, donor):
    target_labels, donor_labels = labels_of(target), labels_of(donor)
    match = match_orbitals(target_labels, donor_labels, max_distance=np.inf)
    is_diagonal = np.isin(np.arange(target_labels.max() + 1), target_labels.diagonal())
    found = np.isin(match.donor_rows, donor_labels.diagonal())
    assert np.array_equal(found, is_diagonal)
    assert (match.distances[match.donor_rows < 0] == np.inf).all()  # one point has no other pairs


# Names


def test_names_come_before_structure():
    target, donor = labels_of("S5 wr S2"), labels_of("S4 wr S2")
    names = ["itself", "near", "far"]
    assert match_orbitals(target, donor, names, ["itself", "far", "near"]).donor_rows.tolist() == [0, 2, 1]
    assert match_orbitals(target, donor, names, None).donor_rows.tolist() == [0, 1, 2]
    assert match_orbitals(target, donor, names, ["a", "near", "b"]).donor_rows.tolist() == [0, 1, 2]


def test_named_orbitals_match_however_far_and_sentences_use_the_names():
    target, donor = labels_of("C5"), labels_of("S5")
    names = ["itself", "next", "next", "before", "before"]
    match = match_orbitals(target, donor, names, ["itself", "next"])
    assert match.donor_rows.tolist() == [0, 1, 1, -1, -1]
    assert match.ties == ((1, 2),)
    assert "{1 (next), 2 (next)}" in match.sentence
    assert "3 (before), 4 (before)" in match.sentence


def test_of_several_orbitals_of_one_name_the_nearest_is_taken():
    names = ["itself", "block", "block"]
    match = match_orbitals(labels_of("S5 wr S2"), labels_of("S4 wr S2"), names, names)
    assert match.donor_rows.tolist() == [DIAGONAL, SAME, OTHER]


# Errors


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 3), int), r"expected integer orbit labels \(n, n\), got int64 of shape \(2, 3\)"),
        (np.zeros((0, 0), int), "shape"),
        (np.zeros((2, 2)), "float64"),
        (np.array([[0, 2], [2, 0]]), "each used"),
        (np.array([[-1, 0], [0, -1]]), "each used"),
        (np.zeros((3, 3), int), "not the orbitals of a group"),
        (np.array([[0, 1, 2], [1, 0, 1], [1, 2, 0]]), "not the orbitals of a group"),
        (np.array([[0, 1, 2], [1, 0, 1], [2, 1, 3]]), "not the orbitals of a group"),
        (np.cumsum(1 - np.eye(30, dtype=int)).reshape(30, 30) * (1 - np.eye(30, dtype=int)), "not the orbitals"),
    ],
)
def test_labels_that_are_no_groups_orbitals_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        orbital_signatures(labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_names": ["a", "b"]}, "target_names: expected a name for each of the 3 orbitals, got 2"),
        ({"donor_names": ["a"] * 4}, "donor_names: expected a name for each of the 3 orbitals, got 4"),
        (
            {"target_names": ["a", "b", "c"], "donor_names": ["b", "a", "c"]},
            "'a' is given to both diagonal and off-diag",
        ),
        ({"ordered": "grid"}, "ordered must be None, 'line' or 'ring', got 'grid'"),
        ({"max_distance": -1.0}, "max_distance must be at least 0, got -1.0"),
        ({"max_distance": float("nan")}, "max_distance must be at least 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        match_orbitals(labels_of("S3 wr S2"), labels_of("S4 wr S2"), **arguments)


def test_each_side_is_named_in_errors():
    good, bad = labels_of("S3"), np.zeros((3, 3), int)
    with pytest.raises(ValueError, match="target: these labels"):
        match_orbitals(bad, good)
    with pytest.raises(ValueError, match="donor: these labels"):
        match_orbitals(good, bad)


def test_permutations_of_one_point_have_one_orbital():
    match = match_orbitals(orbit_labels(from_cycles([], 1)), labels_of("S5"))
    assert match.donor_rows.tolist() == [0]
