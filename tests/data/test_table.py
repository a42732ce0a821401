"""A user's own table, in every format, well formed and ill formed."""

import csv
import json
import re

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Array2D, ClassLabel, List, Value

from asen_hf import TaskConfig
from asen_hf.data import load_table

NODES = TaskConfig(degree=3, vocab_size=5)
GRAPH = TaskConfig(degree=3, vocab_size=5, output_level="graph", num_labels=3)
FEATURES = TaskConfig(degree=2, num_features=2, problem_type="regression", num_labels=1)
HORIZONS = TaskConfig(degree=2, num_features=1, problem_type="regression", num_labels=2, output_level="graph")


def token_rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return [{"inputs": inputs.tolist(), "labels": (inputs % 2).tolist()} for inputs in rng.integers(5, size=(count, 3))]


def write(path, rows):
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({name: json.dumps(cell) for name, cell in row.items()} for row in rows)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def contents(splits):
    return sorted((row["inputs"], row["labels"]) for split in splits.values() for row in split)


@pytest.fixture(params=[".csv", ".jsonl", ".parquet"])
def suffix(request):
    return request.param


def test_tokens_come_back_from_every_format(tmp_path, suffix):
    rows = token_rows(40)
    splits = load_table(write(tmp_path / f"mine{suffix}", rows), NODES)
    assert contents(splits) == sorted((row["inputs"], row["labels"]) for row in rows)
    assert list(splits) == ["train", "validation", "test"]
    assert splits["train"].features["inputs"] == List(Value("int64"), length=3)
    assert splits["train"].features["labels"] == List(ClassLabel(num_classes=2), length=3)


def test_features_and_unknown_labels_come_back_from_every_format(tmp_path, suffix):
    rows = [{"inputs": [[i, 0.5], [1, 2]], "labels": [0.25, None]} for i in range(20)]
    splits = load_table(write(tmp_path / f"mine{suffix}", rows), FEATURES)
    assert splits["train"].features["inputs"] == Array2D((2, 2), "float64")
    train = splits["train"].with_format("numpy")[:]
    assert train["inputs"].shape == (14, 2, 2) and train["inputs"][0, 0, 1] == 0.5
    assert train["labels"][0, 0] == 0.25 and np.isnan(train["labels"][:, 1]).all()


def test_one_value_a_row_is_a_plain_cell(tmp_path, suffix):
    rows = [{"inputs": row["inputs"], "labels": sum(row["inputs"]) % 3} for row in token_rows(40)]
    splits = load_table(write(tmp_path / f"mine{suffix}", rows), GRAPH)
    assert all(row["labels"] == sum(row["inputs"]) % 3 for split in splits.values() for row in split)
    assert splits["test"].features["labels"] == ClassLabel(num_classes=3)


def test_several_values_a_row_and_one_feature_a_node(tmp_path, suffix):
    rows = [{"inputs": [i, 2.0], "labels": [1.0, i]} for i in range(20)]
    splits = load_table(write(tmp_path / f"mine{suffix}", rows), HORIZONS)
    train = splits["train"].with_format("numpy")[:]
    assert (train["inputs"].shape, train["labels"].shape) == ((14, 2, 1), (14, 2))
    np.testing.assert_array_equal(train["inputs"][:, 0, 0], train["labels"][:, 1])


def test_several_columns_hold_one_node_each(tmp_path, suffix):
    rows = [
        {**{f"p{i}": x for i, x in enumerate(row["inputs"])}, **{f"q{i}": y for i, y in enumerate(row["labels"])}}
        for row in token_rows(40)
    ]
    path = write(tmp_path / f"mine{suffix}", rows)
    splits = load_table(path, NODES, ("p0", "p1", "p2"), ("q0", "q1", "q2"))
    assert contents(splits) == sorted((row["inputs"], row["labels"]) for row in token_rows(40))


@pytest.mark.parametrize("cell", ["[1, 2, 3]", "1 2 3", "1,2,3", " 1,  2 3 ", "[1.0, 2, 3]"])
def test_a_text_cell_is_a_json_list_or_separated_numbers(tmp_path, cell):
    path = tmp_path / "mine.csv"
    path.write_text("inputs,labels\n" + f'"{cell}",0 1 0\n' * 3 + "0 0 0,1 1 1\n4 4 4,0 0 0\n" * 3)
    rows = contents(load_table(path, NODES))
    assert ([1, 2, 3], [0, 1, 0]) in rows and len(rows) == 9


def test_a_csv_may_have_a_byte_order_mark_blank_lines_and_other_columns(tmp_path):
    path = tmp_path / "mine.csv"
    lines = ["id, inputs, labels", *(f'{i}, "{i % 5} {i // 5} 0", 0 1 0' for i in range(20)), ""]
    path.write_text("\n\n".join(lines), encoding="utf-8-sig")
    assert len(contents(load_table(path, NODES))) == 20


def test_unknown_classes_are_minus_100(tmp_path):
    rows = [row | {"labels": [0, -100, 1]} for row in token_rows(20)]
    assert contents(load_table(write(tmp_path / "mine.jsonl", rows), NODES))[0][1] == [0, -100, 1]


