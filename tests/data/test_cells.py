"""Cells as people have them: printed arrays, names of classes, missing values, long cells, nested features."""

import csv
import json

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.data import load_table
from asen_hf.data._arrow_columns import gathered, to_numpy
from asen_hf.data._cells import MISSING_TEXTS, parse, words_to_numbers
from asen_hf.data.features import read_column
from asen_hf.data.given_rows import to_rows, to_splits

TASK = TaskConfig(degree=3, num_features=2, label_names=["at rest", "moving", "3"], output_level="graph")
NODES = TaskConfig(degree=3, vocab_size=9, label_names=["at rest", "moving", "3"])


def write_csv(path, inputs, labels):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["inputs", "labels"], *zip(inputs, labels, strict=True)])
    return path


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (str(np.arange(6).reshape(3, 2)), r"NumPy or torch printed this list, .*write array.tolist\(\) as JSON"),
        (str(np.ones((3, 2)) / 3), "NumPy or torch printed this list"),
        (str(np.arange(6)), "NumPy or torch printed this list"),
        (str(np.arange(6) > 2), "NumPy or torch printed this list"),
        (str(np.arange(6) < 2), "NumPy or torch printed this list"),
        (repr(np.ones((3, 2))), "NumPy or torch printed this list"),
        (str(torch.ones(3, 2)), "NumPy or torch printed this list"),
        (str(np.arange(10_000.0)), "and left out the values at the dots"),
        ("[[1, 2], [3, 4], [5, 6", r"got '\[\[1, 2\], \[3, 4\], \[5, 6'$"),
        ("[1, 2 3]", r"got '\[1, 2 3\]'$"),
    ],
)
def test_a_printed_array_is_refused_with_the_way_to_save_it(tmp_path, cell, message):
    with pytest.raises(ValueError, match=r"row 2, column 'inputs': expected 3x2 finite numbers, .*" + message):
        load_table(write_csv(tmp_path / "t.csv", ["[[1,2],[3,4],[5,6]]", cell], ["3", "3"]), TASK)


def test_a_cell_may_be_long_and_other_readers_keep_their_limit(tmp_path):
    task = TaskConfig(degree=20_000, num_features=1, output_level="graph")
    rows = np.random.default_rng(0).normal(size=(9, 20_000))
    limit = csv.field_size_limit()
    splits = load_table(write_csv(tmp_path / "t.csv", map(json.dumps, rows.tolist()), [0] * 9), task)
    assert csv.field_size_limit() == limit == 131_072
    assert {row.tobytes() for part in splits.values() for row in np.array(part["inputs"][:])} == {
        r.tobytes() for r in rows
    }


def test_numbers_may_have_any_decimals(tmp_path):
    cells = [f"{i} {i}.5 {i}.25e0, 1e-3 +2 .5" for i in range(20)]
    task = TaskConfig(degree=6, num_features=1, output_level="graph")
    splits = load_table(write_csv(tmp_path / "t.csv", cells, [0] * 20), task)
    found = sorted(np.concatenate([np.array(part["inputs"][:])[..., 0] for part in splits.values()]).tolist())
    assert found == [[i, i + 0.5, i + 0.25, 1e-3, 2, 0.5] for i in range(20)]


def test_names_of_classes_are_read_in_cells_and_in_lists(tmp_path):
    inputs = [f"{i % 9} {i // 9} 0" for i in range(20)]
    cells = ['["at rest", "moving", "3"]', "at rest, moving, 3", "moving moving 3", "0, 1, 2", "[0, 1, -100]"] * 4
    splits = load_table(write_csv(tmp_path / "t.csv", inputs, cells), NODES)
    found = {tuple(row["labels"]) for part in splits.values() for row in part}
    # The text 3 is a name; 2 is no name, so it is the number of a class.
    assert found == {(0, 1, 2), (1, 1, 2), (0, 1, -100)}


