"""One table in every kind of file and object gives the same splits, with missing cells and names of classes."""

import csv
import json

import datasets
import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet
import pytest

from asen_hf import TaskConfig
from asen_hf.data import load_table
from asen_hf.data.given_rows import to_splits

ROWS = 60
NAMES = ["idle", "a b", "7"]
TASKS = {
    "features": TaskConfig(degree=3, num_features=2, label_names=NAMES, output_level="graph"),
    "tokens": TaskConfig(degree=3, vocab_size=9, label_names=NAMES),
    "numbers": TaskConfig(degree=3, num_features=1, problem_type="regression", num_labels=2, output_level="graph"),
}


def rows_of(name):
    """Inputs and labels as lists, with ``None`` where missing."""
    rng = np.random.default_rng(0)
    task = TASKS[name]
    inputs = rng.integers(9, size=(ROWS, *task.input_shape())).tolist()
    if name == "tokens":
        labels = [[NAMES[value] for value in row] for row in rng.integers(3, size=(ROWS, 3))]
    elif name == "features":
        inputs = (np.array(inputs) / 7 + 0.5).tolist()
        labels = [NAMES[value] for value in rng.integers(3, size=ROWS)]
    else:
        inputs = np.array(inputs).astype(float)[..., 0].tolist()
        labels = rng.normal(size=(ROWS, 2)).tolist()
        labels[4][1] = None
    for row in range(0, ROWS, 5):
        if name == "features":
            inputs[row][1][row % 2] = None
        else:
            inputs[row][row % 3] = None
    return inputs, labels


def filled(name, inputs, labels):
    """What the splits must hold."""
    missing = -1 if name == "tokens" else np.nan
    array = np.array(inputs, dtype=float)
    array = np.where(np.isnan(array), missing, array).reshape(ROWS, *TASKS[name].input_shape())
    if name == "numbers":
        return array, np.array(labels, dtype=float)
    return array, np.vectorize(NAMES.index)(np.array(labels))


def as_csv(path, inputs, labels):
    with (path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["inputs", "labels"])
        writer.writerows(
            [json.dumps(x), y if isinstance(y, str) else json.dumps(y)] for x, y in zip(inputs, labels, strict=True)
        )
    return path / "t.csv"


def as_words(path, inputs, labels):
    """Cells of words with blanks or commas."""
    if np.array(inputs, dtype=object).ndim > 2:
        return as_csv(path, inputs, labels)
    with (path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["inputs", "labels"])
        for row, (x, y) in enumerate(zip(inputs, labels, strict=True)):
            words = [("NA", "?", "nan", "")[row % 4] if value is None else str(value) for value in x]
            writer.writerow(
                [",".join(words), y if isinstance(y, str) else ", ".join("" if v is None else str(v) for v in y)]
            )
    return path / "t.csv"


def as_json(path, inputs, labels):
    lines = [json.dumps({"inputs": x, "labels": y}) for x, y in zip(inputs, labels, strict=True)]
    (path / "t.jsonl").write_text("\n".join(lines))
    return path / "t.jsonl"


def as_parquet(path, inputs, labels):
    pyarrow.parquet.write_table(pa.table({"inputs": inputs, "labels": labels}), path / "t.parquet", row_group_size=7)
    return path / "t.parquet"


def as_npz(path, inputs, labels):
    is_text = isinstance(np.ravel(np.array(labels, dtype=object))[0], str)
    labels = np.array(labels) if is_text else np.array(labels, dtype=float)
    np.savez(path / "t.npz", inputs=np.array(inputs, dtype=float), labels=labels)
    return path / "t.npz"


def as_columns(path, inputs, labels):
    """A DataFrame with a column per node and feature."""
    flat = np.array(inputs, dtype=float).reshape(ROWS, -1)
    names = [f"node_{i}_f{j}" for i in range(3) for j in range(flat.shape[1] // 3)]
    frame = pandas.DataFrame(flat, columns=names)[sorted(names, key=lambda name: name[-1])]  # all of f0, then all of f1
    return frame.assign(labels=pandas.Series(labels))


def as_frame_of_lists(path, inputs, labels):
    return pandas.DataFrame({"inputs": inputs, "labels": labels})


def as_pair(path, inputs, labels):
    return np.array(inputs, dtype=float), labels


def as_pair_of_frames(path, inputs, labels):
    frame = as_columns(path, inputs, labels)
    labels = frame["labels"] if np.array(labels, dtype=object).ndim == 1 else pandas.DataFrame(labels)
    return frame.drop(columns="labels"), labels


def as_dataset(path, inputs, labels):
    return datasets.Dataset.from_dict({"inputs": inputs, "labels": labels})


KINDS = [as_csv, as_words, as_json, as_parquet, as_npz, as_columns, as_frame_of_lists, as_pair, as_pair_of_frames]
KINDS.append(as_dataset)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_table_gives_the_same_splits(tmp_path, kind, name):
    inputs, labels = rows_of(name)
    table = kind(tmp_path, inputs, labels)
    is_table = isinstance(table, pandas.DataFrame) or hasattr(table, "suffix")
    splits = load_table(table, TASKS[name]) if is_table else to_splits(TASKS[name], table)
    reference = load_table(as_json(tmp_path, inputs, labels), TASKS[name])
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 42, "validation": 9, "test": 9}
    for split, rows in splits.items():
        assert rows.features == reference[split].features
        for column in ("inputs", "labels"):
            np.testing.assert_array_equal(rows[column][:], reference[split][column][:])
    found = np.concatenate([np.array(splits[split]["inputs"][:]).reshape(len(splits[split]), -1) for split in splits])
    truth = filled(name, inputs, labels)[0].reshape(ROWS, -1)
    np.testing.assert_array_equal(np.array(sorted(map(str, found.astype(float)))), np.array(sorted(map(str, truth))))


def test_labels_belong_to_their_inputs():
    inputs, labels = rows_of("features")
    splits = to_splits(TASKS["features"], (inputs, labels))
    truth = {str(np.array(x, dtype=float)): y for x, y in zip(inputs, labels, strict=True)}
    for rows in splits.values():
        for row in rows:
            assert NAMES[row["labels"]] == truth[str(np.array(row["inputs"], dtype=float))]