BAD_CELLS = [
    (NODES, "inputs", [1, 2], "expected 3 integers in 0 … 4, got 2 values"),
    (NODES, "inputs", [1, 2, 3, 4], "expected 3 integers in 0 … 4, got 4 values"),
    (NODES, "inputs", [1, 2, 5], "expected 3 integers in 0 … 4, got 5 in"),
    (NODES, "inputs", [1, -2, 2], "got -2 in"),
    (NODES, "inputs", [1, 0.5, 2], "got 0.5 in"),
    (NODES, "labels", [0, 1, 2], "expected 3 integers in 0 … 1 (-100 where unknown), got 2 in"),
    (FEATURES, "inputs", [[0, 1], [2, float("inf")]], "got inf in"),
    (FEATURES, "inputs", [[0, 1], [2, 1e300]], "got 1e+300 in"),
    (FEATURES, "inputs", [[0, 1], [2]], "expected 2x2 finite numbers, got "),
    (FEATURES, "inputs", [[0, 1]], "expected 2x2 finite numbers, got 1x2 values"),
    (FEATURES, "labels", [0.0, float("-inf")], "expected 2 finite numbers (nan where unknown), got -inf in"),
]


@pytest.mark.parametrize(("config", "column", "cell", "message"), BAD_CELLS)
def test_a_bad_cell_is_refused_with_its_row_and_column(tmp_path, suffix, config, column, cell, message):
    good = token_rows(1)[0] if config is NODES else {"inputs": [[0.5, 1.5], [2.5, 0.5]], "labels": [0.5, 1.5]}
    rows = [dict(good) for _ in range(30)]
    rows[16][column] = cell
    path = write(tmp_path / f"mine{suffix}", rows)
    with pytest.raises(
        ValueError, match=re.escape(f"mine{suffix}, row 17, column '{column}': ") + ".*" + re.escape(message)
    ):
        load_table(path, config)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 x,0 1 0", "mine.csv, row 2, column 'inputs': expected 3 integers in 0 … 4, got '1 2 x'"),
        ('"[1, 2",0 1 0', "mine.csv, row 2, column 'inputs': expected 3 integers in 0 … 4, got '[1, 2'"),
        (",0 1 0", "mine.csv, row 2, column 'inputs': expected 3 integers in 0 … 4, got one value: ''"),
        ("1 2 3,", "mine.csv, row 2, column 'labels': expected 3 integers"),
        ("1 2 3", "mine.csv, row 2: expected 2 cells (inputs, labels), got 1"),
        ("1,2,3,0 1 0", "mine.csv, row 2: expected 2 cells (inputs, labels), got 4; a list inside a cell needs quotes"),
        ('"1 2 3,0 1 0', "mine.csv: cannot be read"),
    ],
)
def test_a_bad_line_of_a_csv_is_refused(tmp_path, line, message):
    path = tmp_path / "mine.csv"
    path.write_text(f"inputs,labels\n1 2 3,0 1 0\n{line}\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(path, NODES)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "row 2: not JSON"),
        ("[1, 2]", "row 2: expected a JSON object per line, got [1, 2]"),
        ('{"inputs": [1, 2, 3]}', "row 2, column 'labels': expected 3 integers"),
        ('{"inputs": "abc", "labels": [0, 1, 0]}', "row 2, column 'inputs': expected 3 integers in 0 … 4, got 'abc'"),
        (
            '{"inputs": {"a": 1}, "labels": [0, 1, 0]}',
            "row 2, column 'inputs': expected 3 integers in 0 … 4, got {'a': 1}",
        ),
        ('{"inputs": [1, 2, 3], "labels": [0, -1, 0]}', "row 2, column 'labels': expected .*-100 where unknown"),
    ],
)
def test_a_bad_line_of_json_is_refused(tmp_path, line, message):
    path = tmp_path / "mine.jsonl"
    path.write_text(f'{{"inputs": [1, 2, 3], "labels": [0, 1, 0]}}\n\n{line}\n')
    with pytest.raises(ValueError, match="mine.jsonl, " + re.escape(message).replace(re.escape(".*"), ".*")):
        load_table(path, NODES)


