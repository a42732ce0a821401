"""The trainings behind the tabs, with the commands replaced by what they would leave, or run for real (slow)."""

import json
import zipfile
from pathlib import Path

import pytest

from asen_hf import AsenForMultitask
from asen_hf.demo import jobs, trainings
from asen_hf.demo.trainings import Fit, fit, ranking_picture, select
from asen_hf.demo.uploads import boards, read_upload, task_fields
from asen_hf.evaluation.scores import Score, ScoreRecord

BOARD = task_fields(boards(), "grid 3x3 dihedral", "tokens", "classes")


def names_of(picture):
    return [label.get_text() for label in picture.axes[0].get_yticklabels()]


def test_a_fit_reports_progress_scores_and_an_archive(monkeypatch):
    calls = []

    def run(arguments, folder, deadline=None):
        output = folder / arguments[arguments.index("--output_dir") + 1]
        calls.append((arguments, deadline))
        yield ""
        yield "step 60: validation loss 0.5\n"
        yield "step 60: validation loss 0.5\nstep 120: validation loss 0.4\n"
        output.mkdir()
        for name in trainings._DOWNLOADED:
            (output / name).write_text(name)
        score = Score(
            15, 0.1, "accuracy", 0.9, references={"majority": 0.6, "equivariant_ridge": 0.7}, outside_error=1.0
        )
        ScoreRecord("test", 0, {"table": score}).write(output / "test_scores.json")

    monkeypatch.setattr(jobs, "run", run)
    *shares, result = [
        (found, zipfile.ZipFile(found.archive).namelist()) if isinstance(found, Fit) else found
        for found in fit(boards(), BOARD)
    ]
    assert shares == [0, 0.25, 0.5, 0.5, 0.75, 1]
    found, names = result
    assert sorted(names) == sorted(trainings._DOWNLOADED)
    assert list(found.scores.values()) == [0.9, 0.9, 0.7, 0.6]
    assert [("--generators" in arguments) for arguments, _ in calls] == [False, True]
    assert calls[0][1] == calls[1][1] > 0  # both trainings together have 15 minutes
    assert not found.archive.parent.exists()


def test_a_ranking_shows_the_best_first():
    lines = [("ring", 0.5, 10), ("trivial", 0.9, 10), ("ridge", 0.7, 0), ("ring", 0.7, 10)]
    rows = [
        {"candidate": name, "validation": str(score), "parameters": str(size), "metric": "accuracy"}
        for name, score, size in lines
    ]
    assert names_of(ranking_picture(rows)) == ["trivial", "ridge", "ring"]
    for row in rows:
        row["metric"] = "mae"
    assert names_of(ranking_picture(rows)) == ["ring", "ridge", "trivial"]


@pytest.mark.parametrize(
    "candidates, message",
    [
        (["D8"], "acts on 8 points, but grid 3x3 dihedral on 9"),
        (["S5 wr"], "\\^"),
        (["D9"] * 7, "at most 6"),
    ],
)
def test_bad_candidates_are_refused(candidates, message):
    with pytest.raises(ValueError, match=message):
        next(select(boards(), BOARD, candidates))


def test_nothing_is_left_when_a_training_is_abandoned(monkeypatch):
    folders = []

    def run(arguments, folder, deadline=None):
        folders.append(folder)
        yield ""

    monkeypatch.setattr(jobs, "run", run)
    job = fit(boards(), BOARD)
    next(job)
    assert sorted(path.name for path in folders[0].iterdir()) == ["table.csv", "table.json"]
    job.close()
    assert not folders[0].exists()


@pytest.mark.slow
def test_boards_are_fitted_better_with_their_symmetry_and_the_archive_is_a_checkpoint(tmp_path):
    for found in fit(boards(), BOARD):
        if isinstance(found, Fit):
            zipfile.ZipFile(found.archive).extractall(tmp_path)
            own, trivial, *_ = found.scores.values()
            assert own > max(trivial, 0.8) and found.equivariance_error < 1e-5 < found.outside_error
    model = AsenForMultitask.from_pretrained(tmp_path)
    assert list(model.config.tasks) == ["table"] and "grid 3x3 dihedral" in Path(tmp_path, "README.md").read_text()
    assert json.loads((tmp_path / "test_scores.json").read_text())["split"] == "test"


@pytest.mark.slow
def test_a_ranking_does_without_a_ridge_that_is_too_costly(tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "SELECT_STEPS", 1)
    monkeypatch.setattr(trainings, "SELECT_SEEDS", 1)
    cells = [" ".join(str((row * 7 + node * node) % 20) for node in range(64)) for row in range(40)]
    labels = [" ".join(str((row + node) % 2) for node in range(64)) for row in range(40)]
    (tmp_path / "large.csv").write_text(
        "inputs,labels\n" + "\n".join(f"{row},{label}" for row, label in zip(cells, labels, strict=True))
    )
    upload = read_upload(tmp_path / "large.csv", "large.csv")
    *_, found = select(upload, task_fields(upload, "C64", "tokens", "classes"), [])
    assert found.done == 1 and "Left out, because it could not be fitted: equivariant ridge." in found.verdict


@pytest.mark.slow
def test_a_ranking_grows_and_ends_with_a_verdict(monkeypatch):
    monkeypatch.setattr(trainings, "SELECT_STEPS", 2)
    monkeypatch.setattr(trainings, "SELECT_SEEDS", 1)
    states = list(select(boards(), BOARD, ["grid 3x3 rotations"]))
    shares = [state.done for state in states]
    assert shares == sorted(shares) and len(set(shares)) > 3
    assert {"trivial", "grid 3x3 dihedral", "grid 3x3 rotations"} <= set(names_of(states[-1].picture))
    assert states[-1].verdict.startswith("Best by validation accuracy")
