"""A fuzzer for users' tables: what it puts into a cell is refused with file, row and column, or read as it stands."""

import csv
import datetime
import decimal
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from asen_hf import TaskConfig
from asen_hf.data import load_table
from asen_hf.data.table_files import _READERS

ROWS, BAD = 30, 6  # the changed row, counted from 1
CONFIGS = {
    "tokens": TaskConfig(degree=3, vocab_size=40, num_labels=3),
    "graph": TaskConfig(degree=3, vocab_size=40, output_level="graph", num_labels=3),
    "numbers": TaskConfig(degree=3, num_features=1, problem_type="regression", num_labels=1),
}
VALUES = {
    "minus one": -1,
    "unknown class": -100,
    "too large": 40,
    "half": 0.5,
    "1.7": 1.7,
    "whole float": 2.0,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": -float("inf"),
    "netCDF fill": 9.969209968386869e36,
    "CF fill": 1e20,
    "fill": -9999,
    "huge": 10**400,
    "none": None,
    "true": True,
    "complex": 1 + 2j,
    "text": "many",
    "number as text": "2",
    "underscore": "1_0",
    "bytes": b"2",
    "date": datetime.date(2020, 1, 1),
    "time": datetime.datetime(2020, 1, 1),
    "numpy time": np.datetime64("1970-01-01T00:00:02"),
    "decimal": decimal.Decimal("2"),
    "list": [1, 2],
    "object": {"a": 1},
}


def rows_of(config):
    rows = [{"inputs": [i, 1, 2], "labels": [0, 1, 2]} for i in range(ROWS)]
    return [row | {"labels": row["labels"][1]} for row in rows] if config.output_level == "graph" else rows