@pytest.mark.parametrize(
    ("config", "label", "message"),
    [
        (TASK, "movng", "row 3, column 'labels': .*'movng' is none of the label_names: did you mean 'moving'"),
        (TASK, "zzz", "'zzz' is none of the label_names: 'at rest', 'moving', '3'"),
        (NODES, "moving, at rest, mov", "did you mean 'moving'"),
        (TaskConfig(degree=3, num_features=2, output_level="graph"), "moving", "config lists them as label_names"),
        (TASK, "", "expected one integer in 0 … 2 .-100 where unknown., got nan in ''"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(tmp_path, config, label, message):
    inputs = ["1 2 3" if config is NODES else "[[1,2],[3,4],[5,6]]"] * 4
    with pytest.raises(ValueError, match=message):
        load_table(
            write_csv(tmp_path / "t.csv", inputs, ["0 1 2" if config is NODES else "0"] * 2 + [label, "0"]), config
        )


@pytest.mark.parametrize("text", sorted(MISSING_TEXTS))
def test_every_text_for_missing_is_missing_in_words_lists_and_columns(text):
    assert np.isnan(parse(text, {})) and np.isnan(parse([1, text], {})[1]) and parse(text, {text: 4}) == 4
    np.testing.assert_array_equal(words_to_numbers(["1", f" {text} ", "2.5"]), [1, np.nan, 2.5])


@pytest.mark.parametrize("cells", [["1_0"], ["0x10"], ["one"], [1, "2"], ["1 2"], [None]])
def test_what_arrow_would_not_read_as_python_does_is_left_to_the_cells(cells):
    assert words_to_numbers(cells) is cells


@pytest.mark.parametrize("kind", ["arrays", "npz", "parquet", "jsonl", "dataset"])
def test_features_of_any_shape_are_flattened(tmp_path, kind):
    task = TaskConfig(degree=3, num_features=8, output_level="graph")
    inputs, labels = np.random.default_rng(0).normal(size=(40, 3, 2, 4)), np.arange(40) % 2
    rows = {"inputs": inputs.tolist(), "labels": labels.tolist()}
    if kind == "npz":
        np.savez(tmp_path / "t.npz", inputs=inputs, labels=labels)
    elif kind == "parquet":
        pyarrow.parquet.write_table(pa.table(rows), tmp_path / "t.parquet")
    elif kind == "jsonl":
        pandas.DataFrame(rows).to_json(tmp_path / "t.jsonl", orient="records", lines=True, double_precision=15)
    given = {"arrays": (inputs, labels), "dataset": datasets.Dataset.from_dict(rows)}.get(kind)
    splits = load_table(tmp_path / f"t.{kind}", task) if given is None else to_splits(task, given)
    found = np.concatenate([np.array(part["inputs"][:]) for part in splits.values()])
    truth = inputs.reshape(40, 3, 8)
    np.testing.assert_allclose(found[np.argsort(found[:, 0, 0])], truth[np.argsort(truth[:, 0, 0])], rtol=1e-12)
    with pytest.raises(ValueError, match="inputs"):
        to_splits(TaskConfig(degree=4, num_features=6, output_level="graph"), (inputs, labels))


def test_other_columns_of_a_dataset_stay_beside_converted_ones():
    rows = datasets.Dataset.from_dict(
        {"inputs": np.zeros((4, 3, 2)).tolist(), "labels": ["moving", "3", "3", "at rest"], "guess": [1, 2, 3, 4]}
    ).select([3, 1, 0])
    converted = to_rows(TASK, rows)
    assert converted["labels"][:] == [0, 2, 1] and converted["guess"][:] == [4, 2, 1]
    assert to_rows(TASK, converted) is converted


def test_masked_arrays_are_missing_where_masked():
    inputs = np.ma.masked_array(np.ones((4, 3, 1)), mask=np.eye(4, 3)[..., None])
    task = TaskConfig(degree=3, num_features=1, problem_type="regression")
    rows = to_rows(task, (inputs, np.ones((4, 3))))
    np.testing.assert_array_equal(np.isnan(np.array(rows["inputs"][:])), np.eye(4, 3, dtype=bool)[..., None])


ARROW = {
    "numbers": pa.array([1, 2, 3]),
    "missing": pa.array([1, None, 3]),
    "flags": pa.array([True, None, False]),
    "lists": pa.array([[1.5, 2], [3, None]]),
    "nested": pa.array([[[1, 2], [3, 4], [5, 6]]] * 4),
    "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int16(), 2)),
    "large": pa.array([[1, 2], [3, 4]], pa.large_list(pa.float32())),
    "nothing": pa.array([None, None]),
    "ragged": pa.array([[1, 2], [3]]),
    "missing list": pa.array([[1, 2], None]),
    "missing fixed list": pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
    "text": pa.array(["1", "2"]),
    "empty lists": pa.array([[], []], pa.list_(pa.int64())),
    "times": pa.array([1, 2], pa.timestamp("s")),
}


@pytest.mark.parametrize("name", ARROW)
@pytest.mark.parametrize("cut", [slice(None), slice(1, None), slice(1, 2)])
def test_arrow_columns_hold_what_their_cells_say(name, cut):
    column = ARROW[name][cut]
    found = to_numpy(pa.chunked_array([column, ARROW[name][:1]], type=column.type))
    cells = [*column.to_pylist(), *ARROW[name][:1].to_pylist()]
    try:
        expected = np.array(cells, dtype=float)
        is_regular = (
            expected.size > 0
            and name not in ("text", "times")
            and np.array(cells, dtype=object).shape == expected.shape
        )
        is_regular &= name not in ("missing list", "missing fixed list") or None not in cells
    except (TypeError, ValueError):
        is_regular = False
    if not is_regular:
        assert found is None
    else:
        np.testing.assert_array_equal(found.astype(float), expected)


@pytest.mark.parametrize("name", ARROW)
def test_chosen_rows_are_those_of_the_column_with_their_type(name):
    column = pa.chunked_array([ARROW[name], ARROW[name][:0], ARROW[name][1:]], type=ARROW[name].type)
    indices = np.random.default_rng(0).integers(len(column), size=7).astype(np.uint64)  # as datasets holds them
    found, expected = gathered(column, indices), to_numpy(column.take(pa.array(indices)))
    if name in ("numbers", "lists", "nested", "fixed", "large"):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    else:
        assert found is None


@pytest.mark.parametrize("name", ["inputs", "pairs", "labels"])
def test_shuffled_rows_are_read_as_the_rows_in_their_order(name):
    task = TaskConfig(degree=3, num_features=2, pair_features=1, problem_type="regression")
    rng = np.random.default_rng(0)
    rows = to_rows(task, [rng.normal(size=(9, *shape)) for shape in ((3, 2), (3,), (3, 3, 1))])
    order = rng.permutation(9)
    np.testing.assert_array_equal(read_column(rows.select(order), name), read_column(rows, name)[order])


def test_a_column_of_one_chunk_is_a_view():
    column = pa.array(np.arange(12.0).reshape(3, 4).tolist(), pa.list_(pa.float64(), 4))
    assert to_numpy(column).ctypes.data == column.flatten().buffers()[1].address


def test_regular_parquet_is_not_read_cell_by_cell(tmp_path, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(5000, 3, 2))
    table = pa.table({"inputs": rows.tolist(), "labels": np.arange(5000) % 2, "other": ["x"] * 5000})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet", row_group_size=700)
    monkeypatch.setattr("asen_hf.data._fields.parse", lambda *_: pytest.fail("a cell was read by itself"))
    splits = load_table(tmp_path / "t.parquet", TASK)
    assert sum(map(len, splits.values())) == 5000
    found = np.concatenate([np.array(part["inputs"][:]) for part in splits.values()])
    assert {row.tobytes() for row in found} == {row.tobytes() for row in rows}
