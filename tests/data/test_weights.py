"""A column of weights is read from every kind of table, and is no input."""

import numpy as np
import pandas
import pytest
from datasets import Dataset, IterableDataset

from asen_hf import TaskConfig, load_table
from asen_hf.data import collate
from asen_hf.data.given_rows import to_rows, to_splits

TASK = TaskConfig(degree=3, num_features=1, output_level="graph")
ROWS = 40


def wide():
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(ROWS, 3)), columns=list("abc"))
    return frame.assign(labels=np.arange(ROWS) % 2, weights=(frame["a"] > 0) * 1.5)


def rows_of_lists(frame):
    return frame[["labels", "weights"]].assign(inputs=frame[["a", "b", "c"]].to_numpy()[..., None].tolist())


def written(frame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: frame[name].to_numpy() for name in frame})
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


def check(splits):
    columns = [collate(TASK, splits[name]) for name in splits]
    assert sum(map(len, (part["weights"] for part in columns))) == ROWS
    for part in columns:
        np.testing.assert_array_equal(part["weights"], np.where(part["inputs"][:, 0, 0] > 0, 1.5, 0))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".npz"])
def test_weights_in_a_file_are_the_rows_weights(tmp_path, suffix):
    check(load_table(written(wide(), tmp_path / f"rows{suffix}"), TASK))


def test_weights_of_frames_datasets_and_streams_are_too():
    data = Dataset.from_pandas(rows_of_lists(wide()))
    stream = IterableDataset.from_generator(lambda: iter(data.to_list()))
    for given in (wide(), rows_of_lists(wide()), data, stream):
        check(to_splits(TASK, given))
        check({"all": to_rows(TASK, given)})


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "many"])
def test_a_weight_that_is_none_is_refused_in_its_row(tmp_path, value):
    frame = wide().astype({"weights": object})
    frame.loc[4, "weights"] = value
    expected = r"row 5, column 'weights': expected one finite number of at least 0, got [^;]*$"
    with pytest.raises(ValueError, match=expected):
        load_table(written(frame.fillna({"weights": "nan"}), tmp_path / "rows.csv"), TASK)


def test_a_column_that_is_named_as_an_input_is_no_weight():
    task = TaskConfig(degree=4, num_features=1, output_level="graph")
    rows = load_table(wide(), task, inputs_columns=["a", "b", "c", "weights"])
    assert "weights" not in rows["train"].column_names
