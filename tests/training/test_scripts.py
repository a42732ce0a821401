"""The scripts as people run them: pretrain, finetune, evaluate, from the command line to a reloaded model."""

import csv
import dataclasses
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file

from asen_hf import AsenForMultitask, AsenModel
from asen_hf.commands.main import main
from asen_hf.data import load_table
from asen_hf.hub.cards import model_card
from asen_hf.training.finetune import prepare_model
from asen_hf.training.objective import MultitaskObjective

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {
    "model": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_dropout_prob": 0.2},
    "tasks": [
        {"name": "equivariant/palindrome", "num_rows": 90},
        {"name": "equivariant/cyclic_sum", "num_rows": 90, "options": {"length": 6}},
    ],
    "training": {"max_steps": 100, "eval_steps": 5, "rows_per_task": 8},
}
INTERSECT = ("--task", "equivariant/intersect", "--task_options", '{"length": 6}')
CYCLIC_SUM = ("--task", "equivariant/cyclic_sum", "--task_options", '{"length": 6}')
SHORT = ("--max_steps", "4", "--rows_per_task", "8", "--train_rows", "32")
UNMOVED = (*SHORT, "--lr", "1e-9")  # trains so slowly that the weights stay where they began
# Nine points in three blocks of three that may each be rotated, and so may the blocks.
MY_TASK = {
    "degree": 9,
    "generators": [[[0, 1, 2]], [[0, 3, 6], [1, 4, 7], [2, 5, 8]]],
    "group_name": "C_3 wr C_3",
    "vocab_size": 5,
    "label_names": ["smaller", "largest of its block"],
}


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def launch(*command, cwd, check=True, **more):
    """Run a command to its end, as from a shell."""
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0 or not check, done.stderr
    return done


def script_command(script, *arguments):
    return [sys.executable, str(ROOT / "training" / f"{script}.py"), *map(str, arguments)]


@pytest.fixture
def call(capsys):
    """Runs a command in this process, which is quicker; returns its output and keeps its `stderr`."""

    def run(command, *arguments):
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        capsys.readouterr()
        status = main([command, *map(str, arguments)])
        shown = capsys.readouterr()
        run.stderr = shown.err
        if status:
            raise SystemExit(status)
        return shown.out

    return run


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory, recipe_file):
    """One run of pretrain.py through `accelerate launch`: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("pretrained")
    flags = ("--num_processes", 1, "--num_machines", 1, "--mixed_precision", "no", "--dynamo_backend", "no")
    arguments = ("--recipe", recipe_file, "--output_dir", folder / "tiny")
    command = (sys.executable, "-m", "accelerate.commands.launch", *flags, ROOT / "training" / "pretrain.py")
    return folder / "tiny", launch(*command, *arguments, cwd=folder)


@pytest.fixture(scope="module")
def checkpoint(pretraining):
    return pretraining[0]


def my_rows(count, seed=0):
    """Sequences of nine tokens, labelled by which tokens are the largest of their block."""
    inputs = np.random.default_rng(seed).integers(5, size=(count, 9))
    blocks = inputs.reshape(count, 3, 3)
    labels = (blocks == blocks.max(axis=2, keepdims=True)).astype(int).reshape(count, 9)
    return [{"inputs": x, "labels": y} for x, y in zip(inputs.tolist(), labels.tolist(), strict=True)]


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({name: json.dumps(cell) for name, cell in row.items()} for row in rows)
    return path


@pytest.fixture
def my_task(tmp_path):
    path = tmp_path / "my_task.json"
    path.write_text(json.dumps(MY_TASK))
    return path


def table_of(text):
    """The lines of the printed table, from its head to the blank line after it."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("task "))
    end = next((number for number, line in enumerate(lines[start:], start) if not line.strip()), len(lines))
    return lines[start:end]


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def is_same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def starts_with_the_same_backbone(folder, checkpoint):
    before, after = weights_of(checkpoint), weights_of(folder)
    names = [name for name in before if name.startswith("asen.backbone.")]
    assert names
    return all(torch.allclose(before[name], after[name], atol=1e-6) for name in names)


def printed_command(text, script):
    """The arguments of the command of this script that a run proposes at its end."""
    [line] = [line for line in text.splitlines() if f" asen {script} " in line]
    return shlex.split(line.split(f"asen {script} ", 1)[1])


# --- pretrain ---------------------------------------------------------------------------------------------------------


def test_pretraining_ends_with_a_table_of_every_task_and_the_next_command(pretraining):
    folder, done = pretraining
    table = table_of(done.stdout)
    assert [line.split()[0] for line in table[2:]] == ["equivariant/palindrome", "equivariant/cyclic_sum"]
    assert "reversal" in table[2] and "D_6" in table[3] and "majority" in done.stdout
    last = done.stdout.rstrip().splitlines()[-1]
    assert "asen finetune" in last and str(folder) in last


