"""Which rows are for training, for validation and for testing: sizes of splits, and the choice of their rows."""

import datetime
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from ..model._messages import shortened, shown
from ._cells import MISSING_TEXTS
from .seeding import random_generator

SPLITS = ("train", "validation", "test")
HELD_OUT_PERCENT = 15


def split_sizes(num_rows: int, held_out: Sequence[str] = ("validation", "test")) -> dict[str, int]:
    """Rows of the train split and of each held-out split, 15 % each: 1750, 375 and 375 of 2,500.

    Raises:
        ValueError: if ``num_rows`` is not an integer, or leaves a split empty.
    """
    if not isinstance(num_rows, numbers.Integral):
        raise ValueError(f"num_rows must be an integer, got {shown(num_rows)}")
    num_rows = int(num_rows)
    train_percent = 100 - HELD_OUT_PERCENT * len(held_out)
    sizes = {"train": round(train_percent * num_rows / 100)}
    sizes |= {name: round(HELD_OUT_PERCENT * num_rows / 100) for name in held_out}
    if held_out:
        sizes[held_out[-1]] += num_rows - sum(sizes.values())
    if min(sizes.values()) < 1:
        raise ValueError(f"{num_rows} rows are too few to split into train, {', '.join(held_out)}: {sizes}")
    return sizes


def proportional_sizes(task: str, available: Mapping[str, int], num_rows: int | None) -> dict[str, int]:
    """Number of rows per split, in proportion, for about ``num_rows`` in total; ``None`` for all rows.

    Raises:
        ValueError: if there are fewer rows, or a split would be empty; names the task.
    """
    total = sum(available.values())
    num_rows = total if num_rows is None else num_rows
    sizes = {split: round(num_rows * size / total) for split, size in available.items()}
    if num_rows > total or min(sizes.values()) < 1:
        raise ValueError(
            f"{task}: num_rows must leave rows in every split and be at most {total}, got {shown(num_rows)}"
        )
    return sizes


def split_rows(keys: np.ndarray, held_out: Sequence[str], seed: int, what: str = "inputs") -> dict[str, np.ndarray]:
    """Random row numbers for train and held-out splits, 15 % each; sizes may be off where rows go together.

    Args:
        keys: ``(N,)``; rows with equal keys go together.
        held_out: names of the splits to take.
        seed: of the random choice.
        what: meaning of the keys, for messages.

    Raises:
        ValueError: too few rows, or too few different keys.
    """
    return _cut(keys, held_out, what, seed)


def split_by_time(times: np.ndarray, held_out: Sequence[str]) -> dict[str, np.ndarray]:
    """Row numbers for splits that follow each other in time, each in order of time; equal times go together.

    Raises:
        ValueError: too few rows, or too few different times.
    """
    return _cut(times, held_out, "times", None)


def _cut(keys: np.ndarray, held_out: Sequence[str], what: str, seed: int | None) -> dict[str, np.ndarray]:
    """Cut the rows into splits, in the order of their keys, or with a seed in a random order of keys."""
    sizes = split_sizes(len(keys), held_out)
    # Numbered by first appearance, so that rows in other units or of less precision are split in the same way.
    group, unique = pandas.factorize(keys, sort=seed is None)
    num_groups = len(unique)
    if num_groups < len(sizes):
        raise ValueError(f"{num_groups} different {what} are too few to split into {', '.join(sizes)}")
    rank = group if seed is None else random_generator(seed, "table").permutation(num_groups)[group]
    group_ends = np.cumsum(np.bincount(rank, minlength=num_groups))
    last_groups: list[int] = []  # one per split, except the last split
    for index, target in enumerate(np.cumsum(list(sizes.values()))[:-1]):
        latest = num_groups - len(sizes) + index  # leaves one group for every later split
        last_groups.append(int(np.clip(np.searchsorted(group_ends, target), max(last_groups, default=-1) + 1, latest)))
    cuts = group_ends[last_groups]
    return dict(zip(sizes, np.split(np.argsort(rank, kind="stable"), cuts), strict=True))


