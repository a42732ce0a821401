"""A user's own table as a ``DatasetDict`` like those of the built-in tasks, validated cell by cell."""

import json
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict

from ..model._messages import one_line, shortened, shown
from ..model.configuration_statistics import Statistic, largest_value
from ..model.configuration_task import IGNORED_CLASS, TaskConfig
from ._array_table import BEYOND, MAX_MAGNITUDE
from .features import to_dataset
from .seeding import random_generator
from .splits import split_sizes
from .table_files import SPLITS, Table, read_tables


def load_table(
    source: str | Path,
    config: TaskConfig,
    inputs_columns: Sequence[str] = ("inputs",),
    labels_columns: Sequence[str] = ("labels",),
    seed: int = 0,
) -> DatasetDict:
    """Read a table and check every cell against the task.

    Args:
        source: a ``.csv``, ``.jsonl`` (JSON lines), ``.parquet`` or ``.npz`` (an array per column) file, a folder of
            such files named train, validation and test, or the id of a dataset on the Hub: ``OWNER/NAME``, or
            ``OWNER/NAME/CONFIGURATION``.
        config: the task.
        inputs_columns, labels_columns: with one name, each cell holds a row's whole inputs or labels: a list, as text a
            JSON list or numbers separated by blanks or commas. With several names there is one column per node (in
            order), or one column per label value if a row has several.
        seed: seed of the shuffle before rows are split.

    Returns:
        Splits train, validation and test with typed columns ``inputs`` and ``labels``. Splits of the source are kept;
        missing ones are taken from its train split at random, 15 % of the rows each, equal inputs together.

    Raises:
        ValueError: a source, split or column that does not exist, or a cell that is not a number, has the wrong length,
            is out of range, not finite or beyond ±1e18; names the file, the row (1 = the first row of data), the
            column, the expected and the found value.
    """
    fields = _fields(config, _names(inputs_columns), _names(labels_columns))
    splits = {}
    for split, table in read_tables(source).items():
        inputs, labels = (field.read(table) for field in fields)
        splits[split] = (inputs, labels)
    held_out = [split for split in SPLITS if split not in splits]
    if held_out:
        inputs, labels = splits["train"]
        try:
            rows = split_rows(inputs, held_out, seed)
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error
        splits |= {split: (inputs[chosen], labels[chosen]) for split, chosen in rows.items()}
    return DatasetDict({split: to_dataset(config, *splits[split]) for split in SPLITS})