def write(path, rows):
    """Write the rows in the format of the path; ``TypeError`` or the like if it has no such value."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows[0])
            cells = [[cell if isinstance(cell, list) else [cell] for cell in row.values()] for row in rows]
            writer.writerows([" ".join("" if v is None else str(v) for v in cell) for cell in row] for row in cells)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".npz":
        np.savez(path, **{key: np.array([row[key] for row in rows]) for key in rows[0]})
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def number(value):
    """What a cell says, or nothing if it says no number."""
    return None if isinstance(value, complex | bytes | list | dict | datetime.date | np.datetime64) else float(value)


def changed(rows, column, value):
    """The rows with one value in row ``BAD`` replaced."""
    cell = rows[BAD - 1][column]
    new = value if not isinstance(cell, list) else [cell[0], value, cell[2]]
    return [row | ({column: new} if number == BAD else {}) for number, row in enumerate(rows, start=1)]


@pytest.mark.parametrize("suffix", _READERS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("column", ["inputs", "labels"])
def test_a_value_is_refused_with_its_row_or_read_as_it_stands(tmp_path, suffix, config, column):
    for name, value in VALUES.items():
        rows = changed(rows_of(config), column, value)
        try:
            path = write(tmp_path / f"{name}{suffix}", rows)
        except (TypeError, ValueError, OverflowError, pa.ArrowException):
            continue  # the format has no such value
        whole = suffix == ".npz" and np.array([row[column] for row in rows]).dtype.kind not in "iuf"
        try:
            splits = load_table(path, config)
        except ValueError as error:
            assert path.name in str(error) and column in str(error), (name, error)
            # In an array, one such value gives all rows another type.
            assert whole or "\ufffd" in str(error) or f"row {BAD}, column {column!r}" in str(error), (name, error)
            continue
        is_missing = value is None or value != value or (value == -1 and config.num_features is None)
        if column == "inputs" and is_missing:
            found = [np.ravel(row["inputs"]).tolist() for split in splits.values() for row in split]
            missing = np.nan if config.num_features else -1
            np.testing.assert_array_equal([row for row in found if row[0] == BAD - 1], [[BAD - 1, missing, 2]], name)
            continue
        read = {
            tuple(np.ravel(row["inputs"]).tolist()): np.ravel(row["labels"]).tolist()
            for split in splits.values()
            for row in split
        }
        if column == "labels" and (value is None or value != value):
            label = read[BAD - 1, 1, 2][1] if config.output_level == "node" else read[BAD - 1, 1, 2][0]
            assert np.isnan(label) if config.is_regression else label == -100, name
            assert config.is_regression or config.output_level == "node", name  # a row without a class is no row
            continue
        expected = [[float(entry) for entry in np.ravel(row["inputs"]).tolist()] for row in rows]
        labels = [[float(entry) for entry in np.ravel(row["labels"]).tolist()] for row in rows]
        assert len(read) == ROWS
        for inputs, label in zip(expected, labels, strict=True):
            np.testing.assert_array_equal(read[tuple(inputs)], label, err_msg=name)


MUST_REFUSE = [
    (
        "tokens",
        "inputs",
        ["too large", "half", "1.7", "inf", "-inf", "netCDF fill", "fill", "text"],
    ),
    (
        "tokens",
        "labels",
        ["minus one", "too large", "half", "1.7", "inf", "-inf", "netCDF fill", "fill"],
    ),
    ("graph", "labels", ["minus one", "too large", "half", "nan", "inf", "fill", "none"]),
    ("numbers", "inputs", ["inf", "-inf", "netCDF fill", "CF fill", "huge", "complex", "text", "date", "bytes"]),
    (
        "numbers",
        "labels",
        ["inf", "-inf", "netCDF fill", "CF fill", "huge", "complex", "text", "date", "list", "bytes"],
    ),
]


@pytest.mark.parametrize("suffix", _READERS)
@pytest.mark.parametrize(("config", "column", "names"), MUST_REFUSE)
def test_what_is_no_value_of_the_task_is_refused(tmp_path, suffix, config, column, names):
    refused = 0
    for name in names:
        rows = changed(rows_of(CONFIGS[config]), column, VALUES[name])
        try:
            path = write(tmp_path / f"{name}{suffix}", rows)
        except (TypeError, ValueError, OverflowError, pa.ArrowException):
            continue
        with pytest.raises(ValueError, match=path.name):
            load_table(path, CONFIGS[config])
        refused += 1
    assert refused >= 4


def test_a_fill_value_is_explained(tmp_path):
    path = write(tmp_path / "rows.csv", changed(rows_of(CONFIGS["numbers"]), "labels", 9.96921e36))
    with pytest.raises(ValueError, match=r"rows\.csv, row 6, column 'labels'.* fill values .an unknown label is NaN"):
        load_table(path, CONFIGS["numbers"])


@pytest.mark.parametrize("line", ['{"inputs": [1, 2, 3], "inputs": [1, 2, 4], "labels": [0, 1, 2]}', "[" * 100_000])
def test_a_line_of_json_that_is_ambiguous_or_endless_is_refused(tmp_path, line):
    (tmp_path / "rows.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl, row 1: not JSON"):
        load_table(tmp_path / "rows.jsonl", CONFIGS["tokens"])


def test_a_cell_of_endless_brackets_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("inputs,labels\n" + f'"{"[" * 100_000}",0 1 2\n')
    with pytest.raises(ValueError, match=r"rows\.csv, row 1, column 'inputs'"):
        load_table(tmp_path / "rows.csv", CONFIGS["tokens"])


def test_columns_of_one_name_are_refused_in_parquet_too(tmp_path):
    column = pa.array([[1, 2, 3]] * 10)
    pyarrow.parquet.write_table(pa.table([column, column], names=["inputs", "inputs"]), tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"rows\.parquet: cannot be read: .*inputs"):
        load_table(tmp_path / "rows.parquet", CONFIGS["tokens"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"inputs": np.ones((10, 3), dtype=int), "labels": np.ones((9, 3), dtype=int)},
            "equally many rows, got inputs",
        ),
        ({"inputs": np.ones((10, 3), dtype=int), "labels": np.int64(1)}, "labels must hold numbers, a row per sample"),
        ({"inputs": np.ones((10, 3), dtype=int)}, "no column labels; there are inputs"),
        ({"inputs": np.array([[1], None] * 5, dtype=object)}, "inputs must hold numbers.* Python objects are not read"),
    ],
)
def test_arrays_that_are_no_table_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(ValueError, match=rf"rows\.npz: .*{message}"):
        load_table(tmp_path / "rows.npz", CONFIGS["tokens"])
