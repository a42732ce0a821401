"""The ``asen`` command, as people type it."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.cli import main
from asen_hf.groups import dihedral, young_subgroup
from asen_hf.orbits import orbit_labels
from asen_hf.plotting import plot_symmetry


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
        (["Q8"], "Q"),
        (["S5", "--task", "a"], "--task needs a checkpoint"),
        (["runs/gone"], "runs/gone"),
        (["S5", "--plot", "out.nothing"], "nothing"),
    ],
)
def test_bad_input_is_an_error_and_status_two(arguments, message, capsys):
    assert main(["inspect", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error


def test_a_task_that_the_checkpoint_lacks_is_refused(checkpoint, capsys):
    assert main(["inspect", str(checkpoint), "--task", "gone"]) == 2
    assert "ring/all, ring/sparse" in capsys.readouterr().err


def test_it_is_installed_as_a_module_that_runs():
    done = subprocess.run([sys.executable, "-m", "asen_hf.cli", "inspect", "C4"], capture_output=True, text=True)
    assert done.returncode == 0 and "order               4" in done.stdout


@pytest.mark.parametrize("group", [dihedral(10), dihedral(207), young_subgroup([[0, 2], [1, 3, 4]])], ids=str)
def test_pictures_of_any_degree_are_drawn(group, tmp_path):
    rank = int(orbit_labels(group).max()) + 1
    distances = np.abs(np.arange(rank)[:, None] - np.arange(rank)).astype(float)
    plot_symmetry(tmp_path / "out.png", orbit_labels(group), orbit_labels(group, order=1), "title", distances)
    assert (tmp_path / "out.png").stat().st_size > 10_000
