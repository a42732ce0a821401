"""Training refuses rows of one length under a group on more nodes, in every form; rows of varying lengths are fine."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from asen_hf import AsenClassifier, TaskConfig
from asen_hf.data.splits import SPLITS
from asen_hf.training.task_rows import task_rows

TASK = TaskConfig(group="S6", num_features=1, output_level="graph")
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_steps": 2, "random_state": 0}
LABELS = np.arange(40) % 2
ALL_SHORT = "all rows have 4 nodes, but the group acts on 6: state a group on 4 nodes"


def lists(sizes):
    return [[[float(row + node)] for node in range(size)] for row, size in enumerate(sizes)]


def rows_of(sizes, **others):
    return {"inputs": lists(sizes), "labels": LABELS.tolist(), **others}


def as_file(columns, path):
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path / "rows.jsonl"


def as_splits(columns, _):
    rows = Dataset.from_dict(columns)
    return DatasetDict({"train": rows.select(range(30)), "test": rows.select(range(30, 40))})


FORMS = {
    "lists": lambda columns, _: (columns["inputs"], columns["labels"]),
    "Dataset": lambda columns, _: Dataset.from_dict(columns),
    "DatasetDict": as_splits,
    "DataFrame": lambda columns, _: pd.DataFrame(columns),
    "file": as_file,
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_one_length_are_refused(form, tmp_path):
    with pytest.raises(ValueError, match=f"task 'task': {ALL_SHORT}"):
        task_rows(TASK, FORMS[form](rows_of([4] * 40), tmp_path))


def test_arrays_of_one_length_are_refused():
    with pytest.raises(ValueError, match=ALL_SHORT):
        task_rows(TASK, (np.arange(160.0).reshape(40, 4, 1), LABELS))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [[4] * 39 + [6], [4] * 39 + [5], [3, 6] * 20, [6] * 40], ids=str)
def test_rows_of_varying_lengths_and_whole_rows_are_taken(form, sizes, tmp_path):
    splits = task_rows(TASK, FORMS[form](rows_of(sizes), tmp_path)).splits
    assert sum(map(len, splits.values())) == 40


@pytest.mark.parametrize("form", [form for form in FORMS if form != "lists"])
def test_a_mask_of_the_users_own_is_meant(form, tmp_path):
    columns = rows_of([6] * 40, attention_mask=[[1, 1, 1, 1, 0, 0]] * 40)
    assert len(task_rows(TASK, FORMS[form](columns, tmp_path)).splits["train"]) in (28, 26)


def test_a_stream_with_a_mask_is_taken_too():
    columns = rows_of([6] * 40, attention_mask=[[1, 1, 1, 1, 0, 0]] * 40)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    stream = IterableDatasetDict({split: IterableDataset.from_generator(lambda: iter(rows)) for split in SPLITS})
    assert sum(map(len, task_rows(TASK, stream).splits.values())) == 3 * 40


def test_splits_of_different_lengths_are_taken_together():
    short, full = (Dataset.from_dict(rows_of([size] * 40)) for size in (4, 6))
    task_rows(TASK, DatasetDict({"train": short, "validation": short, "test": full}))
    with pytest.raises(ValueError, match=ALL_SHORT):
        task_rows(TASK, DatasetDict({"train": short, "validation": short, "test": short}))


@pytest.mark.parametrize("X", [np.ones((40, 4)), np.ones((40, 4, 2)), list(np.ones((40, 4)))], ids=["2d", "3d", "list"])
def test_estimators_refuse_rows_of_one_length_where_they_are_fitted(X):
    with pytest.raises(ValueError, match=ALL_SHORT):
        AsenClassifier("S6", **SMALL).fit(X, LABELS)


def test_estimators_predict_rows_of_one_length():
    varying = [np.ones(3 + row % 4) for row in range(40)]
    model = AsenClassifier("S6", **SMALL).fit(varying, LABELS)
    assert model.predict(np.ones((5, 4))).shape == model.predict(varying[:1] * 5).shape == (5,)
