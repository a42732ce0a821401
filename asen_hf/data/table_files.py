"""A user's table as columns: a CSV, JSON lines, Parquet or NumPy file, a folder of them, a Hub dataset, a DataFrame."""

import csv
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet

from ..model._messages import one_line, shortened, shown
from ..model._named_columns import is_frame
from ._arrow_columns import joined, to_numpy
from ._json import parse_json
from ._npz_files import read_arrays
from .features import read_cells
from .frames import frame_columns
from .splits import SPLITS

Columns = Mapping[str, Any]
"""By name, equally long: arrays of numbers ``(N, …)`` or sequences of unparsed cells."""

_csv_limit = threading.Lock()  # the csv module has one limit for the program


@dataclass(frozen=True)
class Table:
    """Columns, and their origin for error messages."""

    where: str
    columns: Columns


class _LateColumns(Mapping[str, Any]):
    """Columns of which each is read when it is asked for: a table may have many more than a task needs."""

    def __init__(self, names: Sequence[str], read: Callable[[str], Any]):
        self._names, self._read = list(names), read

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_tables(source: Any) -> dict[str, Table]:
    """All splits of the source: ``{"train": …}`` for a single file or a DataFrame.

    Raises:
        ValueError: the source does not exist, is of an unknown kind or cannot be read; names the file and the row.
    """
    if is_frame(source):
        return {"train": Table("data", frame_columns(source))}
    if not isinstance(source, str | os.PathLike):
        raise ValueError(f"a table is a DataFrame, a file, a folder or a Hub data set, not {shown(source)}")
    path = Path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long
        raise ValueError(f"table {shown(str(source))}: cannot be read: {error.strerror}") from error
    if is_folder:
        return _read_folder(path)
    if is_file or path.suffix.lower() in _READERS:
        return {"train": _read_file(path)}
    return _read_hub(str(source))


def _read_folder(folder: Path) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in _READERS):
        if path.stem not in SPLITS:
            raise ValueError(f"{path}: the tables of a folder must be named {', '.join(SPLITS)}")
        if path.stem in tables:
            raise ValueError(f"{path}: a second table of this split; the first is {tables[path.stem].where}")
        tables[path.stem] = _read_file(path)
    if "train" not in tables:
        raise ValueError(
            f"{folder}: no table named train with ending {', '.join(_READERS)}; found {', '.join(tables) or 'none'}"
        )
    return tables


def _read_hub(name: str) -> dict[str, Table]:
    parts = name.split("/", 2)
    try:
        loaded = datasets.load_dataset("/".join(parts[:2]), *parts[2:])
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: no such file or folder, and no loadable dataset on the Hub: {error}") from error
    if "train" not in loaded:
        raise ValueError(f"{name}: no split named train; there are {', '.join(map(str, loaded))}")
    tables = {}
    for split in filter(loaded.__contains__, SPLITS):
        tables[split] = Table(f"{name}, split {split}", dataset_columns(loaded[split]))
    return tables


def dataset_columns(rows: datasets.Dataset) -> Columns:
    """The columns of a ``Dataset``."""
    return _LateColumns(rows.column_names, lambda column: read_cells(rows, column))


def _read_file(path: Path) -> Table:
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"{path}: expected a file with ending {', '.join(_READERS)}")
    try:
        columns = _READERS[path.suffix.lower()](path)
    except Exception as error:  # parsers raise anything on a broken file
        raise _unreadable(path, error) from error
    return Table(str(path), columns)


def _unreadable(path: Path, error: Exception) -> ValueError:
    is_named = isinstance(error, ValueError) and str(error).startswith(f"{path}")
    return ValueError(str(error) if is_named else f"{path}: cannot be read: {error}")


def _read_csv(path: Path) -> Columns:
    with _csv_limit, path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte-order mark
        limit = csv.field_size_limit(sys.maxsize)  # a cell may hold a whole row, of more than 131,072 characters
        try:
            rows = [row for row in csv.reader(file, skipinitialspace=True, strict=True) if row]
        finally:
            csv.field_size_limit(limit)
    if not rows:
        return {}
    header = [name.strip() for name in rows[0]]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path}: column names must differ, got {shown(twice)} twice")
    if len(header) == 1 and (mark := next(filter(header[0].__contains__, ";\t|"), "")):
        raise ValueError(
            f"{path}: one column, {shown(header[0])}, whose name holds {mark!r}: separate columns by commas, and write "
            "decimal points"
        )
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            names = one_line(shortened(header, most=10), most=200)
            raise ValueError(
                f"{path}, row {number}: expected {len(header)} cells ({names}), got {len(row)}; "
                'a list inside a cell needs quotes: "1, 2, 3", and a number a decimal point'
            )
    return {name: [row[index] for row in rows[1:]] for index, name in enumerate(header)}


def _read_json_lines(path: Path) -> Columns:
    rows: list[dict[str, Any]] = []
    with path.open(encoding="utf-8-sig") as file:
        for line in filter(str.strip, file):
            where = f"{path}, row {len(rows) + 1}"
            row = parse_json(line, where)
            if not isinstance(row, dict):
                raise ValueError(f"{where}: expected a JSON object per line, got {line.strip()[:60]}")
            rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _read_parquet(path: Path) -> Columns:
    file = pyarrow.parquet.ParquetFile(path, memory_map=True)
    names = file.schema_arrow.names
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"column names must differ, got {one_line(repeated[0], 100)} twice")

    def read(name: str) -> Any:
        # Of nested columns, Arrow selects all whose path begins with the name: take the one of this name.
        groups = (file.read_row_group(group, columns=[name])[name] for group in range(file.num_row_groups))
        try:
            numbers = joined((to_numpy(group) for group in groups if len(group)), file.metadata.num_rows)
            return file.read(columns=[name])[name].to_pylist() if numbers is None else numbers
        except Exception as error:  # a broken file, as above
            raise _unreadable(path, error) from error

    return _LateColumns(names, read)


def _read_npz(path: Path) -> Columns:
    arrays = read_arrays(path)
    for key, array in arrays.items():
        if array.dtype.hasobject or array.ndim == 0:
            raise ValueError(f"{path}: {key} must hold numbers, a row per sample; Python objects are not read")
    if len(set(map(len, arrays.values()))) > 1:
        found = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
        raise ValueError(f"{path}: all arrays must have equally many rows, got {found}")
    return {key: array if array.dtype.kind in "biuf" else list(array) for key, array in arrays.items()}


_READERS: dict[str, Callable[[Path], Columns]] = {
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".json": _read_json_lines,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}
