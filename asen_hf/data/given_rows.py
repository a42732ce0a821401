"""Rows given as Python objects: datasets, streams, DataFrames and arrays, as splits that are checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict, concatenate_datasets

from ..model._messages import one_line
from ..model._named_columns import column_text, is_frame
from ..model.configuration_rows import MASK, PAIRS
from ..model.configuration_task import TaskConfig
from ..model.row_statistics import unbounded
from ._fields import Field
from ._task_columns import check_has_pairs, read_rows, task_fields, warn_of_stray_pairs, with_input_names
from .collator import collate
from .column_names import Arranged
from .features import read_cells, to_dataset
from .frames import arranged_frame, frame_columns, frame_to_array, is_series, series_cells
from .splits import SPLITS, choose_rows
from .streams import write_rows, write_splits
from .table import DEFAULT_INPUTS, DEFAULT_LABELS, column_names, load_rows, named_table, split_by, split_values
from .table_files import Table, dataset_columns, read_tables


def to_splits(
    config: TaskConfig,
    data: Any,
    seed: int = 0,
    split_column: str | None = None,
    time_column: str | None = None,
    inputs_columns: Sequence[str] = DEFAULT_INPUTS,
    labels_columns: Sequence[str] = DEFAULT_LABELS,
) -> DatasetDict:
    """Check rows and return them as splits train, validation and test.

    Args:
        config: the task.
        data: a ``DatasetDict`` with a split train; a ``Dataset``; an ``IterableDataset`` or ``IterableDatasetDict``,
            which is written into a file first; a DataFrame, as in :func:`asen_hf.load_table`; or ``(inputs, labels)``,
            arrays or DataFrames, ``(N,) + input_shape()`` and ``(N,) + label_shape()`` in raw units; for a task with
            pair inputs ``(inputs, labels, pairs)``, these ``(N,) + pair_shape()``. Lists of arrays may hold rows of
            fewer nodes, and columns lists of unequal lengths, as in :func:`asen_hf.load_table`.
        seed: seed of the shuffle before rows are split.
        split_column, time_column: as in :func:`asen_hf.load_table`.
        inputs_columns, labels_columns: of a DataFrame, as in :func:`asen_hf.load_table`.

    Returns:
        Given splits are kept; a missing split is 15 % of the rows of train, by the column or at random, equal inputs
        together.

    Raises:
        ValueError: data of an unknown type, without a split train, or invalid for the task; names split and row. Names
            of columns for data other than a DataFrame.
    """
    return named_splits(config, data, seed, split_column, time_column, inputs_columns, labels_columns)[1]


def named_splits(
    config: TaskConfig,
    data: Any,
    seed: int = 0,
    split_column: str | None = None,
    time_column: str | None = None,
    inputs_columns: Sequence[str] = DEFAULT_INPUTS,
    labels_columns: Sequence[str] = DEFAULT_LABELS,
) -> tuple[TaskConfig, DatasetDict]:
    """The splits of :func:`to_splits`, whose arguments it takes, and the task with the names of a DataFrame's columns.

    The task comes first.
    """
    if is_frame(data):
        return named_table(data, config, inputs_columns, labels_columns, seed, split_column, time_column)
    if (column_names(inputs_columns), column_names(labels_columns)) != (DEFAULT_INPUTS, DEFAULT_LABELS):
        raise ValueError(
            "inputs_columns and labels_columns name columns of a file or a DataFrame: call the columns of a dataset "
            "inputs and labels, and give arrays as (inputs, labels)"
        )
    if isinstance(data, tuple | list) and data and is_frame(data[0]):
        order = arranged_frame(data[0], config.degree, config.num_features, config.input_names).order
        config = with_input_names(config, [column_text(data[0].columns[index]) for index in order])
    by = split_by(split_column, time_column, ("inputs", "labels"))
    if isinstance(data, IterableDataset):
        data = IterableDatasetDict({"train": data})
    given = dict(data) if isinstance(data, DatasetDict | IterableDatasetDict) else {"train": data}
    if "train" not in given:
        raise ValueError(f"data: expected a split train, found {', '.join(map(str, given)) or 'no split'}")
    if isinstance(data, IterableDatasetDict):
        return config, write_splits(config, {split: given[split] for split in SPLITS if split in given}, seed, by)
    splits: dict[str, Dataset] = {}
    seen: dict[str, np.ndarray] = {}
    for split in [split for split in SPLITS if split in given]:
        try:
            splits[split] = to_rows(config, given[split])
            columns = collate(unbounded(config), splits[split])
            if split == "train":
                seen = {name: tensor.numpy() for name, tensor in columns.items()}
        except ValueError as error:
            raise _prefixed(error, f"data, {split} split" if len(given) > 1 else "data") from error
    train = splits["train"]
    if by or len(splits) < len(SPLITS):
        try:
            values = split_values(Table("data", dataset_columns(train)), by)
            chosen = choose_rows(seen["inputs"], list(splits), seed, **values, pairs=seen.get(PAIRS))
        except ValueError as error:
            raise _prefixed(error, "data") from error
        splits |= {split: train.select(numbers.tolist()) for split, numbers in chosen.items()}
    return config, DatasetDict({split: splits[split] for split in SPLITS})


def to_rows(config: TaskConfig, data: Any) -> Dataset:
    """One split from a ``Dataset``, a stream, a DataFrame or arrays, as in :func:`to_splits`.

    A ``Dataset`` is returned unchanged if its rows have the task's types and shapes; other columns are kept, but for
    pairs that the task does not read.

    Raises:
        ValueError: another type, or a cell that is neither a number nor the name of a class.
    """
    if isinstance(data, Dataset):
        return _converted(config, data)
    if is_frame(data):
        return load_rows(data, config)
    if isinstance(data, IterableDataset):
        return write_rows(config, data)
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return _from_arrays(config, data)
    raise ValueError(
        "data: expected the path of a table, a DatasetDict, a Dataset, a DataFrame, or arrays (inputs, labels) or "
        f"(inputs, labels, pairs), found {type(data).__name__}"
    )


def check_lengths(sizes: np.ndarray, degree: int) -> None:
    """Refuse to train on rows ``(N,)`` of one number of nodes, if the group acts on more: it is another group's rows.

    Raises:
        ValueError: all rows lack equally many of the nodes.
    """
    if sizes.min() == sizes.max() < degree:
        raise ValueError(
            f"all rows have {sizes[0]} nodes, but the group acts on {degree}: state a group on {sizes[0]} nodes, or "
            f"give rows of all {degree} nodes too"
        )


def has_mask(data: Any) -> bool:
    """Whether rows, in any form that training takes, say themselves which nodes they have, or may do so: streams."""
    if isinstance(data, DatasetDict | IterableDatasetDict):
        return any(has_mask(split) for split in data.values())
    if isinstance(data, Dataset | IterableDataset):
        return data.column_names is None or MASK in data.column_names
    is_table = is_frame(data) or isinstance(data, str | Path)
    return is_table and any(MASK in table.columns for table in read_tables(data).values())


def _from_arrays(config: TaskConfig, data: tuple | list) -> Dataset:
    fields = task_fields(config, is_bounded=False)
    if len(data) != len(fields):
        expected, why = (
            ("inputs, labels, pairs", "pair inputs") if config.has_pairs else ("inputs, labels", "no pair inputs")
        )
        raise ValueError(f"data: expected arrays ({expected}) of a task with {why}, got {len(data)} of them")
    inputs = None
    if is_frame(data[0]):
        inputs = arranged_frame(data[0], config.degree, config.num_features, config.input_names)
    given = {field.name: _as_array(field, values, config, inputs) for field, values in zip(fields, data, strict=True)}
    if any(_lacks_nodes(field, given[field.name]) for field in fields):
        cells = {name: values if isinstance(values, np.ndarray) else list(values) for name, values in given.items()}
        return to_dataset(config, **read_rows(config, cells, "data", first_row=0, is_bounded=False))
    columns = collate(unbounded(config), given)
    return to_dataset(config, **{name: column.numpy() for name, column in columns.items()})


def _converted(config: TaskConfig, rows: Dataset) -> Dataset:
    fields = task_fields(config, is_bounded=False)
    if warn_of_stray_pairs(config, rows.column_names, "data"):
        rows = rows.remove_columns(PAIRS)
    check_has_pairs(config, rows.column_names, "data")
    if any(field.name not in rows.column_names for field in fields) or not len(rows):
        return rows  # collate says so
    cells = {field.name: read_cells(rows, field.name) for field in fields}
    if all(_is_ready(field, cells[field.name]) for field in fields):
        return rows
    given = {field.name: _as_array(field, cells[field.name], config) for field in fields}
    if any(_lacks_nodes(field, given[field.name]) for field in fields):
        if MASK in rows.column_names:
            cells[MASK] = read_cells(rows, MASK)
        given = dict(read_rows(config, cells, "data", first_row=0, is_bounded=False))
    if not all(isinstance(array, np.ndarray) and array.dtype.kind in "biuf" for array in given.values()):
        return rows
    converted = to_dataset(config, **given)
    others = [name for name in rows.column_names if name not in given]
    if not others:
        return converted
    return concatenate_datasets([converted, rows.select_columns(others).flatten_indices()], axis=1)


def _lacks_nodes(field: Field, values: Any) -> bool:
    """Whether rows have fewer nodes than the task, or unequally many."""
    if not field.num_node_axes or is_frame(values) or not hasattr(values, "__len__"):
        return False
    if hasattr(values, "shape") and len(values.shape) > 1:
        return bool(values.shape[1] < field.shape[0])
    sizes = {len(cell) if hasattr(cell, "__len__") and not isinstance(cell, str) else -1 for cell in values}
    return len(sizes) > 1 or (len(sizes) == 1 and 0 < min(sizes) < field.shape[0])


def _as_array(field: Field, values: Any, config: TaskConfig, inputs: Arranged | None = None) -> Any:
    """The values as an array of the task's shape and type, if they can be one; else unchanged: collate says why not.

    ``inputs`` are the columns of a DataFrame of inputs.
    """
    if is_frame(values):
        if field.name == "inputs":
            order = None if inputs is None else inputs.order
            values = frame_to_array(values, config.degree, config.num_features, order)
        else:
            columns = frame_columns(values)
            names = list(columns)
            order = field.arranged(names, "data", None if inputs is None else inputs.nodes).order
            return field.read(columns, [names[index] for index in order], "data", first_row=0).values
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
    return field.read({field.name: array if is_number else list(array)}, [field.name], "data", first_row=0).values


def _is_ready(field: Field, values: Any) -> bool:
    """Whether the values are an array of the field's shape and type."""
    if not isinstance(values, np.ndarray) or values.shape[1:] != field.shape:
        return False
    return values.dtype.kind in ("iuf" if field.top is None else "iu")


def _prefixed(error: ValueError, where: str) -> ValueError:
    text = str(error)
    return ValueError(where + text.removeprefix("data") if text.startswith("data") else f"{where}: {text}")
