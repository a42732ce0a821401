"""Uploaded tables: what their columns are taken for, and what is refused."""

import json
import re

import numpy as np
import pytest

from asen_hf import TaskConfig
from asen_hf.demo import uploads
from asen_hf.demo.offers import MAX_UPLOAD_BYTES
from asen_hf.demo.uploads import MAX_ROWS, boards, read_upload, task_fields, write_training


def read(tmp_path, lines, name="mine.csv"):
    path = tmp_path / "upload.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_upload(path, name)


def rows(cells, number=20):
    return [cells] * number


def test_the_example_is_what_it_says():
    example = boards()
    table = [
        [json.loads(cell) for cell in re.findall(r"\[.*?\]", line)] for line in example.content.decode().split("\n")
    ]
    assert len([row for row in table if row]) == 100
    for board, finished in filter(None, table):
        grid = np.array(board).reshape(3, 3)
        lines = [*grid, *grid.T, grid.diagonal(), grid[:, ::-1].diagonal()]
        has_line = any(line[0] and (line == line[0]).all() for line in lines)
        assert has_line == any(finished)
    assert task_fields(example, "grid 3x3 dihedral", "tokens", "classes") == {
        "group": "grid 3x3 dihedral",
        "output_level": "node",
        "vocab_size": 3,
        "num_labels": 2,
    }


@pytest.mark.parametrize(
    "lines, inputs_are, labels_are, expected",
    [
        (["a,b,c,labels", *rows("0,1,2,1")], "tokens", "classes", {"vocab_size": 3, "num_labels": 2}),
        (["a,b,c,labels", *rows("0,1,2,1")], "amounts", "amounts", {"num_features": 1, "problem_type": "regression"}),
        (["a,b,c,labels", *rows("0.5,1,2,1")], "tokens", "classes", {"num_features": 1, "num_labels": 2}),
        (["a,b,c,labels", *rows("0,1,2,0.5")], "tokens", "classes", {"vocab_size": 3, "problem_type": "regression"}),
        (["inputs,labels", *rows("1 2 3 4 5 6,loud"), "1 2 3 4 5 6,quiet"], "tokens", "classes",
         {"num_features": 2, "label_names": ["loud", "quiet"]}),
    ],
)  # fmt: skip
def test_columns_become_a_task(tmp_path, lines, inputs_are, labels_are, expected):
    upload = read(tmp_path, lines)
    fields = task_fields(upload, "C3", inputs_are, labels_are)
    assert fields == {"group": "C3", "output_level": "graph", **expected}
    TaskConfig(**fields)


@pytest.mark.parametrize(
    "lines, message",
    [
        (["a,b", *rows("1,2")], "mine.csv: no column labels; there are a, b"),
        (["labels", *rows("1")], "no inputs"),
        (["a,labels", "1,2"], "expected 20 to 2,000 rows, got 1"),
        (["a,labels", *rows("1,2", MAX_ROWS + 1)], "rows, got 2,001"),
        (["a,labels", *rows("1,2"), "x,2"], "mine.csv, column a, row 21: expected numbers, got 'x'"),
        (["a,labels", *rows("1 2,2"), "1,2"], "row 21: expected 2 numbers, got 1"),
        (["a,a,labels", *rows("1,2,3")], "mine.csv: column names must differ"),
        (["a,labels", *rows("1,2"), "1,2,3"], "mine.csv, row 21: expected 2 cells"),
        (["a,labels", *(f"1,name{number}" for number in range(30))], "expected numbers, got 'name0'"),
        (["inputs,labels", *rows(" ".join(["1"] * 300) + ",2")], "at most 256 inputs"),
        (["", ""], "no column labels"),
        (["a,labels", *rows("1,yes")], "mine.csv: there are no two classes: all labels are 'yes'"),
        (["a,labels", *rows("1,?")], "all labels are missing"),
    ],
)
def test_a_bad_table_is_refused_with_its_own_name(tmp_path, lines, message):
    with pytest.raises(ValueError) as raised:
        read(tmp_path, lines)
    assert message in str(raised.value) and str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize(
    "lines",
    [
        [",".join(["a" * 20_000] * 40), *rows("1")],
        [",".join("a" * 2_000 + str(number) for number in range(400)), *rows("1")],
        ["a,labels", *rows(f"1,{'yes' * 9_000}")],
    ],
    ids=["equal names", "a row of another width", "one class"],
)
def test_however_long_a_text_is_its_error_is_short(tmp_path, lines):
    with pytest.raises(ValueError) as raised:
        read(tmp_path, lines)
    assert len(str(raised.value)) < 1_200


def test_texts_as_amounts_are_refused_in_few_words(tmp_path):
    upload = read(tmp_path, ["a,labels", *rows(f"1,{'yes' * 9_000}"), "1,no"])
    with pytest.raises(ValueError, match="which are classes, not amounts") as raised:
        task_fields(upload, "S1", "amounts", "amounts")
    assert len(str(raised.value)) < 300


def test_a_file_name_may_be_of_capitals(tmp_path):
    path = tmp_path / "MINE.CSV"
    path.write_bytes(boards().content)
    assert read_upload(path, path.name).num_rows == 100


def test_a_large_or_binary_file_is_refused(tmp_path):
    path = tmp_path / "large.csv"
    path.write_bytes(b"a" * (MAX_UPLOAD_BYTES + 1))
    with pytest.raises(ValueError, match="1 MB"):
        read_upload(path, "large.csv")
    path.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(ValueError, match=r"large\.csv"):
        read_upload(path, "large.csv")


@pytest.mark.parametrize(
    "group, message",
    [
        ("D8", "acts on 8 points, but rows have 9 inputs"),
        ("S3", "expected 1 or 3 labels per row"),
        ("S100", f"at most {uploads.MAX_POINTS} points"),
        ("grid 3x", "\\^"),
    ],
)
def test_a_group_that_does_not_suit_the_table_is_refused(group, message):
    with pytest.raises(ValueError, match=message):
        task_fields(boards(), group, "tokens", "classes")


def test_every_cell_is_checked_before_a_training_starts(tmp_path):
    lines = ["inputs,labels", *rows('"0 1 2","0 1 1"'), '"0 1 2","0 1 7.5"']
    upload = read(tmp_path, lines)
    fields = {"group": "C3", "vocab_size": 3, "output_level": "node", "num_labels": 2}
    with pytest.raises(ValueError) as raised:
        write_training(tmp_path, upload, fields)
    assert "mine.csv, row 21" in str(raised.value) and str(tmp_path) not in str(raised.value)
