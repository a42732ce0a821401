"""The training loop: it learns, repeats itself, survives its own death, and leaves the best model behind."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import set_seed
from datasets import DatasetDict
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error
from asen_hf.data import collate
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.scores import score_splits
from asen_hf.training import loop
from asen_hf.training.loop import total_steps, train
from asen_hf.training.objective import MultitaskObjective
from asen_hf.training.recipe import Recipe, TrainingRecipe
from asen_hf.training.work import MultitaskWork
from tests.training.small_runs import (
    BACKBONE,
    MARK,
    TASKS,
    Death,
    assert_same,
    checkpoints,
    copy_of,
    is_same,
    make_data,
    make_model,
    make_recipe,
    run,
    run_and_die,
)


def test_training_lowers_every_tasks_loss(tmp_path):
    model, data = make_model(tuple(TASKS)), make_data(tuple(TASKS))
    validation = {name: splits["validation"] for name, splits in data.items()}
    before = score_splits(model, validation)
    run(tmp_path, model, data, max_steps=60)
    after = score_splits(model, validation)
    for name in TASKS:
        assert after[name].loss < 0.4 * before[name].loss, name
    assert after["mark"].value > 0.95


def test_the_best_checkpoint_is_that_of_the_tasks_that_are_validated(tmp_path):
    data = make_data(tuple(TASKS))
    name, recipe = "mark", make_recipe(tmp_path, max_steps=6, eval_steps=2)
    model = make_model(tuple(TASKS))
    record = train(model, MultitaskWork(model, data, recipe, validated=[name]), recipe)["validation"]
    assert record.scores == score_splits(model, {name: data[name]["validation"]})
    with pytest.raises(KeyError):
        MultitaskWork(model, data, recipe, validated=["none"])


def test_the_scores_returned_are_those_of_the_model_left_behind(tmp_path):
    model, data = make_model(), make_data()
    scores = train(model, data, make_recipe(tmp_path))["validation"].scores
    assert scores == score_splits(model, {"mark": data["mark"]["validation"]})
    loaded = AsenForMultitask.from_pretrained(tmp_path)
    assert_same(loaded.state_dict(), model.state_dict())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_two_runs_with_the_same_seed_are_bit_for_bit_equal(tmp_path, dropout):
    first, second = (
        run(tmp_path / name, make_model(tuple(TASKS), hidden_dropout_prob=dropout)) for name in ("first", "second")
    )
    assert_same(first.state_dict(), second.state_dict())
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]


def test_another_seed_gives_other_weights_from_the_same_start(tmp_path):
    first, second = (run(tmp_path / str(seed), make_model(seed=0), seed=seed) for seed in (0, 1))
    assert not is_same(first.state_dict(), second.state_dict())


@pytest.mark.parametrize("tasks", [("mark", "count"), ("count", "mark")])
def test_the_order_in_which_tasks_are_given_does_not_matter(tmp_path, tasks):
    expected = run(tmp_path / "expected", make_model(("count", "mark")), make_data(("count", "mark")))
    actual = run(tmp_path / "actual", make_model(tasks), make_data(tasks))
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(actual.state_dict()[name], tensor)


def test_a_checkpoint_folder_loads_with_from_pretrained(tmp_path):
    run(tmp_path, eval_steps=2)
    folder = tmp_path / "checkpoint-4"
    model = AsenForMultitask.from_pretrained(folder)
    assert_same(model.state_dict(), load_file(folder / "model.safetensors"))
    assert model.config.tasks == {"mark": MARK}
    assert Recipe.read(folder / "recipe.yaml") == make_recipe(tmp_path, eval_steps=2)


def test_only_the_latest_and_the_best_checkpoint_are_kept(tmp_path):
    run(tmp_path, data=make_data(is_inverted=True), eval_steps=2, max_steps=10)
    assert checkpoints(tmp_path) == ["checkpoint-10", "checkpoint-2"]


def test_one_checkpoint_is_kept_where_the_latest_is_the_best(tmp_path):
    run(tmp_path, eval_steps=5, max_steps=15)
    assert checkpoints(tmp_path) == ["checkpoint-15"]


def test_the_best_weights_by_validation_end_at_the_top_with_scores_and_recipe(tmp_path):
    data = make_data(is_inverted=True)
    model = run(tmp_path, data=data, eval_steps=2, max_steps=10)
    top = load_file(tmp_path / "model.safetensors")
    assert_same(top, load_file(tmp_path / "checkpoint-2" / "model.safetensors"))
    assert not is_same(top, load_file(tmp_path / "checkpoint-10" / "model.safetensors"))
    assert_same(model.state_dict(), top)
    assert Recipe.read(tmp_path / "recipe.yaml") == make_recipe(tmp_path, eval_steps=2, max_steps=10)
    record = json.loads((tmp_path / "scores.json").read_text())
    scores = score_splits(model, {"mark": data["mark"]["validation"]})["mark"]
    assert record["scores"] == {"mark": dataclasses.asdict(scores)}
    assert (record["split"], record["step"], record["seed"]) == ("validation", 2, 0)
    assert record["provenance"]["torch"] == torch.__version__


def test_nothing_half_written_is_left(tmp_path):
    run(tmp_path, eval_steps=2)
    expected = {".lock", "checkpoint-4", "config.json", "model.safetensors", "recipe.yaml", "scores.json"}
    assert {path.name for path in tmp_path.iterdir()} - {"checkpoint-2"} == expected


def test_the_gradient_of_a_step_is_that_of_the_mean_over_its_labels_however_it_is_cut(tmp_path, monkeypatch):
    """One step on 32 rows in 1, 2, 4 or 32 batches, most labels of some rows missing, as a mean over all labels."""
    gradients, data = {}, make_data(tuple(TASKS), train_rows=32)
    rng = np.random.default_rng(0)
    for name, task in TASKS.items():
        columns = {column: np.array(data[name]["train"][column]) for column in ("inputs", "labels")}
        is_missing = rng.random(columns["labels"].shape) < 0.9
        is_missing[::3] = False
        labels = np.where(is_missing, np.nan if task.is_regression else -100, columns["labels"])
        data[name]["train"] = to_dataset(task, columns["inputs"], labels.astype(columns["labels"].dtype))

    def record(self, parameters, max_norm):
        gradients[rows] = [None if each.grad is None else each.grad.clone() for each in parameters]

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", record)
    for rows in (32, 16, 8, 1):
        GradientState._reset_state()
        settings = {"rows_per_task": rows, "gradient_accumulation_steps": 32 // rows, "max_steps": 1}
        run(tmp_path / str(rows), make_model(tuple(TASKS)), data, **settings)
    model = make_model(tuple(TASKS))
    for name, task in TASKS.items():  # written out: a mean over tasks of means over labels
        columns = collate(task, data[name]["train"])
        known = ~columns["labels"].isnan() if task.is_regression else columns["labels"] >= 0
        logits = model(columns["inputs"], task=name).logits
        if task.is_regression:
            errors = (logits.squeeze(-1) - columns["labels"] / task.label_scale).abs()
        else:
            errors = -logits.log_softmax(-1).gather(-1, columns["labels"].clamp(min=0).unsqueeze(-1)).squeeze(-1)
        (errors[known].sum() / known.sum() / len(TASKS)).backward()
    expected = [parameter.grad for parameter in model.parameters()]
    assert sum(float(gradient.abs().max()) > 1e-3 for gradient in expected if gradient is not None) > 5
    for rows, found in gradients.items():
        for first, second in zip(found, expected, strict=True):
            torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6, msg=f"{rows} rows per batch")


def test_accumulated_batches_are_one_step_of_the_schedule(tmp_path, logged):
    run(tmp_path, gradient_accumulation_steps=3, num_epochs=1, max_steps=-1, logging_steps=1)
    assert [*logged["train/lr"]] == [1, 2, 3]  # 64 rows, 24 a step
    assert logged["train/lr"][3] == 0


def test_the_rate_rises_then_falls_to_zero(tmp_path, logged):
    run(tmp_path, max_steps=20, warmup_ratio=0.25, lr=3e-3, logging_steps=1)
    rates = [*logged["train/lr"].values()]
    assert max(rates) == rates[4] == pytest.approx(3e-3)
    assert rates[:5] == sorted(rates[:5]) and rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_losses_and_scores_are_reported_by_task(tmp_path, logged):
    run(tmp_path, make_model(tuple(TASKS)), logging_steps=2, eval_steps=4)
    reported = {"train/loss", "train/mark/loss", "train/count/loss", "train/lr"}
    validated = {"validation/loss", "validation/mark/accuracy", "validation/count/mae"}
    assert logged.keys() == reported | validated
    assert {tuple(logged[name]) for name in reported} == {(2, 4)}
    assert {tuple(logged[name]) for name in validated} == {(4,)}


@pytest.mark.parametrize(("accumulation", "logging_steps"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_reported_losses_are_means_over_steps_batches_and_processes(
    tmp_path, logged, monkeypatch, accumulation, logging_steps
):
    """Of each task, and of all; what is reduced over processes here stands for a mean that is three times as large."""
    forward, found = MultitaskObjective.forward, []

    def recorded(self, *inputs):
        loss, losses = forward(self, *inputs)
        found.append([losses[name].item() for name in TASKS])
        return loss, losses

    monkeypatch.setattr(MultitaskObjective, "forward", recorded)
    monkeypatch.setattr(Accelerator, "reduce", lambda self, tensor, reduction: 3 * tensor)
    steps = {"gradient_accumulation_steps": accumulation, "logging_steps": logging_steps, "max_steps": 6}
    run(tmp_path, make_model(tuple(TASKS)), make_data(tuple(TASKS), train_rows=60), **steps)
    means = 3 * np.array(found).reshape(-1, accumulation * logging_steps, len(TASKS)).mean(axis=1)
    for number, name in enumerate(TASKS):
        assert [*logged[f"train/{name}/loss"].values()] == pytest.approx(means[:, number])
    assert [*logged["train/loss"].values()] == pytest.approx(means.mean(axis=1))
    assert len({*logged["train/mark/loss"].values()}) > 1


def test_a_backbone_rate_of_zero_leaves_the_backbone_as_it_was(tmp_path):
    model = make_model()
    before = copy_of(model)
    run(tmp_path, model, backbone_lr=0.0)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    idle = ("asen.backbone.", "asen.missing_embedders.")  # no input is missing
    assert changed == {name for name in before if not name.startswith(idle)}


@pytest.mark.parametrize("dies_at", [4, 6, 11])
def test_a_resumed_run_continues_bit_for_bit(tmp_path, dies_at):
    settings = {"eval_steps": 3, "max_steps": 12, "gradient_accumulation_steps": 1}
    names = tuple(TASKS)
    whole = run(tmp_path / "whole", make_model(names, hidden_dropout_prob=0.3), **settings)
    run_and_die(tmp_path / "broken", dies_at, model=make_model(names, hidden_dropout_prob=0.3), **settings)
    assert checkpoints(tmp_path / "broken")[-1] == f"checkpoint-{dies_at // 3 * 3}"
    # Another start and another random state, which the checkpoint must replace.
    other = make_model(names, hidden_dropout_prob=0.3, seed=99)
    resumed = run(tmp_path / "broken", other, resume_from_checkpoint="latest", **settings)
    assert_same(resumed.state_dict(), whole.state_dict())
    for name in checkpoints(tmp_path / "whole"):
        first, second = (load_file(tmp_path / each / name / "model.safetensors") for each in ("whole", "broken"))
        assert_same(first, second)
    records = [json.loads((tmp_path / each / "scores.json").read_text()) for each in ("whole", "broken")]
    assert records[0] | {"provenance": 0} == records[1] | {"provenance": 0}


def test_a_resumed_run_continues_bit_for_bit_with_accumulation(tmp_path):
    settings = {"eval_steps": 2, "max_steps": 6, "gradient_accumulation_steps": 2}
    whole = run(tmp_path / "whole", make_model(hidden_dropout_prob=0.3), **settings)
    # Dies between the two batches of step 5, after the checkpoint of step 4.
    run_and_die(tmp_path / "broken", 9, model=make_model(hidden_dropout_prob=0.3), **settings)
    GradientState._reset_state()
    other = make_model(hidden_dropout_prob=0.3, seed=99)
    resumed = run(tmp_path / "broken", other, resume_from_checkpoint="latest", **settings)
    assert_same(resumed.state_dict(), whole.state_dict())


def sides():
    """Which of two colours wins, and the first node's colour: colours may be exchanged, and nodes reversed."""
    task = TaskConfig(
        degree=4,
        vocab_size=3,
        num_labels=3,
        value_symmetries=[{"points": "R4", "inputs": [0, 2, 1], "outputs": [0, 2, 1]}],
    )
    inputs = np.random.default_rng(0).integers(3, size=(60, 4))
    rows = to_dataset(task, inputs, (inputs + (inputs[:, ::-1] == 0)) % 3)
    parts = {"train": rows.select(range(40)), "validation": rows.select(range(40, 60)), "test": rows.select(range(5))}
    set_seed(0)
    model = AsenForMultitask(AsenConfig(tasks={"sides": task}, hidden_dropout_prob=0.3, **BACKBONE))
    return model, {"sides": DatasetDict(parts)}


