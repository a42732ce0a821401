"""The verbs on rows in any unit: statistics are computed, said, saved and kept."""

import dataclasses
import json
import logging

import numpy as np
import pytest
import torch
from datasets import DatasetDict

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, finetune, pretrain
from asen_hf.commands.main import main
from asen_hf.data.features import to_dataset
from asen_hf.data.statistics import with_statistics
from asen_hf.training.finetune import prepare_model

TASK = TaskConfig(group="S4", num_features=2, problem_type="regression", output_level="graph")
FIELDS = ["input_mean", "input_scale", "label_mean", "label_scale"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def make_model(**tasks):
    torch.manual_seed(0)
    return AsenForMultitask(AsenConfig(tasks=tasks, **SIZES)).eval()


def arrays(rows=300, seed=0):
    """Features and a value about 5,000 that a mean over the nodes predicts."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 4, 2))
    return 50 * inputs + 1000, 5000 + 20 * inputs[..., 0].sum(axis=1) * inputs[..., 1].mean(axis=1)


def statistics(task):
    return [getattr(task, field) for field in FIELDS]


def test_rows_in_raw_units_are_learned_like_normalised_ones(caplog):
    inputs, labels = arrays()
    plain = (inputs - 1000) / 50, (labels - 5000) / 20
    with caplog.at_level(logging.WARNING):
        raw = finetune(make_model(), TASK, (inputs, labels), name="t", max_steps=150, lr=0.01)
        normalised = finetune(make_model(), TASK, plain, name="t", max_steps=150, lr=0.01)
    assert raw.scores["t"].value == pytest.approx(20 * normalised.scores["t"].value, rel=0.05)
    assert raw.scores["t"].value < 0.6 * raw.scores["t"].references["constant"]
    assert [record.message.count("computed from its 210 training rows") for record in caplog.records] == [1, 1]


def test_statistics_are_those_of_the_rows_that_are_trained_on():
    data = DatasetDict({split: to_dataset(TASK, *arrays(60, seed)) for seed, split in enumerate(("train", "test"))})
    data["test"] = to_dataset(TASK, arrays(60)[0] + 1e5, arrays(60)[1] + 1e5)
    whole = finetune(make_model(), TASK, data, max_steps=1).model.config.tasks["task"]
    assert 990 < whole.input_mean[0] < 1010 and 4900 < whole.label_mean < 5100
    few = finetune(make_model(), TASK, data, max_steps=1, train_rows=5).model.config.tasks["task"]
    trained = data["train"].shuffle(seed=0).select(range(5))
    assert "validation" not in data and statistics(few) != statistics(whole)
    split = finetune(make_model(), TASK, DatasetDict(data, validation=data["test"]), max_steps=1, train_rows=5)
    assert statistics(split.model.config.tasks["task"]) == statistics(with_statistics(TASK, trained))


def test_they_are_saved_and_a_continued_task_keeps_them(tmp_path, caplog):
    first = finetune(make_model(), TASK, arrays(), name="t", output_dir=tmp_path / "first", max_steps=2)
    saved = json.loads((tmp_path / "first/config.json").read_text())["tasks"]["t"]
    assert [saved[field] for field in FIELDS] == statistics(first.model.config.tasks["t"])
    caplog.clear()
    inputs, labels = arrays(seed=1)
    with pytest.warns(UserWarning, match="task 't': label 0 has mean [45]"):  # they do not fit: that is said
        second = finetune(tmp_path / "first", TASK, (inputs, labels + 1000), name="t", max_steps=1, lr=1e-9)
    assert second.model.config.tasks == first.model.config.tasks
    assert not caplog.records
    for key, tensor in second.model.state_dict().items():  # the trained weights, not new ones
        torch.testing.assert_close(tensor, first.model.state_dict()[key], rtol=0, atol=1e-6)


def test_a_model_that_states_none_keeps_its_weights_and_gets_them():
    model = make_model(t=TASK)
    result = finetune(model, TASK, arrays(), name="t", max_steps=1, lr=1e-9)
    assert None not in statistics(result.model.config.tasks["t"]) and statistics(model.config.tasks["t"]) == [None] * 4
    for key, tensor in result.model.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[key], rtol=0, atol=1e-6)


NEUTRAL = {"input_mean": 0.0, "input_scale": 1.0, "label_mean": 0.0, "label_scale": 1.0}
OTHER = {**NEUTRAL, "label_scale": 2.0}
NONE = dict.fromkeys(FIELDS)


@pytest.mark.parametrize(
    ("in_model", "asked", "is_continued"),
    [
        (NEUTRAL, NONE, True),  # a checkpoint of a version without None
        (NONE, NEUTRAL, True),
        (OTHER, NONE, True),
        (OTHER, OTHER, True),
        (NONE, OTHER, False),
        (OTHER, NEUTRAL, False),
    ],
)
def test_a_task_is_continued_unless_its_statistics_change(in_model, asked, is_continued):
    model = make_model(t=dataclasses.replace(TASK, **in_model))
    prepared = prepare_model(model, "t", dataclasses.replace(TASK, **asked))
    assert torch.equal(prepared.heads["t"].weight, model.heads["t"].weight) == is_continued
    kept = in_model if is_continued else asked
    assert statistics(prepared.config.tasks["t"]) == [kept[field] for field in FIELDS]


def test_values_that_only_their_statistics_make_usable_are_taken():
    times = 1_700_000_000_000_000_000 + np.random.default_rng(0).integers(10**12, size=(60, 4, 2))  # nanoseconds
    labels = times.mean(axis=(1, 2)) * 1e10
    result = finetune(make_model(), TASK, (times, labels), max_steps=2)
    assert result.scores["task"].loss < 3 and np.isfinite(result.scores["task"].value)


@pytest.fixture
def table(tmp_path):
    inputs, labels = arrays(60)
    lines = [json.dumps({"inputs": x, "labels": y}) for x, y in zip(inputs.tolist(), labels.tolist(), strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "prices.json").write_text(
        json.dumps({key: value for key, value in TASK.to_dict().items() if value is not None})
    )
    return tmp_path


def test_pretrain_computes_them_for_a_table(table, caplog):
    tasks = [{"name": "prices", "dataset": str(table / "rows.jsonl"), "task_config": str(table / "prices.json")}]
    recipe = {"model": SIZES, "tasks": tasks, "training": {"output_dir": str(table / "run"), "max_steps": 1}}
    found = pretrain(recipe).model.config.tasks["prices"]
    assert None not in statistics(found) and "task 'prices': input_mean" in caplog.text


def test_the_command_says_what_it_computed(table, caplog):
    make_model(other=TASK).save_pretrained(table / "start")
    options = ["--dataset", table / "rows.jsonl", "--task_config", table / "prices.json", "--max_steps", 1]
    assert main(["finetune", *map(str, [table / "start", *options, "--output_dir", table / "run"])]) == 0
    [record] = [record for record in caplog.records if "task 'prices': input_mean" in record.message]
    assert record.levelno >= logging.WARNING  # which Python shows without being told to
