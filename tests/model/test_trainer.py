"""The model under plain ``transformers.Trainer``: trained, evaluated, resumed, saved and pushed without a subclass."""

import functools
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from huggingface_hub import HfApi, RepoUrl
from transformers import Trainer, TrainerCallback, TrainingArguments

from asen_hf import AsenForMultitask, TaskConfig
from asen_hf.data import collate
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.scores import score_splits
from asen_hf.evaluation.trainer_metrics import trainer_metrics
from asen_hf.model.heads import predictions
from tests.conftest import make_model

ROOT = Path(__file__).parents[2]
VALUES = {"num_features": 2, "problem_type": "regression", "label_mean": 30.0, "label_scale": 5.0}
TASKS = {
    "node/classes": TaskConfig(group="D5", vocab_size=3, num_labels=3),
    "graph/classes": TaskConfig(group="S2 wr S2", vocab_size=3, output_level="graph"),
    "node/colours": TaskConfig(
        degree=5,
        vocab_size=3,
        num_labels=3,
        value_symmetries=[{"points": "R5", "inputs": [0, 2, 1], "outputs": [0, 2, 1]}],
    ),
    "node/signs": TaskConfig(
        group="C4", value_symmetries=[{"inputs": [-1, -2], "outputs": [-1]}], residual_feature=1, **VALUES
    ),
    "node/value": TaskConfig(group="C4", residual_feature=1, **VALUES),
    "graph/values": TaskConfig(group="C4", output_level="graph", num_labels=2, loss="mse", **VALUES),
}
every_task = pytest.mark.parametrize("name", TASKS)


def make_rows(task, rows=48, seed=0):
    """Rows whose labels can be learned from the inputs."""
    rng = np.random.default_rng(seed)
    if task.vocab_size is not None:
        inputs = rng.integers(task.vocab_size, size=(rows, task.degree))
        labels = inputs if task.output_level == "node" else (inputs == 0).any(axis=1).astype(int)
    else:
        inputs = rng.normal(size=(rows, task.degree, 2))
        labels = 30 + 5 * (inputs[..., 0] if task.output_level == "node" else inputs.mean(axis=1))
    return to_dataset(task, inputs, labels)


def make_trainer(model, folder, rows, collator=None, **settings):
    defaults = {"per_device_train_batch_size": 8, "learning_rate": 1e-2, "logging_steps": 1, "save_strategy": "no"}
    quiet = {"report_to": "none", "disable_tqdm": True, "use_cpu": True}
    arguments = TrainingArguments(str(folder), **defaults | quiet | settings)
    return Trainer(model, arguments, data_collator=collator, train_dataset=rows, eval_dataset=rows)


@every_task
def test_one_task_needs_no_name_and_no_collator(name, tmp_path):
    task = TASKS[name]
    rows, held_out = make_rows(task), make_rows(task, rows=21, seed=1)
    model = make_model({name: task})
    trainer = make_trainer(model, tmp_path, rows, num_train_epochs=6)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.mean(losses[-6:]) < 0.7 * np.mean(losses[:3])

    scores = trainer.evaluate(held_out)
    assert scores["eval_loss"] == pytest.approx(score_splits(model, {name: held_out})[name].loss, rel=1e-5)
    output = trainer.predict(held_out.add_column("id", range(21)))  # a column the model does not take
    batch = collate(task, held_out)
    np.testing.assert_allclose(output.predictions, model(**batch).logits.detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output.label_ids, batch["labels"].numpy(), rtol=1e-6)  # Trainer's collator: float32
    unlabelled = trainer.predict(held_out.remove_columns("labels"))
    np.testing.assert_array_equal(unlabelled.predictions, output.predictions)
    assert unlabelled.label_ids is None


@pytest.mark.parametrize("name", ["graph/classes", "node/signs"])
def test_what_it_saves_is_an_ordinary_checkpoint(name, tmp_path):
    rows = make_rows(TASKS[name])
    model = make_model({name: TASKS[name]})
    trainer = make_trainer(model, tmp_path, rows, max_steps=2, save_strategy="steps", save_steps=2)
    trainer.train()
    trainer.save_model()
    inputs = collate(TASKS[name], rows)["inputs"]
    for folder in (tmp_path, tmp_path / "checkpoint-2"):
        assert torch.equal(AsenForMultitask.from_pretrained(folder).predict(inputs), model.predict(inputs))


@every_task
def test_metrics_in_raw_units(name, tmp_path):
    task, rows = TASKS[name], make_rows(TASKS[name])
    model = make_model({name: task})
    guesses = []

    def keep(evaluation):
        logits, inputs = torch.from_numpy(evaluation.predictions), torch.from_numpy(evaluation.inputs)
        guesses.append(predictions(task, logits, inputs))
        return {}

    trainer = make_trainer(model, tmp_path, rows, include_for_metrics=["inputs"])
    trainer.compute_metrics = keep
    trainer.evaluate()
    expected = model.predict(collate(task, rows)["inputs"])
    torch.testing.assert_close(guesses[0], expected, rtol=1e-5, atol=1e-5, check_dtype=False)