def test_pretraining_shows_no_warnings(pretraining):
    assert "Warning" not in pretraining[1].stderr


def test_a_pretrained_folder_holds_a_model_a_recipe_and_scores(checkpoint):
    files = {"config.json", "model.safetensors", "recipe.yaml", "scores.json", "test_scores.json", "README.md"}
    assert files <= {path.name for path in checkpoint.iterdir()}
    model = AsenForMultitask.from_pretrained(checkpoint)
    assert list(model.config.tasks) == ["equivariant/cyclic_sum", "equivariant/palindrome"]
    assert model.config.hidden_size == 16
    scores = json.loads((checkpoint / "scores.json").read_text())["scores"]
    assert scores.keys() == model.config.tasks.keys()


def test_a_pretrained_folder_holds_its_card_with_the_printed_test_scores(pretraining):
    folder, done = pretraining
    assert (folder / "README.md").read_text(encoding="utf-8") == str(model_card(str(folder)))
    for line in table_of(done.stdout)[2:]:
        name, value = line.split()[0], re.search(r"accuracy ([\d.]+)", line)[1]
        assert re.search(rf"^\| `{name}` \|.* accuracy {value} \|", (folder / "README.md").read_text(), re.MULTILINE)


def test_the_printed_next_command_works(pretraining, call):
    arguments = printed_command(pretraining[1].stdout, "finetune")
    text = call("finetune", *arguments, "--max_steps", 2)
    assert table_of(text)[2].startswith("equivariant/intersect ")


def test_a_killed_run_resumes_to_bit_for_bit_the_same_weights(tmp_path, recipe_file, checkpoint, call):
    output = tmp_path / "run"
    arguments = ("--recipe", recipe_file, "--output_dir", output)
    command = script_command("pretrain", *arguments)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=log, stderr=log)
        while process.poll() is None and not any(output.glob("checkpoint-*")):
            time.sleep(0.01)
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()
    assert not (output / "model.safetensors").exists()
    assert not (output / f"checkpoint-{RECIPE['training']['max_steps']}").exists()
    call("pretrain", *arguments, "--resume_from_checkpoint", "latest")
    for name in (".", f"checkpoint-{RECIPE['training']['max_steps']}"):
        assert is_same(weights_of(output / name), weights_of(checkpoint / name))
    assert [*output.rglob("*.tmp")] == []


# --- finetune ---------------------------------------------------------------------------------------------------------


def test_finetuning_on_a_new_task_and_group_starts_from_the_checkpoints_backbone(tmp_path, checkpoint, call):
    text = call("finetune", "--checkpoint", checkpoint, *INTERSECT, *UNMOVED, "--output_dir", tmp_path / "out")
    [line] = table_of(text)[2:]
    assert line.startswith("equivariant/intersect ") and "S_3 wr S_2" in line
    assert list(AsenForMultitask.from_pretrained(tmp_path / "out").config.tasks) == ["equivariant/intersect"]
    assert starts_with_the_same_backbone(tmp_path / "out", checkpoint)


def test_finetuning_moves_the_backbone_more_slowly_than_the_rest(tmp_path, checkpoint, call):
    recipe = {}
    for name, flags in {"default": (), "given": ("--backbone_lr", "1e-5"), "scratch": ("--from_scratch",)}.items():
        output = tmp_path / name
        call("finetune", "--checkpoint", checkpoint, *INTERSECT, *SHORT, *flags, "--output_dir", output)
        recipe[name] = yaml.safe_load((output / "recipe.yaml").read_text())["training"]
    assert 0 < recipe["default"]["backbone_lr"] < recipe["default"]["lr"]
    assert recipe["given"]["backbone_lr"] == 1e-5
    assert recipe["scratch"]["backbone_lr"] == recipe["scratch"]["lr"]  # random weights have nothing to keep


def test_from_scratch_has_the_checkpoints_shape_but_not_its_weights(tmp_path, checkpoint, call):
    call(
        "finetune", "--checkpoint", checkpoint, *INTERSECT, *UNMOVED, "--from_scratch", "--output_dir", tmp_path / "out"
    )
    assert not starts_with_the_same_backbone(tmp_path / "out", checkpoint)
    before, after = (AsenForMultitask.from_pretrained(folder) for folder in (checkpoint, tmp_path / "out"))
    names = [name for name, _ in before.named_parameters() if name.startswith("asen.backbone.")]
    assert [before.state_dict()[name].shape for name in names] == [after.state_dict()[name].shape for name in names]
    assert list(after.config.tasks) == ["equivariant/intersect"]
    assert after.config.hidden_dropout_prob == 0.2


