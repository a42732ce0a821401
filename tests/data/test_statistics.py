"""Means and scales computed from training rows where a task states none, and the warning where rows do not fit them."""

import dataclasses
import logging
import warnings

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.data import get_task
from asen_hf.data.features import evenly_spaced, to_dataset
from asen_hf.data.statistics import warn_if_far_from_unit_scale, with_statistics
from asen_hf.model.normalization import normalized_features

RNG = np.random.default_rng(0)
FEATURES = RNG.normal([1000.0, -3.0], [50.0, 0.01], size=(200, 3, 2))
VALUE = {"problem_type": "regression"}
KINDS = {
    "node": (TaskConfig(group="S3", num_features=2, **VALUE), RNG.normal(5000, 11, size=(200, 3))),
    "node, two values": (
        TaskConfig(group="S3", num_features=2, num_labels=2, **VALUE),
        RNG.normal([5000, 1], [11, 2], size=(200, 3, 2)),
    ),
    "graph": (TaskConfig(group="S3", num_features=2, output_level="graph", **VALUE), RNG.normal(5000, 11, size=200)),
    "residual": (
        TaskConfig(group="S3", num_features=2, residual_feature=0, **VALUE),
        FEATURES[..., 0] + RNG.normal(7, 3, size=(200, 3)),
    ),
    "classes": (TaskConfig(group="S3", num_features=2), RNG.integers(2, size=(200, 3))),
    "tokens": (TaskConfig(group="S3", vocab_size=4, **VALUE), RNG.normal(5000, 11, size=(200, 3))),
}
FIELDS = ["input_mean", "input_scale", "label_mean", "label_scale"]


def rows(kind):
    task, labels = KINDS[kind]
    inputs = FEATURES if task.num_features else RNG.integers(4, size=(200, 3))
    return task, to_dataset(task, inputs, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_each_feature_and_each_value(kind, caplog):
    task, train = rows(kind)
    with caplog.at_level(logging.WARNING):
        found = with_statistics(task, train, "prices")
    labels = KINDS[kind][1] - (FEATURES[..., 0] if kind == "residual" else 0)
    expected = {}
    if task.num_features:
        expected |= {"input_mean": FEATURES.mean(axis=(0, 1)), "input_scale": FEATURES.std(axis=(0, 1))}
    if task.is_regression:
        axes = (0, 1) if kind == "node, two values" else None
        expected |= {"label_mean": labels.mean(axis=axes), "label_scale": labels.std(axis=axes)}
    for field in FIELDS:
        if field not in expected:
            assert getattr(found, field) is None
        else:
            np.testing.assert_allclose(getattr(found, field), expected[field], rtol=1e-9)
    assert {field: None for field in FIELDS} == {field: getattr(task, field) for field in FIELDS}  # a copy
    [record] = caplog.records
    assert record.message.startswith("task 'prices': ") and all(field in record.message for field in expected)
    assert "computed from its 200 training rows" in record.message
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_far_from_unit_scale("prices", found, train)


def test_what_is_stated_is_kept(caplog):
    task, train = rows("node")
    half = dataclasses.replace(task, input_mean=[1.0, 2.0])
    found = with_statistics(half, train, "prices")
    assert (found.input_mean, found.input_scale) == ([1.0, 2.0], 1.0)
    assert found.label_mean == pytest.approx(5000, abs=2) and "input_mean" not in caplog.text
    assert with_statistics(found, train, "prices") is found
    classes = TaskConfig(group="S3", vocab_size=4)
    assert with_statistics(classes, train, "prices") is classes  # without a look at the rows
    assert len(caplog.records) == 1


def test_missing_labels_are_left_out():
    task = TaskConfig(group="S2", vocab_size=2, num_labels=2, **VALUE)
    labels = np.array([[[1.0, np.nan], [3.0, np.nan]], [[np.nan, np.nan], [5.0, np.nan]]])
    found = with_statistics(task, to_dataset(task, np.zeros((2, 2), dtype=int), labels))
    assert found.label_mean == [3.0, 0.0]
    assert found.label_scale == pytest.approx([np.std([1, 3, 5]), 1.0])


@pytest.mark.parametrize("constant", [0.1, 0.0, 1.7e9 + 0.1, -1e30])
def test_what_is_constant_keeps_its_unit(constant):
    task = TaskConfig(group="S3", num_features=1, **VALUE)
    found = with_statistics(task, to_dataset(task, np.full((7, 3, 1), constant), np.full((7, 3), constant)))
    assert found.input_mean == pytest.approx(constant) and found.label_mean == pytest.approx(constant)
    assert found.input_scale == found.label_scale == 1.0


def test_large_units_are_no_obstacle():
    """Nanoseconds since 1970, and numbers of atoms."""
    task, train = KINDS["graph"][0], None
    times = 1_700_000_000_000_000_000 + RNG.integers(10**12, size=(50, 3, 2))
    train = to_dataset(task, times, RNG.normal(6e23, 1e22, size=50))
    found = with_statistics(task, train)
    assert found.input_scale == pytest.approx([1e12 / 12**0.5] * 2, rel=0.2)
    assert found.label_scale == pytest.approx(1e22, rel=0.3)


def moved(kind, unit, shift):
    """A task that states the statistics of its rows, and rows in another unit or shifted by many scales."""
    task, train = rows(kind)
    fitting = with_statistics(task, train)
    name = "labels" if kind == "tokens" else "inputs"
    columns = {key: np.array(train[key]) for key in ("inputs", "labels")}
    columns[name] = columns[name] * unit + shift
    return fitting, to_dataset(task, columns["inputs"], columns["labels"])


@pytest.mark.parametrize("unit, shift", [(1e6, 0), (1e-6, 0), (1, 1e6), (1, -1e6)])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "residual"])
def test_rows_in_other_units_than_the_statistics_are_warned_of_once(kind, unit, shift):
    task, train = moved(kind, unit, shift)
    what = "label 0 .* label_mean and label_scale" if kind == "tokens" else "feature 0 .* input_mean and input_scale"
    with pytest.warns(UserWarning, match=f"task 'prices': {what}") as caught:
        warn_if_far_from_unit_scale("prices", task, train)
    assert len(caught) == 1


