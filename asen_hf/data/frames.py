"""DataFrames (pandas, polars or alike) as columns and as arrays, without importing their library.

**The rule.** A task on n nodes with F features reads n · F columns. If their names form a full grid of n nodes by F
features, they are arranged by it: the levels of a ``MultiIndex``, or names such as ``sensor3_ch1``, ``level.7`` and
``x0``, split at the punctuation mark or blank, or else between the letter and the digit, that gives the grid. Either
part may be the node; where both readings are a grid, the first part is. Nodes, and features, are ordered by the
numbers in their names if they differ in nothing else, and in the order in which they first appear if not. Names without
a grid are read in their order: the features of node 0, then those of node 1, …. One column per node is read in its
order too; an alphabetical one, with node 10 before node 2, brings a warning.
"""

import math
import re
import warnings
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from ..model._messages import one_line, shortened, shown
from ._cells import parse

# Where a name is cut into node and feature: at a mark or blank, and if that gives no grid, between letters and digits.
_CUTS = [re.compile(pattern) for pattern in (r"[\W_]", r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")]
_NUMBER = re.compile(r"(\d{1,100})")


def is_frame(data: Any) -> bool:
    """Whether the object is a table of named columns, of pandas, polars or alike."""
    is_either = hasattr(data, "iloc") or hasattr(data, "get_column")  # of pandas, of polars
    return is_either and hasattr(data, "columns") and not isinstance(data, type)


def is_series(data: Any) -> bool:
    """Whether the object is one column of such a table."""
    return not isinstance(data, type) and hasattr(data, "to_numpy") and hasattr(data, "name") and not is_frame(data)


def frame_columns(frame: Any) -> dict[str, Any]:
    """The columns by name, each as for :meth:`asen_hf.data._fields.Field.read`.

    Names that are not text become text; the levels of a ``MultiIndex`` are joined by underscores.

    Raises:
        ValueError: two columns have the same name.
    """
    names = [_text(name) for name in frame.columns]
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


def frame_to_array(frame: Any, degree: int, num_features: int | None = None) -> np.ndarray:
    """The rows of a DataFrame of inputs as an array, by the rule of this module.

    Args:
        frame: of pandas, polars or alike; all its columns are inputs. A single column may hold whole rows, as lists.
        degree: number of nodes n.
        num_features: number of features F per node; ``None`` for tokens, ``(N, n)``.

    Returns:
        ``(N, n)`` or ``(N, n, F)``: int64 if every column has integers only, else float64, with NaN where a value is
        missing; float32 if every column is.

    Raises:
        ValueError: another number of columns, or a cell that is not a number; names the row, counted from 0.
    """
    columns = frame_columns(frame)
    shape = (degree,) if num_features is None else (degree, num_features)
    if len(columns) == 1 and math.prod(shape) > 1:
        (column,) = columns.values()
        parts = [_numbers(column, next(iter(columns)))]
    elif len(columns) in (degree, math.prod(shape)):
        names = list(frame.columns)
        order = grid_order(names, degree, len(names) // degree)
        parts = [_numbers(columns[_text(names[index])], _text(names[index])) for index in order]
    else:
        expected = f"{degree} columns" if num_features is None else f"{degree} · {num_features} columns"
        meaning = "one per node" + " and feature" * (num_features is not None)
        found = shortened(one_line(name, 100) for name in columns)
        raise ValueError(f"data: expected {expected}, {meaning}, got {len(columns)}: {found}")
    rows = np.stack(parts, axis=1) if len(parts) > 1 else parts[0]
    if rows[:1].size != math.prod(shape) and len(rows):
        raise ValueError(f"data: expected {math.prod(shape)} numbers per row, got {rows[:1].size}")
    return rows.reshape(len(rows), *shape)


def grid_order(names: Sequence[Hashable], num_nodes: int, num_features: int) -> list[int]:
    """The order in which columns hold the features of node 0, then those of node 1, …; by the rule of this module."""
    in_order = list(range(len(names)))
    if num_features == 1:
        _warn_if_alphabetical(names)
    if num_nodes == 1 or num_features == 1:
        return in_order
    for pairs in _splits(names):
        nodes, features = (_by_number(list(dict.fromkeys(part))) for part in zip(*pairs, strict=True))
        if len(nodes) == num_nodes and len(features) == num_features and len(set(pairs)) == len(names):
            place = {pair: index for index, pair in enumerate(pairs)}
            return [place[node, feature] for node in nodes for feature in features]
    return in_order


def _splits(names: Sequence[Hashable]) -> Iterator[list[tuple[Hashable, Hashable]]]:
    """All ways to read the names as node and feature; of one kind of cut, first those with the node in front."""
    kinds: list[list[list[tuple[Hashable, Hashable]]]]
    levels = [name for name in names if isinstance(name, tuple) and len(name) > 1]
    if len(levels) == len(names):
        kinds = [[[(name[i], name[:i] + name[i + 1 :]) for name in levels] for i in range(min(map(len, levels)))]]
    else:
        kinds = [_text_splits([_text(name) for name in names], cut) for cut in _CUTS]
    for splits in kinds:
        yield from splits
        yield from ([(node, feature) for feature, node in pairs] for pairs in splits)


def _text_splits(texts: Sequence[str], cut: re.Pattern[str]) -> list[list[tuple[Hashable, Hashable]]]:
    """All ways to split the texts in two at one cut, counted from the front or from the back."""
    cuts = [[match.span() for match in cut.finditer(text)] for text in texts]
    fewest = min(map(len, cuts))
    chosen = ([spans[index] for spans in cuts] for index in [*range(fewest), *range(-1, -fewest - 1, -1)])
    return [[(text[:start], text[end:]) for text, (start, end) in zip(texts, spans, strict=True)] for spans in chosen]


def _by_number(parts: list[Hashable]) -> list[Hashable]:
    """Names that differ only in numbers in the order of these; others unchanged."""
    numbers = _only_numbers(parts)
    return parts if numbers is None else [parts[i] for i in sorted(range(len(parts)), key=numbers.__getitem__)]


def _only_numbers(names: Sequence[Hashable]) -> list[list[int]] | None:
    """The whole numbers in each name, if the names differ in nothing else."""
    words = [_NUMBER.split(_text(name)) for name in names]
    if any(word[::2] != words[0][::2] for word in words):
        return None
    return [[int(number) for number in word[1::2]] for word in words]


def _warn_if_alphabetical(names: Sequence[Hashable]) -> None:
    numbers = _only_numbers(names)
    if numbers is None or numbers == sorted(numbers):
        return
    texts = [_text(name) for name in names]
    # Or names lost a mark behind the number that sorts after digits, as in x10_a before x1_a.
    if any(texts == sorted(texts, key=lambda text: text + end) for end in ("", "~")):
        first = next(i for i, number in enumerate(numbers) if number != sorted(numbers)[i])
        warnings.warn(
            f"the columns {shortened(one_line(text, 100) for text in texts)} are read in their alphabetical order, so "
            f"that node {first} is {one_line(texts[first], 100)}: sort them by number",
            stacklevel=2,
        )


def _numbers(column: Any, name: str) -> np.ndarray:
    """A column as an array ``(N, …)`` of numbers."""
    if isinstance(column, np.ndarray):
        return column.astype(np.int64) if column.dtype.kind in "bui" else column
    rows = []
    for row, cell in enumerate(column):
        try:
            rows.append(parse(cell, {}))
            if rows[row].shape != rows[0].shape:
                raise ValueError
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            kind = "a number" if not rows or not rows[0].ndim else f"{'x'.join(map(str, rows[0].shape))} numbers"
            raise ValueError(
                f"data, row {row}, column {one_line(name, 100)!r}: expected {kind}, got {shown(cell)}"
                + f"; {error}" * bool(str(error))
            ) from None
    return np.array(rows)


def _is_pandas(data: Any) -> bool:
    return hasattr(data, "iloc")


def _text(name: Hashable) -> str:
    return "_".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _column(frame: Any, index: int) -> Any:
    return frame.iloc[:, index] if _is_pandas(frame) else frame.get_column(list(frame.columns)[index])
