"""Arrow columns as NumPy arrays: at once, and without a copy where Arrow's buffer has the layout already."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray | None:
    """A column of N numbers, or of N equally shaped lists of numbers, as an array ``(N, …)``.

    Args:
        column: of any Arrow type. A missing number becomes NaN, and its column float64.

    Returns:
        The array; a view of Arrow's buffer (of a memory-mapped file, too) if the column is one chunk without missing
        numbers. ``None`` for every other column: text, lists of unequal lengths, missing lists.
    """
    if isinstance(column, pa.ChunkedArray):
        return joined((to_numpy(chunk) for chunk in column.chunks if len(chunk)), len(column))
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    shape = [len(column)]
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or _is_fixed(column.type):
        size = None if column.null_count else _size_of_lists(column)
        if not size:
            return None
        shape.append(size)
        column = column.flatten()
    values = _numbers(column)
    return None if values is None else values.reshape(shape)


def gathered(column: pa.ChunkedArray, indices: np.ndarray) -> np.ndarray | None:
    """The rows ``indices`` of :func:`to_numpy`, from views of the chunks: Arrow would make a chunk of every row.

    Returns:
        The array ``(len(indices), …)``; ``None`` where ``to_numpy`` gives ``None``, and where missing integers would
        make the type depend on the rows chosen.
    """
    indices = indices.astype(np.int64, copy=False)
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    whole: np.ndarray | None = None
    chunk_of_row = np.searchsorted(ends, indices, side="right")
    for number in np.unique(chunk_of_row):
        chunk, places = column.chunk(number), np.flatnonzero(chunk_of_row == number)
        part = to_numpy(chunk)
        if (
            part is None
            or part.dtype != _dtype(chunk.type)
            or (whole is not None and part.shape[1:] != whole.shape[1:])
        ):
            return None
        if whole is None:
            whole = np.empty((len(indices), *part.shape[1:]), part.dtype)
        whole[places] = part[indices[places] - (ends[number] - len(chunk))]
    return whole


def _dtype(arrow_type: pa.DataType) -> np.dtype:
    """The type of the numbers in a list of lists of numbers."""
    if isinstance(arrow_type, pa.ExtensionType):
        arrow_type = arrow_type.storage_type
    while hasattr(arrow_type, "value_type"):
        arrow_type = arrow_type.value_type
    return np.dtype(arrow_type.to_pandas_dtype())


def to_cells(column: pa.ChunkedArray) -> np.ndarray | list[Any]:
    """A column as an array of numbers ``(N, …)``, as from :func:`to_numpy`, or else as a list of cells."""
    numbers = to_numpy(column)
    return column.to_pylist() if numbers is None else numbers


def joined(parts: Iterable[np.ndarray | None], num_rows: int) -> np.ndarray | None:
    """Arrays ``(N_i, …)`` as one ``(N, …)``, with room for one part beside the whole; ``None`` if shapes differ."""
    whole: np.ndarray | None = None
    filled = 0
    for part in parts:
        if part is None or (whole is not None and part.shape[1:] != whole.shape[1:]):
            return None
        if len(part) == num_rows:
            return part
        if whole is None:
            whole = np.empty((num_rows, *part.shape[1:]), part.dtype)
        if np.result_type(whole, part) != whole.dtype:
            whole = whole.astype(np.result_type(whole, part))
        whole[filled : filled + len(part)] = part
        filled += len(part)
    return whole


def _is_fixed(arrow_type: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(arrow_type)


def _size_of_lists(lists: pa.Array) -> int | None:
    """The one length of all lists; ``None`` if there is none."""
    if _is_fixed(lists.type):
        return lists.type.list_size
    sizes = np.diff(lists.offsets.to_numpy())
    return int(sizes[0]) if len(sizes) and (sizes == sizes[0]).all() else None


def _numbers(values: pa.Array) -> np.ndarray | None:
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    is_number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not is_number and not pa.types.is_boolean(values.type):
        return None
    if values.null_count:
        values = values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values
        return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values.to_numpy(zero_copy_only=not pa.types.is_boolean(values.type))