@dataclass(frozen=True)
class _Field:
    """The inputs or the labels of a task: their columns in a table, shape and range."""

    columns: tuple[str, ...]
    shape: tuple[int, ...]
    top: int | None  # cells are integers 0 … top; None for real numbers
    largest: float  # bound on the absolute value of real numbers
    ignored: float | None  # value that marks a label as unknown

    def read(self, table: Table) -> np.ndarray:
        """All rows, ``(N,) + shape``."""
        missing = [name for name in self.columns if name not in table.columns]
        if missing:
            known = ", ".join(table.columns) or "none"
            raise ValueError(
                f"{table.where}: no column {shortened(one_line(name, 100) for name in missing)}; there are {known}"
            )
        if len(table.columns[self.columns[0]]) == 0:
            raise ValueError(f"{table.where}: no rows")
        shape = self.shape if len(self.columns) == 1 else self.shape[1:]
        columns = [
            [
                self._read_cell(cell, shape, f"{table.where}, row {row}, column {name!r}")
                for row, cell in enumerate(table.columns[name], start=1)
            ]
            for name in self.columns
        ]
        array = np.stack(columns, axis=1) if len(columns) > 1 else np.array(columns[0])
        return array if self.top is None else array.astype(np.int64)

    def _read_cell(self, cell: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
        try:
            values = _to_numbers(_parse(cell))
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise ValueError(f"{where}: expected {self._expected(shape)}, got {reprlib.repr(cell)}") from None
        # If each node has one feature, [[1], [2]] and [1, 2] mean the same.
        if [size for size in values.shape if size != 1] != [size for size in shape if size != 1]:
            found = "x".join(map(str, values.shape)) + " values" if values.ndim else "one value"
            raise ValueError(f"{where}: expected {self._expected(shape)}, got {found}: {reprlib.repr(cell)}")
        wrong = ~self._allowed(values)
        if wrong.any():
            found = f"{values[wrong][0]:.10g} in {reprlib.repr(cell)}"
            found += f"; {BEYOND}" * (self.top is None and bool(np.isfinite(values[wrong][0])))
            raise ValueError(f"{where}: expected {self._expected(shape)}, got {found}")
        return values.reshape(shape)

    def _allowed(self, values: np.ndarray) -> np.ndarray:
        if self.top is None:
            is_finite = np.abs(values) <= self.largest
            return is_finite | (np.isnan(values) & (self.ignored is not None))
        return ((values >= 0) & (values <= self.top) & (values == np.floor(values))) | (values == self.ignored)

    def _expected(self, shape: tuple[int, ...]) -> str:
        count = "x".join(map(str, shape)) if math.prod(shape) > 1 else "one"
        plural = "s" if math.prod(shape) > 1 else ""
        kind = f"finite number{plural}" if self.top is None else f"integer{plural} in 0 … {self.top}"
        ignored = "" if self.ignored is None else f" ({self.ignored:g} where unknown)"
        return f"{count} {kind}{ignored}"


def _fields(
    config: TaskConfig, inputs_columns: tuple[str, ...], labels_columns: tuple[str, ...]
) -> tuple[_Field, _Field]:
    top_token = None if config.vocab_size is None else config.vocab_size - 1
    top_class = None if config.is_regression or config.num_labels is None else config.num_labels - 1
    unknown = math.nan if config.is_regression else IGNORED_CLASS
    largest_input = _largest(config.input_mean, config.input_scale)
    largest_label = _largest(config.label_mean, config.label_scale)
    inputs = _Field(inputs_columns, config.input_shape(), top_token, largest_input, None)
    labels = _Field(labels_columns, config.label_shape(), top_class, largest_label, unknown)
    for name, field in (("inputs", inputs), ("labels", labels)):
        num_columns = field.shape[0] if field.shape else 1
        if len(field.columns) not in (1, num_columns):
            found = ", ".join(field.columns) or "none"
            raise ValueError(f"{name} must be in one column or in {num_columns}, got {found}")
    return inputs, labels


def _names(columns: Sequence[str]) -> tuple[str, ...]:
    names = [columns] if isinstance(columns, str) else columns
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"columns: expected a name or a list of names, got {shown(columns)}")
    return tuple(names)


def _parse(cell: Any) -> Any:
    """Numbers or nested lists of numbers; ``None`` for an empty cell."""
    if not isinstance(cell, str):
        return cell
    if "_" in cell:  # Python reads 1_0 as 10
        raise ValueError
    if cell.lstrip().startswith("["):
        return json.loads(cell)
    words = cell.replace(",", " ").split()
    return [float(word) for word in words] if words else None


def _to_numbers(values: Any) -> np.ndarray:
    """As float64; refuses what NumPy would convert with a loss, or not as a number: complex numbers, times, bytes."""
    array = np.asarray(values)
    if array.dtype.kind not in "biufUO":
        raise TypeError
    return array.astype(np.float64)


def split_rows(inputs: np.ndarray, held_out: Sequence[str], seed: int) -> dict[str, np.ndarray]:
    """Random row numbers for train and held-out splits; rows with equal inputs go together, so sizes may be off."""
    sizes = split_sizes(len(inputs), held_out)
    _, group = np.unique(inputs.reshape(len(inputs), -1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    num_groups = int(group.max()) + 1
    if num_groups < len(sizes):
        raise ValueError(f"{num_groups} different inputs are too few to split into {', '.join(sizes)}")
    rank = random_generator(seed, "table").permutation(num_groups)[group]
    group_ends = np.cumsum(np.bincount(rank, minlength=num_groups))
    last_groups: list[int] = []  # one per split, except the last split
    for index, target in enumerate(np.cumsum(list(sizes.values()))[:-1]):
        latest = num_groups - len(sizes) + index  # leaves one group for every later split
        last_groups.append(int(np.clip(np.searchsorted(group_ends, target), max(last_groups, default=-1) + 1, latest)))
    cuts = group_ends[last_groups]
    return dict(zip(sizes, np.split(np.argsort(rank, kind="stable"), cuts), strict=True))


def _largest(mean: Statistic, scale: Statistic) -> float:
    """A bound on real numbers: a fill value must not enter statistics that are computed from the rows."""
    return MAX_MAGNITUDE if mean is None or scale is None else largest_value(mean, scale)
