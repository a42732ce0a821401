"""The candidate symmetries that a selection proposes for a task whose own group changes values."""

from asen_hf import TaskConfig
from asen_hf.experiments.selection import proposals
from asen_hf.training.task_recipe import TaskRecipe

MIRROR = [{"name": "mirror", "points": "(0 1)(2 3)", "inputs": [-1], "outputs": [-1]}]
FIELDS = {"degree": 4, "num_features": 1, "problem_type": "regression"}


def test_the_own_group_comes_with_its_values_and_the_others_without():
    task = TaskConfig(**FIELDS, group_name="a mirror", value_symmetries=MIRROR)
    found = proposals(task)
    recipe = {name: TaskRecipe("t", **fields).config(own=task) for name, fields in found.items()}
    assert recipe.pop("a mirror").value_symmetries == task.value_symmetries
    assert recipe and all(not config.value_symmetries for config in recipe.values())
    assert set(recipe) == set(proposals(TaskConfig(**FIELDS, group_name="trivial")))


def test_a_moving_group_is_proposed_once():
    assert "C4" not in proposals(TaskConfig(group="C4", vocab_size=2))  # it is "cyclic" already