@pytest.mark.parametrize("cosets", ["one", "all"])
def test_a_resumed_run_takes_the_same_cosets(tmp_path, cosets):
    settings = {"eval_steps": 3, "max_steps": 9, "gradient_accumulation_steps": 1, "cosets": cosets}
    whole = run(tmp_path / "whole", *sides(), **settings)
    model, data = sides()
    run_and_die(tmp_path / "broken", 5, model=model, data=data, **settings)
    resumed = run(tmp_path / "broken", *sides(), resume_from_checkpoint="latest", **settings)
    assert_same(resumed.state_dict(), whole.state_dict())
    inputs = data["sides"]["validation"].with_format("torch")["inputs"][:]
    assert equivariance_error(resumed, inputs) < 1e-5


def test_one_coset_per_row_trains_otherwise_than_all(tmp_path):
    one, every = (run(tmp_path / cosets, *sides(), cosets=cosets) for cosets in ("one", "all"))
    assert not is_same(one.state_dict(), every.state_dict())


def test_a_named_checkpoint_can_be_resumed_from(tmp_path):
    settings = {"eval_steps": 2, "max_steps": 8, "data": make_data(is_inverted=True)}
    run(tmp_path, **settings)
    expected = load_file(tmp_path / "checkpoint-8" / "model.safetensors")
    assert checkpoints(tmp_path) == ["checkpoint-2", "checkpoint-8"]
    run(tmp_path, make_model(seed=9), resume_from_checkpoint=str(tmp_path / "checkpoint-2"), **settings)
    assert_same(expected, load_file(tmp_path / "checkpoint-8" / "model.safetensors"))


