"""The candidate symmetries that a selection proposes for a task whose own group changes values."""

import numpy as np

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


def test_statistics_per_node_are_pooled_over_the_orbits_of_every_candidate():
    rows = np.random.default_rng(0).normal(np.arange(4)[:, None], 1 + np.arange(4)[:, None], (50, 4, 2))
    stated = {"input_mean": rows.mean(axis=0).tolist(), "input_scale": rows.std(axis=0).tolist()}
    task = TaskConfig(degree=4, num_features=2, problem_type="regression", **stated)
    candidates = proposals(task) | {"the first two": {"generators": [[[0, 1]]]}}
    assert {"trivial", "symmetric", "reversal"} <= set(candidates)
    for fields in candidates.values():
        config = TaskRecipe("t", **fields).config(own=task)
        for orbit in config.permutation_group().orbits() + [{i} for i in set(range(4)) - _moved(config)]:
            for node in orbit:
                values = rows[:, sorted(orbit)].reshape(-1, 2)
                np.testing.assert_allclose(config.input_mean[node], values.mean(axis=0), atol=1e-12)
                np.testing.assert_allclose(config.input_scale[node], values.std(axis=0), atol=1e-12)


def _moved(config):
    return set().union(*config.permutation_group().orbits())
