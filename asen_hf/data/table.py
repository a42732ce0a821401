"""A user's own table as a ``DatasetDict`` like those of the built-in tasks, validated cell by cell."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from ..model._messages import one_line, shortened, shown
from ..model.configuration_rows import MASK, PAIRS, WEIGHTS
from ..model.configuration_task import TaskConfig
from ._fields import input_field
from ._task_columns import Arrays, arranged_names, read_rows, taken, with_input_names
from .features import to_dataset
from .splits import SPLITS, choose_rows, group_texts, read_times
from .table_files import Table, read_tables

DEFAULT_INPUTS, DEFAULT_LABELS = ("inputs",), ("labels",)
_INDEX_NAMES = frozenset(["", "Unnamed: 0", "__index_level_0__"])  # of an index that pandas wrote or read as a column


def load_table(
    source: str | Path | Any,
    config: TaskConfig,
    inputs_columns: Sequence[str] = DEFAULT_INPUTS,
    labels_columns: Sequence[str] = DEFAULT_LABELS,
    seed: int = 0,
    split_column: str | None = None,
    time_column: str | None = None,
) -> DatasetDict:
    """Read a table and check every cell against the task.

    Args:
        source: a ``.csv``, ``.jsonl`` (JSON lines), ``.parquet`` or ``.npz`` (an array per column) file; a folder of
            such files named train, validation and test; the id of a dataset on the Hub, ``OWNER/NAME`` or
            ``OWNER/NAME/CONFIGURATION``; or a DataFrame.
        config: the task.
        inputs_columns, labels_columns: with one name, each cell holds a row's whole inputs or labels: a list, as text a
            JSON list or numbers separated by blanks or commas. With several names there is one column per node, one
            per node and feature, or one per label value if a row has several, arranged by their names as
            :mod:`asen_hf.data.column_names` says. In a table without a column ``inputs``, those that the task names as
            ``input_names`` are inputs, or else all columns without another purpose, if their number is right. A task
            with pair inputs needs a column ``pairs`` too, lists of lists ``(n, n)`` or ``(n, n, P)``; without, the
            column is not read, and a warning says so. A column ``weights`` holds a number of at least 0 per row, a
            factor of its loss.
        seed: seed of the shuffle before rows are split.
        split_column: a column of groups; rows of one group go into one split. If its values are train, validation and
            test, they are the splits.
        time_column: a column of numbers or dates: the earliest rows are for training, the latest for testing.

    Returns:
        Splits train, validation and test with typed columns ``inputs``, ``labels`` and, where there are any, ``pairs``,
        ``weights`` and ``attention_mask``. Splits of the source are kept; missing ones are taken from its train split,
        15 % of the rows each: by ``split_column`` or ``time_column``, or at random, equal inputs together. Inputs
        ``(n, …)`` of any shape are flattened to ``(n, F)``. A missing input (an empty cell, NaN, a text such as ``NA``
        or ``?``) is NaN, or -1 among tokens and categories of pairs; a missing regressed value is NaN, and an unknown
        class is -100 (of nodes and pairs, one that is missing, too). Classes are numbers, or texts among
        ``config.label_names``. A row whose inputs are a list of fewer nodes is padded at the end, labels and pairs
        alike, and ``attention_mask`` is 1 for the nodes that it has; a column ``attention_mask`` of the source is taken
        as it is. The group must exchange freely the nodes that a row lacks.

    Raises:
        ValueError: a source, split or column that does not exist, or a cell that is not a number, has the wrong length,
            is out of range, infinite or beyond ±1e18; names the file, the row (1 = the first row of data), the column,
            the expected and the found value.
    """
    return named_table(source, config, inputs_columns, labels_columns, seed, split_column, time_column)[1]


def named_table(
    source: Any,
    config: TaskConfig,
    inputs_columns: Sequence[str] = DEFAULT_INPUTS,
    labels_columns: Sequence[str] = DEFAULT_LABELS,
    seed: int = 0,
    split_column: str | None = None,
    time_column: str | None = None,
) -> tuple[TaskConfig, DatasetDict]:
    """The task with the names of its columns, and the rows of :func:`load_table`, whose arguments it takes."""
    if not isinstance(config, TaskConfig):
        raise ValueError(f"config must be a TaskConfig, got {shown(config)}")
    names = {"inputs": column_names(inputs_columns), "labels": column_names(labels_columns)}
    by = split_by(split_column, time_column, [name for columns in names.values() for name in columns])
    tables = read_tables(source)
    names = _arranged(tables["train"], config, names, others=[*by.values()])
    arrays = _read_splits(tables, config, names)
    where = str(source) if isinstance(source, str | Path) else tables["train"].where
    train = arrays["train"]
    try:
        rows = choose_rows(
            train["inputs"], list(arrays), seed, **split_values(tables["train"], by), pairs=train.get(PAIRS)
        )
    except ValueError as error:
        message = str(error)
        raise ValueError(message if message.startswith(where) else f"{where}: {message}") from error
    splits = {split: to_dataset(config, **columns) for split, columns in arrays.items() if split != "train"}
    splits |= {split: to_dataset(config, **taken(train, chosen)) for split, chosen in rows.items()}
    named = with_input_names(config, names["inputs"])
    return named, DatasetDict({split: splits[split] for split in SPLITS})


def load_rows(source: Any, config: TaskConfig) -> Dataset:
    """All rows of a single table, unsplit, with the columns of :func:`load_table`. ``ValueError`` as there."""
    tables = read_tables(source)
    names = _arranged(tables["train"], config, {"inputs": DEFAULT_INPUTS, "labels": DEFAULT_LABELS})
    return to_dataset(config, **_read_splits(tables, config, names)["train"])


def _arranged(
    table: Table, config: TaskConfig, names: Mapping[str, tuple[str, ...]], others: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """The columns of inputs and labels, in order; ``others`` are columns that are no inputs."""
    _check_labels(table, names["labels"])
    taken_names = [*names["labels"], *others, MASK, WEIGHTS, *[PAIRS] * config.has_pairs]
    inputs = _found_inputs(config, table, names["inputs"], taken_names)
    return arranged_names(config, {**names, "inputs": inputs}, table.where)


def _read_splits(
    tables: Mapping[str, Table], config: TaskConfig, names: Mapping[str, Sequence[str]]
) -> dict[str, Arrays]:
    return {split: read_rows(config, table.columns, table.where, names) for split, table in tables.items()}


def split_by(split_column: Any, time_column: Any, taken: Sequence[str] = ()) -> dict[str, str]:
    """The column that splits the rows, as ``{"groups": name}``, ``{"times": name}`` or ``{}``.

    Raises:
        ValueError: both are given, a name is not text, or ``split_column`` holds what is to be predicted or seen.
    """
    given = {"groups": split_column, "times": time_column}
    given = {kind: name for kind, name in given.items() if name is not None}
    if len(given) > 1:
        raise ValueError("split_column and time_column cannot be combined: rows are split by one of them")
    for kind, name in given.items():
        if not isinstance(name, str):
            raise ValueError(f"split_column and time_column: expected the name of a column, got {shown(name)}")
        if kind == "groups" and name in taken:
            raise ValueError(
                f"split_column {one_line(name, 100)!r} holds inputs or labels, which must not decide on splits"
            )
    return given


def split_values(table: Table, by: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The column that splits the rows as the arguments ``groups`` or ``times`` of ``choose_rows``."""
    values = {}
    for kind, name in by.items():
        if name not in table.columns:
            raise ValueError(
                f"{table.where}: no column {one_line(name, 100)}; there are "
                f"{', '.join(one_line(column, 100) for column in table.columns)}"
            )
        cells = table.columns[name]
        read = group_texts if kind == "groups" else read_times
        values[kind] = read(cells, f"{table.where}, column {name!r}")
    return values


