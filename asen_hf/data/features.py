"""Typed ``datasets`` columns for a task, from its ``TaskConfig``, and conversion of NumPy arrays."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Array2D, Array3D, ClassLabel, Dataset, Features, List, Value
from datasets.fingerprint import generate_random_fingerprint

from ..model.configuration_asen import TaskConfig
from ..model.configuration_rows import MASK, PAIRS, WEIGHTS
from ._arrow_columns import gathered, to_cells, to_numpy


def task_features(
    config: TaskConfig, features: str = "float32", values: str = "float32", with_lists: bool = False
) -> Features:
    """Types of the columns ``inputs`` and ``labels`` and, of a task with pair inputs, ``pairs``.

    Tokens are int64 ``(n,)``, features ``(n, F)`` of type ``features``; classes are ``ClassLabel`` and regressed values
    of type ``values``, both of shape ``config.label_shape()``. Categories of pairs are int64 and their numbers of type
    ``features``, of shape ``config.pair_shape()``. ``with_lists`` uses lists of lists for matrices.
    """
    token = Value(features) if config.vocab_size is None else Value("int64")
    label = Value(values)
    if config.is_multi_label:
        label = Value("int64")
    elif not config.is_regression:
        label = ClassLabel(names=config.label_names, num_classes=None if config.label_names else config.num_labels)
    shapes = {"inputs": (token, config.input_shape()), "labels": (label, config.label_shape())}
    if config.has_pairs:
        shapes[PAIRS] = Value("int64" if config.pair_vocab_size is not None else features), config.pair_shape()
    return Features({name: _shaped(feature, shape, with_lists) for name, (feature, shape) in shapes.items()})


def column_features(config: TaskConfig, types: Mapping[str, np.dtype], with_lists: bool = False) -> Features:
    """Types of the columns that are there: as :func:`task_features`, numbers as they are, and ``attention_mask``."""
    features = task_features(config, types["inputs"].name, types["labels"].name, with_lists)
    if PAIRS in types:
        features[PAIRS] = _shaped(Value(types[PAIRS].name), config.pair_shape(), with_lists)
    if MASK in types:
        features[MASK] = _shaped(Value("int8"), (config.degree,), with_lists)
    if WEIGHTS in types:
        features[WEIGHTS] = Value(types[WEIGHTS].name)
    return Features({name: features[name] for name in types})


def exact(array: np.ndarray, is_number: bool) -> np.ndarray:
    """Valid tokens or classes in int64; numbers in float32 if that holds every value of their type, else in float64.

    Raw units are rounded to a model's precision only after normalisation, so nothing before may round them.
    """
    if not is_number:
        return array.astype(np.int64, copy=False)
    return array.astype(np.float32 if np.can_cast(array.dtype, np.float32) else np.float64, copy=False)


def read_column(rows: Dataset, name: str) -> np.ndarray:
    """A column as an array of the column's own type; a read-only view of Arrow's buffer where possible."""
    column = _selected(rows, name)
    if column is None:
        column = to_numpy(_stored(rows, name))
    if column is not None:
        return column
    # One column at once: row by row takes seconds. Without dtype=None, datasets rounds float64 to float32.
    return np.asarray(rows.select_columns(name).with_format("numpy", dtype=None)[:][name])


def evenly_spaced(rows: Dataset, config: TaskConfig, most: int = 2**24) -> Dataset:
    """The rows, or of more than ``most`` numbers every k-th row: what a statistic needs of rows beyond memory."""
    step = math.ceil(len(rows) * math.prod(config.input_shape()) / most)
    return rows if step <= 1 else rows.select(range(0, len(rows), step))


def read_cells(rows: Dataset, name: str) -> Any:
    """A column as an array of numbers ``(N, …)`` with NaN where one is missing, or else as a list of cells."""
    cells = _selected(rows, name)
    return to_cells(_stored(rows, name)) if cells is None else cells


def _selected(rows: Dataset, name: str) -> np.ndarray | None:
    """A column of numbers of rows that were left out or reordered; ``None`` of all other rows and columns."""
    if rows._indices is None:
        return None
    return gathered(rows.data.column(name), rows._indices.column(0).to_numpy())


def _stored(rows: Dataset, name: str) -> pa.ChunkedArray:
    # The table itself, unless rows are left out or reordered: with_format gathers, and would copy a mapped file.
    table = rows.data if rows._indices is None else rows.select_columns(name).with_format("arrow")[:]
    return table.column(name)


def to_table(
    config: TaskConfig,
    inputs: np.ndarray,
    labels: np.ndarray,
    predictions: Mapping[str, np.ndarray] | None = None,
    pairs: np.ndarray | None = None,
    attention_mask: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> pa.Table:
    """An Arrow table of N rows from valid arrays ``(N,) + input_shape()``, ``(N,) + label_shape()`` and so on.

    ``predictions`` holds reference predictions by column name, with the labels' shape and type.
    """
    predictions = predictions or {}
    arrays = {"inputs": exact(inputs, config.vocab_size is None), "labels": exact(labels, config.is_regression)}
    if pairs is not None:
        arrays[PAIRS] = exact(pairs, config.pair_vocab_size is None)
    if attention_mask is not None:
        arrays[MASK] = np.ascontiguousarray(attention_mask, dtype=np.int8)
    if weights is not None:
        arrays[WEIGHTS] = exact(weights, True)
    features = column_features(config, {name: array.dtype for name, array in arrays.items()})
    schema = Features({**features, **dict.fromkeys(predictions, features["labels"])}).arrow_schema
    arrays |= {name: array.astype(arrays["labels"].dtype, copy=False) for name, array in predictions.items()}
    return pa.table([to_arrow(array, schema.field(name).type) for name, array in arrays.items()], schema=schema)


def to_dataset(config: TaskConfig, inputs: np.ndarray, labels: np.ndarray, **columns: Any) -> Dataset:
    """The rows of :func:`to_table`, whose arguments it takes, as an in-memory dataset."""
    # A fingerprint by content would pickle all rows; datasets uses it for files of its cache, and these rows have none.
    return Dataset(to_table(config, inputs, labels, **columns), fingerprint=generate_random_fingerprint())


def _shaped(feature: Any, shape: tuple[int, ...], with_lists: bool) -> Any:
    # Array2D, unlike nested lists, is read back into NumPy in one piece by datasets too: milliseconds, not seconds.
    # But it stores an int32 per list, which ends at 2³¹ numbers.
    if len(shape) in (2, 3) and not with_lists and not isinstance(feature, ClassLabel):
        return (Array2D if len(shape) == 2 else Array3D)(shape, feature.dtype)
    for size in reversed(shape):
        feature = List(feature, length=size)
    return feature


def to_arrow(array: np.ndarray, arrow_type: pa.DataType) -> pa.Array:
    """An array ``(N, …)`` as an Arrow array of N rows, without a copy."""
    nested = pa.array(array.reshape(-1))
    for size in reversed(array.shape[1:]):
        nested = pa.FixedSizeListArray.from_arrays(nested, size)
    if isinstance(arrow_type, pa.ExtensionType):
        return arrow_type.wrap_array(nested.cast(arrow_type.storage_type))
    return nested
