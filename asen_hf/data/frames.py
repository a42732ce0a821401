"""DataFrames (pandas, polars or alike) as columns and as arrays, without importing their library.

Which node and feature a column holds, :mod:`asen_hf.data.column_names` says.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model._messages import one_line, shortened, shown
from ..model._named_columns import column_text, has_no_names, is_frame
from ._cells import decimal_comma, parse
from .column_names import Arranged, arranged, arranged_as


def is_series(data: Any) -> bool:
    """Whether the object is one column of such a table."""
    return not isinstance(data, type) and hasattr(data, "to_numpy") and hasattr(data, "name") and not is_frame(data)


def frame_columns(frame: Any) -> dict[str, Any]:
    """The columns by name, each as for :meth:`asen_hf.data._fields.Field.read`.

    Names that are not text become text; the levels of a ``MultiIndex`` are joined by underscores.

    Raises:
        ValueError: two columns have the same name.
    """
    names = [column_text(name) for name in frame.columns]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"data: column names must differ, got {one_line(repeated, 100)} twice")
    return {name: series_cells(_column(frame, index)) for index, name in enumerate(names)}


def series_cells(series: Any) -> Any:
    """A column as an array of numbers ``(N,)`` with NaN where one is missing, or as a list of cells."""
    values = series.to_numpy()
    if values.dtype.kind in "biuf":
        return values
    if hasattr(series, "notna"):  # pandas: NA, NaT and None all become None
        series = series.astype(object).where(series.notna(), None)
    cells = series.tolist() if hasattr(series, "tolist") else series.to_list()
    kinds = {type(cell) for cell in cells}
    if kinds <= {bool, int, float, type(None)} and kinds != {type(None)}:  # of pandas' types with NA
        return np.array([math.nan if cell is None else cell for cell in cells], dtype=np.float64)
    return cells


def arranged_frame(
    frame: Any, degree: int, num_features: int | None = None, known: Sequence[str] | None = None
) -> Arranged:
    """The columns of a DataFrame of inputs in the order of nodes and features.

    Args:
        frame, degree, num_features: as for :func:`frame_to_array`.
        known: the names of all columns in this order, if they have been given before.

    Raises:
        ValueError: another number of columns, or other names than those that are known.
    """
    names = list(frame.columns)
    shape = (degree,) if num_features is None else (degree, num_features)
    if len(names) == 1 and math.prod(shape) > 1:  # of whole rows
        return Arranged([0], None)
    if len(names) not in (degree, math.prod(shape)):
        expected = f"{degree} columns" if num_features is None else f"{degree} · {num_features} columns"
        meaning = "one per node" + " and feature" * (num_features is not None)
        found = shortened(one_line(column_text(name), 100) for name in names)
        raise ValueError(f"data: expected {expected}, {meaning}, got {len(names)}: {found}")
    if known is None or has_no_names(names):
        return arranged(names, degree, len(names) // degree)
    return arranged_as(names, known, degree, "data")


def frame_to_array(
    frame: Any, degree: int, num_features: int | None = None, order: Sequence[int] | None = None
) -> np.ndarray:
    """The rows of a DataFrame of inputs as an array.

    Args:
        frame: of pandas, polars or alike; all its columns are inputs. A single column may hold whole rows, as lists.
        degree: number of nodes n.
        num_features: number of features F per node; ``None`` for tokens, ``(N, n)``.
        order: of the columns; by default as :func:`arranged_frame` says.

    Returns:
        ``(N, n)`` or ``(N, n, F)``: int64 if every column has integers only, else float64, with NaN where a value is
        missing; float32 if every column is.

    Raises:
        ValueError: another number of columns, or a cell that is not a number; names the row, counted from 0.
    """
    columns = frame_columns(frame)
    names = list(columns)
    shape = (degree,) if num_features is None else (degree, num_features)
    order = arranged_frame(frame, degree, num_features).order if order is None else order
    size = math.prod(shape) // len(names)
    parts = [_numbers(columns[names[index]], names[index], size) for index in order]
    rows = np.stack(parts, axis=1) if len(parts) > 1 else parts[0]
    if rows.size != len(rows) * math.prod(shape):
        raise ValueError(f"data: expected {math.prod(shape)} numbers per row, got {rows[:1].size}")
    return rows.reshape(len(rows), *shape)


def _numbers(column: Any, name: str, size: int) -> np.ndarray:
    """A column as an array ``(N,)`` of numbers, or ``(N, size)``."""
    if isinstance(column, np.ndarray):
        return column.astype(np.int64) if column.dtype.kind in "bui" else column
    rows = np.empty((len(column), size))
    for row, cell in enumerate(column):
        try:
            numbers, reason = parse(cell, {}), ""
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            numbers, reason = None, str(error)
        if numbers is None or numbers.size != size:
            reason = reason or decimal_comma(cell) * (size == 1)
            raise ValueError(
                f"data, row {row}, column {one_line(name, 100)!r}: expected "
                f"{'a number' if size == 1 else f'{size} numbers'}, got {shown(cell)}" + f"; {reason}" * bool(reason)
            )
        rows[row] = numbers.reshape(size)
    return rows[:, 0] if size == 1 else rows


def _column(frame: Any, index: int) -> Any:
    is_pandas = hasattr(frame, "iloc")
    return frame.iloc[:, index] if is_pandas else frame.get_column(list(frame.columns)[index])
