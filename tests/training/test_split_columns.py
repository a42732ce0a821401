"""Columns that split the rows, in the verbs, in recipes and in what a checkpoint remembers."""

import json

import numpy as np
import pandas
import pytest
import torch

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.commands.main import main
from asen_hf.training.recipe import Recipe
from asen_hf.training.task_recipe import TaskRecipe

TASK = TaskConfig(group="C4", num_features=1, problem_type="regression", output_level="graph")
QUICK = {"max_steps": 2, "rows_per_task": 8}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return AsenForMultitask(AsenConfig(tasks={"t": TASK}, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))


@pytest.fixture
def table(tmp_path):
    """Later rows have larger labels, so that the scores of every split differ."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(80, 4)), columns=list("abcd"))
    frame["labels"] = frame["a"] + 10 * np.arange(80)
    frame["day"] = pandas.date_range("2024-01-01", periods=80)
    frame["person"] = np.arange(80) % 20
    shuffled = frame.sample(frac=1, random_state=0)
    shuffled.to_csv(tmp_path / "t.csv", index=False)
    return shuffled, tmp_path / "t.csv"


@pytest.mark.parametrize("by", [{"time_column": "day"}, {"split_column": "person"}, {}])
def test_a_frame_and_its_file_are_split_alike_and_the_checkpoint_remembers_how(tmp_path, model, table, by):
    frame, path = table
    others = [name for name in ("day", "person") if name not in by.values()]
    frame.drop(columns=others).to_csv(path, index=False)
    of_file = asen_hf.finetune(model, TASK, path, name="t", output_dir=tmp_path / "run", **by, **QUICK)
    of_frame = asen_hf.finetune(model, TASK, frame.drop(columns=others), name="t", **by, **QUICK)
    assert of_file.scores["t"].value == pytest.approx(of_frame.scores["t"].value, rel=1e-6)
    (source,) = Recipe.read(tmp_path / "run" / "recipe.yaml").tasks
    assert {name: getattr(source, name) for name in by} == by
    assert asen_hf.evaluate(tmp_path / "run")["t"].value == pytest.approx(of_file.scores["t"].value, rel=1e-6)
    again = asen_hf.evaluate(of_file.model, path, **by)["t"]
    assert again.value == pytest.approx(of_file.scores["t"].value, rel=1e-6)
    if "time_column" in by:  # the latest rows have the largest labels
        assert of_file.scores["t"].references["constant"] > 300


def test_columns_of_a_frame_and_of_its_file_may_be_named(tmp_path, model, table):
    frame, path = table
    frame = frame.rename(columns={"labels": "level"})
    frame.to_csv(path, index=False)
    names = {"inputs_columns": ["d", "c", "b", "a"], "labels_columns": ["level"]}
    of_file = asen_hf.finetune(model, TASK, path, name="t", output_dir=tmp_path / "run", **names, **QUICK)
    of_frame = asen_hf.finetune(model, TASK, frame, name="t", **names, **QUICK)
    assert of_file.scores["t"].value == pytest.approx(of_frame.scores["t"].value, rel=1e-6)
    (source,) = Recipe.read(tmp_path / "run" / "recipe.yaml").tasks
    assert {name: getattr(source, name) for name in names} == names
    arrays = (frame[list("abcd")].to_numpy(), frame["level"].to_numpy())
    with pytest.raises(ValueError, match=r"name columns of a file or a DataFrame: .* arrays as \(inputs, labels\)"):
        asen_hf.finetune(model, TASK, arrays, **names, **QUICK)
    with pytest.raises(ValueError, match="inputs_columns and labels_columns name columns of data"):
        asen_hf.finetune(model, "equivariant/palindrome", **names, **QUICK)


def test_a_recipe_may_name_the_column(table):
    recipe = TaskRecipe("t", dataset=str(table[1]), task_config=TASK.to_dict(), inputs_columns=list("abcd"))
    recipe.time_column = "day"
    _, splits = recipe.load(0)
    assert max(splits["validation"]["labels"]) < min(splits["test"]["labels"])


def test_columns_without_a_table_are_refused(tmp_path, model):
    with pytest.raises(ValueError, match="only a table, dataset, has split_column: registered"):
        TaskRecipe("equivariant/palindrome", split_column="x")
    with pytest.raises(ValueError, match="name columns of data"):
        asen_hf.finetune(model, "equivariant/palindrome", time_column="x", **QUICK)
    (tmp_path / "task.json").write_text(json.dumps(TASK.to_dict()))
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the checkpoint's recipe has its own"):
        asen_hf.evaluate(tmp_path, split_column="x")


@pytest.mark.parametrize("by", [{"time_column": "day"}, {"split_column": "person"}, {}])
def test_every_row_of_a_table_is_scored_where_all_are_asked_for(tmp_path, model, table, by):
    frame, path = table
    kept = frame.drop(columns=[name for name in ("day", "person") if name not in by.values()])
    plain = kept.drop(columns=list(by.values()))
    kept.to_csv(path, index=False)
    finished = asen_hf.finetune(model, TASK, path, name="t", output_dir=tmp_path / "run", train_rows=20, **by, **QUICK)
    expected = asen_hf.evaluate(finished.model, plain)["t"]
    for data in (path, kept) if by else (path,):
        score = asen_hf.evaluate(finished.model, data, split="all", **by)["t"]
        assert score.rows == 80 and score.references == {}  # fitted on rows that would be scored
        assert score.value == pytest.approx(expected.value, rel=1e-5)
    with pytest.warns(UserWarning, match="all rows are scored, so that rows that it was trained on may be among"):
        assert asen_hf.evaluate(tmp_path / "run", split="all")["t"].value == pytest.approx(expected.value, rel=1e-5)


def test_every_row_of_another_table_is_scored_on_the_command_line(tmp_path, model, table):
    plain = table[0].drop(columns=["day", "person"])
    asen_hf.finetune(model, TASK, plain, name="t", output_dir=tmp_path / "run", train_rows=20, **QUICK)
    other = plain.assign(labels=plain["labels"] + 1)
    other.to_csv(tmp_path / "other.csv", index=False)
    expected = asen_hf.evaluate(tmp_path / "run", other)["t"]
    command = ["evaluate", str(tmp_path / "run"), "--dataset", str(tmp_path / "other.csv"), "--split", "all"]
    with pytest.warns(UserWarning, match="may be among those that are scored"):
        assert main([*command, "--output", str(tmp_path / "scores.json")]) == 0
    score = json.loads((tmp_path / "scores.json").read_text())["scores"]["t"]
    assert score["rows"] == 80 and score["value"] == pytest.approx(expected.value, rel=1e-5)