def test_the_warning_names_the_value_and_the_numbers():
    task = TaskConfig(group="S3", vocab_size=4, label_names=["height", "weight"], **VALUE)
    labels = RNG.normal([0, 5000], [1, 11], size=(300, 3, 2))
    with pytest.warns(UserWarning, match=r"the value 'weight' has mean 50\d\d(\.\d+)? and scale 1\d\.\d+"):
        warn_if_far_from_unit_scale("people", task, to_dataset(task, RNG.integers(4, size=(300, 3)), labels))


@pytest.mark.parametrize("name", ["equivariant/cyclic_sum", "invariant/cyclic_sum", "invariant/longest_palindrome"])
def test_built_in_tasks_are_not_warned_of(name):
    task = get_task(name)
    warn_if_far_from_unit_scale(name, task.config, task.load(num_rows=200)["train"])


def test_rare_and_constant_features_are_not_warned_of():
    task = TaskConfig(group="S3", num_features=2)
    inputs = np.zeros((500, 3, 2))
    inputs[0, 0, 0], inputs[..., 1] = 1.0, 1.0
    warn_if_far_from_unit_scale("rare", task, to_dataset(task, inputs, np.zeros((500, 3), dtype=int)))


def test_more_rows_than_memory_are_read_evenly_spaced(monkeypatch, caplog):
    task = TaskConfig(group="S2", num_features=1, problem_type="regression")
    inputs = np.arange(2000.0).reshape(1000, 2, 1)
    rows = to_dataset(task, inputs, inputs[..., 0])
    assert evenly_spaced(rows, task) is rows
    spaced = evenly_spaced(rows, task, most=300)
    assert np.array(spaced["inputs"][:])[:, 0, 0].tolist() == list(range(0, 2000, 14))
    monkeypatch.setattr("asen_hf.data.statistics.evenly_spaced", lambda rows, task: evenly_spaced(rows, task, 300))
    found = with_statistics(task, rows, "t")
    assert found.input_mean == pytest.approx(1000, rel=0.02) and found.input_scale == pytest.approx(577, rel=0.02)
    assert "computed from 143 of its 1,000 training rows" in caplog.text


def test_statistics_are_per_node_orbit_so_that_normalising_commutes_with_the_group():
    rng = np.random.default_rng(0)
    task = TaskConfig(group="C3 x C2", num_features=2)
    inputs = rng.normal(size=(200, 5, 2)) * [[1, 2]] * 3 + [[5, 0]]
    inputs[:, 3:] *= 100
    inputs[rng.random(inputs.shape) < 0.1] = np.nan
    found = with_statistics(task, to_dataset(task, inputs, np.zeros((200, 5), int)))
    for nodes in ([0, 1, 2], [3, 4]):
        known = inputs[:, nodes].reshape(-1, 2)
        for node in nodes:
            np.testing.assert_allclose(found.input_mean[node], np.nanmean(known, axis=0))
            np.testing.assert_allclose(found.input_scale[node], np.nanstd(known, axis=0))
    normal = normalized_features(found, torch.from_numpy(inputs)).numpy()
    turned = [1, 2, 0, 4, 3]
    np.testing.assert_array_equal(normal[:, turned], normalized_features(found, torch.from_numpy(inputs[:, turned])))
    assert TaskConfig(**found.to_dict()) == found


