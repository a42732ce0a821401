"""The prior over equivariant tasks: labels move with the group, classes are balanced, streams repeat, nothing leaks."""

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, get_task, list_tasks
from asen_hf.data.synthetic._prior_leaks import agreement, agreements, is_a_known_task
from asen_hf.data.synthetic._prior_rules import Rule
from asen_hf.data.synthetic._prior_structures import FAMILIES, _build
from asen_hf.data.synthetic.prior import prior_task
from asen_hf.model.configuration_pairs import num_colours
from asen_hf.model.groups import random_elements
from asen_hf.model.orbits import orbit_labels


def tasks_of(seed, count):
    """The first tasks of a stream."""
    return (prior_task(number, seed) for number in range(count))


TASKS = list(tasks_of(0, 200))


def moved(array, element, axes):
    """Rows whose entry at point i is at its image: ``array[:, i] -> [:, element[i]]`` along each axis."""
    inverse = np.argsort(element)
    for axis in axes:
        array = np.take(array, inverse, axis=axis)
    return array


@pytest.mark.parametrize("task", TASKS, ids=lambda task: str(task.number))
def test_labels_move_with_the_group(task):
    inputs, _ = task.sample(20)
    axes = {"node": (1,), "pair": (1, 2)}.get(task.output, ())
    for element in random_elements(task.config.permutation_group(), 5, seed=1):
        np.testing.assert_array_equal(
            task.label(moved(inputs, element, (1,))), moved(task.label(inputs), element, axes)
        )


def test_many_rules_do_not_move_with_all_permutations():
    """Else the group would be no part of the tasks."""
    kept = []
    for task in TASKS:
        inputs, _ = task.sample(50)
        element = np.random.default_rng(task.number).permutation(task.structure.degree)
        axes = {"node": (1,), "pair": (1, 2)}.get(task.output, ())
        kept.append(np.array_equal(task.label(moved(inputs, element, (1,))), moved(task.label(inputs), element, axes)))
    assert np.mean(kept) < 0.3


def test_all_families_outputs_and_kinds_of_values_occur_and_classes_are_balanced():
    tasks = list(tasks_of(1, 400))
    assert {task.output for task in tasks} == {"node", "pair", "graph", "count"}
    assert {task.domain.size for task in tasks} >= {0, 2, 50}
    assert any(task.noise for task in tasks) and sum(not task.noise for task in tasks) > 200
    for task in tasks:
        labels = task.sample(300)[1]
        if task.output == "count":
            assert labels.std() > 0
        else:
            assert 0.02 < labels.mean() < 0.98  # judged on 32 rows: at least .15 there


def test_all_relations_occur_and_none_makes_a_table_of_many_colours():
    assert {relation for task in TASKS for relation in task.relations} == {"order", "equal", "sum", "difference"}
    assert any(not task.relations for task in TASKS)
    assert max(num_colours(task.config) for task in TASKS) <= 16


def test_a_task_is_the_same_at_any_time():
    again = prior_task(17)
    assert again.words == TASKS[17].words and again.config == TASKS[17].config
    for first, second in zip(again.sample(9, seed=3), TASKS[17].sample(9, seed=3), strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(again.sample(9, seed=3)[0], again.sample(9, seed=4)[0])
    assert prior_task(17, seed=1).words != again.words


def test_noise_changes_its_share_of_labels():
    noisy = next(task for task in TASKS if task.noise == 0.1 and task.output == "node")
    inputs, labels = noisy.sample(4000)
    assert (labels != noisy.label(inputs)).mean() == pytest.approx(0.1, abs=0.02)


def test_every_config_makes_a_model_that_takes_the_rows():
    for task in TASKS[:30]:
        inputs, labels = task.sample(2)
        config = task.config
        tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        model = AsenForMultitask(AsenConfig(tasks={"t": config}, **tiny))
        assert model(torch.from_numpy(inputs), labels=torch.from_numpy(labels)).loss.isfinite()
        np.testing.assert_array_equal(orbit_labels(config.permutation_group()), task.structure.labels)


def test_a_config_is_the_one_that_all_checks_would_give():
    for task in TASKS:
        assert task.config == TaskConfig.from_dict(task.config.to_dict())
        assert task.config.output_level == ("graph" if task.output == "count" else task.output)
        assert task.config.vocab_size == (task.domain.size or None)
        assert task.config.is_regression == (task.output == "count")
        assert task.config.relations == task.relations
    groups = [task.config for task in TASKS if task.structure.name == TASKS[0].structure.name]
    assert all(config is not groups[0] for config in groups[1:])


def known_rule(name, **options):
    task = get_task(name, **options)
    # A task on the same group is compared on its own rows, too, which may have more tokens than this one.
    return task, Rule(
        name, lambda values: task.label(values % task.vocabulary).reshape(len(values), -1).astype(bool).squeeze()
    )


@pytest.mark.parametrize(
    "name, group, length",
    [
        ("equivariant/intersect", "S5 wr S2", 10),
        ("equivariant/intersect", "S4 wr S2", 8),  # at another length than its own
        ("equivariant/palindrome", "R10", 10),
        ("equivariant/cyclic_sum", "D10", 10),
    ],
)
def test_a_registered_tasks_rule_is_recognised_and_so_is_its_opposite(name, group, length):
    task, rule = known_rule(name, length=length)
    structure = _build(group, None)
    assert is_a_known_task(structure, task.vocabulary, "node", rule)
    assert is_a_known_task(structure, task.vocabulary, "node", Rule("not", lambda values: ~rule.compute(values)))
    assert not is_a_known_task(structure, task.vocabulary, "graph", rule)
    assert not is_a_known_task(_build(f"S{length}", None), task.vocabulary, "node", rule)


def test_no_rule_of_the_stream_is_that_of_a_registered_task():
    """Compared here on more rows than the stream's own check sees."""
    compared, closest = 0, 0.0
    for task in tasks_of(2, 1500):
        for name in agreements(task.structure, task.domain.size, task.output, task.rule):
            known = get_task(name, length=task.structure.degree)
            inputs = np.random.default_rng(0).integers(
                min(known.vocabulary, task.domain.size), size=(200, known.length)
            )
            closest = max(closest, agreement(task.output, task.label(inputs), known.label(inputs)))
            compared += 1
    assert compared > 50 and closest < 0.995


def test_families_have_names():
    assert len(FAMILIES) == 10 and any(name.startswith("equivariant/") for name in list_tasks())