def test_a_task_that_the_checkpoint_knows_goes_on_from_its_own_weights(tmp_path, checkpoint, call):
    call("finetune", "--checkpoint", checkpoint, *CYCLIC_SUM, *UNMOVED, "--output_dir", tmp_path / "out")
    before, after = weights_of(checkpoint), weights_of(tmp_path / "out")
    names = [name for name in before if "equivariant/cyclic_sum" in name]
    assert len(names) == 6
    for name in names:
        torch.testing.assert_close(before[name], after[name], rtol=0, atol=1e-6)


def test_a_task_that_the_checkpoint_knows_with_another_group_starts_with_new_embedders(tmp_path, checkpoint, call):
    arguments = (*CYCLIC_SUM, "--group", "cyclic", *UNMOVED)
    text = call("finetune", "--checkpoint", checkpoint, *arguments, "--output_dir", tmp_path / "out")
    assert " C_6 " in table_of(text)[2]
    model = AsenForMultitask.from_pretrained(tmp_path / "out")
    assert model.asen.edge_embedders["equivariant/cyclic_sum"].num_embeddings == 6
    assert starts_with_the_same_backbone(tmp_path / "out", checkpoint)


def test_a_new_task_may_start_from_the_rows_of_one_that_the_checkpoint_knows(tmp_path, checkpoint, call):
    arguments = ("--task", "equivariant/cyclic_product", "--task_options", '{"length": 6}', *UNMOVED)
    donor = ("--init_from", "equivariant/cyclic_sum")
    call("finetune", "--checkpoint", checkpoint, *arguments, *donor, "--output_dir", tmp_path / "out")
    rates = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())["training"]
    assert rates["backbone_lr"] == pytest.approx(rates["lr"] / 20)
    before, after = weights_of(checkpoint), weights_of(tmp_path / "out")
    tables = ("edge_embedders", "class_embedders")  # only their sum is copied: what a class shares is its mean
    for name in [name for name in before if "equivariant/cyclic_sum" in name and name.split(".")[1] not in tables]:
        copied = after[name.replace("cyclic_sum", "cyclic_product")]
        torch.testing.assert_close(before[name], copied, rtol=0, atol=1e-6)
    donor, new = (AsenForMultitask.from_pretrained(folder).asen for folder in (checkpoint, tmp_path / "out"))
    sums = donor.orbital_features("equivariant/cyclic_sum"), new.orbital_features("equivariant/cyclic_product")
    torch.testing.assert_close(*sums, rtol=0, atol=1e-6)


def test_generators_override_the_group_and_the_checkpoint_remembers_them(tmp_path, checkpoint, call):
    arguments = (*INTERSECT, *SHORT, "--generators", "[[[0, 1], [2, 3]], [[4, 5]]]")
    finetuned = call("finetune", "--checkpoint", checkpoint, *arguments, "--output_dir", tmp_path / "out")
    model = AsenForMultitask.from_pretrained(tmp_path / "out")
    assert model.config.tasks["equivariant/intersect"].generators == [[[0, 1], [2, 3]], [[4, 5]]]
    assert "S_3 wr S_2" not in table_of(finetuned)[2]
    assert table_of(call("evaluate", "--checkpoint", tmp_path / "out")) == table_of(finetuned)


def test_kept_tasks_stay_bit_for_bit_as_they_were(tmp_path, checkpoint, call):
    call("finetune", "--checkpoint", checkpoint, *INTERSECT, *SHORT, "--keep_tasks", "--output_dir", tmp_path / "out")
    before, after = weights_of(checkpoint), weights_of(tmp_path / "out")
    assert AsenForMultitask.from_pretrained(tmp_path / "out").config.tasks.keys() == {
        *("equivariant/cyclic_sum", "equivariant/intersect", "equivariant/palindrome")
    }
    kept = [name for name in before if "equivariant/" in name]
    assert len(kept) == 12 and all(torch.equal(before[name], after[name]) for name in kept)
    assert not starts_with_the_same_backbone(tmp_path / "out", checkpoint)


def test_the_printed_evaluation_command_reproduces_the_printed_scores(tmp_path, checkpoint, call):
    text = call("finetune", "--checkpoint", checkpoint, *INTERSECT, *SHORT, "--output_dir", tmp_path / "out")
    assert table_of(call("evaluate", *printed_command(text, "evaluate"))) == table_of(text)


def test_what_no_layer_sees_does_not_start_a_task_anew(checkpoint):
    model = AsenForMultitask.from_pretrained(checkpoint)
    name = "equivariant/cyclic_sum"
    task = dataclasses.replace(model.config.tasks[name], group_name="hours", node_coordinates=[[0, 1]] * 6)
    again = prepare_model(str(checkpoint), name, task)
    assert torch.equal(again.heads[name].weight, model.heads[name].weight)


