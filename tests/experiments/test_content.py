"""Runs are recognised by their content, and lines of a store that were cut off are made again."""

import json
from pathlib import Path

import pytest
import yaml

from asen_hf.commands.main import main
from asen_hf.experiments import _content, runner, selection
from asen_hf.experiments.grid import MEASURED, Grid
from asen_hf.experiments.store import Store

CONFIG = {"degree": 3, "vocab_size": 2}


def write_files(folder: Path) -> dict:
    """A table, a folder of tables, a config and a data file, and a grid whose cells read them."""
    rows = "".join(json.dumps({"inputs": [k & 1, k >> 1 & 1, k >> 2], "labels": [0, 0, 1]}) + "\n" for k in range(8))
    (folder / "tables").mkdir()
    for name in ("rows.jsonl", "tables/train.jsonl", "rows.npz"):
        (folder / name).write_text(rows)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    table = {"dataset": str(folder / "rows.jsonl"), "task_config": str(folder / "config.json")}
    fresh = {"finetune": {"from_scratch": True}}
    split = {"dataset": str(folder / "tables"), "task_config": CONFIG}
    return {
        "description": "Files.",
        "base": {"model": {"hidden_size": 16}, "training": {"max_steps": 3}, "pretrain": {"tasks": {"a": table}}},
        "axes": {
            "task": {
                "table": {"task": table, **fresh},
                "folder": {"task": split, **fresh},
                "file": {
                    "task": {"source": "music/next_chord", "options": {"data_path": str(folder / "rows.npz")}},
                    **fresh,
                },
                "pretrained": {"task": {"source": "equivariant/palindrome"}},
            },
            "seed": [0],
        },
        "report": {"compare": "task"},
    }


@pytest.fixture
def grid(tmp_path):
    """A finished grid, without having trained."""
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(write_files(tmp_path), sort_keys=False))
    grid = Grid.read(tmp_path)
    finish(grid)
    assert not grid.pending() and len(grid.rows()) == 4
    return grid


def finish(grid):
    for cell in grid.pending():
        grid.results.append({**dict.fromkeys(MEASURED, "1"), "details": "{}", **cell, "recipe": grid.fingerprint(cell)})


def change_text(path):
    path.write_text(path.read_text().replace('"labels": [0', '"labels": [1').replace(": 2", ": 3"))


CHANGES = {
    "a table": (lambda folder: change_text(folder / "rows.jsonl"), ["table", "pretrained"]),
    "a table of a folder": (lambda folder: change_text(folder / "tables" / "train.jsonl"), ["folder"]),
    "another table of a folder": (lambda folder: (folder / "tables" / "test.jsonl").write_text(""), ["folder"]),
    "a task config": (lambda folder: change_text(folder / "config.json"), ["table", "pretrained"]),
    "a data file": (lambda folder: change_text(folder / "rows.npz"), ["file"]),
    "the recipe": (
        lambda folder: (folder / "grid.yaml").write_text(
            (folder / "grid.yaml").read_text().replace("hidden_size: 16", "hidden_size: 32")
        ),
        ["table", "folder", "file", "pretrained"],
    ),
}


@pytest.mark.parametrize(("change", "stale"), CHANGES.values(), ids=CHANGES)
def test_what_changed_is_run_anew(grid, tmp_path, change, stale):
    folders = {cell["task"]: getattr(grid.pretraining(cell), "training", None) for cell in grid.cells}
    change(tmp_path)
    grid = Grid.read(tmp_path)
    assert [cell["task"] for cell in grid.pending()] == stale
    assert len(grid.rows()) == 4 - len(stale) and len(grid.rows(stale=True)) == 4
    for cell in grid.cells:  # a pretraining on other data has a folder of its own
        now = getattr(grid.pretraining(cell), "training", None)
        assert (now == folders[cell["task"]]) == (now is None or cell["task"] not in stale)
    finish(grid)
    assert not grid.pending() and len(grid.rows()) == len(grid.rows(stale=True)) == 4


def test_other_rules_of_registered_tasks_are_run_anew(grid, monkeypatch):
    monkeypatch.setattr(_content, "DATA_VERSION", "999")
    assert grid.pending() == grid.cells


def test_files_that_are_gone_leave_the_recipe_to_compare(grid, tmp_path):
    for name in ("rows.jsonl", "config.json", "rows.npz"):
        (tmp_path / name).unlink()
    assert not grid.pending()


