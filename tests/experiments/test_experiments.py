"""Grids of small trainings, run as people run them: resumed, broken, reported; and the committed ones."""

import contextlib
import csv
import dataclasses
import io
import json
import re
import runpy
import shutil
import statistics
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from datasets import DatasetDict
from scipy.stats import ttest_rel

from asen_hf import AsenConfig, AsenForMultitask, pretrain
from asen_hf.commands.experiments import main
from asen_hf.commands.main import report_errors
from asen_hf.evaluation.scores import score_splits
from asen_hf.experiments import grid as grid_module
from asen_hf.experiments import runner
from asen_hf.experiments._scores import paired_test
from asen_hf.experiments.grid import EXPERIMENTS, Grid, find_grids
from asen_hf.training.task_recipe import TaskRecipe
from tests.workers import Worker, workers_in_process

ROOT = Path(__file__).resolve().parents[2]
GRID = {
    "description": "A toy.",
    "base": {
        "model": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        "task": {"num_rows": 90, "options": {"length": 6}},
        "training": {"max_steps": 4, "eval_steps": 2, "rows_per_task": 8},
    },
    "axes": {
        "task": {name: {"task": {"source": f"equivariant/{name}"}} for name in ("palindrome", "monotone_run")},
        "train_rows": [20, 40],
        "arm": {"paper": None, "gated": {"model": {"gated_messages": True}}},
        "seed": [0, 1],
    },
    "report": {"compare": "arm", "columns": "train_rows", "metric": "loss"},
}
TOY_SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_steps": 2,
    "attn_implementation": "eager",
}


def write_grid(folder, **changes):
    folder.mkdir(exist_ok=True)
    (folder / "grid.yaml").write_text(yaml.safe_dump({**GRID, **changes}, sort_keys=False))
    return folder


def axes(**changes):
    return {name: axis for name, axis in {**GRID["axes"], **changes}.items() if axis is not None}


@pytest.fixture
def call(monkeypatch, capfd):
    """Runs the script's main in this process (its workers may be others); returns status and output."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(*arguments):
        capfd.readouterr()
        try:
            status = report_errors(lambda: main([*map(str, arguments)]))
        except SystemExit as end:
            status = end.code
        return status, capfd.readouterr()

    return run


@pytest.fixture
def in_process():
    with workers_in_process():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The toy grid, run by the script with two workers, which are processes: its folder, and what the script said."""
    folder, said = tmp_path_factory.mktemp("experiments"), io.StringIO()
    script = str(ROOT / "training" / "experiments.py")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said), pytest.raises(SystemExit) as end:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setattr(sys, "argv", [script, str(write_grid(folder / "toy")), "--workers", "2"])
        runpy.run_path(script, run_name="__main__")
    assert not end.value.code, said.getvalue()
    return folder / "toy", said.getvalue()