def test_finetuning_the_finetuned_goes_on_from_it(tmp_path, checkpoint, call):
    first, second = tmp_path / "first", tmp_path / "second"
    call("finetune", "--checkpoint", checkpoint, *INTERSECT, *SHORT, "--output_dir", first)
    call("finetune", "--checkpoint", first, *INTERSECT, *UNMOVED, "--output_dir", second)
    before, after = weights_of(first), weights_of(second)
    assert before.keys() == after.keys()
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_an_interrupted_finetuning_resumes_to_bit_for_bit_the_same_weights(tmp_path, checkpoint, call, monkeypatch):
    arguments = ("--checkpoint", checkpoint, *INTERSECT, *SHORT, "--eval_steps", 2, "--keep_tasks")
    call("finetune", *arguments, "--output_dir", tmp_path / "whole")
    forward, batches = MultitaskObjective.forward, iter(range(3))

    def mortal(self, *inputs):
        if next(batches, None) is None:  # in step 4
            raise KeyboardInterrupt
        return forward(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(MultitaskObjective, "forward", mortal)
        with pytest.raises(SystemExit) as end:
            call("finetune", *arguments, "--output_dir", tmp_path / "again")
    assert end.value.code == 130 and "interrupted" in call.stderr
    assert not (tmp_path / "again" / "model.safetensors").exists()
    call("finetune", *arguments, "--output_dir", tmp_path / "again", "--resume_from_checkpoint", "latest")
    assert is_same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "again"))


def test_real_traffic_is_finetuned_and_scored_beside_persistence(tmp_path, checkpoint, call, shared_data):
    path = shared_data / "metr_la_week" / "metr_la_week.npz"
    arguments = ("--task", "traffic/metr_la", "--data_path", path, "--train_rows", 8, "--max_steps", 2)
    finetuned = call(
        "finetune", "--checkpoint", checkpoint, *arguments, "--rows_per_task", 4, "--output_dir", tmp_path / "out"
    )
    table = table_of(finetuned)
    assert "S_130 x S_77" in table[2]
    assert len(table) == 4 and "does not map the support to itself" in table[3]
    assert re.search(r"persistence", finetuned) and "3.14" in finetuned and "linear" in finetuned


# --- a user's own table -----------------------------------------------------------------------------------------------


def test_a_users_table_goes_from_file_to_finetuned_evaluated_reloaded_model(tmp_path, checkpoint, my_task, call):
    table = write_csv(tmp_path / "table.csv", my_rows(300))
    sources = ("--dataset", table, "--task_config", my_task)
    training = ("--num_epochs", 8, "--rows_per_task", 16, "--output_dir", tmp_path / "mine")
    finetuned = call("finetune", "--checkpoint", checkpoint, *sources, *training)
    my_task.unlink()  # the checkpoint knows its task by now
    scores = ("--output", tmp_path / "scores.json")
    evaluated = call("evaluate", "--checkpoint", tmp_path / "mine", *scores)
    model = AsenForMultitask.from_pretrained(tmp_path / "mine")
    rows = load_table(table, model.config.tasks["my_task"])["test"].with_format("torch")[:]
    accuracy = float((model.predict(rows["inputs"]) == rows["labels"]).double().mean())

    assert "`my_task` were read from files" in (tmp_path / "mine" / "README.md").read_text()
    assert table_of(evaluated) == table_of(finetuned)
    assert re.match(r"my_task +C_3 wr C_3 +\d+ +45 ", table_of(evaluated)[2])
    record = json.loads((tmp_path / "scores.json").read_text())
    score = record["scores"]["my_task"]
    assert score["value"] > score["references"]["majority"]
    assert score["equivariance_error"] < 1e-5 and score["outside_error"] > 1e-3
    assert accuracy == pytest.approx(score["value"], abs=1e-9)
    assert record["split"] == "test"
    assert AsenModel.from_pretrained(tmp_path / "mine").config.tasks["my_task"].group_name == "C_3 wr C_3"


def write_json_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet_with_a_column_a_node(path, rows):
    columns = {f"x{i}": [row["inputs"][i] for row in rows] for i in range(9)}
    columns |= {"marked": [row["labels"] for row in rows], "day": range(len(rows))}
    pyarrow.parquet.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    ("name", "write", "flags"),
    [
        ("table.jsonl", write_json_lines, ()),
        (
            "table.parquet",
            write_parquet_with_a_column_a_node,
            ("--inputs_columns", ",".join(f"x{i}" for i in range(9)), "--labels_columns", "marked"),
        ),
        ("table.parquet", write_parquet_with_a_column_a_node, ("--labels_columns", "marked", "--time_column", "day")),
        ("table.parquet", write_parquet_with_a_column_a_node, ("--labels_columns", "marked", "--split_column", "day")),
    ],
)
def test_tables_of_other_formats_and_columns_are_finetuned_and_evaluated(
    tmp_path, checkpoint, my_task, call, name, write, flags
):
    write(tmp_path / name, my_rows(60))
    sources = ("--dataset", tmp_path / name, "--task_config", my_task, *flags)
    training = ("--max_steps", 3, "--rows_per_task", 8, "--output_dir", tmp_path / "mine")
    finetuned = call("finetune", "--checkpoint", checkpoint, *sources, *training)
    assert table_of(finetuned)[2].startswith("my_task ")
    assert table_of(call("evaluate", "--checkpoint", tmp_path / "mine")) == table_of(finetuned)