def with_missing_labels(task, rows, seed=0):
    """The rows, most labels of the first half missing."""
    columns = {name: column.numpy() for name, column in collate(task, rows).items()}
    is_missing = np.random.default_rng(seed).random(columns["labels"].shape) < 0.8
    is_missing[len(is_missing) // 2 :] = False
    labels = np.where(is_missing, np.nan if task.is_regression else -100, columns["labels"])
    return to_dataset(task, columns["inputs"], labels.astype(columns["labels"].dtype))


@every_task
@pytest.mark.parametrize("size", [1, 7, 48])
def test_the_loss_of_an_evaluation_is_the_mean_over_its_labels_at_every_batch_size(name, size, tmp_path):
    task, model = TASKS[name], make_model({name: TASKS[name]})
    rows = with_missing_labels(task, make_rows(task))
    expected = score_splits(model, {name: rows})[name]
    trainer = make_trainer(model, tmp_path, rows, per_device_eval_batch_size=size, include_for_metrics=["inputs"])
    trainer.compute_metrics = trainer_metrics(task)
    found = trainer.evaluate()
    assert found["eval_loss"] == pytest.approx(expected.loss, rel=1e-5)
    assert found[f"eval_{task.metric}"] == pytest.approx(expected.value, rel=1e-5)


def test_a_residual_is_scored_with_its_inputs(tmp_path):
    name = "node/value"
    trainer = make_trainer(make_model({name: TASKS[name]}), tmp_path, make_rows(TASKS[name]))
    trainer.compute_metrics = trainer_metrics(TASKS[name])
    with pytest.raises(ValueError, match="include_for_metrics"):
        trainer.evaluate()


class StopAfter(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def test_an_interrupted_run_resumes_bit_for_bit(tmp_path):
    name = "node/classes"
    settings = {"num_train_epochs": 2, "save_strategy": "steps", "save_steps": 4, "warmup_steps": 3}

    def trainer(folder):
        model = make_model({name: TASKS[name]}, hidden_dropout_prob=0.2)
        return make_trainer(model, folder, make_rows(TASKS[name]), **settings)

    whole = trainer(tmp_path / "whole")
    whole.train()
    cut = trainer(tmp_path / "cut")
    cut.add_callback(StopAfter(8))  # in the second epoch, of six steps
    cut.train()
    assert cut.state.global_step == 8
    resumed = trainer(tmp_path / "cut")
    torch.rand(5)  # the state of the generator is the checkpoint's
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == whole.state.global_step == 12
    expected, got = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(got[key], expected[key]) for key in expected)
    assert not torch.equal(*(each.model.heads[name].weight for each in (cut, whole)))


@pytest.mark.parametrize("name", ["node/classes", "graph/classes"])
def test_accumulated_batches_make_the_step_of_a_whole_one_though_labels_are_missing(name, tmp_path):
    rows = with_missing_labels(TASKS[name], make_rows(TASKS[name], rows=16))
    weights = []
    for size, steps in ((16, 1), (4, 4), (1, 16)):
        settings = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "optim": "sgd"}
        model = make_model({name: TASKS[name]})
        make_trainer(model, tmp_path, rows, max_steps=1, max_grad_norm=0.0, **settings).train()
        weights.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    for accumulated in weights[1:]:
        torch.testing.assert_close(accumulated, weights[0], rtol=1e-5, atol=1e-6)
    start = torch.cat([parameter.flatten() for parameter in make_model({name: TASKS[name]}).parameters()])
    assert (weights[0] - start).abs().max() > 1e-4


def test_of_several_tasks_a_collator_names_one(tmp_path):
    name = "graph/values"
    rows = make_rows(TASKS[name])
    model = make_model(TASKS)
    before = {key: value.clone() for key, value in model.named_parameters()}
    trainer = make_trainer(
        model, tmp_path, rows, lambda rows: {**collate(TASKS[name], rows), "task": name}, num_train_epochs=2
    )
    trainer.train()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(score_splits(model, {name: rows})[name].loss, rel=1e-5)
    assert trainer.predict(rows).predictions.shape == (48, 2)
    for key, value in model.named_parameters():
        is_idle = "missing_embedders" in key  # no input is missing
        is_other = any(other in key.split(".") for other in TASKS.keys() - {name})
        assert torch.equal(value, before[key]) == (is_idle or is_other), key


