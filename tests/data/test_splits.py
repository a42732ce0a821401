"""Splits by groups, by time and by name: what goes together, what comes later, and which columns are refused."""

import datetime
import json

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asen_hf import TaskConfig
from asen_hf.data import load_table
from asen_hf.data.given_rows import to_splits
from asen_hf.data.splits import row_keys, split_by_time, split_rows

TASK = TaskConfig(degree=3, num_features=1, output_level="graph")
ROWS = 80


def frame(**columns):
    rng = np.random.default_rng(0)
    # The first input is the row's number, by which a test finds the row again.
    inputs = np.c_[np.arange(ROWS), rng.normal(size=(ROWS, 2))]
    return pandas.DataFrame({"inputs": inputs.tolist(), "labels": rng.integers(2, size=ROWS), **columns})


def numbers(splits):
    return {split: np.array(rows["inputs"][:])[:, 0, 0].astype(int) for split, rows in splits.items()}


def written(path, table, suffix):
    if suffix == "csv":
        table.assign(inputs=table["inputs"].map(json.dumps)).to_csv(path / "t.csv", index=False)
    elif suffix == "jsonl":
        table.to_json(path / "t.jsonl", orient="records", lines=True, date_format="iso")
    elif suffix == "parquet":
        pyarrow.parquet.write_table(pa.Table.from_pandas(table), path / "t.parquet")
    elif suffix == "npz":
        arrays = {name: np.array(column.tolist()) for name, column in table.items()}
        np.savez(path / "t.npz", **arrays)
    else:
        return table
    return path / f"t.{suffix}"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "npz", "frame"])
@pytest.mark.parametrize("kind", ["text", "integer"])
def test_rows_of_one_group_go_together(tmp_path, suffix, kind):
    group = np.random.default_rng(1).integers(12, size=ROWS)
    values = [f"person {value}" for value in group] if kind == "text" else group
    splits = load_table(written(tmp_path, frame(who=values), suffix), TASK, split_column="who", seed=3)
    found = {split: set(group[rows]) for split, rows in numbers(splits).items()}
    assert set.union(*found.values()) == set(group) and sum(map(len, found.values())) == len(set(group))
    assert sorted(np.concatenate(list(numbers(splits).values()))) == list(range(ROWS))
    again = load_table(frame(who=values), TASK, split_column="who", seed=3)
    assert {split: rows.tolist() for split, rows in numbers(splits).items()} == {
        split: rows.tolist() for split, rows in numbers(again).items()
    }
    other = load_table(frame(who=values), TASK, split_column="who", seed=4)
    assert numbers(other)["train"].tolist() != numbers(splits)["train"].tolist()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "npz", "frame"])
@pytest.mark.parametrize("kind", ["number", "date", "text", "zone"])
def test_the_earliest_rows_train_and_the_latest_test(tmp_path, suffix, kind):
    moment = np.random.default_rng(1).permutation(ROWS) // 2  # two rows at each time
    start = datetime.datetime(2024, 2, 28, 23, 30, tzinfo=datetime.UTC if kind == "zone" else None)
    dates = [start + datetime.timedelta(minutes=7 * int(value)) for value in moment]
    column = {"number": moment / 3, "date": dates, "text": [str(date) for date in dates], "zone": dates}[kind]
    if suffix == "npz" and kind in ("date", "zone"):
        column = np.array([date.replace(tzinfo=None) for date in dates], dtype="datetime64[s]").astype(str)
    splits = numbers(load_table(written(tmp_path, frame(when=column), suffix), TASK, time_column="when"))
    assert [len(rows) for rows in splits.values()] == [56, 12, 12]
    for rows in splits.values():
        assert (np.diff(moment[rows]) >= 0).all()
    assert moment[splits["train"]].max() < moment[splits["validation"]].min()
    assert moment[splits["validation"]].max() < moment[splits["test"]].min()


def test_a_column_may_name_the_splits():
    names = np.resize(["train", "train", "test", "validation"], ROWS)
    splits = numbers(load_table(frame(part=names), TASK, split_column="part"))
    assert all((names[rows] == split).all() for split, rows in splits.items()) and len(splits["train"]) == ROWS / 2
    without = numbers(load_table(frame(part=np.resize(["train", "test"], ROWS)), TASK, split_column="part"))
    assert [len(rows) for rows in without.values()] == [34, 6, 40] and (without["test"] % 2 == 1).all()
    assert (without["validation"] % 2 == 0).all()


GOOD = {"who": np.arange(ROWS) % 9, "when": np.arange(ROWS)}