def test_a_table_may_have_a_name_and_generators_of_its_own(tmp_path, checkpoint, my_task, call):
    write_json_lines(tmp_path / "table.jsonl", my_rows(60))
    sources = ("--dataset", tmp_path / "table.jsonl", "--task_config", my_task, "--task", "blocks")
    training = ("--max_steps", 2, "--rows_per_task", 8, "--output_dir", tmp_path / "mine")
    call("finetune", "--checkpoint", checkpoint, *sources, "--generators", "[[[0, 1, 2]]]", *training)
    [(name, task)] = AsenForMultitask.from_pretrained(tmp_path / "mine").config.tasks.items()
    assert (name, task.generators) == ("blocks", [[[0, 1, 2]]])


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluation_reproduces_the_table_of_the_pretraining(pretraining, call):
    folder, done = pretraining
    expected, actual = table_of(done.stdout), table_of(call("evaluate", "--checkpoint", folder))
    assert actual[0] == expected[0] and sorted(actual[2:]) == sorted(expected[2:])


def test_one_task_and_another_split_can_be_evaluated(checkpoint, call):
    text = call("evaluate", "--checkpoint", checkpoint, "--task", "equivariant/cyclic_sum", "--split", "validation")
    [line] = table_of(text)[2:]
    assert line.startswith("equivariant/cyclic_sum ")
    scores = json.loads((checkpoint / "scores.json").read_text())["scores"]["equivariant/cyclic_sum"]
    assert f"accuracy {scores['value']:.4f}" in line


def test_a_checkpoint_of_the_middle_of_a_run_can_be_evaluated(checkpoint, call):
    text = call("evaluate", "--checkpoint", checkpoint / "checkpoint-100")
    assert len(table_of(text)) == 4


def test_a_table_that_has_moved_can_be_evaluated_where_it_lies_now(tmp_path, checkpoint, my_task, call):
    write_json_lines(tmp_path / "old.jsonl", my_rows(60))
    sources = ("--dataset", tmp_path / "old.jsonl", "--task_config", my_task)
    training = ("--max_steps", 2, "--rows_per_task", 8, "--output_dir", tmp_path / "mine")
    finetuned = call("finetune", "--checkpoint", checkpoint, *sources, *training)
    (tmp_path / "old.jsonl").rename(tmp_path / "new.jsonl")
    evaluated = call("evaluate", "--checkpoint", tmp_path / "mine", "--dataset", tmp_path / "new.jsonl")
    assert table_of(evaluated) == table_of(finetuned)


