"""Decoders of quantum codes: from probabilities of flips to a correction, and whether the correction is right.

A correction must reproduce the outcomes of all parity checks. Hard decisions often do not; made again on the outcomes
that they leave, they mostly do. Ordered statistics decoding (OSD-0, Fossorier and Lin 1995; Panteleev and Kalachev,
Quantum 5, 585, 2021) always does.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ordered_statistics(parity_checks: ArrayLike, syndromes: ArrayLike, probabilities: ArrayLike) -> NDArray[np.uint8]:
    """OSD-0: flip only qubits of the most probable independent set, as the outcomes of the checks demand.

    Args:
        parity_checks: zeros and ones ``(m, n)``.
        syndromes: outcomes ``(N, m)``, zeros and ones.
        probabilities: ``(N, n)``, of each qubit being flipped, or any scores in that order.

    Returns:
        Corrections ``(N, n)``, zeros and ones, whose outcomes are the syndromes.

    Raises:
        ValueError: shapes do not fit, a score is NaN, or no correction has the outcomes of a row.
    """
    checks, syndromes, scores = (np.asarray(array) for array in (parity_checks, syndromes, probabilities))
    num_rows, num_qubits = len(scores), checks.shape[-1]
    _check_shape("probabilities", scores, (num_rows, num_qubits))
    _check_shape("syndromes", syndromes, (num_rows, len(checks)))
    if np.isnan(scores).any():
        raise ValueError(f"probabilities, row {int(np.isnan(scores).any(axis=1).argmax())}: got NaN")
    order = np.argsort(-scores, axis=1, kind="stable")
    # Gauss-Jordan elimination of all rows at once: (N, m, n + 1), the columns in each row's order, then the syndrome.
    columns = checks.astype(bool).T[order].transpose(0, 2, 1)
    system = np.concatenate([columns, syndromes.astype(bool)[:, :, None]], axis=2)
    is_free = np.ones(system.shape[:2], dtype=bool)  # equations without a pivot
    corrections = np.zeros((num_rows, num_qubits), dtype=np.uint8)
    pivots = np.full(system.shape[:2], num_qubits)  # by equation, the qubit that it determines
    for place in range(num_qubits):
        candidates = is_free & system[:, :, place]
        rows = np.flatnonzero(candidates.any(axis=1))
        equations = candidates[rows].argmax(axis=1)
        others = system[rows, :, place]
        others[np.arange(len(rows)), equations] = False
        system[rows] ^= others[:, :, None] & system[rows, equations][:, None, :]
        is_free[rows, equations] = False
        pivots[rows, equations] = order[rows, place]
    impossible = (is_free & system[:, :, -1]).any(axis=1)
    if impossible.any():
        raise ValueError(f"syndromes, row {int(impossible.argmax())}: no correction has these outcomes of the checks")
    rows, equations = np.nonzero(~is_free)
    corrections[rows, pivots[rows, equations]] = system[rows, equations, -1]
    return corrections


def repeated_decisions(
    parity_checks: ArrayLike,
    syndromes: ArrayLike,
    probabilities: ArrayLike,
    predict: Callable[[NDArray[np.int64]], ArrayLike],
    num_rounds: int = 10,
) -> NDArray[np.int64]:
    """Hard decisions, and again hard decisions on the outcomes that the flips so far leave, until they leave none.

    A round flips the qubits that are more probably flipped than not or, where there are none, the most probable one.

    Args:
        parity_checks: zeros and ones ``(m, n)``.
        syndromes: outcomes ``(N, m)``, zeros and ones.
        probabilities: ``(N, n)``, of each qubit being flipped, given the syndromes.
        predict: such probabilities ``(M, n)``, given outcomes ``(M, m)``.
        num_rounds: after so many rounds, rows keep what they leave.

    Returns:
        Corrections ``(N, n)``, zeros and ones.
    """
    checks, left = np.asarray(parity_checks).astype(np.int64), np.asarray(syndromes).astype(np.int64)
    scores = np.array(probabilities)
    corrections = np.zeros(scores.shape, dtype=np.int64)
    for number in range(num_rounds):
        rows = np.flatnonzero(left.any(axis=1))
        if not rows.size:
            break
        if number > 0:
            scores[rows] = predict(left[rows])
        flips = scores[rows] > 0.5
        undecided = ~flips.any(axis=1)
        flips[np.flatnonzero(undecided), scores[rows[undecided]].argmax(axis=1)] = True
        corrections[rows] ^= flips
        left[rows] ^= flips @ checks.T % 2
    return corrections


def is_logical_failure(
    parity_checks: ArrayLike, logical_operators: ArrayLike, errors: ArrayLike, corrections: ArrayLike
) -> NDArray[np.bool_]:
    """Whether each correction fails: it leaves a check violated, or changes a logical qubit.

    Args:
        parity_checks: zeros and ones ``(m, n)``.
        logical_operators: zeros and ones ``(k, n)``.
        errors, corrections: the flips that happened and those that the decoder undoes, zeros and ones ``(N, n)``.

    Returns:
        ``(N,)``; its mean is the logical error rate.

    Raises:
        ValueError: shapes do not fit.
    """
    checks, logicals, errors, corrections = (
        np.asarray(array).astype(np.int64) for array in (parity_checks, logical_operators, errors, corrections)
    )
    _check_shape("logical_operators", logicals, (len(logicals), checks.shape[-1]))
    _check_shape("errors", errors, (len(errors), checks.shape[-1]))
    _check_shape("corrections", corrections, errors.shape)
    return ((errors ^ corrections) @ np.concatenate([checks, logicals]).T % 2).any(axis=1)


def _check_shape(name: str, array: np.ndarray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name} must have shape {expected}, got {array.shape}")
