"""Columns of pairs and rows of fewer nodes, in every form in which rows are given."""

import json

import numpy as np
import pandas
import pytest
from datasets import Dataset, DatasetDict, IterableDataset

from asen_hf import TaskConfig, load_table
from asen_hf.data import collate
from asen_hf.data.given_rows import to_rows, to_splits
from asen_hf.data.splits import row_keys
from asen_hf.data.statistics import with_statistics

TASKS = {
    "categories": TaskConfig(group="S5", vocab_size=4, pair_vocab_size=3, num_labels=2),
    "numbers": TaskConfig(group="S5", num_features=2, pair_features=2, output_level="graph", problem_type="regression"),
    "one number": TaskConfig(group="S2 x S3", num_features=1, pair_features=1, problem_type="regression"),
    "of pairs": TaskConfig(group="S5", vocab_size=4, output_level="pair"),
    "residual": TaskConfig(group="S5", num_features=2, residual_feature=1, problem_type="regression"),
}
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)


def rows_of(task, count=40, seed=0, shortest=4):
    """Rows of ``shortest`` to n nodes; the later block of a product loses a node first."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        size = int(rng.integers(shortest, task.degree + 1))
        inputs = rng.normal(size=(size, task.num_features or 1)) if task.num_features else rng.integers(4, size=size)
        shape = {"node": (size,), "pair": (size, size), "graph": ()}[task.output_level]
        labels = rng.normal(size=shape) if task.is_regression else rng.integers(2, size=shape)
        row = {"inputs": inputs, "labels": labels}
        if task.has_pairs:
            pairs = rng.integers(3, size=(size, size)) if task.pair_vocab_size else rng.normal(size=(size, size, 2))
            row["pairs"] = pairs[..., 0] if task.pair_features == 1 else pairs
        rows.append(row)
    return rows


def plain(rows):
    return [{name: np.asarray(value).tolist() for name, value in row.items()} for row in rows]


def as_json(rows, task, path):
    (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in plain(rows)))
    return load_table(path / "rows.jsonl", task)


def as_csv(rows, task, path):
    cells = [{name: json.dumps(value) for name, value in row.items()} for row in plain(rows)]
    pandas.DataFrame(cells).to_csv(path / "rows.csv", index=False)
    return load_table(path / "rows.csv", task)


def as_parquet(rows, task, path):
    pandas.DataFrame(plain(rows)).to_parquet(path / "rows.parquet")
    return load_table(path / "rows.parquet", task)


WAYS = {
    "JSON": as_json,
    "CSV": as_csv,
    "Parquet": as_parquet,
    "DataFrame": lambda rows, task, _: to_splits(task, pandas.DataFrame(plain(rows))),
    "Dataset": lambda rows, task, _: to_splits(task, Dataset.from_list(plain(rows))),
    "arrays": lambda rows, task, _: to_splits(task, tuple([row[name] for row in rows] for name in rows[0])),
}


def padded(task, row):
    """A row's columns, padded in plain loops."""
    size, degree = len(row["inputs"]), task.degree
    unknown = {"inputs": np.nan if task.num_features else -1, "pairs": np.nan if task.pair_features else -1}
    unknown["labels"] = np.nan if task.is_regression else -100
    shapes = {"inputs": task.input_shape(), "labels": task.label_shape(), "pairs": task.pair_shape()}
    found = {"attention_mask": np.arange(degree) < size}
    for name, values in row.items():
        axes = {"inputs": 1, "pairs": 2, "labels": len(task.output_shape())}[name]
        found[name] = np.full(shapes[name], unknown[name], dtype=np.float64)
        found[name][(slice(size),) * axes] = np.asarray(values).reshape((size,) * axes + shapes[name][axes:])
    if task.residual_feature is not None:  # it must be known: it is the first node's
        found["inputs"][size:, task.residual_feature] = found["inputs"][0, task.residual_feature]
    return found


def key(row):
    return np.nan_to_num(np.ravel(row["inputs"]).astype(np.float64), nan=-9.0).round(5).tolist()


@every_task
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_giving_rows_pads_them_alike(task, way, tmp_path):
    rows = rows_of(task)
    splits = WAYS[way](rows, task, tmp_path)
    columns = [collate(task, splits[split]) for split in splits]
    found = sorted(
        (
            {name: column[row].numpy() for name, column in part.items()}
            for part in columns
            for row in range(len(part["inputs"]))
        ),
        key=key,
    )
    expected = sorted((padded(task, row) for row in rows), key=key)
    assert len(found) == len(expected)
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            np.testing.assert_allclose(row[name].astype(np.float64), other[name].astype(np.float64), rtol=1e-6)


@every_task
def test_a_stream_is_padded_like_a_table(task):
    rows = rows_of(task)
    stream = IterableDataset.from_generator(lambda: iter(plain(rows)))
    found, expected = collate(task, to_rows(task, stream)), collate(task, to_rows(task, Dataset.from_list(plain(rows))))
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name].double(), expected[name].double())