def test_a_bad_cell_among_several_columns_names_its_own(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("p0,p1,p2,labels\n1,2,3,0 0 0\n1,9,3,0 0 0\n")
    with pytest.raises(ValueError, match=r"row 2, column 'p1': expected one integer in 0 … 4, got 9 in '9'"):
        load_table(path, NODES, ("p0", "p1", "p2"))


def test_columns_that_are_not_there_are_named(tmp_path, suffix):
    path = write(tmp_path / f"mine{suffix}", token_rows(9))
    with pytest.raises(ValueError, match=rf"mine\{suffix}: no column x; there are inputs, labels"):
        load_table(path, NODES, "x")
    with pytest.raises(ValueError, match="inputs must be in one column or in 3, got a, b"):
        load_table(path, NODES, ("a", "b"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", None, "mine.csv: cannot be read"),
        ("mine.csv", b"", "mine.csv: no column inputs, there are none"),
        ("mine.csv", b"inputs,labels\n", "mine.csv: no rows"),
        ("mine.csv", b"inputs,inputs\n1,2\n", "mine.csv: column names must differ"),
        ("mine.csv", b"inputs,labels\n\xff\xfe,1\n", "mine.csv: cannot be read"),
        ("mine.parquet", b"PAR1 no more", "mine.parquet: cannot be read"),
        ("mine.xlsx", b"PK", "mine.xlsx: expected a file with ending .csv"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message).replace(",", "[,;]")):
        load_table(path, NODES)


def test_rows_with_equal_inputs_stay_in_one_split(tmp_path):
    rows = token_rows(30) * 3
    splits = load_table(write(tmp_path / "mine.jsonl", rows), NODES)
    inputs = [{tuple(row) for row in split["inputs"]} for split in splits.values()]
    assert sum(map(len, inputs)) == len(set.union(*inputs))
    assert sum(split.num_rows for split in splits.values()) == 90
    assert splits["train"].num_rows == pytest.approx(63, abs=6)


def test_every_split_gets_rows_however_common_one_input_is(tmp_path):
    rows = token_rows(1) * 50 + [{"inputs": [i, 4, 0], "labels": [0, 0, 0]} for i in range(2)]
    splits = load_table(write(tmp_path / "mine.jsonl", rows), NODES)
    assert sorted(split.num_rows for split in splits.values()) == [1, 1, 50]


def test_the_split_depends_on_the_seed(tmp_path):
    path = write(tmp_path / "mine.jsonl", token_rows(40))
    assert load_table(path, NODES, seed=1)["train"][:] == load_table(path, NODES, seed=1)["train"][:]
    assert load_table(path, NODES, seed=1)["train"][:] != load_table(path, NODES, seed=2)["train"][:]


def test_too_few_different_rows_to_split_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"mine\.jsonl: 3 rows are too few"):
        load_table(write(tmp_path / "mine.jsonl", token_rows(3)), NODES)
    with pytest.raises(ValueError, match=r"1 different inputs are too few to split into train, validation, test"):
        load_table(write(tmp_path / "mine.jsonl", token_rows(1) * 20), NODES)


def test_splits_of_a_folder_are_kept(tmp_path):
    sizes = {"train.csv": 10, "validation.jsonl": 4, "test.parquet": 3}
    for seed, (name, size) in enumerate(sizes.items()):
        write(tmp_path / name, token_rows(size, seed))
    splits = load_table(tmp_path, NODES)
    assert [split.num_rows for split in splits.values()] == [10, 4, 3]
    assert splits["test"]["inputs"][:] == [row["inputs"] for row in token_rows(3, seed=2)]


@pytest.mark.parametrize(("given", "expected"), [("test", [34, 6, 5]), ("validation", [34, 5, 6])])
def test_a_missing_split_is_taken_from_train(tmp_path, given, expected):
    rows = [{"inputs": [i // 25, i // 5 % 5, i % 5], "labels": [0, 0, 0]} for i in range(45)]
    write(tmp_path / "train.csv", rows[:40])
    write(tmp_path / f"{given}.csv", rows[40:])
    splits = load_table(tmp_path, NODES)
    assert [splits[split].num_rows for split in ("train", "validation", "test")] == expected
    assert contents(splits) == sorted((row["inputs"], row["labels"]) for row in rows)
    assert splits[given]["inputs"][:] == [row["inputs"] for row in rows[40:]]


def test_a_folder_without_train_or_with_other_tables_is_refused(tmp_path):
    write(tmp_path / "test.csv", token_rows(5))
    with pytest.raises(ValueError, match=r"no table named train .*found test"):
        load_table(tmp_path, NODES)
    write(tmp_path / "test.jsonl", token_rows(5))
    with pytest.raises(ValueError, match=r"test\.jsonl: a second table of this split"):
        load_table(tmp_path, NODES)
    (tmp_path / "test.jsonl").rename(tmp_path / "extra.jsonl")
    with pytest.raises(ValueError, match=r"extra\.jsonl: the tables of a folder must be named train, validation, test"):
        load_table(tmp_path, NODES)


def test_a_dataset_of_the_hub_is_loaded_by_its_id(monkeypatch):
    hub = {"someone/rows": {"train": token_rows(40), "test": token_rows(7, seed=1), "extra": token_rows(3)}}

    def load_dataset(name):
        if name not in hub:
            raise FileNotFoundError(f"{name} is not on the Hub")
        return datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in hub[name].items()})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    splits = load_table("someone/rows", NODES)
    assert {name: split.num_rows for name, split in splits.items()}["test"] == 7
    assert sum(split.num_rows for split in splits.values()) == 47
    with pytest.raises(ValueError, match="someone/else: no such file or folder, and no loadable dataset on the Hub"):
        load_table("someone/else", NODES)
    hub["someone/rows"]["train"][4]["inputs"] = [0, 0, 9]
    with pytest.raises(ValueError, match=r"someone/rows, split train, row 5, column 'inputs': .*got 9"):
        load_table("someone/rows", NODES)
    del hub["someone/rows"]["train"]
    with pytest.raises(ValueError, match="someone/rows: no split named train; there are test, extra"):
        load_table("someone/rows", NODES)
