"""Cross-validation: each row of train and validation is held out once, equal inputs together."""

import numpy as np
import pytest
from datasets import DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from asen_hf import TaskConfig
from asen_hf.data.features import to_dataset
from asen_hf.experiments.folds import Fold

TASK = TaskConfig(degree=3, vocab_size=3, output_level="graph")


def splits(train, validation=10, seed=0):
    rng = np.random.default_rng(seed)
    parts = {}
    for name, count in (("train", train), ("validation", validation), ("test", 7)):
        inputs = rng.integers(3, size=(count, 3))
        parts[name] = to_dataset(TASK, inputs, inputs.sum(axis=1) % 2)
    return DatasetDict(parts)


def rows(dataset):
    return sorted(map(tuple, dataset["inputs"]))


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 60), st.integers(2, 6), st.integers(0, 3))
def test_each_row_is_held_out_once(train, number, seed):
    whole = splits(train, seed=seed)
    folds = [Fold(k, number).apply(whole, seed) for k in range(number)]
    everything = sorted(rows(whole["train"]) + rows(whole["validation"]))
    assert sorted(row for fold in folds for row in rows(fold["validation"])) == everything
    for fold in folds:
        assert sorted(rows(fold["train"]) + rows(fold["validation"])) == everything
        assert not set(rows(fold["train"])) & set(rows(fold["validation"]))
        assert len(fold["validation"]) > 0 and rows(fold["test"]) == rows(whole["test"])


def test_folds_are_of_nearly_equal_size_and_depend_on_the_seed():
    inputs = np.array([[a, b, c] for a in range(3) for b in range(3) for c in range(3)])
    part = to_dataset(TASK, inputs, inputs.sum(axis=1) % 2)
    whole = DatasetDict({"train": part.select(range(20)), "validation": part.select(range(20, 27)), "test": part})
    folds = [Fold(k, 5).apply(whole, seed=0)["validation"] for k in range(5)]
    assert {len(fold) for fold in folds} <= {5, 6}
    assert rows(folds[0]) != rows(Fold(0, 5).apply(whole, seed=1)["validation"])


def test_predictions_that_only_held_out_rows_have_are_dropped():
    inputs = np.arange(9).reshape(3, 3) % 3
    plain = to_dataset(TASK, inputs, np.zeros(3, int))
    extra = to_dataset(TASK, inputs[::-1], np.zeros(3, int), predictions={"mine": np.zeros(3, int)})
    fold = Fold(0, 2)
    with pytest.raises(ValueError, match="1 different inputs are too few for 2 folds"):
        fold.apply(DatasetDict({"train": plain, "validation": extra, "test": extra}), 0)
    plain = to_dataset(TASK, np.eye(3, dtype=int), np.zeros(3, int))
    assert fold.apply(DatasetDict({"train": plain, "validation": extra, "test": extra}), 0)["train"].column_names == [
        *("inputs", "labels")
    ]


@pytest.mark.parametrize("number, of", [(0, 1), (2, 2), (-1, 3), (0.0, 3), (0, True)])
def test_folds_that_do_not_exist_are_refused(number, of):
    with pytest.raises(ValueError, match="fold"):
        Fold(number, of)