def test_the_latest_checkpoint_is_the_one_with_the_highest_step_not_the_last_in_the_alphabet(tmp_path, logged):
    settings = {"eval_steps": 3, "max_steps": 14, "data": make_data(is_inverted=True), "logging_steps": 1}
    run_and_die(tmp_path, 13, **settings)
    assert checkpoints(tmp_path) == ["checkpoint-12", "checkpoint-3"]
    logged.clear()
    run(tmp_path, resume_from_checkpoint="latest", **settings)
    assert [*logged["train/loss"]] == [13, 14]


def test_resuming_a_finished_run_trains_no_further(tmp_path, logged):
    first = copy_of(run(tmp_path))
    logged.clear()
    second = run(tmp_path, make_model(seed=9), resume_from_checkpoint="latest")
    assert logged == {}
    assert_same(first, second.state_dict())


def test_a_run_that_dies_while_it_saves_leaves_the_last_checkpoint_whole_and_resumes(tmp_path):
    settings = {"eval_steps": 2, "max_steps": 6}
    whole = run(tmp_path / "whole", make_model(hidden_dropout_prob=0.3), **settings)
    save, count = AsenForMultitask.save_pretrained, 0

    def mortal(self, folder):
        nonlocal count
        count += 1
        save(self, folder)
        if count == 2:
            weights = folder / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:100])
            (folder / "stray.bin").write_bytes(b"half")
            raise Death

    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsenForMultitask, "save_pretrained", mortal)
        with pytest.raises(Death):
            run(broken, make_model(hidden_dropout_prob=0.3), **settings)
    assert checkpoints(broken) == ["checkpoint-2"]
    AsenForMultitask.from_pretrained(broken / "checkpoint-2")
    resumed = run(broken, make_model(seed=9, hidden_dropout_prob=0.3), resume_from_checkpoint="latest", **settings)
    assert_same(resumed.state_dict(), whole.state_dict())
    assert [path for path in broken.rglob("*") if path.suffix == ".tmp" or path.name == "stray.bin"] == []


