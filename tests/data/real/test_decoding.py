"""OSD-0 and logical failures, against elimination row by row and exhaustive search."""

import itertools

import numpy as np
import pytest

from asen_hf.data.real.decoding import is_logical_failure, ordered_statistics, repeated_decisions
from tests.data.real.made_files import bicycle_checks

HAMMING = np.array([[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]])


def rank(columns):
    """Rank over GF(2) of integers, each a column's bits."""
    basis = []
    for column in columns:
        for vector in basis:
            column = min(column, column ^ vector)
        if column:
            basis.append(column)
    return len(basis)


def slow_osd(checks, syndrome, scores):
    """The most probable independent qubits, chosen greedily, then the one solution on them by trying all."""
    numbers = [int("".join(map(str, column)), 2) for column in checks.T.tolist()]
    chosen = []
    for qubit in sorted(range(len(numbers)), key=lambda qubit: -scores[qubit]):
        if rank([numbers[other] for other in [*chosen, qubit]]) > len(chosen):
            chosen.append(qubit)
    for bits in itertools.product([0, 1], repeat=len(chosen)):
        correction = np.zeros(len(numbers), dtype=int)
        correction[chosen] = bits
        if (checks @ correction % 2 == syndrome).all():
            return correction
    raise AssertionError("no solution")


@pytest.mark.parametrize("size", [(3, 7), (5, 9), (6, 6), (4, 12)])
def test_osd_is_the_solution_on_the_most_probable_independent_qubits(size):
    rng = np.random.default_rng(sum(size))
    for checks in (rng.integers(2, size=size) for _ in range(5)):
        scores = rng.permuted(np.tile(np.arange(size[1]), (20, 1)), axis=1) / size[1]
        syndromes = rng.integers(2, size=(20, size[1])) @ checks.T % 2
        found = ordered_statistics(checks, syndromes, scores)
        expected = [slow_osd(checks, *row) for row in zip(syndromes, scores, strict=True)]
        np.testing.assert_array_equal(found, expected)


def test_on_the_bicycle_code_every_syndrome_is_met_and_sure_errors_are_found():
    _, checks, _ = bicycle_checks()  # 36 checks of rank 30
    rng = np.random.default_rng(0)
    errors = (rng.random((200, 72)) < 0.06).astype(int)
    syndromes = errors @ checks.T % 2
    found = ordered_statistics(checks, syndromes, rng.random((200, 72)))
    np.testing.assert_array_equal(found @ checks.T.astype(np.uint8) % 2, syndromes)
    is_independent = [
        rank([int("".join(map(str, column)), 2) for column in checks.T[row > 0].tolist()]) == row.sum()
        for row in errors
    ]
    sure = ordered_statistics(checks, syndromes, errors.astype(float))
    assert sum(is_independent) > 150
    np.testing.assert_array_equal(sure[is_independent], errors[is_independent])


def test_a_correction_may_differ_from_the_error_by_a_stabiliser_only():
    checks = np.array([[1, 1, 0, 0], [0, 0, 1, 1]])
    logicals = np.array([[1, 0, 1, 0]])
    error = np.array([1, 0, 0, 0])
    for correction in itertools.product([0, 1], repeat=4):
        left = error ^ correction
        expected = (left[0] != left[1]) or (left[2] != left[3]) or (left[0] != left[2])
        assert is_logical_failure(checks, logicals, [error], [correction]).tolist() == [expected]


@pytest.mark.parametrize(
    "syndromes, scores, message",
    [
        ([[0, 0]], np.zeros((1, 7)), r"syndromes must have shape \(1, 3\), got \(1, 2\)"),
        ([[0, 0, 0]], np.zeros((1, 6)), r"probabilities must have shape \(1, 7\)"),
        (np.zeros((2, 3)), [[0.5] * 7, [np.nan] * 7], "probabilities, row 1: got NaN"),
    ],
)
def test_bad_input_is_refused(syndromes, scores, message):
    with pytest.raises(ValueError, match=message):
        ordered_statistics(HAMMING, syndromes, scores)


def test_a_syndrome_that_no_error_has_is_refused():
    with pytest.raises(ValueError, match="syndromes, row 1: no correction has these outcomes"):
        ordered_statistics(np.array([[1, 1], [1, 1]]), [[1, 1], [1, 0]], np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"corrections must have shape \(1, 7\)"):
        is_logical_failure(HAMMING, HAMMING[:1], np.zeros((1, 7)), np.zeros((2, 7)))


def test_repeated_decisions_are_those_of_a_loop_over_shots():
    checks = np.random.default_rng(0).integers(2, size=(6, 10))
    flips = np.random.default_rng(1).random((40, 10)) < 0.2
    syndromes = flips @ checks.T % 2
    weights = np.random.default_rng(2).normal(size=(6, 10))

    def predict(outcomes):
        return 1 / (1 + np.exp(-outcomes @ weights))

    expected = np.zeros((40, 10), dtype=int)
    for row, syndrome in enumerate(syndromes):
        left = syndrome.copy()
        for _ in range(4):
            if left.any():
                scores = predict(left)
                chosen = scores > 0.5 if (scores > 0.5).any() else scores == scores.max()
                expected[row] ^= chosen
                left = (left + checks @ chosen) % 2
    found = repeated_decisions(checks, syndromes, predict(syndromes), predict, num_rounds=4)
    np.testing.assert_array_equal(found, expected)
    assert not found[~syndromes.any(axis=1)].any() and found[syndromes.any(axis=1)].any()


def test_a_flip_that_is_found_per_round_adds_up_to_the_error():
    checks = np.eye(5, dtype=int)  # every check is of one qubit
    flips = np.random.default_rng(0).integers(2, size=(30, 5))
    calls = []

    def predict(left):
        """Sure of one flip of what is left, the first."""
        calls.append(len(left))
        return np.where(np.arange(5) == left.argmax(axis=1)[:, None], 0.9, 0.1)

    np.testing.assert_array_equal(repeated_decisions(checks, flips, predict(flips), predict), flips)
    assert calls == [30] + [(flips.sum(axis=1) > number).sum() for number in range(1, flips.sum(axis=1).max())]
    few = repeated_decisions(checks, flips, predict(flips), predict, num_rounds=2)
    np.testing.assert_array_equal(few.sum(axis=1), np.minimum(flips.sum(axis=1), 2))