@pytest.mark.parametrize("late", [False, True])
def test_a_stream_may_have_short_rows_in_some_batches_only(late, monkeypatch):
    monkeypatch.setattr("asen_hf.data.streams._ROWS_AT_ONCE", 8)
    task = TASKS["one number"]
    full, short = rows_of(task, 16, shortest=5), rows_of(task, 8, seed=1, shortest=4)
    rows = plain([*full, *short] if late else [*short, *full])
    features = Dataset.from_list(rows).features
    for column in ("inputs", "pairs"):  # float32, which lists of unequal lengths are not read as
        features[column].feature.feature.dtype = "float32"
    stream = IterableDataset.from_generator(lambda: iter(rows)).cast(features)
    found = collate(task, to_rows(task, stream))
    sizes = [len(row["inputs"]) for row in rows]
    assert found["attention_mask"].sum(dim=1).tolist() == sizes
    only_full = IterableDataset.from_generator(lambda: iter(plain(full)))
    assert "attention_mask" not in collate(task, to_rows(task, only_full))


@pytest.mark.parametrize("way", ["JSON", "Parquet", "Dataset", "DataFrame"])
def test_a_given_mask_is_taken_as_it_is(way, tmp_path):
    task = TaskConfig(group="S5", vocab_size=4)
    masks = [[1, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 1, 0]] * 5
    rows = [{"inputs": [i % 4, 1, 2, 3, i // 4], "labels": [0, 1, 0, 1, 0]} for i in range(15)]
    rows = [row | {"attention_mask": mask} for row, mask in zip(rows, masks, strict=True)]
    splits = WAYS[way](rows, task, tmp_path)
    for part in splits.values():
        columns = collate(task, part)
        for row in range(len(part)):
            inputs, mask = columns["inputs"][row].tolist(), columns["attention_mask"][row].tolist()
            number = inputs[0] + 4 * inputs[4]
            assert inputs == rows[number]["inputs"] and mask == [bool(entry) for entry in masks[number]]
            labels = columns["labels"][row].tolist()
            assert way == "Dataset" or part["labels"][row] == labels  # a table is read, a ready dataset left alone
            assert labels == [label if own else -100 for label, own in zip([0, 1, 0, 1, 0], mask, strict=True)]


S5 = TaskConfig(group="S5", vocab_size=4)
BAD = {
    "labels of another number of nodes": (S5, {"labels": [0, 1]}, "row 3: inputs have 4 nodes, but labels have 2"),
    "pairs of another number of nodes": (
        TASKS["categories"],
        {"pairs": [[0, 1], [1, 0]]},
        "row 3: inputs have 4 nodes, but pairs have 2",
    ),
    "no nodes": (S5, {"inputs": []}, "row 3, column 'inputs': expected 5 integers in 0 … 3, got 0 values"),
    "too many nodes": (S5, {"inputs": [0] * 6}, "row 3, column 'inputs': expected 5 integers in 0 … 3, got 6 values"),
    "a number for a list": (
        S5,
        {"inputs": 2},
        "row 3, column 'inputs': expected 5 integers in 0 … 3, got one value: .?2",
    ),
    "a group that does not exchange the node": (
        TaskConfig(group="C5", vocab_size=4),
        {},
        "row 1, column 'inputs': expected 5 integers in 0 … 3, got 4 values: .*; row 1 lacks node 4, but no exchange",
    ),
    "a node of a block that no row may lack": (
        TaskConfig(group="S2 x S2 x S1", vocab_size=4),
        {},
        "row 1, column 'inputs': .* lacks node 4",
    ),
    "a lift": (
        TaskConfig(group="S5", vocab_size=4, value_symmetries=[{"inputs": [1, 0, 2, 3]}], symmetrization="lift"),
        {},
        'rows that lack nodes need symmetrization="average"',
    ),
    "a mask of other numbers": (S5, {"attention_mask": [1, 2, 1, 1]}, "row 3, column 'attention_mask': expected"),
    "a mask of a node that inputs lack": (
        S5,
        {"attention_mask": [1, 1, 1, 1, 1]},
        "row 3: inputs have 4 nodes, but attention_mask has a node 4",
    ),
    "a mask without a node": (S5, {"attention_mask": [0, 0, 0, 0]}, "attention_mask, row 3: expected a node, got none"),
    "an unknown category": (
        TASKS["categories"],
        {"pairs": [[0, 1, 2, 3]] * 4},
        "row 3, column 'pairs': expected 4x4 integers in 0 … 2, got 3 in",
    ),
    "a category that is no integer": (
        TASKS["categories"],
        {"pairs": [[0, 1, 2, 0.5]] * 4},
        "row 3, column 'pairs': expected 4x4 integers in 0 … 2, got 0.5 in",
    ),
    "pairs that are not square": (
        TASKS["categories"],
        {"pairs": [[0, 1, 2]] * 4},
        "row 3, column 'pairs': expected 5x5 integers in 0 … 2, got 4x3 values",
    ),
    "ragged pairs": (TASKS["categories"], {"pairs": [[0, 1], [0]]}, "row 3, column 'pairs': expected 5x5 integers"),
    "an infinite number": (
        TASKS["numbers"],
        {"pairs": [[[0, float("inf")]] * 4] * 4},
        "row 3, column 'pairs': expected 4x4x2 finite numbers, got inf",
    ),
}


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_with_file_row_and_column(case, suffix, tmp_path):
    task, change, message = BAD[case]
    rows = plain(rows_of(task, 8, shortest=4))
    rows = [{name: shortened(value, 4) for name, value in row.items()} for row in rows]
    if "attention_mask" in change:
        rows = [row | {"attention_mask": [1] * 4} for row in rows]
    rows[2] |= change
    path = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        pandas.DataFrame([{k: json.dumps(v) for k, v in row.items()} for row in rows]).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=rf"{path.name}.*{message}"):
        load_table(path, task)


def shortened(value, size):
    if not isinstance(value, list):
        return value
    return [part[:size] if isinstance(part, list) and len(part) in (4, 5) else part for part in value[:size]]


def test_missing_pairs_are_named_and_unwanted_ones_are_not_read(tmp_path):
    task, plain_task = TASKS["categories"], TaskConfig(group="S5", vocab_size=4)
    rows = rows_of(task)
    without = [{name: row[name] for name in ("inputs", "labels")} for row in rows]
    for way in WAYS:
        if way != "arrays":
            with pytest.raises(ValueError, match="no column pairs, which a task with pair_vocab_size needs"):
                WAYS[way](without, task, tmp_path)
            with pytest.warns(UserWarning, match="the column pairs is not read"):
                splits = WAYS[way](rows, plain_task, tmp_path)
            assert "pairs" not in splits["train"].column_names
    with pytest.raises(
        ValueError, match=r"expected arrays \(inputs, labels, pairs\) of a task with pair inputs, got 2"
    ):
        WAYS["arrays"](without, task, tmp_path)
    with pytest.raises(ValueError, match=r"expected arrays \(inputs, labels\) of a task with no pair inputs, got 3"):
        WAYS["arrays"](rows, plain_task, tmp_path)


def test_missing_pairs_within_a_row_are_unknown(tmp_path):
    categories, numbers = TASKS["categories"], TASKS["one number"]
    for task, unknown in ((categories, -1), (numbers, np.nan)):
        rows = plain(rows_of(task, 12, shortest=5))
        for row in rows:
            row["pairs"][0][1] = None
        splits = as_json_of(rows, task, tmp_path)
        assert (np.isnan(unknown) and np.isnan(splits["train"]["pairs"][0][0][1])) or (
            splits["train"]["pairs"][0][0][1] == unknown
        )


def as_json_of(rows, task, path):
    (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_table(path / "rows.jsonl", task)


def test_equal_inputs_with_other_pairs_are_other_rows():
    inputs, pairs = np.zeros((40, 5), dtype=int), np.random.default_rng(0).integers(3, size=(40, 5, 5))
    assert len(set(row_keys(inputs, pairs))) == 40 and len(set(row_keys(inputs))) == 1
    repeated = np.concatenate([pairs, pairs])
    splits = to_splits(TASKS["categories"], (np.zeros((80, 5), int), np.zeros((80, 5), int), repeated))
    seen = [{np.array(row).tobytes() for row in part["pairs"]} for part in splits.values()]
    assert [len(part) for part in splits.values()] == [2 * len(part) for part in seen]
    assert sum(map(len, seen)) == 40
    with pytest.raises(ValueError, match="different inputs are too few"):
        to_splits(TaskConfig(group="S5", vocab_size=4), (np.zeros((80, 5), int), np.zeros((80, 5), int)))


def test_what_stands_at_padding_changes_no_statistic():
    task = TASKS["numbers"]
    rows = to_rows(task, tuple([row[name] for row in rows_of(task)] for name in ("inputs", "labels", "pairs")))
    expected = with_statistics(task, rows)
    columns = {name: column.numpy().copy() for name, column in collate(task, rows).items()}
    mask = columns["attention_mask"]
    columns["inputs"][~mask] = 1e6
    columns["pairs"][~(mask[:, :, None] & mask[:, None])] = 1e6
    filled = Dataset.from_dict({name: column.tolist() for name, column in columns.items()})
    found = with_statistics(task, to_rows(task, filled))
    np.testing.assert_allclose(found.input_mean, expected.input_mean, rtol=1e-6)
    np.testing.assert_allclose(found.input_scale, expected.input_scale, rtol=1e-6)
    for one, other in zip(found.pair_quantiles, expected.pair_quantiles, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_dataset_keeps_its_other_columns():
    task = TASKS["categories"]
    rows = [row | {"weights": float(i)} for i, row in enumerate(plain(rows_of(task)))]
    splits = to_splits(task, DatasetDict({"train": Dataset.from_list(rows)}))
    assert set(splits["train"].column_names) == {"inputs", "labels", "pairs", "attention_mask", "weights"}
