"""Rows given as Python objects: datasets, streams, DataFrames and arrays, as splits that are checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict, concatenate_datasets

from ..model._messages import one_line
from ..model.configuration_task import TaskConfig
from ._fields import Field, input_field, label_field
from .collator import collate
from .features import read_cells, to_dataset
from .frames import frame_columns, frame_to_array, is_frame, is_series, series_cells
from .splits import SPLITS, choose_rows
from .statistics import unbounded
from .streams import write_rows, write_splits
from .table import load_rows, load_table, split_by, split_values
from .table_files import Table, dataset_columns


def to_splits(
    config: TaskConfig,
    data: Any,
    seed: int = 0,
    split_column: str | None = None,
    time_column: str | None = None,
) -> DatasetDict:
    """Check rows and return them as splits train, validation and test.

    Args:
        config: the task.
        data: a ``DatasetDict`` with a split train; a ``Dataset``; an ``IterableDataset`` or ``IterableDatasetDict``,
            which is written into a file first; a DataFrame, as in :func:`asen_hf.load_table`; or a pair ``(inputs,
            labels)`` of arrays or DataFrames, ``(N,) + input_shape()`` and ``(N,) + label_shape()`` in raw units.
        seed: seed of the shuffle before rows are split.
        split_column, time_column: as in :func:`asen_hf.load_table`.

    Returns:
        Given splits are kept; a missing split is 15 % of the rows of train, by the column or at random, equal inputs
        together.

    Raises:
        ValueError: data of an unknown type, without a split train, or invalid for the task; names split and row.
    """
    if is_frame(data):
        return load_table(data, config, seed=seed, split_column=split_column, time_column=time_column)
    by = split_by(split_column, time_column, ("inputs", "labels"))
    if isinstance(data, IterableDataset):
        data = IterableDatasetDict({"train": data})
    given = dict(data) if isinstance(data, DatasetDict | IterableDatasetDict) else {"train": data}
    if "train" not in given:
        raise ValueError(f"data: expected a split train, found {', '.join(map(str, given)) or 'no split'}")
    if isinstance(data, IterableDatasetDict):
        return write_splits(config, {split: given[split] for split in SPLITS if split in given}, seed, by)
    splits, inputs = {}, None
    for split in [split for split in SPLITS if split in given]:
        try:
            splits[split] = to_rows(config, given[split])
            columns = collate(unbounded(config), splits[split])
            inputs = columns["inputs"].numpy() if inputs is None else inputs  # of train
        except ValueError as error:
            raise _prefixed(error, f"data, {split} split" if len(given) > 1 else "data") from error
    train = splits["train"]
    if by or len(splits) < len(SPLITS):
        try:
            values = split_values(Table("data", dataset_columns(train)), by)
            chosen = choose_rows(np.asarray(inputs), list(splits), seed, **values)
        except ValueError as error:
            raise _prefixed(error, "data") from error
        splits |= {split: train.select(numbers.tolist()) for split, numbers in chosen.items()}
    return DatasetDict({split: splits[split] for split in SPLITS})


def to_rows(config: TaskConfig, data: Any) -> Dataset:
    """One split from a ``Dataset``, a stream, a DataFrame or a pair of arrays, as in :func:`to_splits`.

    A ``Dataset`` is returned unchanged if its rows have the task's types and shapes; other columns are kept.

    Raises:
        ValueError: another type, or a cell that is neither a number nor the name of a class.
    """
    fields = (input_field(config, is_bounded=False), label_field(config, is_bounded=False))
    if isinstance(data, Dataset):
        return _converted(config, data, fields)
    if is_frame(data):
        return load_rows(data, config)
    if isinstance(data, IterableDataset):
        return write_rows(config, data)
    if isinstance(data, tuple | list) and len(data) == 2:
        pair = {field.name: _as_array(field, values, config) for field, values in zip(fields, data, strict=True)}
        columns = collate(unbounded(config), pair)
        return to_dataset(config, columns["inputs"].numpy(), columns["labels"].numpy())
    raise ValueError(
        "data: expected the path of a table, a DatasetDict, a Dataset, a DataFrame or a pair of arrays (inputs, labels)"
        f", found {type(data).__name__}"
    )


def _converted(config: TaskConfig, rows: Dataset, fields: tuple[Field, Field]) -> Dataset:
    if any(field.name not in rows.column_names for field in fields) or not len(rows):
        return rows  # collate says so
    cells = {field.name: read_cells(rows, field.name) for field in fields}
    if all(_is_ready(field, cells[field.name]) for field in fields):
        return rows
    inputs, labels = (_as_array(field, cells[field.name], config) for field in fields)
    if not all(isinstance(array, np.ndarray) and array.dtype.kind in "biuf" for array in (inputs, labels)):
        return rows
    converted = to_dataset(config, inputs, labels)
    others = [name for name in rows.column_names if name not in ("inputs", "labels")]
    if not others:
        return converted
    return concatenate_datasets([converted, rows.select_columns(others).flatten_indices()], axis=1)


def _as_array(field: Field, values: Any, config: TaskConfig) -> Any:
    """The values as an array of the task's shape and type, if they can be one; else unchanged: collate says why not."""
    if is_frame(values):
        if field.name == "inputs":
            values = frame_to_array(values, config.degree, config.num_features)
        else:
            columns = frame_columns(values)
            return field.read(columns, list(columns), "data", first_row=0)
    if is_series(values):
        values = series_cells(values)
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "biuf":
        values = np.where(np.ma.getmaskarray(values), np.nan, values.data)
    try:
        array = np.asarray(values)
    except MemoryError:
        raise ValueError(f"data: {field.name} are more numbers than fit into memory: give a stream of rows") from None
    except RuntimeError as error:  # of tensors with a gradient, or without values
        raise ValueError(f"data: {field.name} hold a tensor that NumPy cannot read: {one_line(error)}") from error
    except (ValueError, TypeError):  # lists of unequal lengths
        return values
    if array.ndim == 0 or len(array) == 0 or _is_ready(field, array):
        return values
    is_number = array.dtype.kind in "biuf"
    if not is_number and array.dtype.kind not in "OU":
        return values
    if is_number and not field.fits(array.shape[1:], field.shape):
        return values
    if is_number and field.top is not None and array.dtype.kind == "f" and not np.isnan(array).any():
        return values  # tokens and classes are integers
    return field.read({field.name: array if is_number else list(array)}, [field.name], "data", first_row=0)


def _is_ready(field: Field, values: Any) -> bool:
    """Whether the values are an array of the field's shape and type."""
    if not isinstance(values, np.ndarray) or values.shape[1:] != field.shape:
        return False
    return values.dtype.kind in ("iuf" if field.top is None else "biu")


def _prefixed(error: ValueError, where: str) -> ValueError:
    text = str(error)
    return ValueError(where + text.removeprefix("data") if text.startswith("data") else f"{where}: {text}")
