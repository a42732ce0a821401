"""Checkpoints that are committed load for ever, and score what they scored when they were made."""

import json
from pathlib import Path

import pytest

from asen_hf import AsenForMultitask
from asen_hf.objective import evaluate
from asen_hf.recipe import Recipe

FOLDERS = [path.parent for path in sorted((Path(__file__).parents[1] / "hub_configs").glob("*/scores.json"))]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_checkpoint_reproduces_its_scores(folder):
    model = AsenForMultitask.from_pretrained(folder)
    record = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    _, data = Recipe.read(folder / "recipe.yaml").load()
    scores = evaluate(model, {name: splits[record["split"]] for name, splits in data.items()})
    assert scores.keys() == record["scores"].keys()
    for name, score in scores.items():
        expected = record["scores"][name]
        assert score.metric == expected["metric"]
        assert score.value == pytest.approx(expected["value"], abs=1e-3)
        assert score.loss == pytest.approx(expected["loss"], abs=1e-4)


def test_there_is_one_to_load():
    assert FOLDERS