@pytest.mark.parametrize(
    ("columns", "by", "message"),
    [
        ({}, {"split_column": "x"}, "data: no column x; there are inputs, labels, who, when"),
        ({}, {"time_column": "x"}, "data: no column x; there are"),
        ({}, {"split_column": "who", "time_column": "when"}, "cannot be combined"),
        ({}, {"split_column": "labels"}, "split_column 'labels' holds inputs or labels"),
        ({}, {"time_column": 3}, "expected the name of a column, got 3"),
        ({"who": 1}, {"split_column": "who"}, "1 different groups are too few to split into train"),
        ({"when": 1}, {"time_column": "when"}, "1 different times are too few to split"),
        (
            {"who": [*range(ROWS - 1), None]},
            {"split_column": "who"},
            "data, column 'who', row 80: expected the name or",
        ),
        ({"who": [["a"]] * ROWS}, {"split_column": "who"}, "column 'who', row 1: expected the name or number"),
        ({"who": np.resize(["train", "tset"], ROWS)}, {"split_column": "who"}, "groups of rows, got both: tset"),
        ({"who": np.resize(["test", "validation"], ROWS)}, {"split_column": "who"}, "no row of train"),
        ({"when": ["2024-01-01"] * 79 + ["soon"]}, {"time_column": "when"}, "column 'when', row 80: .*got 'soon'"),
        (
            {"when": ["2024-01-01"] * 79 + ["7"]},
            {"time_column": "when"},
            "expected one kind of time, got dates, numbers",
        ),
        ({"when": [*range(ROWS - 1), np.nan]}, {"time_column": "when"}, "column 'when', row 80: expected a number or"),
    ],
)
def test_columns_that_cannot_split_are_refused(columns, by, message):
    with pytest.raises(ValueError, match=message):
        load_table(frame(**GOOD | columns), TASK, **by)


def test_given_splits_leave_nothing_to_a_column(tmp_path):
    for split in ("train", "validation", "test"):
        frame(**GOOD).to_json(tmp_path / f"{split}.jsonl", orient="records", lines=True)
    with pytest.raises(ValueError, match="are given already"):
        load_table(tmp_path, TASK, split_column="who")
    (tmp_path / "validation.jsonl").unlink()
    splits = load_table(tmp_path, TASK, time_column="when")
    assert numbers(splits)["validation"].tolist() == list(range(68, 80)) and len(splits["test"]) == ROWS


def test_rows_given_as_objects_are_split_in_the_same_way():
    table = frame(**GOOD)
    splits = to_splits(TASK, table, split_column="who")
    rows = datasets.Dataset.from_pandas(table)
    other = to_splits(TASK, datasets.DatasetDict(train=rows.shuffle(seed=1)), split_column="who")
    assert all(set(GOOD["who"][part]) for part in numbers(other).values())
    for split, part in numbers(to_splits(TASK, rows, split_column="who")).items():
        np.testing.assert_array_equal(part, numbers(splits)[split])
    with pytest.raises(ValueError, match="data: no column who; there are inputs, labels"):
        to_splits(TASK, (np.zeros((9, 3, 1)), np.zeros(9, int)), split_column="who")


@settings(max_examples=60)
@given(st.lists(st.integers(0, 6), min_size=12, max_size=60), st.integers(0, 3))
def test_every_row_is_in_one_split_and_equal_keys_are_together(keys, seed):
    keys = np.array(keys, dtype=np.uint64)
    if len(set(keys.tolist())) < 3:
        return
    for splits in (split_rows(keys, ("validation", "test"), seed), split_by_time(keys, ("validation", "test"))):
        assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(len(keys)))
        found = [set(keys[rows].tolist()) for rows in splits.values()]
        assert all(found) and len(set.union(*found)) == sum(map(len, found))


def test_equal_rows_have_equal_keys_whatever_their_type():
    rows = np.random.default_rng(0).integers(3, size=(500, 2, 3))
    keys = row_keys(rows)
    _, expected = np.unique(rows.reshape(500, -1), axis=0, return_inverse=True)
    _, found = np.unique(keys, return_inverse=True)
    assert (
        len(set(zip(expected.ravel().tolist(), found.tolist(), strict=True)))
        == len(set(found.tolist()))
        == expected.max() + 1
    )
    np.testing.assert_array_equal(row_keys(rows.astype(np.float32)), keys)
    zeros = np.array([[0.0, np.nan], [-0.0, -np.nan]])
    assert row_keys(zeros)[0] == row_keys(zeros)[1] != row_keys(np.zeros((1, 2)))[0]