def test_a_run_that_dies_while_it_finishes_can_be_finished(tmp_path):
    whole = run(tmp_path / "whole")
    save, count = AsenForMultitask.save_pretrained, 0

    def mortal(self, folder):
        nonlocal count
        count += 1
        save(self, folder)
        if count == 5:  # after those of steps 1 to 4
            (folder / "stray.bin").write_bytes(b"half")
            raise Death

    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsenForMultitask, "save_pretrained", mortal)
        with pytest.raises(Death):
            run(broken)
    assert not (broken / "model.safetensors").exists()
    finished = run(broken, make_model(seed=9), resume_from_checkpoint="latest")
    assert_same(finished.state_dict(), whole.state_dict())
    assert [path for path in broken.rglob("*") if path.suffix == ".tmp" or path.name == "stray.bin"] == []


STATE_FILES = ("optimizer.safetensors", "progress.json", "random-0.safetensors")


@pytest.fixture(scope="module")
def broken_run(tmp_path_factory):
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    output = tmp_path_factory.mktemp("broken")
    run_and_die(output, 3, eval_steps=2)
    return output


def test_the_state_has_the_files_that_these_tests_damage(broken_run):
    assert {path.name for path in (broken_run / "checkpoint-2" / "state").iterdir()} == set(STATE_FILES)