@pytest.fixture
def toy(finished, tmp_path, monkeypatch):
    """A copy of the finished toy, to change and to run in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(finished[0], tmp_path / "toy")


def rows_of(folder):
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def report_line(text, title, *cells):
    """The cells behind the given ones in the table under the heading that starts with the title."""
    section = text.split(f"\n## {title}", 1)[1].split("\n## ", 1)[0]
    [line] = [line for line in section.splitlines() if line.startswith(f"| {' | '.join(cells)} |")]
    return line.strip("| ").split(" | ")[len(cells) :]


# --- running ----------------------------------------------------------------------------------------------------------


def test_every_cell_gets_one_line_that_says_how_it_was_made(finished):
    folder, said = finished
    rows = rows_of(folder)
    assert sorted(tuple(row[axis] for axis in GRID["axes"]) for row in rows) == sorted(
        (task, count, arm, seed)
        for task in ("palindrome", "monotone_run")
        for count in ("20", "40")
        for arm in ("paper", "gated")
        for seed in ("0", "1")
    )
    for row in rows:
        assert (row["rows"], row["steps"], row["threads"], row["metric"]) == (row["train_rows"], "4", "1", "accuracy")
        assert row["best_step"] in ("2", "4") and float(row["wall_seconds"]) > 0
        assert all(row.values()) and re.fullmatch(r"[0-9a-f]{7,}\+?|unknown", row["revision"])
    parameters = {arm: {int(row["parameters"]) for row in rows if row["arm"] == arm} for arm in ("paper", "gated")}
    # Each arm has a number per task, and gates add the same to all.
    assert {gated - paper for paper, gated in zip(*map(sorted, parameters.values()), strict=True)} == {272}
    assert "16/16" in said and "Warning" not in said


def test_a_cells_reference_is_that_of_the_test_rows_whatever_its_training_rows(finished):
    references = {}
    for row in rows_of(finished[0]):
        references.setdefault((row["task"], row["seed"]), set()).add(row["reference"])
    assert len(references) == 4 and all(len(values) == 1 for values in references.values())


def test_no_weights_are_kept(finished):
    assert not [*finished[0].parent.rglob("*.safetensors")]


def test_running_again_does_nothing(toy, call):
    before = (toy / "results.csv").read_bytes()
    status, shown = call(toy)
    assert status == 0 and "0 cells to run, of 16" in shown.out
    assert (toy / "results.csv").read_bytes() == before


def test_a_line_that_is_taken_away_is_run_again_alone_and_comes_out_the_same(toy, call, in_process):
    lines = (toy / "results.csv").read_text().splitlines(keepends=True)
    removed = lines.pop(5)
    (toy / "results.csv").write_text("".join(lines))
    status, shown = call(toy, "--dry_run")
    assert status == 0 and "1 cells to run" in shown.out and len(shown.out.splitlines()) == 2
    assert call(toy, "--workers", 1)[0] == 0
    again = (toy / "results.csv").read_text().splitlines(keepends=True)
    assert again[:-1] == lines
    assert again[-1].split(",")[:11] == removed.split(",")[:11]  # up to rows, scores among them


def test_cells_with_certain_values_may_be_run_alone(tmp_path, call):
    folder = write_grid(tmp_path / "toy", report={"compare": "arm"})
    grid = Grid.read(folder)
    (first, arms), (second, rows) = [(axis, list(values)) for axis, values in grid.axes.items() if len(values) > 1][:2]
    status, shown = call(folder, "--dry_run", "--where", f"{first}={arms[1]}", f"{second}={rows[0]}")
    meant = sum(cell[first] == arms[1] and cell[second] == rows[0] for cell in grid.cells)
    assert status == 0 and f"{meant} cells to run, of {len(grid.cells)}" in shown.out and 0 < meant < len(grid.cells)
    for condition in (f"{first}=another", "another=1", first):
        status, shown = call(folder, "--dry_run", "--where", condition)
        assert status == 2 and f"--where {condition}: " in shown.err and arms[1] in shown.err


def test_a_failing_cell_is_reported_while_the_others_are_finished(tmp_path, call, monkeypatch, in_process):
    monkeypatch.chdir(tmp_path)
    few = axes(task=None, train_rows=[4000, 20], arm={"paper": {"task": {"source": "equivariant/palindrome"}}})
    folder = write_grid(tmp_path / "toy", axes=few, report={"compare": "arm"})
    status, shown = call(folder, "--workers", 1)
    assert status == 1
    assert len(re.findall("failed: train_rows 4000, arm paper, seed [01]: train_rows must be in 1", shown.err)) == 2
    assert "2 of 4 jobs failed" in shown.err
    assert sorted(row["seed"] for row in rows_of(folder)) == ["0", "1"]


def test_a_worker_that_is_killed_costs_its_cell_only(tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start_worker = runner.start_worker

    def kill_once_training(process):
        while process.poll() is None and not [*tmp_path.glob("runs/experiments/toy/*/checkpoint-*")]:
            time.sleep(0.05)
        process.kill()

    def start_mortal(*arguments):
        monkeypatch.setattr(runner, "start_worker", Worker)  # the next one lives, in this process
        process = start_worker(*arguments)
        threading.Thread(target=kill_once_training, args=(process,)).start()
        return process

    monkeypatch.setattr(runner, "start_worker", start_mortal)
    base = {**GRID["base"], "task": {"source": "equivariant/palindrome", "num_rows": 90}}
    few = axes(task=None, train_rows=[20], arm={"endless": {"training": {"max_steps": 10**6}}, "short": None}, seed=[0])
    folder = write_grid(tmp_path / "toy", base=base, axes=few, report={"compare": "arm"})
    status, shown = call(folder, "--workers", 1)
    assert status == 1 and "arm endless, seed 0: its process died with status -9" in shown.err
    assert [row["arm"] for row in rows_of(folder)] == ["short"]


def test_a_study_of_several_grids_runs_them_in_order_and_each_alone(tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grid_module, "EXPERIMENTS", tmp_path / "experiments")
    monkeypatch.setattr("asen_hf.commands.experiments.EXPERIMENTS", tmp_path / "experiments")
    few = axes(task=None, train_rows=[20], arm={"paper": None}, seed=[0, 1])
    base = {**GRID["base"], "task": {"source": "equivariant/palindrome", "num_rows": 90}}
    for name in ("second", "first"):
        (tmp_path / "experiments/real").mkdir(parents=True, exist_ok=True)
        write_grid(tmp_path / "experiments/real" / name, base=base, axes=few, report={"compare": "arm"}, keep=True)
    run: list = []
    monkeypatch.setattr(
        "asen_hf.commands.experiments.run_jobs",
        lambda grid, jobs, workers: run.extend((grid.name, job.cell["seed"]) for job in jobs) or [],
    )
    assert call("real")[0] == 0
    assert run == [("real/first", "0"), ("real/first", "1"), ("real/second", "0"), ("real/second", "1")]
    status, shown = call("real", "--cells", 3, "--dry_run")
    assert status == 0 and "real/first: 2 cells" in shown.out and "real/second: 1 cells" in shown.out
    run.clear()
    assert call("real/second", "--cells", 1)[0] == 0 and run == [("real/second", "0")]


def test_runs_and_logs_of_a_nested_grid_lie_in_folders_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grid_module, "EXPERIMENTS", tmp_path / "experiments")
    (tmp_path / "experiments/real").mkdir(parents=True)
    grid = Grid.read(write_grid(tmp_path / "experiments/real/toy"))
    assert grid.recipe(grid.cells[0]).training.output_dir.startswith("runs/experiments/real/toy/")
    monkeypatch.setattr(sys, "executable", "true")  # a program that ends at once
    process = runner.start_worker(grid, 0)
    process.communicate()
    assert process.returncode == 0 and (tmp_path / "runs/experiments/real/toy/worker-0.log").exists()


def test_a_store_takes_a_cell_once_and_mends_a_missing_line_end(toy):
    grid = Grid.read(toy)
    lines = (toy / "results.csv").read_text().splitlines()
    row = dict(zip(lines[0].split(","), lines[3].split(","), strict=True))
    grid.results.append(row)
    assert len(rows_of(toy)) == 16
    (toy / "results.csv").write_text("\n".join(lines[:3]))
    grid.results.append(row)
    assert (toy / "results.csv").read_text() == "\n".join(lines[:4]) + "\n"


# --- pretraining ------------------------------------------------------------------------------------------------------

PRETRAINED = {
    "base": {
        **GRID["base"],
        "task": {"source": "equivariant/intersect", "num_rows": 90},
        "pretrain": {
            "tasks": {
                "intersect-4": {"source": "equivariant/intersect", "num_rows": 90, "options": {"length": 4}},
                "cyclic_sum-6": {"source": "equivariant/cyclic_sum", "num_rows": 90, "options": {"length": 6}},
                "left out": {"source": "equivariant/nothing"},
            },
            "training": {"max_steps": 3, "rows_per_task": 8},
        },
    },
    "axes": {
        "kind": {"any": {"pretrain": {"tasks": {"left out": None}}}},
        "train_rows": {"0": {"finetune": {"zero_shot": True}}, "20": {"training": {"train_rows": 20}}},
        "start": {
            "scratch": {"finetune": {"from_scratch": True}},
            "fresh": None,
            "donor": {"finetune": {"init_from": "intersect-4"}},
        },
        "seed": [0, 1],
    },
    "report": {
        "compare": "start",
        "columns": "train_rows",
        "thresholds": [0.0, 1.1],
        "references": {"paper": {"loss": {"any": {20: 0.25}}}},
    },
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A grid with pretraining, run once: its folder."""
    folder, shown = tmp_path_factory.mktemp("pretraining"), io.StringIO()
    arguments = [str(write_grid(folder / "toy", **PRETRAINED)), "--workers", "1"]
    with contextlib.chdir(folder), workers_in_process(), contextlib.redirect_stdout(shown):
        main(arguments)
    assert "12 cells to run, of 12; 2 pretrainings" in shown.getvalue()
    return folder


