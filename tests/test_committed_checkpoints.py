"""Checkpoints that are committed load for ever, and score what they scored when they were made."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from asen_hf import AsenForMultitask
from asen_hf.data import get_task
from asen_hf.evaluation.scores import ScoreRecord, score_splits
from asen_hf.hub.cards import model_card
from asen_hf.training.recipe import Recipe
from asen_hf.training.stream import StreamWork, stream_of

FOLDERS = [path.parent for path in sorted((Path(__file__).parents[1] / "hub_configs").glob("*/model.safetensors"))]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_committed_checkpoint_reproduces_its_scores(folder, every):
    model = AsenForMultitask.from_pretrained(folder)
    record = ScoreRecord.read(folder / "scores.json")
    recipe = Recipe.read(folder / "recipe.yaml")
    assert {task.name for task in recipe.tasks} == record.scores.keys()
    if stream_of(recipe) is None:
        _, data = dataclasses.replace(recipe, tasks=recipe.tasks[::every]).load()
        scores = score_splits(model, {name: splits[record.split] for name, splits in data.items()})
    else:
        work = StreamWork(recipe)
        scores = {"validation": work.validate, "test": work.test}[record.split](model)
    assert scores
    for name, score in scores.items():
        expected = record.scores[name]
        assert (score.metric, score.rows) == (expected.metric, expected.rows)
        assert score.value == pytest.approx(expected.value, abs=1e-3)
        assert score.loss == pytest.approx(expected.loss, abs=1e-4)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_card_is_what_the_code_renders(folder):
    committed = (folder / "README.md").read_text(encoding="utf-8")
    assert committed == str(model_card(str(folder))), f"asen card {folder} --output {folder}/README.md renders it anew"


def test_a_checkpoint_of_an_older_version_loads_and_gives_the_same_logits():
    """Made by tests/checkpoints/make_before_wings.py with revision a3a0eab, whose configs say ``weak_support``."""
    folder = Path(__file__).parent / "checkpoints" / "before_wings"
    assert "weak_support" in (folder / "config.json").read_text(encoding="utf-8")
    model = AsenForMultitask.from_pretrained(folder)
    assert {name: task.support for name, task in model.config.tasks.items()} == {
        "bones": "weak",
        "ring": "complete",
        "roads": "sparse",
    }
    for name, golden in json.loads((folder / "golden.json").read_text(encoding="utf-8")).items():
        logits = model(torch.tensor(golden["inputs"]), task=name).logits
        torch.testing.assert_close(logits, torch.tensor(golden["logits"]), rtol=1e-5, atol=1e-6)


def test_there_is_one_to_load():
    assert FOLDERS


@pytest.mark.parametrize(
    "options", [{"length": 14}, {"length": 12, "num_sets": 3}, {"length": 10, "group": "S5 x S5"}], ids=str
)
@pytest.mark.filterwarnings("ignore:task .* initialised from:UserWarning")  # orbitals of S5 x S5 tie
def test_the_base_checkpoint_solves_intersect_under_groups_that_it_has_not_seen(options):
    model = AsenForMultitask.from_pretrained(FOLDERS[0].parent / "asen-sequence-base")
    task = get_task("equivariant/intersect", **options)
    tokens, labels = map(torch.from_numpy, task.sample(300))
    model.add_task("new", task.config, init_from="equivariant/intersect-16")
    assert (model.predict(tokens, task="new") == labels).float().mean() >= 0.98
    model.drop_task("new")
    model.add_task("new", task.config)
    assert (model.predict(tokens, task="new") == labels).float().mean() < 0.9  # fresh rows
