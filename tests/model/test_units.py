"""Units do not matter: inputs and labels in other units, with statistics to match, give the same network."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from datasets import Dataset

from asen_hf import AsenConfig, TaskConfig, load_table
from asen_hf.data import collate
from asen_hf.data.features import to_dataset
from asen_hf.model.heads import predictions, task_loss
from asen_hf.model.normalization import normalized_features
from tests.conftest import make_model

INPUTS = {
    "tokens": {"vocab_size": 4},
    "features": {"num_features": 2, "input_mean": [0.5, -1.0], "input_scale": [2, 3]},
}
OUTPUTS = {
    "classes": {"num_labels": 3},
    "value": {"problem_type": "regression", "label_mean": 0.5, "label_scale": 2.0},
    "values": {
        "problem_type": "regression",
        "num_labels": 2,
        "label_mean": [0.5, -3.0],
        "label_scale": 2,
        "loss": "mse",
    },
}
TASKS = {
    f"{level} {output} of {inputs}": TaskConfig(group="C5", output_level=level, **OUTPUTS[output], **INPUTS[inputs])
    for level, output, inputs in itertools.product(("node", "graph"), OUTPUTS, INPUTS)
    if (output, inputs) != ("classes", "tokens")  # which have no units
}
TASKS |= {
    f"node {output} beyond a feature": TaskConfig(
        group="C5", residual_feature=1, **OUTPUTS[output], **INPUTS["features"]
    )
    for output in ("value", "values")
}


def batch(task, rows=6):
    rng = np.random.default_rng(0)
    inputs = (
        rng.integers(task.vocab_size, size=(rows, *task.input_shape()))
        if task.vocab_size
        else rng.normal(size=(rows, *task.input_shape())) * task.input_scale + task.input_mean
    )
    if not task.is_regression:
        return inputs, rng.integers(task.output_size, size=(rows, *task.label_shape()))
    return inputs, rng.normal(size=(rows, *task.label_shape()))


@pytest.mark.parametrize("unit, shift", [(1e6, 0.0), (1e-6, 0.0), (1.0, 1e6), (1.0, -1e6), (1e6, 1e12), (1e-6, 1e-3)])
@pytest.mark.parametrize("name", TASKS)
def test_scaled_and_shifted_rows_with_statistics_to_match_give_the_same_predictions(name, unit, shift):
    task, changes = TASKS[name], {}
    inputs, labels = batch(task)
    moved_inputs, moved_labels = inputs, labels
    label_shift = shift if task.residual_feature is None else shift / 2
    if task.num_features:
        moved_inputs = inputs * unit + shift
        changes["input_mean"] = (np.array(task.input_mean) * unit + shift).tolist()
        changes["input_scale"] = (np.array(task.input_scale) * unit).tolist()
    if task.is_regression:
        moved_labels = labels * unit + label_shift
        difference = label_shift - (0 if task.residual_feature is None else shift)
        changes["label_mean"] = (np.array(task.label_mean) * unit + difference).tolist()
        changes["label_scale"] = (np.array(task.label_scale) * unit).tolist()
    moved_task = dataclasses.replace(task, **changes)
    model, moved = (make_model({"t": each}) for each in (task, moved_task))

    def loss_and_prediction(each, inputs, labels):
        inputs, labels = torch.from_numpy(np.asarray(inputs)), torch.from_numpy(np.asarray(labels))
        return each(inputs, labels=labels).loss.item(), each.predict(inputs).double().numpy()

    loss, predicted = loss_and_prediction(model, inputs, labels)
    moved_loss, moved_predicted = loss_and_prediction(moved, moved_inputs, moved_labels)
    assert moved_loss == pytest.approx(loss, rel=1e-6)
    if task.is_regression:
        moved_predicted = (moved_predicted - label_shift) / unit
    np.testing.assert_allclose(moved_predicted, predicted, rtol=1e-6, atol=2e-6)


HOUR = 1.7e9 + np.arange(3600) + 0.25  # Unix seconds
CLOCK = TaskConfig(
    group="S2",
    num_features=1,
    problem_type="regression",
    **{
        f"{kind}_{part}": value
        for kind in ("input", "label")
        for part, value in (("mean", 1.7e9 + 1800), ("scale", 1e3))
    },
)


def clock_rows():
    times = HOUR.reshape(1800, 2)
    return times[..., None], times


def from_csv(folder, inputs, labels):
    lines = [f'"{x.ravel().tolist()}","{y.tolist()}"\n' for x, y in zip(inputs, labels, strict=True)]
    (folder / "times.csv").write_text("inputs,labels\n" + "".join(lines))
    return load_table(folder / "times.csv", CLOCK)


def from_parquet(folder, inputs, labels):
    Dataset.from_dict({"inputs": inputs.tolist(), "labels": labels.tolist()}).to_parquet(folder / "times.parquet")
    return load_table(folder / "times.parquet", CLOCK)


WAYS_IN = {
    "csv": from_csv,
    "parquet": from_parquet,
    "our dataset": lambda _, inputs, labels: {"train": to_dataset(CLOCK, inputs, labels)},
    "a user's dataset": lambda _, inputs, labels: {
        "train": Dataset.from_dict({"inputs": inputs.tolist(), "labels": labels.tolist()})
    },
    "a dataset formatted for torch": lambda _, inputs, labels: {
        "train": Dataset.from_dict({"inputs": inputs.tolist(), "labels": labels.tolist()}).with_format("torch")
    },
    "arrays": lambda _, inputs, labels: {"train": {"inputs": inputs, "labels": labels}},
    "tensors": lambda _, inputs, labels: {
        "train": {"inputs": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}
    },
    "rows": lambda _, inputs, labels: {
        "train": [{"inputs": x, "labels": y} for x, y in zip(inputs.tolist(), labels.tolist(), strict=True)]
    },
}


@pytest.mark.parametrize("way", WAYS_IN)
def test_times_of_an_hour_stay_apart_from_file_to_network(way, tmp_path):
    splits = WAYS_IN[way](tmp_path, *clock_rows())
    columns = [collate(CLOCK, rows) for rows in splits.values()]
    inputs, labels = (torch.cat([each[name] for each in columns]) for name in ("inputs", "labels"))
    assert len(normalized_features(CLOCK, inputs).float().unique()) == 3600
    logits = ((labels.double() - CLOCK.label_mean) / CLOCK.label_scale).float().unsqueeze(-1)
    assert float(task_loss(CLOCK, logits, labels, inputs)) == 0
    seen = predictions(CLOCK, logits, inputs).flatten().sort().values
    np.testing.assert_allclose(seen, HOUR, rtol=0, atol=1e-3)  # seconds


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_a_model_takes_times_as_they_come(dtype):
    task = dataclasses.replace(CLOCK, label_mean=None, label_scale=None)
    times = torch.from_numpy(HOUR).floor().reshape(-1, 2, 1).to(dtype)
    near_zero = (times.double() - CLOCK.input_mean) / CLOCK.input_scale
    plain = dataclasses.replace(task, input_mean=0.0, input_scale=1.0)
    with torch.no_grad():
        logits, expected = (make_model({"t": each})(x).logits for each, x in ((task, times), (plain, near_zero)))
    torch.testing.assert_close(logits, expected, rtol=1e-6, atol=1e-6)


def test_predictions_of_ordinary_units_stay_in_float32():
    task = TASKS["node value of features"]
    assert make_model({"t": task}).predict(torch.randn(2, 5, 2)).dtype == torch.float32
    assert make_model({"t": CLOCK}).predict(torch.from_numpy(clock_rows()[0][:2])).dtype == torch.float64


FIELDS = ["input_mean", "input_scale", "label_mean", "label_scale"]
VALUES = {"degree": 2, "num_features": 2, "problem_type": "regression", "num_labels": 2}
UNUSABLE = {
    "too large": 1e308,
    "not finite": float("inf"),
    "not a number": float("nan"),
    "beyond float64": 10**400,
    "complex": 1j,
    "text": "1",
    "for a third value": [1.0, 2.0, 3.0],
    "ragged": [[1.0], [1.0, 2.0]],
}


@pytest.mark.parametrize("value", UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("field", FIELDS)
def test_statistics_that_cannot_be_used_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        TaskConfig(**VALUES, **{field: value})


@pytest.mark.parametrize("value", [1e-320, 0.0, -1.0, [1.0, 1e-320]])
@pytest.mark.parametrize("field", [field for field in FIELDS if "scale" in field])
def test_scales_that_underflow_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        TaskConfig(**VALUES, **{field: value})


@pytest.mark.parametrize("value", [np.float32(2), np.int64(2), np.array([2.0, 3.0]), np.array(2.5)])
@pytest.mark.parametrize("field", FIELDS)
def test_statistics_of_numpy_are_stored_as_json(field, value):
    task = TaskConfig(**VALUES, **{field: value})
    later = TaskConfig(**VALUES)
    setattr(later, field, value)
    for each in (task, later):
        stored = json.loads(json.dumps(each.to_dict()))[field]
        assert stored == value.tolist()
        assert getattr(TaskConfig.from_dict(each.to_dict()), field) == stored


def test_statistics_are_stated_in_pairs_or_not_at_all():
    none = TaskConfig(**VALUES)
    assert [getattr(none, field) for field in FIELDS] == [None] * 4
    half = TaskConfig(**VALUES, input_scale=2.0, label_mean=3.0)
    assert [getattr(half, field) for field in FIELDS] == [0.0, 2.0, 3.0, 1.0]
    again = AsenConfig(**json.loads(AsenConfig(tasks={"t": none, "u": half}).to_json_string()))
    assert again.tasks == {"t": none, "u": half}


FAR = {
    "inputs, row 1: .* got 1.0141.*e[+]31 at .0, 1.": ("inputs", 2.0**103, {}),
    "inputs, row 1: .* got 1.0 at .0, 1.": ("inputs", 1.0, {"input_scale": 1e-20}),
    "labels, row 1: .* got 1.0141.*e[+]31 at .0, 1.": ("labels", 2.0**103, {}),
    "labels, row 1: .* got -1.0 at .0, 1.": ("labels", -1.0, {"label_scale": [1.0, 1e-20]}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("message", FAR)
def test_values_beyond_float32_after_normalisation_are_refused_by_row(message, dtype):
    name, value, statistics = FAR[message]
    task = TaskConfig(**VALUES, **statistics)
    columns = {"inputs": np.zeros((3, 2, 2), dtype), "labels": np.zeros((3, 2, 2), dtype)}
    columns[name][1, 0, 1] = value
    with pytest.raises(ValueError, match=message):
        collate(task, columns)
    with pytest.raises(ValueError, match=message):
        make_model({"t": task})(**{name: torch.from_numpy(column) for name, column in columns.items()})


@pytest.mark.parametrize("value", [1e30, 1e-30])
def test_extreme_values_with_statistics_to_match_are_fine(value):
    task = TaskConfig(**VALUES, input_scale=value, label_scale=value)
    inputs = value * torch.randn(4, 2, 2, dtype=torch.float64)
    model = make_model({"t": task})
    assert model(inputs, labels=inputs).loss.item() < 3
    assert 1e-4 < float(model.predict(inputs).abs().max()) / value < 10


def test_complex_numbers_are_refused():
    task = TaskConfig(**VALUES)
    rows = np.zeros((2, 2, 2), dtype=np.complex64)
    for check in (task.check_inputs, task.check_labels):
        with pytest.raises(ValueError, match=r"must be numbers .* got complex64"):
            check(rows)