def test_tasks_without_rows_are_named_and_left_out(tmp_path, checkpoint, call):
    call("finetune", "--checkpoint", checkpoint, *INTERSECT, *SHORT, "--keep_tasks", "--output_dir", tmp_path / "out")
    text = call("evaluate", "--checkpoint", tmp_path / "out")
    assert [line.split()[0] for line in table_of(text)[2:]] == ["equivariant/intersect"]
    assert "equivariant/palindrome" in call.stderr and "equivariant/cyclic_sum" in call.stderr


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bad_files(tmp_path, checkpoint, my_task):
    """Names for what the command lines below refer to."""
    rows = my_rows(60)
    write_csv(tmp_path / "good.csv", rows)
    rows[4]["inputs"][2] = 99
    write_csv(tmp_path / "bad_token.csv", rows)
    write_csv(tmp_path / "short_row.csv", [*my_rows(30), {"inputs": [1, 2], "labels": [0] * 9}, *my_rows(30, 1)])
    for name, fields in {
        "wrong_type": {**MY_TASK, "degree": "nine"},
        "unknown_key": {**MY_TASK, "groups": []},
        "not_a_permutation": {**MY_TASK, "generators": [[[0, 9]]]},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(fields))
    (tmp_path / "bad.yaml").write_text("training: {rate: 3}\n")
    (tmp_path / "no_tasks.yaml").write_text("model: {hidden_size: 16}\n")
    weights = (checkpoint / "model.safetensors").read_bytes()
    config = (checkpoint / "config.json").read_text()
    for name in ("truncated", "empty_weights", "no_weights", "bad_config", "no_recipe"):
        shutil.copytree(checkpoint, tmp_path / name, ignore=shutil.ignore_patterns("checkpoint-*"))
    (tmp_path / "truncated" / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (tmp_path / "empty_weights" / "model.safetensors").write_bytes(b"")
    (tmp_path / "no_weights" / "model.safetensors").unlink()
    (tmp_path / "bad_config" / "config.json").write_text(config[: len(config) // 2])
    (tmp_path / "no_recipe" / "recipe.yaml").unlink()
    return {"checkpoint": checkpoint, "tmp": tmp_path, "my_task": my_task}


TABLE = "--checkpoint {checkpoint} --dataset {tmp}/good.csv --task_config"
BAD_COMMANDS = {
    "unknown task": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/none",
        "equivariant/none.*known.*/intersect",
    ),
    "nothing to finetune on": ("finetune", "--checkpoint {checkpoint}", "--task NAME"),
    "a table without its config": ("finetune", "--checkpoint {checkpoint} --dataset {tmp}/good.csv", "task_config"),
    "a config without its table": ("finetune", "--checkpoint {checkpoint} --task_config {my_task}", "dataset"),
    "a group for a table": ("finetune", TABLE + " {my_task} --group cyclic", "group"),
    "missing table": (
        "finetune",
        "--checkpoint {checkpoint} --dataset {tmp}/gone.csv --task_config {my_task}",
        "gone.csv",
    ),
    "token out of range": (
        "finetune",
        "--checkpoint {checkpoint} --dataset {tmp}/bad_token.csv --task_config {my_task}",
        "my_task.*bad_token.csv, row 5.*99",
    ),
    "row of the wrong length": (
        "finetune",
        "--checkpoint {checkpoint} --dataset {tmp}/short_row.csv --task_config {my_task}",
        "short_row.csv, row 31.*9 .*2",
    ),
    "missing column": ("finetune", TABLE + " {my_task} --labels_columns answer", "answer.*inputs, labels"),
    "missing task config": ("finetune", TABLE + " {tmp}/gone.json", "gone.json"),
    "task config of a wrong type": ("finetune", TABLE + " {tmp}/wrong_type.json", "wrong_type.json.*degree"),
    "task config with an unknown key": ("finetune", TABLE + " {tmp}/unknown_key.json", "unknown_key.json.*groups"),
    "not a permutation": ("finetune", TABLE + " {tmp}/not_a_permutation.json", "not_a_permutation.json.*9"),
    "a name that loading would change": ("finetune", TABLE + " {my_task} --task weight_g --max_steps 1", "weight_g"),
    "unknown group": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --group monster",
        "monster.*cyclic",
    ),
    "generators that are no JSON": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --generators (0,1)",
        "--generators: not JSON",
    ),
    "generators of another degree": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --generators [[[0,10]]]",
        "equivariant/intersect.*10",
    ),
    "options that are no JSON": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --task_options length=3",
        "--task_options: not JSON",
    ),
    "options that are no mapping": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --task_options [3]",
        "task_options",
    ),
    "missing option": ("finetune", "--checkpoint {checkpoint} --task traffic/metr_la", "missing data_path"),
    "missing data": ("finetune", "--checkpoint {checkpoint} --task traffic/metr_la --data_path {tmp}/x.npz", "x.npz"),
    "too many train rows": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --train_rows 1751 --output_dir {tmp}/out",
        "train_rows.*1750.*1751",
    ),
    "unknown flag": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --learning_rate 1",
        "learning_rate",
    ),
    "unknown attention": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --attn_implementation fast --output_dir {tmp}/out",
        "fast",
    ),
    "a backbone faster than the rest": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --lr 1e-3 --backbone_lr 2e-3",
        "backbone_lr 0.002.* lr 0.001",
    ),
    "an unknown donor": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --init_from mother",
        "unknown task 'mother'.*equivariant/cyclic_sum",
    ),
    "a donor and no weights": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/intersect --init_from equivariant/cyclic_sum --from_scratch",
        "--init_from copies trained rows, so it cannot be combined with --from_scratch",
    ),
    "a donor for a task that is not new": (
        "finetune",
        "--checkpoint {checkpoint} --task equivariant/cyclic_sum --init_from equivariant/palindrome",
        "already has a task 'equivariant/cyclic_sum'",
    ),
    "no checkpoint flag": ("finetune", "--task equivariant/intersect", "--checkpoint"),
    "missing checkpoint": ("finetune", "--checkpoint {tmp}/gone --task equivariant/intersect", "gone"),
    "a folder without a config": ("evaluate", "--checkpoint {tmp}", "no such folder with a config.json"),
    "missing checkpoint that looks like a Hub id": (
        "finetune",
        "--checkpoint runs/gone --task equivariant/intersect",
        "runs/gone",
    ),
    "truncated weights": (
        "finetune",
        "--checkpoint {tmp}/truncated --task equivariant/intersect",
        "model.safetensors in .*truncated",
    ),
    "empty weights": ("evaluate", "--checkpoint {tmp}/empty_weights", "model.safetensors in .*empty_weights"),
    "missing weights": ("evaluate", "--checkpoint {tmp}/no_weights", "model.safetensors.*no_weights"),
    "truncated config": ("evaluate", "--checkpoint {tmp}/bad_config", "bad_config"),
    "missing recipe": ("evaluate", "--checkpoint {tmp}/no_recipe", "no_recipe.*recipe.yaml"),
    "a task that the checkpoint lacks": (
        "evaluate",
        "--checkpoint {checkpoint} --task x",
        "'x'.*equivariant/palindrome",
    ),
    "unknown split": ("evaluate", "--checkpoint {checkpoint} --split tests", "tests.*validation"),
    "missing recipe file": ("pretrain", "--recipe {tmp}/gone.yaml", "gone.yaml"),
    "unknown recipe key": ("pretrain", "--recipe {tmp}/bad.yaml", "bad.yaml.*rate.*lr"),
    "no tasks": ("pretrain", "--recipe {tmp}/no_tasks.yaml --output_dir {tmp}/out", "no_tasks.yaml.*tasks|no tasks"),
    "nothing to resume": (
        "pretrain",
        "--recipe {tmp}/no_recipe/../tiny.yaml --output_dir {tmp}/out --resume_from_checkpoint latest",
        "cannot resume",
    ),
}


