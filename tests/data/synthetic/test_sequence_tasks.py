"""Options, splits, column types and the cache of the synthetic tasks."""

import re

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, List, Value
from sympy.combinatorics import CyclicGroup

from asen_hf.data import get_task, list_tasks
from asen_hf.data.synthetic.sequence_task import SequenceTask
from asen_hf.model.groups import reversal, to_cycles

NAMES = [name for name in list_tasks() if name.startswith(("equivariant/", "invariant/"))]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("name", NAMES)
def test_load_gives_typed_splits_without_common_inputs(name):
    task = get_task(name)
    splits = task.load()
    assert {split: rows.num_rows for split, rows in splits.items()} == {"train": 1750, "validation": 375, "test": 375}
    rows = datasets.concatenate_datasets(list(splits.values())).with_format("numpy")[:]
    assert len(np.unique(rows["inputs"], axis=0)) == 2500
    assert rows["inputs"].dtype == np.int64
    np.testing.assert_array_equal(rows["labels"], task.label(rows["inputs"]))
    task.config.check_inputs(rows["inputs"])
    task.config.check_labels(rows["labels"])


def test_columns_are_typed_by_the_config():
    node = get_task("equivariant/intersect").load(20)["train"].features
    assert node["inputs"] == List(Value("int64"), length=10)
    assert node["labels"] == List(ClassLabel(names=["single", "shared"]), length=10)
    assert get_task("invariant/permutation_sign").load(20)["train"].features["labels"] == ClassLabel(
        names=["odd", "even"]
    )
    assert get_task("invariant/cyclic_sum").load(20)["train"].features["labels"] == Value("float32")


@pytest.mark.parametrize("name", ["invariant/detect_capital", "invariant/longest_palindrome"])
def test_balanced_labels_stay_balanced_over_distinct_rows_and_are_mixed(name):
    splits = get_task(name).load()
    labels = np.concatenate([split.with_format("numpy")[:]["labels"] for split in splits.values()])
    counts = np.unique(labels, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1
    assert set(splits["test"]["labels"]) == set(labels)


def test_a_second_load_reads_the_cache(monkeypatch):
    first = get_task("equivariant/palindrome").load(60, seed=1)
    assert all(split.cache_files for split in first.values())
    monkeypatch.setattr(SequenceTask, "_draw", lambda *_, **__: pytest.fail("drawn again"))
    # The group is no part of the data; options that are spelled out are those of the defaults.
    again = get_task("equivariant/palindrome", group="trivial", window=np.int64(4)).load(np.int64(60), seed=1)
    assert all(first[split][:] == again[split][:] for split in first)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [({}, (60, 2)), ({}, (61, 1)), ({"window": 5}, (60, 1)), ({"vocabulary": 9}, (60, 1)), ({"length": 11}, (60, 1))],
)
def test_other_options_rows_or_seeds_are_other_data(options, arguments):
    first = get_task("equivariant/palindrome").load(60, 1)["train"]
    other = get_task("equivariant/palindrome", **options).load(*arguments)["train"]
    assert first.cache_files != other.cache_files
    assert first[:] != other[:]


def test_a_new_data_version_is_drawn_anew(monkeypatch):
    first = get_task("equivariant/palindrome").load(60)
    monkeypatch.setattr("asen_hf.data.synthetic.sequence_task.DATA_VERSION", "1.0.1")
    assert get_task("equivariant/palindrome").load(60)["train"].cache_files != first["train"].cache_files


def test_load_is_silent(capfd, monkeypatch):
    monkeypatch.delenv("HF_DATASETS_DISABLE_PROGRESS_BARS", raising=False)
    get_task("equivariant/cyclic_sum").load(50)
    assert capfd.readouterr() == ("", "")


def test_an_exhausted_input_space_is_reported():
    task = get_task("equivariant/intersect", length=4, vocabulary=2)
    with pytest.raises(ValueError, match="equivariant/intersect: only 16 of 20 distinct rows were found"):
        task.load(20)
    assert sum(split.num_rows for split in task.load(16).values()) == 16


@pytest.mark.parametrize("num_rows", [0, 1, 5, -3, 2.5])
def test_too_few_rows_to_split_are_refused(num_rows):
    with pytest.raises(ValueError, match="rows"):
        get_task("equivariant/intersect").load(num_rows)


def test_group_option_takes_a_name_a_group_or_cycles():
    def config(group, name="equivariant/cyclic_sum"):
        return get_task(name, group=group).config

    default = get_task("equivariant/cyclic_sum").config
    assert (config("cyclic").group_name, config("cyclic").generators) == ("C_10", [[list(range(10))]])
    assert config("dihedral") == default
    assert config(CyclicGroup(10)).generators == config("cyclic").generators
    assert config(to_cycles(reversal(10))).generators == config("reversal").generators
    assert (config("trivial").generators, config([]).generators) == ([], [])
    assert config("symmetric").group_name == "S_10"
    assert config("alternating").group_name == "A_10"


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("octahedral", "unknown group 'octahedral'; expected one of trivial, symmetric"),
        (CyclicGroup(9), "group acts on 9 points, but the task has 10"),
        ([[[0, 10]]], "point 10 is outside"),
        (7, "expected a list of generators"),
    ],
)
def test_a_bad_group_is_refused(group, message):
    with pytest.raises(ValueError, match=f"equivariant/cyclic_sum: .*{re.escape(message)}"):
        get_task("equivariant/cyclic_sum", group=group)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("equivariant/intersect", {"length": 9}, "divide the length, [0-9]+, got 2"),
        ("equivariant/intersect", {"num_sets": 1}, "num_sets must be at least 2"),
        ("invariant/intersect", {"length": 7}, "divide the length, [0-9]+, got 2"),
        ("equivariant/intersect", {"length": 0}, "length must be at least 1"),
        ("equivariant/intersect", {"vocabulary": 0}, "vocabulary must be at least 1"),
        ("equivariant/target_sum", {"target": 7.5}, "target must be an integer"),
        ("equivariant/palindrome", {"window": 11}, "window must be in 2 … 10"),
        ("equivariant/cyclic_sum", {"window": 10}, "window must be in 2 … 9"),
        ("equivariant/cyclic_product", {"length": 200, "window": 64}, "overflow 64 bits"),
        ("equivariant/monotone_run", {"vocabulary": 4}, "vocabulary must exceed the window"),
        ("invariant/detect_capital", {"length": 1}, "length must be at least 2"),
        ("invariant/permutation_sign", {"length": 11}, "length must be at most the vocabulary"),
        ("invariant/permutation_sign", {"length": "8"}, "length must be an integer"),
    ],
)
def test_a_bad_option_is_refused(name, options, message):
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        get_task(name, **options)


def test_labels_are_scaled_with_the_length():
    assert get_task("invariant/intersect", length=20).config.label_scale == 20
    assert get_task("invariant/cyclic_sum", window=4, vocabulary=19).config.label_scale == 62
