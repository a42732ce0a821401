"""asen evaluate --plots: which pictures people get of which checkpoint, and what is said about them."""

import json
import sys

import numpy as np
import pytest

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.commands.main import main
from asen_hf.plots import predictions
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

pytestmark = pytest.mark.usefixtures("coarse_pictures")

POSE = {"num_features": 2, "num_labels": 3, "problem_type": "regression", "loss": "mse", "metric": "mpjpe"}


@pytest.fixture
def table(tmp_path):
    """A user's poses: four joints, and which table and config say so."""
    rng = np.random.default_rng(0)
    rows = [{"inputs": rng.normal(size=(4, 2)).tolist(), "labels": rng.normal(size=(4, 3)).tolist()} for _ in range(40)]
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    config = TaskConfig(group="S1 x S1 x S2", edges=[[i, j] for i in range(4) for j in range(4) if i != j], **POSE)
    return TaskRecipe(name="people", dataset=str(path), task_config=config.to_dict())


@pytest.fixture
def traffic(tmp_path):
    """Eight sensors on a ring road, all of which hear each other."""
    rng, ring = np.random.default_rng(0), np.arange(8) * np.pi / 4
    path = tmp_path / "speeds.npz"
    np.savez(
        path,
        speed_mph=rng.uniform(20, 70, size=(60, 8)),
        adjacency=np.eye(8) + np.roll(np.eye(8), 1, axis=1),
        cluster2=np.arange(8) % 2,
        longitude=np.cos(ring),
        latitude=np.sin(ring),
    )
    return TaskRecipe(
        name="traffic/metr_la", options={"data_path": str(path), "time_of_day": False}, support="complete"
    )


@pytest.fixture
def run(tmp_path, capsys):
    """Evaluates an untrained model of some tasks; returns what was printed."""

    def evaluate_tasks(*sources, flags):
        config = AsenConfig(
            tasks={source.name: source.config() for source in sources},
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
        )
        AsenForMultitask(config).save_pretrained(tmp_path / "model")
        Recipe(ModelRecipe.of(config), list(sources), TrainingRecipe()).write(tmp_path / "model" / "recipe.yaml")
        capsys.readouterr()
        if status := main(["evaluate", str(tmp_path / "model"), *map(str, flags)]):
            raise SystemExit(status)
        return capsys.readouterr().out

    return evaluate_tasks


def test_every_picture_is_written_and_said(tmp_path, run, table, traffic):
    sequence = TaskRecipe(name="equivariant/palindrome", num_rows=40)
    text = run(table, traffic, sequence, flags=["--plots", tmp_path / "new" / "plots", "--batch_size", 5])
    kinds = {
        "people": ["nodes", "poses", "truth"],
        "traffic-metr_la": ["forecasts", "map", "truth"],
        "equivariant-palindrome": ["calibration", "confusion", "nodes"],
    }
    names = sorted(f"{name}-{kind}.png" for name, of_task in kinds.items() for kind in of_task)
    assert sorted(path.name for path in (tmp_path / "new" / "plots").iterdir()) == names
    lines = text.splitlines()
    for name in names:
        assert len([line for line in lines if line.startswith(f"{tmp_path / 'new' / 'plots' / name}: ")]) == 1


def test_nothing_is_drawn_unasked(tmp_path, run, table):
    assert "picture" not in run(table, flags=[])
    assert not list(tmp_path.rglob("*.png"))


def test_roads_and_bones_are_those_of_the_task_though_all_nodes_hear_each_other(
    tmp_path, run, table, traffic, monkeypatch
):
    figures = {}
    monkeypatch.setattr(predictions, "save_figure", lambda figure, path, **_: figures.setdefault(path.name, figure))
    table.support = "weak"
    run(table, traffic, flags=["--plots", tmp_path])
    roads = figures["traffic-metr_la-map.png"].axes[0].collections[0].get_segments()
    assert len(roads) == 8
    bones = [line for line in figures["people-poses.png"].axes[0].lines if len(line.get_data_3d()[0]) == 2]
    assert len(bones) == 2 * 6


def test_the_picture_shows_the_scored_split_and_its_error(tmp_path, run, table, monkeypatch):
    figures = []
    monkeypatch.setattr(predictions, "save_figure", lambda figure, path, **_: figures.append(figure))
    flags = ["--plots", tmp_path, "--split", "validation", "--output", tmp_path / "scores.json"]
    run(table, flags=flags)
    [score] = json.loads((tmp_path / "scores.json").read_text())["scores"].values()
    errors = [float(axes.get_title().split(": ")[1].split(" mm")[0]) for axes in figures[-1].axes]
    assert score["rows"] == len(errors) == 6 and score["value"] == pytest.approx(np.mean(errors), rel=0.01)


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path, run, table, capsys):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemExit):
        run(table, flags=["--plots", tmp_path / "taken"])
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("error: ") and "taken" in shown.err


def test_attributions_are_drawn_on_request(tmp_path, run, table):
    pytest.importorskip("captum")
    run(table, flags=["--plots", tmp_path, "--explain"])
    assert (tmp_path / "people-attribution.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "said"),
    [(["--explain"], "--explain draws pictures"), (["--explain", "--plots", "plots"], "needs captum")],
)
def test_an_explanation_that_cannot_be_had_is_refused_before_the_work(
    tmp_path, run, table, capsys, monkeypatch, flags, said
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(SystemExit):
        run(table, flags=flags)
    shown = capsys.readouterr()
    assert shown.out == "" and said in shown.err
