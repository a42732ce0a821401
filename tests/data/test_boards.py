"""Nodes that stand as a board of several axes are read row by row, whatever holds them."""

import json

import numpy as np
import pandas
import pytest

from asen_hf import AsenClassifier, AsenRegressor, TaskConfig, load_table
from asen_hf.data.collator import collate
from asen_hf.data.given_rows import to_splits
from tests.data.containers import as_arrays, as_dataset, as_json, as_lists, as_npz, as_stream, as_tensors

BOARDS = np.random.default_rng(0).integers(3, size=(40, 2, 4))
GROUP = "grid 2x4 flips"
TASKS = {
    "tokens": (TaskConfig(group=GROUP, vocab_size=3, num_labels=3), BOARDS),
    "row labels": (TaskConfig(group=GROUP, vocab_size=3, output_level="graph", num_labels=3), BOARDS),
    "a feature": (TaskConfig(group=GROUP, num_features=1, problem_type="regression"), BOARDS / 4),
    "features": (TaskConfig(group=GROUP, num_features=3, num_labels=3), np.stack([BOARDS / 4] * 3, axis=-1)),
}


def as_frame(inputs, labels, folder):
    return pandas.DataFrame({"inputs": inputs.tolist(), "labels": labels.tolist()})


def as_csv(inputs, labels, folder):
    as_frame(inputs, labels, folder).map(json.dumps).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def as_parquet(inputs, labels, folder):
    as_dataset(inputs, labels, folder).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


CONTAINERS = [as_arrays, as_lists, as_tensors, as_dataset, as_stream, as_frame, as_csv, as_json, as_parquet, as_npz]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_boards_are_flattened_row_by_row(tmp_path, container, name):
    task, inputs = TASKS[name]
    labels = BOARDS[:, 0, 0] if name == "row labels" else BOARDS
    rows = container(inputs, labels, tmp_path)
    splits = load_table(rows, task) if hasattr(rows, "suffix") else to_splits(task, rows)
    expected = np.hstack([inputs.reshape(40, -1), labels.reshape(40, -1)])
    found = [collate(task, part) for part in splits.values()]
    found = np.vstack([np.hstack([part[key].reshape(len(part[key]), -1) for key in part]) for part in found])
    np.testing.assert_array_equal(sorted(found.tolist()), sorted(expected.tolist()))


@pytest.mark.parametrize("wrong", [BOARDS[:, :, :3], np.concatenate([BOARDS] * 2, axis=2)])
def test_boards_of_another_size_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected|must have shape"):
        to_splits(TASKS["tokens"][0], (wrong, wrong))


def test_where_boards_are_not_read_the_error_says_how_to_reshape_them():
    with pytest.raises(ValueError, match=r"must have shape \(rows, 8\), got \(40, 2, 4\): reshape them to \(rows, 8\)"):
        TASKS["tokens"][0].check_inputs(BOARDS)


@pytest.mark.parametrize("inputs", [BOARDS, np.stack([BOARDS] * 2, axis=-1)])
@pytest.mark.parametrize("level", ["graph", "node"])
def test_estimators_take_boards(inputs, level):
    labels = BOARDS if level == "node" else BOARDS[:, 0, 0]
    settings = {"hidden_size": 8, "num_hidden_layers": 1, "max_steps": 1, "n_estimators": 1, "random_state": 0}
    for estimator in (AsenClassifier, AsenRegressor):
        is_token = inputs.ndim == 3 and estimator is AsenClassifier
        make = estimator(GROUP, vocab_size=3 if is_token else None, output_level=level, **settings)
        of_boards, of_rows = make.fit(inputs, labels), None
        predicted, score = of_boards.predict(inputs), of_boards.score(inputs, labels)
        flat = inputs.reshape(40, 8, *inputs.shape[3:]), labels.reshape(40, -1) if level == "node" else labels
        of_rows = make.fit(*flat)
        np.testing.assert_allclose(predicted, of_rows.predict(flat[0]), rtol=1e-5)
        assert score == pytest.approx(of_rows.score(*flat))