@pytest.mark.parametrize("damage", ["missing", "empty", "half"])
@pytest.mark.parametrize("file", STATE_FILES)
def test_a_damaged_state_is_refused_by_its_name(tmp_path, broken_run, file, damage):
    output = tmp_path / "run"
    shutil.copytree(broken_run, output)
    path = output / "checkpoint-2" / "state" / file
    contents = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(contents[: len(contents) // 2 if damage == "half" else 0])
    with pytest.raises(ValueError, match=rf"cannot resume from .*checkpoint-2.*{re.escape(file)}"):
        run(output, eval_steps=2, resume_from_checkpoint="latest")


def test_the_undamaged_state_is_not_refused(tmp_path, broken_run):
    shutil.copytree(broken_run, tmp_path / "run")
    run(tmp_path / "run", eval_steps=2, resume_from_checkpoint="latest")


@pytest.mark.parametrize("source", ["latest", "checkpoint-7", "finished"])
def test_resuming_from_what_is_no_checkpoint_is_refused(tmp_path, source):
    if source == "finished":  # the top of a finished run holds a model, but no state
        make_model().save_pretrained(tmp_path / source)
    path = source if source == "latest" else str(tmp_path / source)
    with pytest.raises(ValueError, match=r"cannot resume: .* is not a checkpoint with a state"):
        run(tmp_path, resume_from_checkpoint=path)


def test_resuming_another_model_is_refused(tmp_path, broken_run):
    shutil.copytree(broken_run, tmp_path / "run")
    with pytest.raises(ValueError, match=r"cannot resume from .*checkpoint-2: .*another model"):
        run(tmp_path / "run", make_model(hidden_size=32), eval_steps=2, resume_from_checkpoint="latest")


def test_a_tensorboard_tracker_writes_a_file(tmp_path):
    run(tmp_path, report_to="tensorboard", logging_steps=1)
    events = [*tmp_path.rglob("events.out.tfevents*")]
    assert events and max(path.stat().st_size for path in events) > 200
    AsenForMultitask.from_pretrained(tmp_path)


def test_no_tracker_writes_nothing(tmp_path):
    run(tmp_path)
    assert [*tmp_path.rglob("events.out.tfevents*")] == []


def test_an_unknown_tracker_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nosuchtracker"):
        run(tmp_path, report_to="nosuchtracker")


@pytest.mark.parametrize("rows", [0, -3, 65])
def test_train_rows_out_of_range_are_refused(tmp_path, rows):
    with pytest.raises(ValueError, match=r"train_rows.* 64 "):
        run(tmp_path, train_rows=rows)


def test_train_rows_bound_an_epoch(tmp_path, logged):
    run(tmp_path, train_rows=16, num_epochs=2, max_steps=-1, logging_steps=1)
    assert [*logged["train/loss"]] == [1, 2, 3, 4]


def test_train_rows_are_drawn_by_the_seed(tmp_path):
    models = [run(tmp_path / str(i), train_rows=8, seed=seed) for i, seed in enumerate((0, 0, 1))]
    weights = [copy_of(model) for model in models]
    assert is_same(weights[0], weights[1]) and not is_same(weights[0], weights[2])


@pytest.mark.parametrize(
    ("settings", "largest", "processes", "steps"),
    [
        ({"num_epochs": 3, "rows_per_task": 8}, 64, 1, 24),
        ({"num_epochs": 1, "rows_per_task": 8}, 65, 1, 9),
        ({"num_epochs": 0.5, "rows_per_task": 8}, 64, 1, 4),
        ({"num_epochs": 3, "rows_per_task": 8, "gradient_accumulation_steps": 2}, 64, 1, 12),
        ({"num_epochs": 3, "rows_per_task": 8}, 64, 2, 12),
        ({"num_epochs": 1, "rows_per_task": 100}, 5, 1, 1),
        ({"num_epochs": 3, "max_steps": 7}, 64, 2, 7),
    ],
)
def test_total_steps_pass_over_the_largest_task(settings, largest, processes, steps):
    assert total_steps(TrainingRecipe(**settings), largest, processes) == steps


def test_mixed_precision_trains_float32_weights(tmp_path):
    plain = copy_of(run(tmp_path / "plain"))
    AcceleratorState._reset_state(reset_partial_state=True)
    mixed = run(tmp_path / "mixed", mixed_precision="bf16").state_dict()
    assert {tensor.dtype for tensor in mixed.values()} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in mixed.values())
    assert not is_same(plain, mixed)


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path):
    plain = copy_of(run(tmp_path / "plain"))
    saving = run(tmp_path / "saving", gradient_checkpointing=True)
    for name, tensor in saving.state_dict().items():
        torch.testing.assert_close(tensor, plain[name])