def row_keys(inputs: np.ndarray, pairs: np.ndarray | None = None) -> np.ndarray:
    """A number per row ``(N,)``, equal for rows of equal inputs and pairs, whatever their type.

    Missing entries are equal.
    """
    columns = [inputs] if pairs is None else [inputs, pairs]
    widths = [max(1, column[:1].size) for column in columns]
    keys = np.empty(len(inputs), np.uint64)
    num_rows = max(1, 2**22 // sum(widths))  # at a time, for memory
    for start in range(0, len(inputs), num_rows):
        parts = [
            column[start : start + num_rows].reshape(-1, width).astype(np.float64)
            for column, width in zip(columns, widths, strict=True)
        ]
        rows = np.concatenate(parts, axis=1) + 0.0  # -0.0 becomes 0.0
        rows[np.isnan(rows)] = np.nan  # of one bit pattern
        keys[start : start + num_rows] = pandas.util.hash_pandas_object(pandas.DataFrame(rows), index=False)
    return keys


def group_texts(cells: Sequence[Any], where: str, first_row: int = 1) -> np.ndarray:
    """The values of a split column as texts ``(N,)``.

    Raises:
        ValueError: a cell that is missing or holds several values; names the row, counted from ``first_row``.
    """
    if isinstance(cells, np.ndarray) and cells.ndim == 1 and not (cells.dtype.kind == "f" and np.isnan(cells).any()):
        codes, unique = pandas.factorize(cells)
        return np.array([str(value) for value in unique.tolist()], dtype=object)[codes]
    texts = []
    for row, cell in enumerate(cells, start=first_row):
        is_scalar = isinstance(cell, str | int | float | bool | np.generic | datetime.date)
        text = str(cell).strip() if is_scalar else ""
        if text in MISSING_TEXTS or text == "NaT":
            raise ValueError(f"{where}, row {row}: expected the name or number of a group, got {shown(cell)}")
        texts.append(text)
    return np.array(texts, dtype=object)


def named_splits(texts: np.ndarray, is_part: bool = False) -> dict[str, np.ndarray] | None:
    """Row numbers by split, if the values of a split column are names of splits; ``None`` if they name groups.

    Raises:
        ValueError: names of splits and of groups, or no row of train, unless these are part of the rows.
    """
    found = set(pandas.unique(texts).tolist())
    if not found & set(SPLITS):
        return None
    if unknown := sorted(found - set(SPLITS)):
        raise ValueError(
            f"a split column holds train, validation and test, or groups of rows, got both: {shortened(unknown)}"
        )
    if "train" not in found and not is_part:
        raise ValueError(f"the split column has no row of train, only of {', '.join(sorted(found))}")
    return {split: np.flatnonzero(texts == split) for split in SPLITS if split in found}


def read_times(cells: Sequence[Any], where: str) -> np.ndarray:
    """The values of a time column as numbers ``(N,)``; dates and times of day in seconds.

    Raises:
        ValueError: a cell that is neither a finite number nor an ISO date, or both in one column; names the row,
            counted from 1.
    """
    if isinstance(cells, np.ndarray) and cells.ndim == 1 and np.isfinite(cells).all():
        return cells
    moments, kinds = [], set()
    for row, cell in enumerate(cells, start=1):
        try:
            kind, number = _time(cell)
            if not np.isfinite(number):
                raise ValueError
        except (TypeError, ValueError, OverflowError, OSError):
            raise ValueError(
                f"{where}, row {row}: expected a number or a date such as 2024-01-31 12:00, got {shown(cell)}"
            ) from None
        kinds.add(kind)
        moments.append(number)
    if len(kinds) > 1:
        raise ValueError(f"{where}: expected one kind of time, got {', '.join(sorted(kinds))}")
    return np.array(moments)


def _time(cell: Any) -> tuple[str, float]:
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    if isinstance(cell, str):
        try:
            return "numbers", float(cell)
        except ValueError:
            cell = datetime.datetime.fromisoformat(cell.strip())
    if isinstance(cell, datetime.date) and not isinstance(cell, datetime.datetime):
        cell = datetime.datetime.combine(cell, datetime.time())
    if isinstance(cell, datetime.datetime):
        if cell.tzinfo is None:
            return "dates", cell.replace(tzinfo=datetime.UTC).timestamp()
        return "dates with a time zone", cell.timestamp()
    if isinstance(cell, bool | bytes | list):
        raise TypeError
    return "numbers", float(cell)


def choose_rows(
    inputs: np.ndarray,
    given: Sequence[str],
    seed: int,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
    pairs: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Row numbers of the train split and of every split that is not given, all from the rows of train.

    Args:
        inputs: ``(N, …)``; without groups and times, rows of equal inputs and pairs go together.
        given: splits that exist already.
        seed: of the random choice.
        groups: :func:`group_texts`; rows of one group go together, or the texts name the rows' splits.
        times: :func:`read_times`; the earliest rows are for training, the latest for testing.
        pairs: ``(N, n, n, …)``, of a task with pair inputs.

    Raises:
        ValueError: nothing to split, too few rows, or a column that does not suit.
    """
    held_out = [split for split in SPLITS[1:] if split not in given]
    if not held_out:
        if groups is not None or times is not None:
            raise ValueError("train, validation and test are given already, so no column can split the rows")
        return {"train": np.arange(len(inputs))}
    if times is not None:
        return split_by_time(times, held_out)
    if groups is None:
        return split_rows(row_keys(inputs, pairs), held_out, seed)
    named = named_splits(groups)
    if named is None:
        return split_rows(groups, held_out, seed, "groups")
    if clash := [split for split in named if split in given and split != "train"]:
        raise ValueError(f"the split column names rows of {', '.join(clash)}, which is given already")
    held_out = [split for split in held_out if split not in named]
    if not held_out:
        return named
    train = named["train"]
    keys = row_keys(inputs[train], None if pairs is None else pairs[train])
    drawn = split_rows(keys, held_out, seed)
    return named | {split: train[rows] for split, rows in drawn.items()}
