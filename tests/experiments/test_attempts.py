"""Cells and pretrainings that are cut off go on from their last checkpoint, and come out as if they had not been."""

import dataclasses
import io
import json
import os
import threading

import pytest
import yaml

from asen_hf.experiments import runner
from asen_hf.experiments._attempts import alone
from asen_hf.experiments.grid import Grid
from asen_hf.training import loop

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TRAINING = {"max_steps": 4, "eval_steps": 2, "rows_per_task": 8, "attn_implementation": "eager"}
TASK = {"source": "equivariant/palindrome", "num_rows": 90, "options": {"length": 6}}
SUM = {"sum": {"source": "equivariant/cyclic_sum", "num_rows": 90}}
STREAM = {"prior": {"source": "prior", "options": {"num_tasks": 8, "tasks_per_batch": 2}}}
# Sections of a recipe: every way in which a cell may start.
KINDS = {
    "from scratch": {},
    "rival": {"rival": {"architecture": "row_mlp"}},
    "partners": {"partners": SUM},
    "pretrained": {"pretrain": {"tasks": SUM, "training": TRAINING}},
    "fitted to a stream's states": {
        "pretrain": {"tasks": STREAM, "training": TRAINING},
        "finetune": {"init_from": "prior"},
    },
}


class CutOff(BaseException):
    """Not an Exception: it ends the process, as a signal does."""


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """Calls ``steps.cut(at, error)`` make a training fail when it has made so many steps; ``steps.made`` counts all."""
    monkeypatch.chdir(tmp_path)

    class Steps:
        made = 0

        def cut(self, at, error=CutOff):
            self.end, self.error = self.made + at, error

        def __call__(self, *arguments):
            if self.made == getattr(self, "end", None):
                self.end = None
                raise self.error
            self.made += 1
            return check(*arguments)

    counter, check = Steps(), loop._check_finite
    monkeypatch.setattr(loop, "_check_finite", counter)  # after every step
    return counter


@pytest.fixture
def made_with(monkeypatch):
    """Sets what the next attempts are made with."""

    def set_to(name):
        record = {**provenance(), "revision": name, "platform": name}
        monkeypatch.setattr(runner, "_provenance", lambda: record)

    provenance = runner._provenance
    return set_to


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


def records(folder):
    return [*(folder / "runs").rglob("*.attempts.json")]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_goes_on_and_names_all_that_made_it(tmp_path, steps, made_with, kind, keep):
    grid = dataclasses.replace(read(tmp_path / "toy", **KINDS[kind]), keep=keep)
    [cell] = grid.cells
    expected = runner.run_cell(grid, cell)
    steps.made = 0
    steps.cut(at=3)
    made_with("old")
    with pytest.raises(CutOff):
        runner.run_cell(grid, cell)
    [record] = records(tmp_path)
    [checkpoint] = {path for path in (tmp_path / "runs").rglob("checkpoint-2") if path.parent.name in record.name}
    began = json.loads(record.read_text())["began"]
    os.utime(checkpoint, (began + 1000, began + 1000))
    made_with("new")
    row = runner.run_cell(grid, cell)
    assert steps.made == 3 + 2 and scores(row) == scores(expected)
    assert row["revision"] == row["platform"] == "old, new" and row["threads"] == str(expected["threads"])
    assert 1000 < row["wall_seconds"] < 1100
    again = runner.run_cell(grid, cell)  # what has ended is not gone on with
    assert steps.made == 5 + 4 and again["revision"] == "new" and not records(tmp_path)


@pytest.mark.parametrize("keep", [False, True])
def test_a_cell_that_was_trained_but_not_scored_is_scored(tmp_path, steps, monkeypatch, keep):
    grid = dataclasses.replace(read(tmp_path / "toy"), keep=keep)
    expected = runner.run_cell(grid, grid.cells[0])

    def die(*arguments):
        raise CutOff

    with monkeypatch.context() as patch, pytest.raises(CutOff):
        patch.setattr(runner, "score_splits", die)
        runner.run_cell(grid, grid.cells[0])
    assert scores(runner.run_cell(grid, grid.cells[0])) == scores(expected) and steps.made == 8