@pytest.mark.parametrize(("script", "flags", "message"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_bad_input_ends_with_status_two_and_one_line_that_says_what_is_wrong(
    bad_files, call, recipe_file, script, flags, message
):
    shutil.copy(recipe_file, bad_files["tmp"] / "tiny.yaml")
    where = () if script == "evaluate" or "--output_dir" in flags else ("--output_dir", bad_files["tmp"] / "out")
    with pytest.raises(SystemExit) as end:
        call(script, *shlex.split(flags.format(**bad_files)), *where)
    assert not (bad_files["tmp"] / "out").exists()
    assert end.value.code == 2
    shown = call.stderr.strip().splitlines()
    assert [line for line in shown if re.search(f"^error: .*{message}", line)] == shown[:1]
    assert not shown[1:] or shown[-1].strip() == "^"  # below a character of the notation, which is the line above


@pytest.mark.parametrize("script", ["pretrain", "finetune", "evaluate", "select_symmetry"])
def test_the_status_of_a_failed_script_is_two(monkeypatch, capsys, script):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--nothing"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "training" / f"{script}.py"), run_name="__main__")
    assert end.value.code == 2
    assert re.fullmatch(r"error: .*--nothing.*\n", capsys.readouterr().err)


# --- two processes ----------------------------------------------------------------------------------------------------

# Runs scripts one after another, each in its folder, where every process writes what it prints, and its weights at each
# evaluation. Dies at the DIE_AT-th evaluation.
RECORDER = """
import contextlib
import json
import os
import runpy
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, GradientState

import asen_hf.training.work

score_splits, rank = asen_hf.training.work.score_splits, os.environ["RANK"]


def record(model, *arguments):
    times = len([*Path().glob(f"rank{rank}-*.pt")])
    if times == int(os.environ.get("DIE_AT", -1)):
        os._exit(1)
    torch.save(model.state_dict(), f"rank{rank}-{times}.pt")
    return score_splits(model, *arguments)


asen_hf.training.work.score_splits = record
torch.distributed.destroy_process_group = lambda *_: None  # a second group could meet addresses of the first
for folder, script, *arguments in json.loads(sys.argv[1]):
    os.chdir(folder)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    sys.argv = [script, *arguments]
    with open(f"rank{rank}.out", "w") as file, contextlib.redirect_stdout(file):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
"""


def launch_two(*jobs, check=True, **more):
    """Scripts in two processes on CPU; the jobs are lists of a folder, a script's name and its arguments.

    `accelerate launch --cpu --num_processes 2` would start only one process.
    """
    folder = jobs[0][0]
    for place in {job[0] for job in jobs}:
        for path in place.glob("rank*.pt"):
            path.unlink()
    (folder / "recorder.py").write_text(RECORDER)
    listed = [[str(place), str(ROOT / "training" / f"{script}.py"), *map(str, rest)] for place, script, *rest in jobs]
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2)
    launch(
        *launcher,
        folder / "recorder.py",
        json.dumps(listed),
        cwd=folder,
        check=check,
        ACCELERATE_USE_CPU="true",
        **more,
    )


def recorded_in(folder):
    return {path.stem: torch.load(path) for path in folder.glob("rank*.pt")}


def assert_ranks_agree(recorded, times):
    assert sorted(recorded) == sorted(f"rank{rank}-{time}" for rank in range(2) for time in range(times))
    for number in range(times):
        assert is_same(recorded[f"rank0-{number}"], recorded[f"rank1-{number}"])
    assert not is_same(recorded["rank0-0"], recorded["rank0-1"])


@pytest.fixture(scope="module")
def by_two(tmp_path_factory, checkpoint):
    """Folders of a finetuning that keeps the tasks, and of a pretraining, by two processes, which import torch once."""
    kept, several = (tmp_path_factory.mktemp(name) for name in ("kept", "several"))
    # Without dropout, whose masks differ from process to process.
    config = json.loads((checkpoint / "config.json").read_text())
    start = shutil.copytree(checkpoint, kept / "start", ignore=shutil.ignore_patterns("checkpoint-*"))
    (start / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.0}))
    rows = my_rows(90)
    for number, row in enumerate(rows):
        if number % 3:  # the processes' batches differ in their number of labels
            row["labels"][1:] = [-100] * 8
    write_csv(several / "rows.csv", rows)
    table = {"name": "table", "dataset": str(several / "rows.csv"), "task_config": MY_TASK}
    recipe = {
        "model": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        "tasks": [table, {"name": "equivariant/palindrome", "num_rows": 90}],
        "training": {"max_steps": 4, "eval_steps": 2},
    }
    (several / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    flags = ("--rows_per_task", 8, "--output_dir", "two")
    launch_two([kept, "finetune", *kept_tasks(kept), *flags], [several, "pretrain", "--recipe", "recipe.yaml", *flags])
    return kept, several


def kept_tasks(folder):
    steps = ("--train_rows", 64, "--max_steps", 4, "--eval_steps", 2)
    return ("--checkpoint", folder / "start", *INTERSECT, *steps, "--keep_tasks")


def test_two_processes_with_frozen_tasks_train_one_model_as_one_process_does_with_twice_the_rows(
    by_two, tmp_path, call
):
    folder, _ = by_two
    assert_ranks_agree(recorded_in(folder), times=3)
    states = {path.name for path in (folder / "two" / "checkpoint-4" / "state").iterdir()}
    assert {"random-0.safetensors", "random-1.safetensors"} <= states
    shown = "".join((folder / f"rank{rank}.out").read_text() for rank in range(2))
    assert len(table_of(shown)) == 3 and shown.count("Held-out test rows") == 1

    call("finetune", *kept_tasks(folder), "--rows_per_task", 16, "--output_dir", tmp_path / "one")
    first, second = weights_of(tmp_path / "one"), weights_of(folder / "two")
    assert first.keys() == second.keys()
    for name in first:
        # AdamW divides by the gradients' size, so that rounding shows in weights with small gradients.
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=5e-5, msg=name)
    models = [AsenForMultitask.from_pretrained(each) for each in (tmp_path / "one", folder / "two")]
    inputs = torch.randint(5, (50, 6), generator=torch.manual_seed(0))
    logits = [model(inputs, task="equivariant/intersect").logits for model in models]
    torch.testing.assert_close(*logits, rtol=0, atol=1e-5)
    before = weights_of(folder / "start")
    kept = [name for name in before if "equivariant/" in name]
    assert kept and all(torch.equal(before[name], second[name]) for name in kept)
    assert models[1].config.tasks.keys() >= {"equivariant/intersect"}