def test_cells_of_one_seed_share_a_pretraining(pretrained):
    with (pretrained / "toy" / "pretrainings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["seed"] for row in rows) == ["0", "1"] and {row["tasks"] for row in rows} == {"2"}
    assert {row["steps"] for row in rows} == {"3"} and all(all(row.values()) for row in rows)
    folders = {path.name for path in (pretrained / "runs/experiments/toy").glob("pretrained-*")}
    assert folders == {row["pretraining"] for row in rows}


def test_a_pretraining_of_a_grid_trains_what_the_verb_trains(pretrained, tmp_path, monkeypatch):
    monkeypatch.chdir(pretrained)
    cell = {"kind": "any", "train_rows": "0", "start": "donor", "seed": "1"}
    recipe = Grid.read(pretrained / "toy").pretraining(cell)
    weights = AsenForMultitask.from_pretrained(recipe.training.output_dir).state_dict()
    again = pretrain(recipe, output_dir=str(tmp_path / "run")).model.state_dict()
    assert again.keys() == weights.keys() and all(again[name].equal(weights[name]) for name in weights)


def test_a_zero_shot_cell_scores_the_pretrained_weights_as_they_are(pretrained, monkeypatch):
    monkeypatch.chdir(pretrained)
    grid = Grid.read(pretrained / "toy")
    cell = {"kind": "any", "train_rows": "0", "start": "donor", "seed": "1"}
    [row] = [row for row in rows_of(pretrained / "toy") if grid.cell_of(row) == cell]
    assert (row["rows"], row["steps"], row["best_step"]) == ("0", "0", "0")
    model = AsenForMultitask.from_pretrained(grid.pretraining(cell).training.output_dir)
    task, data = grid.recipe(cell).tasks[0].load(seed=1)
    with pytest.warns(UserWarning, match="initialised from"):
        model.add_task("new", task, init_from="intersect-4")
    score = score_splits(model, {"new": data["test"]})["new"]
    assert (score.loss, score.value) == (float(row["loss"]), float(row["value"]))


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """A grid whose pretraining is a stream, run once: the folder it ran in."""
    folder = tmp_path_factory.mktemp("stream")
    base = {
        **GRID["base"],
        "task": {"source": "equivariant/palindrome", "num_rows": 90, "options": {"length": 6}},
        "pretrain": {
            "tasks": {"prior": {"source": "prior", "options": {"tasks_per_batch": 2}}},
            "training": {"max_steps": 2, "rows_per_task": 12},
        },
    }
    arms = {
        "scratch": {"finetune": {"from_scratch": True}},
        "in context": {"finetune": {"init_from": "prior", "in_context": True}},
        "finetuned": {"finetune": {"init_from": "prior"}},
    }
    write_grid(folder / "toy", base=base, axes={"arm": arms, "seed": [0]}, report={"compare": "arm"})
    with contextlib.chdir(folder), workers_in_process():
        main([str(folder / "toy"), "--workers", "1"])
    return folder


def test_a_stream_is_a_pretraining_and_a_head_is_fitted_in_context(streamed):
    rows = {row["arm"]: row for row in rows_of(streamed / "toy")}
    assert (rows["in context"]["steps"], rows["in context"]["best_step"]) == ("0", "0")
    assert rows["in context"]["rows"] == rows["finetuned"]["rows"] != "0"
    assert len({row["loss"] for row in rows.values()}) == 3


def test_a_checkpoint_takes_the_place_of_a_pretraining_and_counts_by_its_weights(streamed, monkeypatch):
    monkeypatch.chdir(streamed)
    [found] = (streamed / "runs/experiments/toy").glob("pretrained-*")
    base = {key: value for key, value in Grid.read(streamed / "toy").base.items() if key != "pretrain"}
    start = {"checkpoint": str(found), "init_from": "prior", "in_context": True}
    arms = {"in context": {"finetune": start}}
    write_grid(streamed / "given", base=base, axes={"arm": arms, "seed": [0]}, report={"compare": "arm"})
    with workers_in_process():
        main([str(streamed / "given"), "--workers", "1"])
    [row] = rows_of(streamed / "given")
    [own] = [row for row in rows_of(streamed / "toy") if row["arm"] == "in context"]
    assert row["loss"] == own["loss"]
    grid = Grid.read(streamed / "given")
    assert grid.pending() == []
    weights = found / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    assert len(grid.pending()) == 1


@pytest.mark.parametrize(
    "start, message",
    [
        ({"in_context": True, "zero_shot": True}, "in_context fits a head to trained states"),
        ({"checkpoint": "asen-sequence-tiny"}, "leave the section pretrain out"),
    ],
)
def test_starts_that_contradict_themselves_are_refused(tmp_path, start, message):
    changed = {**PRETRAINED, "base": {**PRETRAINED["base"], "finetune": start}}
    with pytest.raises(ValueError, match=message):
        Grid.read(write_grid(tmp_path / "toy", **changed)).check()


@pytest.mark.parametrize(
    "tasks, message",
    [
        ({"prior": {"source": "prior", "options": {"tasks_per_bach": 2}}}, "unknown option tasks_per_bach"),
        (
            {"prior": {"source": "prior", "options": {"tasks_per_batch": 0}}},
            "tasks_per_batch must be at least 1, got 0",
        ),
        ({"prior": {"source": "prior", "num_rows": 9}}, "num_rows is not for a stream"),
        ({"a": {"source": "equivariant/palindrome", "options": {"size": 2}}}, "task 'a': .*unknown option size"),
        ({"a": {"source": "equivariant/palindrom"}}, "task 'a': unknown task"),
    ],
)
def test_sources_and_options_of_a_pretraining_are_checked_before_anything_runs(tmp_path, tasks, message):
    base = {**GRID["base"], "task": {"source": "equivariant/palindrome"}}
    base["pretrain"] = {"tasks": tasks, "training": {"max_steps": 1}}
    axes = {"arm": {"pretrained": {}}, "seed": [0]}
    with pytest.raises(ValueError, match=f"toy/grid.yaml, cell .*{message}"):
        Grid.read(write_grid(tmp_path / "toy", base=base, axes=axes, report={"compare": "arm"})).check()


def test_sources_and_options_of_a_task_are_checked_before_anything_runs(tmp_path):
    base = {**GRID["base"], "task": {"source": "equivariant/palindrome", "options": {"lenght": 4}}}
    axes = {"arm": {"only": {}}, "seed": [0]}
    with pytest.raises(ValueError, match="unknown option lenght"):
        Grid.read(write_grid(tmp_path / "toy", base=base, axes=axes, report={"compare": "arm"})).check()


# --- partners ---------------------------------------------------------------------------------------------------------

PARTNER = {"source": "equivariant/cyclic_sum", "num_rows": 90, "options": {"length": 6}}
PARTNERS = {
    "base": {**GRID["base"], "task": {"source": "equivariant/intersect", "num_rows": 90, "options": {"length": 4}}},
    "axes": {
        "train_rows": [20],
        "arm": {
            "alone": None,
            "partner": {"partners": {"sum": PARTNER, "left out": None}},
            "shuffled": {"partners": {"sum": {**PARTNER, "shuffle_labels": True}}},
        },
        "seed": [0],
    },
    "report": {"compare": "arm"},
}


def test_partners_train_beside_the_main_task_whose_steps_rows_and_scores_are_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = Grid.read(write_grid(tmp_path / "toy", **PARTNERS))
    grid.check()
    batches = []
    objective = runner.MultitaskWork.batch
    monkeypatch.setattr(
        runner.MultitaskWork, "batch", lambda self, index: batches.append(objective(self, index)) or batches[-1]
    )
    rows = {cell["arm"]: runner.run_cell(grid, cell) for cell in grid.cells}
    alone, partner, shuffled = (batches[start : start + 4] for start in (0, 4, 8))
    assert [batch.keys() for batch in (alone[0], partner[0], shuffled[0])] == [
        {"equivariant/intersect"},
        *[{"equivariant/intersect", "sum"}] * 2,
    ]
    for own, together, control in zip(alone, partner, shuffled, strict=True):  # the main task sees the same rows
        for column, values in own["equivariant/intersect"].items():
            assert values.equal(together["equivariant/intersect"][column])
        assert together["sum"]["inputs"].equal(control["sum"]["inputs"])
    assert any(not one["sum"]["labels"].equal(two["sum"]["labels"]) for one, two in zip(partner, shuffled, strict=True))
    for column, expected in {"steps": 4, "rows": 20, "reference": rows["alone"]["reference"]}.items():
        assert {row[column] for row in rows.values()} == {expected}
    assert len({row["loss"] for row in rows.values()}) == 3  # another task, and other labels, change the weights
    assert rows["alone"]["parameters"] < rows["partner"]["parameters"] == rows["shuffled"]["parameters"]


def test_a_pretrained_backbone_takes_partners_too(pretrained, monkeypatch):
    monkeypatch.chdir(pretrained)
    changed = {**PRETRAINED, "base": {**PRETRAINED["base"], "partners": {"sum": PARTNER}}}
    changed["axes"] = {**PRETRAINED["axes"], "train_rows": [20]}
    grid = Grid.read(write_grid(pretrained / "with partners", **changed))
    row = runner.run_cell(grid, {"kind": "any", "train_rows": "20", "start": "donor", "seed": "0"})
    assert (row["rows"], row["steps"]) == (20, 4)


@pytest.mark.parametrize(
    "section", [{"rival": {"architecture": "mlp"}}, {"pretrain": {}, "finetune": {"zero_shot": True}}]
)
def test_partners_of_what_is_not_trained_on_several_tasks_are_refused(tmp_path, section):
    changed = {**PARTNERS, "base": {**PARTNERS["base"], **section}}
    with pytest.raises(ValueError, match=r"cell .*arm partner.*: partners are trained on, so leave out rival"):
        Grid.read(write_grid(tmp_path / "toy", **changed)).check()


def test_options_of_a_partner_are_checked_before_anything_runs(tmp_path):
    arms = {"partner": {"partners": {"sum": {"source": "equivariant/cyclic_sum", "options": {"size": 2}}}}}
    with pytest.raises(ValueError, match=r"task 'sum': .*unknown option size"):
        Grid.read(write_grid(tmp_path / "toy", base=PARTNERS["base"], axes=axes(arm=arms, task=None))).check()


def test_starts_differ_in_what_they_start_from(pretrained):
    losses = {(row["start"], row["seed"]): row["loss"] for row in rows_of(pretrained / "toy") if row["rows"] == "0"}
    assert len(set(losses.values())) == 6


def test_a_missing_pretraining_is_made_again_for_the_cells_that_need_it(
    pretrained, tmp_path, call, monkeypatch, in_process
):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(pretrained / "toy", tmp_path / "toy")
    lines = (folder / "results.csv").read_text().splitlines(keepends=True)
    [removed] = [line for line in lines if line.startswith("any,20,donor,0,")]
    (folder / "results.csv").write_text("".join(line for line in lines if line is not removed))
    status, shown = call(folder, "--dry_run")
    assert status == 0 and "1 cells to run, of 12; 1 pretrainings" in shown.out
    assert "pretraining for kind any, train_rows 20, start donor, seed 0" in shown.out
    assert call(folder, "--workers", 1)[0] == 0
    [again] = [line for line in (folder / "results.csv").read_text().splitlines() if line.startswith("any,20,donor,0,")]
    assert again.split(",")[:10] == removed.split(",")[:10]  # scores among them
    assert len((folder / "pretrainings.csv").read_text().splitlines()) == 3


def test_a_report_counts_pretrainings_and_shows_thresholds_and_references(pretrained, call):
    assert call(pretrained / "toy", "--report")[0] == 0
    text = (pretrained / "toy" / "report.md").read_text()
    assert "Before them 2 pretrainings" in text
    assert report_line(text, "First train_rows", "any", "donor") == ["0", "> 20"]
    assert report_line(text, "Test loss: mean", "any", "paper") == ["–", "0.2500"]


# --- the report -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "column"), [("Test loss", "loss"), ("Test metric", "value")])
def test_the_report_holds_means_errors_and_paired_tests_of_the_store(toy, call, title, column):
    status, shown = call(toy, "--report")
    assert status == 0 and str(toy / "report.md") in shown.out and (toy / "plot.png").stat().st_size > 1000
    text = (toy / "report.md").read_text()
    rows = rows_of(toy)

    def scores(arm, count, task=None):
        chosen = [
            row for row in rows if (row["arm"], row["train_rows"]) == (arm, count) and task in (None, row["task"])
        ]
        seeds = [[float(row[column]) for row in chosen if row["seed"] == seed] for seed in ("0", "1")]
        return [statistics.mean(seed) for seed in seeds]

    for subject, task in {"palindrome": "palindrome", "monotone_run": "monotone_run", "mean of all": None}.items():
        means = report_line(text, f"{title}: mean", subject, "gated")
        differences = report_line(text, f"{title}: difference from paper", subject, "gated")
        for place, count in enumerate(("20", "40")):
            paper, gated = scores("paper", count, task), scores("gated", count, task)
            error = statistics.stdev(gated) / 2**0.5
            assert means[place] == f"{statistics.mean(gated):.4f} ± {error:.4f}"
            difference = statistics.mean(gated) - statistics.mean(paper)
            are_alike = abs((gated[0] - paper[0]) - (gated[1] - paper[1])) < 1e-9  # possible for an accuracy
            p = "–" if are_alike else f"{ttest_rel(paper, gated).pvalue:.3f}"
            assert differences[place] == f"{difference:+.4f}, p {p}, 2"
    assert "16 of 16 cells are finished" in text and rows[0]["platform"] in text and rows[0]["torch"] in text
    assert f"{sum(float(row['wall_seconds']) for row in rows) / 3600:.2f} hours" in text


def test_a_report_of_an_unfinished_grid_says_so_and_tests_only_the_seeds_that_both_have(toy, call):
    rows = (toy / "results.csv").read_text().splitlines(keepends=True)
    (toy / "results.csv").write_text("".join(row for row in rows if not row.startswith("palindrome,20,gated,1,")))
    assert call(toy, "--report")[0] == 0
    text = (toy / "report.md").read_text()
    assert "15 of 16 cells are finished" in text
    assert "±" not in report_line(text, "Test loss: mean", "palindrome", "gated")[0]
    assert report_line(text, "Test loss: difference", "palindrome", "gated")[0].endswith("p –, 1")
    (toy / "results.csv").unlink()
    assert call(toy, "--report")[0] == 0
    assert "0 of 16 cells are finished" in (toy / "report.md").read_text()


def test_a_report_says_which_lines_the_grid_no_longer_explains(toy, call):
    write_grid(toy, axes=axes(arm={"paper": None, "gated": {"model": {"gated_messages": True, "pooling": "mean"}}}))
    assert call(toy, "--report")[0] == 0
    assert "**8 of them were run with another recipe or other data" in (toy / "report.md").read_text()


def test_alike_scores_have_no_p_value():
    alike = {"0": 1.0, "1": 1.0, "2": 1.0}
    difference, p, count = paired_test(alike, alike)
    assert (difference, p != p, count) == (0.0, True, 3)


def test_report_without_a_name_rebuilds_every_experiment_that_has_a_grid(toy, call, monkeypatch):
    shutil.copytree(toy, toy.parent / "second")
    (toy.parent / "third").mkdir()  # an experiment that is a script
    monkeypatch.setattr("asen_hf.commands.experiments.EXPERIMENTS", toy.parent)
    assert call("--report")[0] == 0
    assert (toy / "report.md").read_text() == (toy.parent / "second" / "report.md").read_text().replace(
        "second", "toy"
    ).replace("Second", "Toy")


# --- grids ------------------------------------------------------------------------------------------------------------


def test_what_was_tuned_for_several_values_is_merged_for_each_combination(tmp_path):
    rates = axes(train_rows={rows: {"training": {"train_rows": rows}} for rows in (20, 40, 60)})
    tuned = [{"at": {"arm": "gated", "train_rows": [20, 60]}, "training": {"lr": 0.1}}]
    grid = Grid.read(write_grid(tmp_path / "toy", axes=rates, tuned=tuned))
    plain = Grid.read(write_grid(tmp_path / "toy", axes=rates))
    for cell in grid.cells:
        is_tuned = cell["arm"] == "gated" and cell["train_rows"] in ("20", "60")
        assert (grid.recipe(cell).training.lr == 0.1) == is_tuned
        assert (grid.fingerprint(cell) != plain.fingerprint(cell)) == is_tuned


def test_what_was_tuned_for_an_arm_at_a_size_is_merged_last(tmp_path):
    at = {"arm": "gated", "train_rows": 40}
    rates = axes(train_rows={20: {"training": {"lr": 0.2}}, 40: {"training": {"lr": 0.4, "train_rows": 40}}})
    grid = Grid.read(write_grid(tmp_path / "toy", axes=rates, tuned=[{"at": at, "training": {"lr": 0.1}}]))
    plain = Grid.read(write_grid(tmp_path / "toy", axes=rates))
    for cell in grid.cells:
        is_tuned = at.items() <= {**cell, "train_rows": int(cell["train_rows"])}.items()
        assert grid.recipe(cell).training.lr == (0.1 if is_tuned else {"20": 0.2, "40": 0.4}[cell["train_rows"]])
        assert (grid.fingerprint(cell) == plain.fingerprint(cell)) != is_tuned


BAD_GRIDS = {
    "no mapping": ([], "expected a mapping"),
    "unknown key": ({**GRID, "axis": {}}, "unknown key axis; known: description"),
    "unknown base section": ({**GRID, "base": {"modle": {}}}, "unknown key modle; known: model"),
    "unknown section of a value": ({**GRID, "axes": axes(arm={"a": {"train": {}}})}, "unknown key train; known"),
    "unknown model field": ({**GRID, "axes": axes(arm={"a": {"model": {"gate": 1}}})}, "arm a.*gate.*gated_messages"),
    "unknown training field": ({**GRID, "axes": axes(rate=[1])}, "rate 1.*unknown key rate; known.* lr"),
    "unknown task field": ({**GRID, "base": {"task": {"length": 6}}}, "unknown key length; known: name, source"),
    "a value of the wrong type": ({**GRID, "axes": axes(lr=[0.1, "fast"])}, "lr fast.*: expected a number, found"),
    "a value out of range": ({**GRID, "axes": axes(lr=[0.1, -1.0])}, "lr -1.0.*lr must be positive"),
    "no axes": ({**GRID, "axes": {}}, "an axis named seed"),
    "nothing tuned for": ({**GRID, "tuned": [{"training": {"lr": 0.1}}]}, "an entry needs at"),
    "tuned for no cell": ({**GRID, "tuned": [{"at": {"arm": "wide"}}]}, "no cell has arm 'wide'"),
    "tuned for no value": ({**GRID, "tuned": [{"at": {"arm": []}}]}, "tuned: arm lists no values"),
    "an unknown section tuned": ({**GRID, "tuned": [{"at": {"seed": 0}, "train": {}}]}, "unknown key train; known"),
    "a tuned value out of range": (
        {**GRID, "tuned": [{"at": {"arm": "gated"}, "training": {"lr": -1.0}}]},
        "arm gated.*lr must be positive",
    ),
    "no seeds": ({**GRID, "axes": axes(seed=[])}, "at least one value"),
    "an axis named like a column": (
        {**GRID, "axes": axes(steps=[1])},
        "steps is a column of results.csv; rename the axis",
    ),
    "an axis that is a number": ({**GRID, "axes": axes(arm=3)}, "axis arm: expected a mapping, got 3"),
    "no report": ({**GRID, "report": {}}, "compare"),
    "an unknown axis compared": (
        {**GRID, "report": {"compare": "arms"}},
        "'arms' is not an axis.*task, train_rows, arm",
    ),
    "seeds compared": ({**GRID, "report": {"compare": "seed"}}, "'seed' is not an axis that can be compared"),
    "an axis compared with itself": ({**GRID, "report": {"compare": "arm", "columns": "arm"}}, "must differ"),
    "thresholds without columns": (
        {**GRID, "report": {"compare": "arm", "thresholds": [0.9]}},
        "thresholds need columns",
    ),
    "an unknown start": (
        {**GRID, "base": {"pretrain": {}, "finetune": {"zero": 1}}},
        "cell .* finetune: unknown key zero",
    ),
    "a donor and no weights": (
        {**GRID, "base": {"pretrain": {}, "finetune": {"from_scratch": True, "init_from": "a"}}},
        "cell .*from_scratch has no trained rows",
    ),
    "an unknown task left out": (
        {
            **GRID,
            "base": {"pretrain": {"tasks": {"a": {}}}},
            "axes": axes(arm={"b": {"pretrain": {"tasks": {"A": None}}}}),
        },
        "cell .*the base has no task 'A'",
    ),
    "an ill-formed pretraining": (
        {**GRID, "base": {"pretrain": {"tasks": {"a": {"sauce": 1}}}}},
        "cell .*unknown key sauce",
    ),
    "an unknown metric": ({**GRID, "report": {"compare": "arm", "metric": "f1"}}, "metric must be value or loss"),
}


@pytest.mark.parametrize(("content", "message"), BAD_GRIDS.values(), ids=BAD_GRIDS)
def test_ill_formed_grids_are_refused_by_an_error_that_names_the_file(tmp_path, content, message):
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(ValueError, match=rf"(?s)^grid {tmp_path}/grid.yaml\b.*{message}"):
        Grid.read(tmp_path).check()


def test_a_store_that_is_not_the_grids_is_refused(toy, call):
    (toy / "results.csv").write_text("task,seed\n")
    status, shown = call(toy)
    assert status == 2 and re.search("error: .*results.csv.*expected the columns task, train_rows", shown.err)


@pytest.mark.parametrize(("arguments", "message"), [((), "no experiment given"), (("none",), "none/grid.yaml")])
def test_bad_arguments_end_with_status_two(call, arguments, message):
    status, shown = call(*arguments)
    assert status == 2 and re.search(f"^error: .*{message}", shown.err)


def test_a_retired_grid_is_reported_but_no_longer_run(toy, call):
    write_grid(toy, axes=axes(arm={"paper": None, "gated": {"model": {"gone": 1}}}), retired="gone was of no use.")
    status, shown = call(toy)
    assert status == 2 and "grid.yaml is retired: gone was of no use." in shown.err
    assert call(toy, "--report")[0] == 0
    assert "can no longer be run: gone was of no use." in (toy / "report.md").read_text()


def test_later_axes_are_merged_over_earlier_ones_and_over_the_base(tmp_path):
    lengths = {"8": {"task": {"options": {"length": 8}}}}
    folder = write_grid(tmp_path / "toy", axes=axes(length=lengths, arm={"a": {"task": {"options": {"group": "E8"}}}}))
    grid = Grid.read(folder)
    recipe = grid.recipe(grid.cells[0], lr=0.5)
    assert recipe.tasks[0].options == {"length": 8, "group": "E8"} and recipe.tasks[0].num_rows == 90
    assert recipe.training.train_rows == 20 and recipe.training.lr == 0.5 and recipe.model.hidden_size == 16


@pytest.fixture
def few_rows(monkeypatch):
    """Held-out splits are short, and no source judges: decoding and such have tests of their own in tests/data/real."""
    load = TaskRecipe.load

    def load_few(self, seed):
        config, splits = load(self, seed)
        short = {name: rows.select(range(min(60, len(rows)))) for name, rows in splits.items() if name != "train"}
        return config, DatasetDict({**splits, **short})

    monkeypatch.setattr(TaskRecipe, "load", load_few)
    monkeypatch.setattr(TaskRecipe, "judge", lambda self, predict: {})


def grids_by_name():
    for path in find_grids(EXPERIMENTS):
        name = str(path.relative_to(EXPERIMENTS))
        is_large = name.startswith("real/sudoku")  # 729 nodes, eight passes
        yield pytest.param(name, marks=[pytest.mark.slow] if is_large else [])


@pytest.mark.parametrize("name", list(grids_by_name()))
def test_a_cell_of_every_committed_grid_runs_at_toy_size(tmp_path, monkeypatch, name, few_rows):
    (tmp_path / "repository").mkdir()
    if (ROOT / "../shared").exists():  # users' files, which grids name by their paths from the repository
        (tmp_path / "shared").symlink_to((ROOT / "../shared").resolve())
    monkeypatch.chdir(tmp_path / "repository")
    grid = Grid.read(shutil.copytree(EXPERIMENTS / name, tmp_path / name))  # pretraining adds to a store
    grid.pending()  # the committed store is that grid's
    if grid.retired:
        return
    grid.check()
    cell = next(cell for cell in reversed(grid.cells) if grid.reference(cell) is None)
    path = grid.sections(cell)["task"].get("options", {}).get("data_path")
    if path is not None and not (ROOT / path).exists():
        pytest.skip(f"needs {(ROOT / path).resolve()}")
    start = grid.start(cell)
    if start.checkpoint is not None:  # any network that a stream could have trained
        config = AsenConfig(**GRID["base"]["model"], structure_embedder=True)
        AsenForMultitask(config).save_pretrained(tmp_path / "checkpoint")
        start = dataclasses.replace(start, checkpoint=str(tmp_path / "checkpoint"))
        monkeypatch.setattr(Grid, "start", lambda self, cell: start)
    row = runner.run_cell(grid, cell, **TOY_SIZE)
    assert row["steps"] == (0 if start.zero_shot or start.in_context else 2) and row["loss"] > 0
    json.dumps(row)
