"""The ``asen`` command, as people type it."""

import json
import subprocess
import sys

import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.commands.evaluate import EvaluateOptions, evaluate_checkpoint
from asen_hf.commands.main import main
from asen_hf.evaluation.scores import ScoreRecord
from asen_hf.hub.cards import model_card
from asen_hf.model.groups import dihedral, young_subgroup
from asen_hf.plots.orbitals import write_symmetry
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    tasks = {
        "ring/all": TaskConfig(group="D5", vocab_size=3),
        "ring/sparse": TaskConfig(group="C5", vocab_size=3, edges=[[i, (i + 1) % 5] for i in range(5)]),
    }
    model = AsenForMultitask(AsenConfig(tasks=tasks, hidden_size=16, num_hidden_layers=1, num_attention_heads=2))
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def finished(tmp_path):
    """A folder as training leaves it, of a network that has learned nothing."""
    torch.manual_seed(0)
    source = TaskRecipe("equivariant/cyclic_sum", options={"length": 6}, num_rows=60)
    config = AsenConfig(tasks={source.name: source.config()}, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    AsenForMultitask(config).save_pretrained(tmp_path / "run")
    Recipe(ModelRecipe.of(config), [source], TrainingRecipe()).write(tmp_path / "run" / "recipe.yaml")
    ScoreRecord("validation", 0, {}, 1).write(tmp_path / "run" / "scores.json")
    return tmp_path / "run"


def test_a_group_that_pairs_can_tell_is_reported_exact(capsys):
    assert main(["inspect", "S5 wr S2"]) == 0
    shown = capsys.readouterr().out
    assert "28,800" in shown and "2-closed            yes" in shown
    assert "exactly this group" in shown


def test_a_group_that_pairs_widen_is_reported_with_what_it_becomes_and_what_helps(capsys):
    assert main(["inspect", "A4"]) == 0
    shown = capsys.readouterr().out
    assert "2-closed            no" in shown and "S_4 (order 24)" in shown and "triples" in shown


def test_cycles_take_a_degree(capsys):
    assert main(["inspect", "(0 1 2)", "--degree", "5"]) == 0
    assert "sizes 3, 1, 1" in capsys.readouterr().out


BOARD = {"group": "grid 3x3 dihedral", "vocab_size": 3, "output_level": "graph", "num_labels": 3}


@pytest.mark.parametrize("how", ["average", "lift"])
def test_a_task_file_is_reported_with_its_value_symmetries_and_drawn(how, tmp_path, capsys):
    entry = {"inputs": [0, 2, 1], "outputs": [0, 2, 1]}
    fields = {**BOARD, "value_symmetries": {"colours": entry}, "symmetrization": how}
    (tmp_path / "task.json").write_text(json.dumps(fields))
    assert main(["inspect", str(tmp_path / "task.json"), "--plot", str(tmp_path / "out.png")]) == 0
    shown = capsys.readouterr().out
    assert "task.json: grid 3x3 dihedral with 1 value symmetry (colours), symmetry_breaking='pairs'" in shown
    assert "whole group         order 8 on points, 16 with input values, 16 with outputs" in shown
    assert "value maps          2" in shown and "exactly this group (order 16)." in shown
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_a_task_file_is_warned_of_and_refused_as_by_add_task(tmp_path, capsys):
    path = tmp_path / "task.json"
    path.write_text(json.dumps({**BOARD, "value_symmetries": [{"outputs": [1, 0, 2]}]}))
    assert main(["inspect", str(path)]) == 2
    assert "1 element of the group leaves every input as it is" in capsys.readouterr().err
    path.write_text(
        json.dumps({"degree": 4, "vocab_size": 3, "value_symmetries": [{"points": "R4", "inputs": [1, 2, 0]}]})
    )
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().err.startswith(
        f"warning: task {str(path)!r}: 2 elements of the group change input values"
    )
    path.write_text('{"group": "C4"}')
    assert main(["inspect", str(path)]) == 2
    assert "vocab_size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("group", "entries", "said"),
    [
        ("C8", [{"points": "R8", "inputs": [3, 2, 1, 0]}], "order 16 on points, 16 with input values"),
        (
            "D4",
            {"flip": {"inputs": [1, 0], "outputs": [1, 0]}},
            "order 8 on points, 16 with input values, 16 with outputs",
        ),
        ("E2", [{"inputs": [[-1], [1]], "outputs": [[-1], [1]]}], "order 1 on points, 2 with input values, 2 with"),
        ("E4", [{"points": "(0 1)(2 3)", "inputs": [-1, 2], "outputs": [-1, 2, 3]}], "order 2 on points, 2 with input"),
        ("V4", [{"points": "(0 1 2)"}], "(order 12) with pairs of points only"),
    ],
)
def test_value_symmetries_are_given_beside_a_group(group, entries, said, capsys):
    assert main(["inspect", group, "--value_symmetries", json.dumps(entries)]) == 0
    shown = capsys.readouterr()
    assert said in shown.out and shown.err == ""
    names = " (flip)" if isinstance(entries, dict) else ""
    assert shown.out.startswith(f"{group}: {group} with 1 value symmetry{names}, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["C4", "--value_symmetries", "{"], "--value_symmetries"),
        (["C4", "--value_symmetries", "3"], "value_symmetries must be a list of mappings"),
        (["C4", "--value_symmetries", "[3]"], "value symmetry 0 must be a mapping"),
        (["C4", "--value_symmetries", '[{"inputs": []}]'], "must be at least 1"),
        (["C4", "--value_symmetries", '[{"inputs": [0, 0]}]'], "must be a permutation of 0 … 1"),
        (["C4", "--value_symmetries", '[{"inputs": ["a"]}]'], "must be a permutation of 1 … 1"),
        (["asen-sequence-tiny", "--value_symmetries", "[]"], "--value_symmetries needs a group"),
    ],
)
def test_value_symmetries_that_are_none_are_one_line_and_status_two(arguments, message, capsys):
    assert main(["inspect", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_all_tasks_of_a_checkpoint_are_reported_and_drawn(checkpoint, tmp_path, capsys):
    assert main(["inspect", str(checkpoint), "--plot", str(tmp_path / "out.png")]) == 0
    shown = capsys.readouterr().out
    assert "ring/all: D5" in shown and "ring/sparse: C5" in shown
    for name in ("out-ring-all.png", "out-ring-sparse.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_one_task_of_a_checkpoint_is_reported_and_drawn_alone(checkpoint, tmp_path, capsys):
    assert main(["inspect", str(checkpoint), "--task", "ring/all", "--plot", str(tmp_path / "out.svg")]) == 0
    assert "ring/sparse" not in capsys.readouterr().out
    assert "<svg" in (tmp_path / "out.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["S5 wr"], "character"),
        (["Q9"], "Q"),
        (["S5", "--task", "a"], "--task needs a checkpoint"),
        (["runs/gone"], "runs/gone"),
        (["S5", "--plot", "out.nothing"], "nothing"),
    ],
)
def test_bad_input_is_an_error_and_status_two(arguments, message, capsys):
    assert main(["inspect", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error


@pytest.mark.parametrize(
    ("text", "column"), [("S5 wr", 5), ("S3 ⊗ S3", 3), ("S5 on 2-subsets x C3", 16), ("S2 x\tS0", 5)]
)
def test_the_console_points_at_the_character(text, column, capsys):
    assert main(["inspect", text]) == 2
    sentence, line, caret = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert sentence.startswith(f"error: group {text!r}, character {column}: ")
    assert (line, caret) == ("  " + text.replace("\t", " "), "  " + " " * column + "^")


def test_the_caret_survives_an_error_around_it(capsys, tmp_path):
    arguments = ["--task", "equivariant/palindrome", "--group", "S5 wr", "--output_dir", str(tmp_path / "run")]
    assert main(["finetune", "--checkpoint", "asen-sequence-tiny", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.endswith("\n  S5 wr\n       ^\n") and error.count("\n") == 3 and "unknown group 'S5 wr'" in error


def test_points_from_1_are_said_in_the_console(capsys):
    assert main(["inspect", "(1,2,3)(4,5)"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("warning: group '(1,2,3)(4,5)'") and shown.err.count("\n") == 1
    assert "sizes 3, 2" in shown.out


def test_a_task_that_the_checkpoint_lacks_is_refused(checkpoint, capsys):
    assert main(["inspect", str(checkpoint), "--task", "gone"]) == 2
    assert "ring/all, ring/sparse" in capsys.readouterr().err


def test_a_checkpoint_is_evaluated_as_the_flags_say(finished, tmp_path, capsys):
    output = tmp_path / "scores.json"
    assert main(["evaluate", str(finished), "--split", "validation", "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    evaluate_checkpoint(str(finished), EvaluateOptions(split="validation"))
    assert shown == capsys.readouterr().out and "equivariant/cyclic_sum  D_6" in shown
    record = ScoreRecord.read(output)
    score = record.scores["equivariant/cyclic_sum"]
    assert record.split == "validation" and score.rows == 9
    assert f"accuracy {score.value:.4f}" in shown


def test_a_card_is_printed_or_written_from_measured_scores(finished, tmp_path, capsys):
    assert main(["card", str(finished)]) == 2
    assert "has no test_scores.json: asen evaluate" in capsys.readouterr().err
    scores = str(tmp_path / "scores.json")
    assert main(["evaluate", str(finished), "--output", scores]) == 0
    capsys.readouterr()
    assert main(["card", str(finished), "--scores", scores]) == 0
    assert capsys.readouterr().out == str(model_card(str(finished), scores))
    assert main(["card", str(finished), "--scores", scores, "--output", str(finished / "README.md")]) == 0
    assert (finished / "README.md").read_text(encoding="utf-8") == str(model_card(str(finished), scores))


@pytest.mark.parametrize("command", ["evaluate", "card"])
def test_a_checkpoint_that_is_not_there_is_one_line_and_status_two(command, tmp_path, capsys):
    assert main([command, str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith(f"error: checkpoint {tmp_path}: no such folder with a config.json") and error.count("\n") == 1
    )


def test_it_is_installed_as_a_module_that_runs():
    done = subprocess.run([sys.executable, "-m", "asen_hf", "inspect", "C4"], capture_output=True, text=True)
    assert done.returncode == 0 and "order               4" in done.stdout


@pytest.mark.parametrize("group", [dihedral(10), dihedral(207), young_subgroup([[0, 2], [1, 3, 4]])], ids=str)
def test_pictures_of_any_degree_are_drawn(group, tmp_path):
    write_symmetry(tmp_path / "out.png", "title", group)
    assert (tmp_path / "out.png").stat().st_size > 5_000