def _check_labels(table: Table, names: tuple[str, ...]) -> None:
    if names == DEFAULT_LABELS and table.columns and "labels" not in table.columns:
        raise ValueError(
            f"{table.where}: no column labels; there are {_listed(table.columns)}: name what is to be predicted with "
            "labels_columns"
        )


def _found_inputs(config: TaskConfig, table: Table, names: tuple[str, ...], others: Sequence[str]) -> tuple[str, ...]:
    """The names given; without a column ``inputs``, those that the task knows, or all columns without another purpose.

    The number of these must be right.
    """
    if names != DEFAULT_INPUTS or "inputs" in table.columns:
        return names
    known = {name.strip() for name in config.input_names or ()}
    if known and known <= {name.strip() for name in table.columns}:
        return tuple(name for name in table.columns if name.strip() in known)
    field = input_field(config)
    rest = tuple(name for name in table.columns if name not in others)
    if not rest or (len(rest) > 1 and field.takes_columns(len(rest))):
        return rest or names
    number = f"{len(rest)} columns" if len(rest) > 1 else "one column"
    taken = [name for name in table.columns if name in others]
    nodes, features = field.shape[0], field.shape[1:]
    reads = f"{nodes}, one per node" + (f", or {nodes} · {features[0]}, one per node and feature" if features else "")
    without_index = "write the table without its index (index=False), or " if _INDEX_NAMES.intersection(rest) else ""
    raise ValueError(
        f"{table.where}: no column inputs, and {number}{f' besides {_listed(taken)}' if taken else ''} "
        f"({_listed(rest)}), but the task reads {reads}: {without_index}name them with inputs_columns"
    )


def _listed(names: Iterable[str]) -> str:
    return shortened(one_line(name, 100) or "''" for name in names)


def column_names(columns: Sequence[str]) -> tuple[str, ...]:
    """One name or several as a tuple. ``ValueError`` if they are no text."""
    names = [columns] if isinstance(columns, str) else columns
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"columns: expected a name or a list of names, got {shown(columns)}")
    return tuple(names)