@pytest.mark.parametrize("at, changes", [(1, {}), (3, {"training": {**TRAINING, "lr": 0.1}})])
def test_it_begins_anew_without_a_checkpoint_or_with_another_recipe(tmp_path, steps, made_with, at, changes):
    steps.cut(at)
    grid = read(tmp_path / "toy")
    made_with("old")
    with pytest.raises(CutOff):
        runner.run_cell(grid, grid.cells[0])
    made_with("new")
    grid = read(tmp_path / "toy", **changes)
    row = runner.run_cell(grid, grid.cells[0])
    assert steps.made == at + 4 and row["revision"] == "new"


def test_other_overrides_are_another_content(tmp_path, steps):
    grid = read(tmp_path / "toy")
    steps.cut(at=3)
    with pytest.raises(CutOff):
        runner.run_cell(grid, grid.cells[0], lr=0.1)
    runner.run_cell(grid, grid.cells[0])
    assert steps.made == 3 + 4


def test_it_begins_anew_after_an_error(tmp_path, steps):
    grid = read(tmp_path / "toy")
    steps.cut(at=3, error=ValueError)
    with pytest.raises(ValueError):
        runner.run_cell(grid, grid.cells[0])
    assert not records(tmp_path)
    runner.run_cell(grid, grid.cells[0])
    assert steps.made == 3 + 4


def test_a_checkpoint_that_cannot_be_gone_on_with_is_refused_once(tmp_path, steps):
    grid = read(tmp_path / "toy")
    steps.cut(at=3)
    with pytest.raises(CutOff):
        runner.run_cell(grid, grid.cells[0])
    [state] = (tmp_path / "runs").rglob("progress.json")
    state.write_text("{}")
    with pytest.raises(ValueError, match="cannot resume from"):
        runner.run_cell(grid, grid.cells[0])
    runner.run_cell(grid, grid.cells[0])
    assert steps.made == 3 + 4


def test_a_record_that_is_not_whole_counts_as_none(tmp_path, steps):
    grid = read(tmp_path / "toy")
    steps.cut(at=3)
    with pytest.raises(CutOff):
        runner.run_cell(grid, grid.cells[0])
    [record] = records(tmp_path)
    record.write_text(record.read_text()[:-5])
    runner.run_cell(grid, grid.cells[0])
    assert steps.made == 3 + 4


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with alone(tmp_path / "cell"), pytest.raises(ValueError, match="another process is training in"):  # noqa: SIM117
        with alone(tmp_path / "cell"):
            pass


def test_the_end_of_a_training_can_be_waited_for(tmp_path):
    order = []

    def second():
        with alone(tmp_path / "cell", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with alone(tmp_path / "cell"):
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        order.append("first")
    thread.join(timeout=60)
    assert order == ["first", "second"]


def test_a_cell_that_another_process_has_finished_is_left_as_it_is(tmp_path, steps):
    """Both processes have planned it, when the store did not have it yet."""
    grid = dataclasses.replace(read(tmp_path / "toy"), keep=True)
    [job] = runner.plan(grid, grid.pending())
    runner.run_job(grid, job)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    runner.run_job(grid, job)
    assert steps.made == 4 and len(grid.results.rows()) == 1
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    with alone(tmp_path / grid.recipe(job.cell).training.output_dir):  # a finished cell is not asked for again
        pass


def test_a_cell_is_stored_by_the_process_that_trains_it(tmp_path, steps, monkeypatch):
    """So its line is not lost with the process that planned it."""
    grid = read(tmp_path / "toy")
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(dataclasses.asdict(runner.Job(grid.cells[0]))) + "\n"))
    monkeypatch.setattr("sys.stdout", io.StringIO())
    runner.serve(grid)
    assert len(grid.results.rows()) == 1 and not grid.pending()


@pytest.mark.parametrize("tasks", [SUM, STREAM], ids=["rows", "stream"])
def test_a_pretraining_goes_on(tmp_path, steps, made_with, tasks):
    grid = read(tmp_path / "toy", pretrain={"tasks": tasks, "training": TRAINING})
    steps.cut(at=3)
    made_with("old")
    with pytest.raises(CutOff):
        runner.run_cell(grid, grid.cells[0])
    made_with("new")
    row = runner.run_cell(grid, grid.cells[0])
    assert steps.made == 3 + 2 + 4
    [line] = grid.pretrainings.rows()
    assert (line["revision"], row["revision"]) == ("old, new", "new")
    assert not [*(tmp_path / "runs").rglob("pretrained-*/checkpoint-*")] and not records(tmp_path)