def test_of_several_tasks_one_must_be_named(tmp_path):
    trainer = make_trainer(make_model(TASKS), tmp_path, make_rows(TASKS["node/classes"]))
    with pytest.raises(ValueError, match="say which task; this model's tasks: graph/classes, graph/values, node/cla"):
        trainer.train()


def test_a_collator_refuses_rows_by_name(tmp_path):
    task = TASKS["node/classes"]
    rows = Dataset.from_dict({"inputs": [[0, 1, 2, 0, 3]], "labels": [[0] * 5]})
    trainer = make_trainer(make_model({"x": task}), tmp_path, rows, functools.partial(collate, task))
    with pytest.raises(ValueError, match=r"inputs, row 0: expected a token in 0 … 2 .*, got 3 at \(4,\)"):
        trainer.train()


def test_what_it_pushes_can_be_loaded(tmp_path, monkeypatch):
    uploads = []

    def upload(self, *, folder_path, ignore_patterns, repo_id, **kwargs):
        assert repo_id == "someone/ring"
        folder = tmp_path / f"upload-{len(uploads)}"
        shutil.copytree(folder_path, folder, ignore=shutil.ignore_patterns(*ignore_patterns))
        uploads.append(folder)

    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **kwargs: RepoUrl(f"https://huggingface.co/{name}"))
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    name, rows = "node/classes", make_rows(TASKS["node/classes"])
    model = make_model({name: TASKS[name]})
    settings = {"push_to_hub": True, "hub_model_id": "someone/ring", "save_strategy": "no", "max_steps": 2}
    trainer = make_trainer(model, tmp_path / "run", rows, **settings)
    trainer.train()
    trainer.push_to_hub()
    inputs = collate(TASKS[name], rows)["inputs"]
    assert torch.equal(AsenForMultitask.from_pretrained(uploads[-1]).predict(inputs), model.predict(inputs))
    assert "generated_from_trainer" in (uploads[-1] / "README.md").read_text(encoding="utf-8")


def run_example(monkeypatch, capsys, *arguments):
    script = ROOT / "examples/finetune_with_trainer.py"
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    runpy.run_path(str(script), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.slow
def test_example_learns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = run_example(monkeypatch, capsys)
    assert float(re.search(r"test accuracy (\S+)", out).group(1)) > 0.9
    model = AsenForMultitask.from_pretrained(tmp_path / "runs" / "necklace")
    assert model.predict(torch.tensor([[0, 1] * 6])).shape == (1, 12)


PAIR_TASKS = {
    "bonds": TaskConfig(group="S5", vocab_size=3, num_labels=3, pair_vocab_size=4),
    "distances": TaskConfig(
        group="S5", output_level="graph", pair_features=2, pair_quantiles=[[-1.0, 0.0, 1.0]] * 2, **VALUES
    ),
}


def rows_with_pairs(task, count=48, seed=0):
    """Rows of three to five nodes."""
    rng = np.random.default_rng(seed)
    mask = np.arange(5) < rng.integers(3, 6, size=count)[:, None]
    both = mask[:, :, None] & mask[:, None]
    if task.vocab_size is not None:
        inputs, pairs = np.where(mask, rng.integers(3, size=mask.shape), -1), rng.integers(4, size=both.shape)
        labels = np.where(mask, inputs, -100)
        return to_dataset(task, inputs, labels, pairs=np.where(both, pairs, -1), attention_mask=mask)
    inputs = np.where(mask[..., None], rng.normal(size=(*mask.shape, 2)), np.nan)
    pairs = np.where(both[..., None], rng.normal(size=(*both.shape, 2)), np.nan)
    labels = 30 + 5 * np.nanmean(pairs[..., 0], axis=(1, 2))
    return to_dataset(task, inputs, labels, pairs=pairs, attention_mask=mask)


@pytest.mark.parametrize("name", PAIR_TASKS)
def test_pairs_and_masks_are_columns_like_any_other_and_padding_counts_for_nothing(name, tmp_path):
    task = PAIR_TASKS[name]
    rows, held_out = rows_with_pairs(task), rows_with_pairs(task, 21, seed=1)
    model = make_model({name: task})
    trainer = make_trainer(model, tmp_path, rows, num_train_epochs=6, per_device_eval_batch_size=4)
    trainer.compute_metrics = trainer_metrics(task)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.mean(losses[-6:]) < np.mean(losses[:3])
    scores, expected = trainer.evaluate(held_out), score_splits(model, {name: held_out})[name]
    assert scores["eval_loss"] == pytest.approx(expected.loss, rel=1e-5)
    assert scores[f"eval_{task.metric}"] == pytest.approx(expected.value, rel=1e-5)
    output, batch = trainer.predict(held_out), collate(task, held_out)
    np.testing.assert_allclose(output.predictions, model(**batch).logits.detach().numpy(), rtol=1e-4, atol=1e-5)
