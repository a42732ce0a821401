"""Rejection sampling, shared by all synthetic tasks: rows that are accepted, distinct or balanced over labels."""

from collections.abc import Callable, Sequence

import numpy as np

_SMALLEST_BATCH, _LARGEST_BATCH = 4096, 1 << 18
# Bounds the work: a label that one proposal in a few thousand carries is still found.
_MAX_ROUNDS = 200


def collect_rows(
    propose: Callable[[int], np.ndarray],
    num_rows: int,
    *,
    classify: Callable[[np.ndarray], np.ndarray] | None = None,
    classes: Sequence[int] = (),
    distinct: bool = False,
) -> np.ndarray:
    """Accepted rows from repeated proposals, until there are enough.

    Args:
        propose: ``propose(m)`` draws m rows and returns the accepted ones, ``(≤ m, n)``.
        num_rows: number of rows to collect.
        classify: returns each row's class ``(N,)``. The result then holds equal shares of ``classes``, class by class;
            if the shares cannot be equal, the first classes get one extra row.
        distinct: leave out repeated rows.

    Returns:
        Array ``(num_rows, n)`` of the rows' own type.

    Raises:
        ValueError: when a bounded number of proposals does not yield enough rows; says how many were found and, with
            ``classify``, which class is too rare.
    """
    batch = min(max(num_rows, _SMALLEST_BATCH), _LARGEST_BATCH)
    rounds = _MAX_ROUNDS * -(-num_rows // batch) + 1
    shares = {value: (num_rows + len(classes) - 1 - rank) // len(classes) for rank, value in enumerate(classes)}
    rows = propose(0)
    for _ in range(rounds):
        rows = np.concatenate([rows, propose(batch)])
        if distinct:
            rows = _without_repeats(rows)
        if classify is None:
            rows = rows[:num_rows]
        else:
            found = classify(rows)
            rows = rows[np.concatenate([np.flatnonzero(found == value)[:share] for value, share in shares.items()])]
        if len(rows) == num_rows:
            return rows
    kind = "distinct rows" if distinct else "rows"
    draws = f"among {rounds * batch:,} draws"
    if classify is None:
        raise ValueError(f"only {len(rows)} of {num_rows} {kind} were found {draws}")
    counts = {value: int((classify(rows) == value).sum()) for value in shares}
    rarest = min(shares, key=lambda value: counts[value] / max(shares[value], 1))
    raise ValueError(f"label {rarest} is too rare: only {counts[rarest]} of {shares[rarest]} {kind} were found {draws}")


def _without_repeats(rows: np.ndarray) -> np.ndarray:
    """The rows without later copies of an earlier one, in their order."""
    first = np.unique(rows, axis=0, return_index=True)[1]
    return rows[np.sort(first)]
