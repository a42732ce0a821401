"""Cells and pretrainings that are cut off go on from their last checkpoint, and come out as if they had not been."""

import dataclasses

import pytest
import yaml

from asen_hf.experiments import runner
from asen_hf.experiments.grid import Grid

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TRAINING = {"max_steps": 4, "eval_steps": 2, "rows_per_task": 8, "attn_implementation": "eager"}
TASK = {"source": "equivariant/palindrome", "num_rows": 90, "options": {"length": 6}}


class CutOff(BaseException):
    """Not an Exception: it ends the process, as a signal does."""


@pytest.fixture
def cut_off(monkeypatch):
    """Makes the next training die at its batch number ``at``, after a checkpoint or before one; counts batches."""
    batches, batch = [], runner.MultitaskWork.batch

    def arm(at):
        def count(self, index):
            if len(batches) == at:
                monkeypatch.setattr(runner.MultitaskWork, "batch", counting)
                raise CutOff
            return counting(self, index)

        batches.clear()
        monkeypatch.setattr(runner.MultitaskWork, "batch", count)

    def counting(self, index):
        batches.append(index)
        return batch(self, index)

    arm.batches = batches
    return arm


def read(folder, **base):
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "description": "A toy.",
        "base": {"model": SMALL, "task": TASK, "training": TRAINING, **base},
        "axes": {"arm": {"paper": None}, "seed": [0]},
        "report": {"compare": "arm"},
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(content))
    return Grid.read(folder)


def scores(row):
    return {name: row[name] for name in ("loss", "value", "validation", "steps", "best_step", "recipe")}


@pytest.mark.parametrize("keep", [False, True])
def test_a_cell_goes_on_and_names_both_revisions(tmp_path, monkeypatch, cut_off, keep):
    monkeypatch.chdir(tmp_path)
    grid = dataclasses.replace(read(tmp_path / "toy"), keep=keep)
    [cell] = grid.cells
    expected = runner.run_cell(grid, cell)
    cut_off(3)
    monkeypatch.setattr(runner, "revision", lambda: "old")
    with pytest.raises(CutOff):
        runner.run_cell(grid, cell)
    monkeypatch.setattr(runner, "revision", lambda: "new")
    row = runner.run_cell(grid, cell)
    assert cut_off.batches == [0, 1, 2, 2, 3] and scores(row) == scores(expected)
    assert row["revision"] == "old, new"
    again = runner.run_cell(grid, cell)  # what is finished is not gone on with
    assert cut_off.batches[5:] == [0, 1, 2, 3] and again["revision"] == "new"
    assert not [path for path in (tmp_path / "runs").rglob("*attempts*")]


@pytest.mark.parametrize("at, changes", [(1, {}), (3, {"training": {**TRAINING, "lr": 0.1}})])
def test_it_begins_anew_without_a_checkpoint_or_with_another_recipe(tmp_path, monkeypatch, cut_off, at, changes):
    monkeypatch.chdir(tmp_path)
    cut_off(at)
    grid = read(tmp_path / "toy")
    monkeypatch.setattr(runner, "revision", lambda: "old")
    with pytest.raises(CutOff):
        runner.run_cell(grid, grid.cells[0])
    monkeypatch.setattr(runner, "revision", lambda: "new")
    grid = read(tmp_path / "toy", **changes)
    row = runner.run_cell(grid, grid.cells[0])
    assert cut_off.batches[at:] == [0, 1, 2, 3] and row["revision"] == "new"


def test_a_record_that_was_half_written_counts_as_none(tmp_path, monkeypatch, cut_off):
    monkeypatch.chdir(tmp_path)
    cut_off(3)
    grid = read(tmp_path / "toy")
    with pytest.raises(CutOff):
        runner.run_cell(grid, grid.cells[0])
    [record] = (tmp_path / "runs").rglob("*attempts.json")
    record.write_text(record.read_text()[:-5])
    runner.run_cell(grid, grid.cells[0])
    assert cut_off.batches[3:] == [0, 1, 2, 3]


def test_a_pretraining_goes_on(tmp_path, monkeypatch, cut_off):
    monkeypatch.chdir(tmp_path)
    pretrain = {"tasks": {"sum": {"source": "equivariant/cyclic_sum", "num_rows": 90}}, "training": TRAINING}
    grid = read(tmp_path / "toy", pretrain=pretrain)
    [cell] = grid.cells
    cut_off(3)
    monkeypatch.setattr(runner, "revision", lambda: "old")
    with pytest.raises(CutOff):
        runner.run_cell(grid, cell)
    monkeypatch.setattr(runner, "revision", lambda: "new")
    row = runner.run_cell(grid, cell)
    assert cut_off.batches == [0, 1, 2, *[2, 3], *[0, 1, 2, 3]]
    [line] = grid.pretrainings.rows()
    assert (line["revision"], row["revision"]) == ("old, new", "new")