def test_a_line_from_before_data_were_hashed_is_known_by_its_recipe(grid):
    path = grid.results.path
    path.write_text("".join(f"{line}\n" for line in _without_data(path.read_text().splitlines(), grid)))
    assert not grid.pending()


def _without_data(lines, grid):
    for row in grid.results.rows():
        lines = [line.replace(row["recipe"], row["recipe"].split("+")[0]) for line in lines]
    return lines


@pytest.mark.parametrize("last", ["number", "details"])
def test_a_store_that_was_cut_off_anywhere_gets_the_missing_lines_again(tmp_path, last):
    store = Store(tmp_path / "store.csv", ("name", "seed", last), ("name", "seed"))
    values = {"number": "1", "details": json.dumps({"auc": 0.5, "text": 'a, "b"'})}
    rows = [{"name": f"run, {number}", "seed": str(number), last: values[last]} for number in range(3)]
    for row in rows:
        store.append(row)
    whole = store.path.read_bytes()
    for length in range(len(whole)):
        store.path.write_bytes(whole[:length])
        found = store.rows()
        assert found == rows[: len(found)]
        for row in rows:
            store.append(row)
        assert store.path.read_bytes().rstrip() == whole.rstrip()
        assert store.rows() == rows


def test_a_broken_line_is_named_and_made_again(grid, capsys):
    lines = grid.results.path.read_text().splitlines()
    grid.results.path.write_text("\n".join([lines[0], lines[1], lines[2][:20], lines[3], '"', lines[4]]) + "\n")
    assert [cell["task"] for cell in grid.pending()] == ["folder"]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"{grid.results.path}, line {number}: the line is not whole, so its run is made again" for number in (3, 5)
    ]
    finish(grid)
    assert not grid.pending()


@pytest.mark.parametrize("text", ["", '{"a', "[]", None])
def test_scores_that_were_cut_off_are_no_finished_pretraining(grid, text):
    [recipe] = filter(None, map(grid.pretraining, grid.cells))
    path = Path(recipe.training.output_dir, "scores.json")
    path.parent.mkdir(parents=True)
    if text is not None:
        path.write_text(text)
    assert not runner.is_finished(recipe)


def test_a_selection_runs_anew_on_a_changed_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    started = []

    def fail(grid, jobs, workers):
        started.append(len(jobs))
        for job in jobs:
            row = {**dict.fromkeys(MEASURED, "1"), "details": "{}", "metric": "accuracy", **job.cell}
            grid.results.append({**row, "recipe": grid.fingerprint(job.cell)})
        return ["no time"]

    monkeypatch.setattr(selection, "run_jobs", fail)
    arguments = ("--dataset", "rows.jsonl", "--task_config", "config.json", "--groups", "trivial", "symmetric")
    command = ["select", *arguments, "--seeds", "1", "--output_dir", "out"]
    assert main(command) == 2
    change_text(tmp_path / "rows.jsonl")
    assert main(command) == 2
    assert started == [2, 2]
    assert "2 of 2 runs to go" in capsys.readouterr().out


def test_a_selection_is_begun_anew_when_it_is_to_be_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)

    def finish_all(grid, jobs, workers):
        for job in jobs:
            row = {**dict.fromkeys(MEASURED, "1"), "details": "{}", "metric": "accuracy", **job.cell}
            grid.results.append({**row, "recipe": grid.fingerprint(job.cell)})
        return ["no time"]

    monkeypatch.setattr(selection, "run_jobs", finish_all)
    given = (
        "--dataset",
        "rows.jsonl",
        "--task_config",
        "config.json",
        "--seeds",
        "1",
        "--output_dir",
        "out",
        "--groups",
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    for groups in (("trivial",), ("symmetric",), ("trivial",)):
        assert main(["select", *given, *groups, "--overwrite"]) == 2
        assert "1 of 1 runs to go" in capsys.readouterr().out
    assert main(["select", *given, "symmetric"]) == 2
    assert "holds another selection: give another --output_dir, or --overwrite" in capsys.readouterr().err
    assert (tmp_path / "out/notes.txt").read_text() == "mine"


def test_a_bad_cell_is_said_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    with open("rows.jsonl", "a") as file:
        file.write(json.dumps({"inputs": [0, 0, 1], "labels": [0, 0, 7]}) + "\n")
    monkeypatch.setattr(selection, "run_jobs", lambda *arguments: pytest.fail("it trains"))
    command = ["select", "--dataset", "rows.jsonl", "--task_config", "config.json", "--output_dir", "out"]
    assert main(command) == 2
    assert "rows.jsonl, row 9" in capsys.readouterr().err
