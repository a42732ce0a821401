"""Resuming: each field of the recipe takes effect or its change is refused; the rows and the processes are the same."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from datasets import DatasetDict
from safetensors.torch import load_file

from asen_hf import AsenForMultitask, TaskConfig, finetune, pretrain
from asen_hf.data.features import to_dataset
from asen_hf.training._resume import FIXED
from asen_hf.training.loop import train
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from tests.training.small_runs import TASKS, checkpoints, is_same, make_data, make_model, make_recipe, run, run_and_die

SETTINGS = {"max_steps": 6, "eval_steps": 2, "logging_steps": 1}


@pytest.fixture
def broken(tmp_path):
    """A run of six steps that died in its fifth, after the checkpoint of step 4."""
    run_and_die(tmp_path / "run", 4, **SETTINGS)
    assert checkpoints(tmp_path / "run")[-1] == "checkpoint-4"
    return tmp_path / "run"


def resumed(output, **changes):
    model = make_model(seed=9)
    run(output, model, resume_from_checkpoint="latest", **{**SETTINGS, **changes})
    return model


# For every field that may change: another value, and what of the run it changes.
EFFECTS = {
    "num_epochs": (4, {"max_steps": -1}, lambda seen: max(seen["steps"]) == 32),
    "max_steps": (9, {}, lambda seen: max(seen["steps"]) == 9),
    "lr": (3e-3, {}, lambda seen: seen["rates"] == pytest.approx([3e-3 * rate / 1e-2 for rate in seen["before"]])),
    "backbone_lr": (0.0, {}, lambda seen: not seen["backbone_moved"]),
    "weight_decay": (0.9, {}, lambda seen: not seen["equal_weights"]),
    "free_row_decay": (0.9, {}, lambda seen: "free_row_decay: 0.9" in seen["record"]),
    "warmup_ratio": (1.0, {}, lambda seen: seen["rates"] != seen["before"]),
    "max_grad_norm": (1e-9, {}, lambda seen: not seen["equal_weights"]),
    "gradient_checkpointing": (True, {}, lambda seen: seen["model"].is_activation_checkpointing),
    "attn_implementation": ("gatv2_pyg", {}, lambda seen: "gatv2_pyg" in seen["record"]),
    "eval_steps": (5, {}, lambda seen: "checkpoint-5" in seen["saved"] or 5 in seen["validated"]),
    "eval_batch_size": (1, {}, lambda seen: seen["equal_weights"]),
    "patience": (1, {}, lambda seen: seen["equal_weights"]),
    "cosets": ("all", {}, lambda seen: "cosets: all" in seen["record"]),
    "logging_steps": (3, {}, lambda seen: seen["steps"] == [6]),
    "report_to": ("tensorboard", {}, lambda seen: seen["events"]),
    "output_dir": (None, {}, None),  # see test_a_run_is_continued_in_another_folder
    "resume_from_checkpoint": (None, {}, None),  # it is what makes a run resume
    "overwrite": (None, {}, None),  # see test_run_folder
}


def test_every_field_takes_effect_or_is_fixed():
    names = {field.name for field in dataclasses.fields(TrainingRecipe)}
    assert names == {*EFFECTS, *FIXED} and not EFFECTS.keys() & set(FIXED)


@pytest.mark.parametrize("field", [name for name, (_, _, effect) in EFFECTS.items() if effect is not None])
def test_a_changed_field_takes_effect_and_is_recorded(tmp_path, broken, logged, field):
    value, more, effect = EFFECTS[field]
    logged.clear()
    whole = run(shutil.copytree(broken, tmp_path / "unchanged"), resume_from_checkpoint="latest", **SETTINGS)
    before = [*logged["train/lr"].values()]
    then = load_file(broken / "checkpoint-4" / "model.safetensors")
    logged.clear()
    model = resumed(broken, **{field: value, **more})
    last = load_file(broken / f"{checkpoints(broken)[-1]}" / "model.safetensors")
    seen = {
        "model": model,
        "before": before,
        "steps": [*logged.get("train/lr", {})],
        "rates": [*logged.get("train/lr", {}).values()],
        "validated": [*logged["validation/loss"]],
        "equal_weights": is_same(model.state_dict(), whole.state_dict()),
        "backbone_moved": not is_same(
            *({name: x for name, x in w.items() if "backbone" in name} for w in (then, last))
        ),
        "saved": checkpoints(broken),
        "events": [*broken.rglob("events.out.tfevents*")],
        "record": (broken / "recipe.yaml").read_text(),
    }
    assert effect(seen), seen
    assert getattr(Recipe.read(broken / "recipe.yaml").training, field) == value


OTHER = {"seed": 1, "rows_per_task": 4, "gradient_accumulation_steps": 2, "train_rows": 40, "mixed_precision": "bf16"}


@pytest.mark.parametrize("field", FIXED)
def test_a_fixed_field_is_refused_by_name_and_nothing_is_lost(broken, field):
    before = {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=rf"training\.{field} was .* which cannot change within a run"):
        resumed(broken, **{field: OTHER[field]})
    assert {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()} == before


def test_fewer_steps_than_were_done_are_refused(broken):
    with pytest.raises(ValueError, match="max_steps is 3, but the checkpoint is at step 4"):
        resumed(broken, max_steps=3)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ModelRecipe)])
def test_another_backbone_is_refused_by_its_field(broken, field):
    recipe = make_recipe(broken, resume_from_checkpoint="latest", **SETTINGS)
    other = {
        "backbone_type": "transformer",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_recurrences": 2,
        "num_attention_heads": 4,
        "pooling": "mean",
        "hidden_act": "silu",
    }
    now = getattr(recipe.model, field)
    value = other.get(field, not now if isinstance(now, bool) else 0.01)
    recipe.model = dataclasses.replace(recipe.model, **{field: value})
    with pytest.raises(ValueError, match=rf"model\.{field} was"):
        train(make_model(), make_data(), recipe)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("column", ["inputs", "labels"])
def test_a_changed_row_of_any_split_is_refused(broken, split, column):
    data = make_data()
    columns = {name: np.array(data["mark"][split][name]) for name in ("inputs", "labels")}
    columns[column][-1, -1] = 1 - min(1, columns[column][-1, -1])
    data["mark"][split] = to_dataset(TASKS["mark"], columns["inputs"], columns["labels"])
    with pytest.raises(ValueError, match=rf"the {split} rows of task 'mark' are not those"):
        resumed(broken, data=data)


def test_another_group_of_as_many_orbitals_is_refused_by_its_field(broken):
    task = dataclasses.replace(TASKS["mark"], generators=[[[0, 2, 1, 3]]])
    model = make_model()
    other = AsenForMultitask(type(model.config)(**{**model.config.to_dict(), "tasks": {"mark": task}}))
    with pytest.raises(ValueError, match=r"generators of task 'mark' changed"):
        run(broken, other, make_data(), resume_from_checkpoint="latest", **SETTINGS)


def test_another_number_of_processes_is_refused(broken):
    path = broken / "checkpoint-4" / "state" / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_processes": 2}))
    with pytest.raises(ValueError, match="trained by 2 process"):
        resumed(broken)


@pytest.mark.parametrize("has_best", [True, False])
def test_a_run_is_continued_in_another_folder(tmp_path, has_best):
    settings = {**SETTINGS, "data": make_data(is_inverted=True)}  # whose best checkpoint is an early one
    run_and_die(tmp_path / "run", 4, **settings)
    assert checkpoints(tmp_path / "run") == ["checkpoint-2", "checkpoint-4"]
    source = shutil.copytree(tmp_path / "run", tmp_path / "other")
    if not has_best:
        shutil.rmtree(source / "checkpoint-2")
    whole = run(tmp_path / "whole", **settings)
    again = run(tmp_path / "new", make_model(seed=9), resume_from_checkpoint=str(source / "checkpoint-4"), **settings)
    step = 2 if has_best else 4  # the best that is left
    assert json.loads((tmp_path / "new" / "scores.json").read_text())["step"] == step
    last = [load_file(tmp_path / name / "checkpoint-6" / "model.safetensors") for name in ("whole", "new")]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])
    if has_best:
        assert all(torch.equal(x, again.state_dict()[name]) for name, x in whole.state_dict().items())


@pytest.mark.filterwarnings("ignore:task 'task', initialised from 'ring'")
@pytest.mark.parametrize("field", ["checkpoint", "init_from", "from_scratch", "keep_tasks"])
def test_a_finetuning_that_starts_elsewhere_is_refused(tmp_path, field):
    tasks = {"ring": TaskConfig(group="C4", vocab_size=3), "pairs": TaskConfig(group="S2 wr S2", vocab_size=3)}
    model = make_model()
    for name, task in tasks.items():
        model.add_task(name, task)
    for name in ("first", "second"):
        model.save_pretrained(tmp_path / name)
    inputs = np.random.default_rng(0).integers(3, size=(60, 4))
    rows = (inputs, (inputs == inputs[:, ::-1]).astype(int))
    start = {"init_from": "ring", "output_dir": tmp_path / "run", **SETTINGS, "rows_per_task": 8}
    new = TaskConfig(group="D4", vocab_size=3)
    finetune(tmp_path / "first", new, rows, **start)
    changed = {
        "checkpoint": (tmp_path / "second", {}),
        "init_from": (tmp_path / "first", {"init_from": "pairs", "backbone_lr": 1e-4}),
        "from_scratch": (tmp_path / "first", {"from_scratch": True, "init_from": None}),
        "keep_tasks": (tmp_path / "first", {"keep_tasks": True}),
    }
    checkpoint, arguments = changed[field]
    with pytest.raises(ValueError, match=r"start\.(init_from|" + field + ")"):
        finetune(checkpoint, new, rows, resume_from_checkpoint="latest", **{**start, **arguments})


def test_the_record_of_a_finetuning_is_no_recipe_of_a_pretraining(tmp_path):
    inputs = np.random.default_rng(0).integers(2, size=(80, 6))
    finetune(make_model(), TaskConfig(group="C6", vocab_size=2), (inputs, inputs), output_dir=tmp_path, max_steps=1)
    with pytest.raises(ValueError, match="records a finetuning"):
        pretrain(tmp_path / "recipe.yaml", output_dir=str(tmp_path / "again"))


def test_datasets_without_a_test_split_resume(tmp_path):
    data = {"mark": DatasetDict({name: make_data()["mark"][name] for name in ("train", "validation")})}
    run_and_die(tmp_path, 4, data=data, **SETTINGS)
    resumed(tmp_path, data=data)