def test_other_tasks_of_the_model_stay_bit_for_bit_as_they_were(tmp_path):
    model = make_model(tuple(TASKS))
    before = copy_of(model)
    run(tmp_path, model, make_data(("mark",)), tasks=("mark",), weight_decay=0.5)
    after = AsenForMultitask.from_pretrained(tmp_path).state_dict()
    others = {name for name in before if ".count." in name}
    assert len(others) == 5
    assert others == {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    idle = {"asen.missing_embedders.mark.weight"}  # no input is missing
    assert {name for name in before if torch.equal(before[name], after[name])} == others | idle


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_without_a_known_label_is_refused_by_its_task(tmp_path, split):
    data = make_data()
    inputs = np.array(data["mark"][split]["inputs"])
    data["mark"][split] = to_dataset(MARK, inputs, np.full_like(inputs, -100))
    with pytest.raises(ValueError, match="mark"):
        run(tmp_path, data=data)


def test_training_stops_at_the_first_loss_that_is_not_finite(tmp_path, logged, monkeypatch):
    forward, calls = MultitaskObjective.forward, 0

    def poisoned(self, *inputs):
        nonlocal calls
        calls += 1
        loss, losses = forward(self, *inputs)
        factor = float("nan") if calls == 5 else 1.0
        return loss * factor, {name: value * factor for name, value in losses.items()}

    monkeypatch.setattr(MultitaskObjective, "forward", poisoned)
    with pytest.raises(ValueError, match="the loss of mark is not finite at step 5; lower the learning rate"):
        run(tmp_path, max_steps=50, eval_steps=2, logging_steps=20)
    assert calls == 5
    for checkpoint in checkpoints(tmp_path):
        assert all(x.isfinite().all() for x in load_file(tmp_path / checkpoint / "model.safetensors").values())
    assert checkpoints(tmp_path)[-1] == "checkpoint-4"


@pytest.mark.parametrize("lr", [1e15, 1e38])
def test_a_run_that_diverges_from_the_start_says_so(tmp_path, lr):
    with pytest.raises(ValueError, match=r"training diverged: .*lower the learning rate"):
        run(tmp_path, lr=lr, warmup_ratio=0.0, max_steps=20)
    assert not (tmp_path / "config.json").exists()


def test_augmentation_moves_the_training_rows_and_no_others(tmp_path):
    recipe = make_recipe(tmp_path)
    recipe.tasks[0].augmentation = "C4"
    augmented, plain = make_model(), make_model()
    train(augmented, make_data(), recipe)
    train(plain, make_data(), make_recipe(tmp_path / "plain"))
    assert not is_same(augmented.state_dict(), plain.state_dict())
    recipe.tasks[0].augmentation, recipe.training.output_dir = "C5", str(tmp_path / "refused")
    with pytest.raises(ValueError, match=r"task 'mark': augmentation: .*5 points, not on 4"):
        train(make_model(), make_data(), recipe)


def test_no_tasks_at_all_are_refused(tmp_path):
    with pytest.raises(ValueError, match="task"):
        train(make_model(), {}, make_recipe(tmp_path))


class Transfers(TorchDispatchMode):
    """Counts the operations that wait for the device to hand a number over."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")
        return func(*args, **(kwargs or {}))


def test_only_logging_waits_for_the_device(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "reads_at_no_cost", lambda device: False)  # as on an accelerator

    def transfers(steps, logging_steps):
        with Transfers() as counted:
            run(tmp_path / f"{steps}-{logging_steps}", max_steps=steps, eval_steps=100, logging_steps=logging_steps)
        return counted.count

    assert transfers(8, 100) == transfers(4, 100)
    assert transfers(8, 1) > transfers(4, 1)


def test_it_stops_when_validation_no_longer_improves(tmp_path):
    """Inverted validation labels get worse with every step, so the first validation stays the best."""
    run(tmp_path / "patient", data=make_data(is_inverted=True), max_steps=12, eval_steps=2, patience=2)
    assert checkpoints(tmp_path / "patient") == ["checkpoint-2", "checkpoint-6"]
    run(tmp_path / "endless", data=make_data(is_inverted=True), max_steps=12, eval_steps=2)
    assert checkpoints(tmp_path / "endless") == ["checkpoint-12", "checkpoint-2"]


def test_it_is_silent_on_request(tmp_path, capfd):
    train(make_model(), make_data(), make_recipe(tmp_path), show_progress=False)
    assert "validation" not in capfd.readouterr().out
