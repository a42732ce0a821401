"""A user's table as columns of cells: a CSV, JSON lines, Parquet or NumPy file, a folder of files, or a Hub dataset."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet

from ..model._messages import shown
from ._json import parse_json
from ._npz_files import read_arrays

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Table:
    """Columns of unparsed cells, equally long, and their origin for error messages."""

    where: str
    columns: dict[str, Sequence[Any]]


def read_tables(source: str | Path) -> dict[str, Table]:
    """All splits of the source: ``{"train": …}`` for a single file.

    Raises:
        ValueError: the source does not exist, is of an unknown kind or cannot be read; names the file and the row.
    """
    path = Path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long
        raise ValueError(f"table {shown(str(source))}: cannot be read: {error.strerror}") from error
    if is_folder:
        return _read_folder(path)
    if is_file or path.suffix in _READERS:
        return {"train": _read_file(path)}
    return _read_hub(str(source))


def _read_folder(folder: Path) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in _READERS):
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
        rows = loaded[split].with_format(None)  # a column is read on first access
        tables[split] = Table(f"{name}, split {split}", {column: rows[column] for column in rows.column_names})
    return tables


def _read_file(path: Path) -> Table:
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: expected a file with ending {', '.join(_READERS)}")
    try:
        columns = _READERS[path.suffix](path)
    except Exception as error:  # parsers raise anything on a broken file
        if isinstance(error, ValueError) and str(error).startswith(f"{path}"):
            raise
        raise ValueError(f"{path}: cannot be read: {error}") from error
    return Table(str(path), columns)


def _read_csv(path: Path) -> dict[str, Sequence[Any]]:
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte-order mark
        rows = [row for row in csv.reader(file, skipinitialspace=True, strict=True) if row]
    if not rows:
        return {}
    header = [name.strip() for name in rows[0]]
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: column names must differ, got {', '.join(header)}")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise ValueError(
                f"{path}, row {number}: expected {len(header)} cells ({', '.join(header)}), got {len(row)}; "
                'a list inside a cell needs quotes: "1, 2, 3"'
            )
    return {name: [row[index] for row in rows[1:]] for index, name in enumerate(header)}


def _read_json_lines(path: Path) -> dict[str, Sequence[Any]]:
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


def _read_parquet(path: Path) -> dict[str, Sequence[Any]]:
    return pyarrow.parquet.read_table(path).to_pydict()


def _read_npz(path: Path) -> dict[str, Sequence[Any]]:
    arrays = read_arrays(path)
    for key, array in arrays.items():
        if array.dtype.hasobject or array.ndim == 0:
            raise ValueError(f"{path}: {key} must hold numbers, a row per sample; Python objects are not read")
    if len(set(map(len, arrays.values()))) > 1:
        found = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
        raise ValueError(f"{path}: all arrays must have equally many rows, got {found}")
    return {key: list(array) for key, array in arrays.items()}


_READERS: dict[str, Callable[[Path], dict[str, Sequence[Any]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_json_lines,
    ".json": _read_json_lines,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}
