"""Columns with names: what a DataFrame is, without its library, and its columns in an order that is known."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ._messages import one_line, shortened


def is_frame(data: Any) -> bool:
    """Whether the object is a table of named columns, of pandas, polars or alike."""
    is_either = hasattr(data, "iloc") or hasattr(data, "get_column")  # of pandas, of polars
    return is_either and hasattr(data, "columns") and not isinstance(data, type)


def column_text(name: Hashable) -> str:
    """A column's name as text: the levels of a ``MultiIndex`` are joined by underscores."""
    return "_".join(map(str, name)) if isinstance(name, tuple) else str(name)


def has_no_names(names: Sequence[Hashable]) -> bool:
    """Whether columns are only numbered, as in a DataFrame of an array."""
    return [column_text(name) for name in names] == [str(index) for index in range(len(names))]


def positions_of(names: Sequence[str], known: Sequence[str], where: str) -> list[int]:
    """Where the known names stand among the names, whatever blanks are around them.

    Raises:
        ValueError: a known name is missing, there is another one, or one stands there twice.
    """
    names, known = [name.strip() for name in names], [name.strip() for name in known]
    place = {name: index for index, name in enumerate(names)}
    if len(place) < len(names):
        twice = next(name for index, name in enumerate(names) if place[name] != index)
        raise ValueError(f"{where}: column names must differ, got {one_line(twice, 100)} twice")
    absent = [name for name in known if name not in place]
    expected = set(known)
    others = [name for name in names if name not in expected]
    if absent or others:
        parts = [
            f"{kind} {shortened(one_line(name, 100) for name in found)}"
            for kind, found in (("lack", absent), ("have", others))
            if found
        ]
        raise ValueError(
            f"{where}: the columns of the inputs {' and '.join(parts)}, unlike those that the task was given before "
            "(its input_names): name them alike"
        )
    return [place[name] for name in known]


def frame_values(frame: Any, names: Sequence[str] | None, where: str) -> np.ndarray:
    """The numbers of a DataFrame of inputs ``(rows, columns)``, its columns in the order of the names.

    Columns that are only numbered stay in their order. Cells may hold lists of equal lengths ``(rows, columns, …)``.

    Raises:
        ValueError: columns have names, and there are none to arrange them by, or others.
    """
    columns, values = list(frame.columns), np.asarray(frame)
    values = np.array(values.tolist()) if values.dtype == object else values  # lists, or truths beside numbers
    if has_no_names(columns):
        return values
    if names is None:
        raise ValueError(
            f"{where}: a DataFrame is read by the names of its columns, which the task does not know (its input_names "
            "are those of inputs that it was trained on): give an array, with nodes in the order of the training rows"
        )
    return values[:, positions_of([column_text(name) for name in columns], names, where)]
