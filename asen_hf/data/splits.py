"""Sizes of the train, validation and test splits."""

import numbers
from collections.abc import Mapping, Sequence

from ..model._messages import shown

_HELD_OUT_PERCENT = 15


def split_sizes(num_rows: int, held_out: Sequence[str] = ("validation", "test")) -> dict[str, int]:
    """Rows of the train split and of each held-out split, 15 % each: 1750, 375 and 375 of 2,500.

    Raises:
        ValueError: if ``num_rows`` is not an integer, or leaves a split empty.
    """
    if not isinstance(num_rows, numbers.Integral):
        raise ValueError(f"num_rows must be an integer, got {shown(num_rows)}")
    num_rows = int(num_rows)
    train_percent = 100 - _HELD_OUT_PERCENT * len(held_out)
    sizes = {"train": round(train_percent * num_rows / 100)}
    sizes |= {name: round(_HELD_OUT_PERCENT * num_rows / 100) for name in held_out}
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