def test_two_processes_pretrain_on_a_table_with_missing_labels_as_one_does_with_twice_the_rows(by_two, tmp_path, call):
    _, folder = by_two
    assert_ranks_agree(recorded_in(folder), times=3)
    call("pretrain", "--recipe", folder / "recipe.yaml", "--rows_per_task", 16, "--output_dir", tmp_path / "one")
    first, second = weights_of(tmp_path / "one"), weights_of(folder / "two")
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("name", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_sharded_training_is_refused_with_a_sentence(tmp_path, recipe_file, call, monkeypatch, name):
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")  # what accelerate launch sets
    with pytest.raises(SystemExit):
        call("pretrain", "--recipe", recipe_file, "--output_dir", tmp_path / "run")
    assert re.search(r"error: training by [\w-]+ is not supported: .*data parallelism", call.stderr)
    assert not [*tmp_path.rglob("checkpoint-*")]


@pytest.mark.slow
def test_two_processes_with_dropout_and_accumulation_resume_bit_for_bit(tmp_path, checkpoint):
    arguments = ("--checkpoint", checkpoint, *INTERSECT, "--train_rows", 64, "--max_steps", 6, "--eval_steps", 2)
    arguments += ("--rows_per_task", 8, "--gradient_accumulation_steps", 2)
    launch_two([tmp_path, "finetune", *arguments, "--output_dir", tmp_path / "whole"])
    assert_ranks_agree(recorded_in(tmp_path), times=4)
    broken, again = tmp_path / "broken", ("--resume_from_checkpoint", "latest")
    broken_run = [tmp_path, "finetune", *arguments, "--output_dir", broken]
    launch_two(broken_run, check=False, DIE_AT="2")  # after the checkpoint of step 4
    assert {"checkpoint-4"} <= {path.name for path in broken.iterdir()} and not (broken / "model.safetensors").exists()
    launch_two([*broken_run, *again])
    assert is_same(weights_of(tmp_path / "whole"), weights_of(broken))
    assert is_same(weights_of(tmp_path / "whole" / "checkpoint-6"), weights_of(broken / "checkpoint-6"))