def test_statistics_that_differ_within_an_orbit_are_refused():
    with pytest.raises(ValueError, match="input_mean differs between nodes 0 and 2, which the group maps"):
        TaskConfig(group="C3", num_features=1, input_mean=[[1.0], [1.0], [2.0]])
    with pytest.raises(ValueError, match=r"input_mean must be one number or 1 .* or 1 for each of 3 nodes, got"):
        TaskConfig(group="C3", num_features=1, input_mean=[[1.0], [1.0]])


def test_statistics_are_those_of_the_rows_and_their_images():
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal([5.0, 1.0, 7.0], [2.0, 3.0, 1.0], size=(300, 4, 3)), rng.normal(3, 2, size=(300, 4, 2))
    entry = {"points": "(0 1)", "inputs": [-1, 3, 2], "outputs": [-1, 2]}
    fields = {"degree": 4, "num_features": 3, "num_labels": 2, "problem_type": "regression"}
    task = with_statistics(
        TaskConfig(**fields, value_symmetries=[entry]), to_dataset(TaskConfig(**fields), inputs, labels)
    )
    means, scales = np.array(task.input_mean), np.array(task.input_scale)
    images = inputs[:, [1, 0, 2, 3]][..., [0, 2, 1]] * [-1, 1, 1]
    both = np.concatenate([inputs, images])
    for nodes in ([0, 1], [2], [3]):
        np.testing.assert_allclose(means[nodes], np.tile(both[:, nodes].mean(axis=(0, 1)), (len(nodes), 1)), atol=1e-6)
        np.testing.assert_allclose(scales[nodes], np.tile(both[:, nodes].std(axis=(0, 1)), (len(nodes), 1)), rtol=1e-6)
    outputs = np.concatenate([labels, labels * [-1, 1]])
    np.testing.assert_allclose(task.label_mean, outputs.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(task.label_scale, outputs.std(axis=(0, 1)), rtol=1e-6)
    assert (means[:, 0] == 0).all() and task.label_mean[0] == 0  # exactly, so that a sign turns about zero


def test_what_is_constant_or_missing_has_statistics_under_value_symmetries():
    inputs = np.full((20, 2, 2), np.nan)
    inputs[..., 1] = 4
    fields = {"degree": 2, "num_features": 2, "num_labels": 2}
    rows = to_dataset(TaskConfig(**fields), inputs, np.zeros((20, 2), int))
    task = with_statistics(TaskConfig(**fields, value_symmetries=[{"points": "R2", "inputs": [1, -2]}]), rows)
    assert task.input_mean == [0, 0] and task.input_scale == [1, 4]


@pytest.mark.parametrize(
    ("means", "scales", "num_labels", "node"),
    [
        ([0, 0, 0], [1, 1, 1], 1, None),
        ([0, 0, 0], [1, 1, 9], 1, None),
        ([0, 0, 0], [1, 1, 11], 1, 0),
        ([0, 0, 50], [1, 1, 2], 1, 0),  # the scale of all nodes is that of their means
        ([0, 0, 0], [3, 3, 0.1], 1, 2),
        ([0, 0, 0], [3, 3, 0], 1, None),  # what is constant needs no scale
        ([0, 0, 0], [3, 3, 0.1], 2, 2),
    ],
)
def test_a_warning_says_if_labels_of_a_node_vary_far_less_than_the_others(means, scales, num_labels, node):
    labels = RNG.normal(means, scales, size=(num_labels, 400, 3)).transpose(1, 2, 0)
    labels[:, :, : num_labels - 1] = RNG.normal(size=(400, 3, num_labels - 1))
    task = TaskConfig(group="S2 x S1", num_features=1, num_labels=num_labels, **VALUE)
    train = to_dataset(task, np.zeros((400, 3, 1)), labels if num_labels > 1 else labels[..., 0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with_statistics(task, train, "sums")
    messages = [str(warning.message) for warning in caught]
    expected = [] if node is None else [f"task 'sums': the labels of node {node} have the standard deviation"]
    assert len(messages) == len(expected) and all(map(str.startswith, messages, expected))
