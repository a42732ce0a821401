"""How close rules of the prior come to registered tasks, and the page that lists it."""

import re
from pathlib import Path

import numpy as np
import pytest

from asen_hf import get_task
from asen_hf.data.synthetic import prior_closeness
from asen_hf.data.synthetic._prior_leaks import agreement
from asen_hf.data.synthetic._prior_rules import Rule
from asen_hf.data.synthetic.prior_closeness import closest_rules, comparable_tasks, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "prior.md"
CLASSES = np.random.default_rng(0).integers(2, size=(50, 6))
COUNTS = CLASSES.sum(axis=1)


@pytest.mark.parametrize(
    "output, found, labels, expected",
    [
        ("node", CLASSES == 1, CLASSES, 1.0),
        ("node", CLASSES == 0, CLASSES, 1.0),  # the classes exchanged
        ("node", np.zeros_like(CLASSES), CLASSES, max(CLASSES.mean(), 1 - CLASSES.mean())),
        ("count", COUNTS, 3 * COUNTS + 5.0, 1.0),
        ("count", -COUNTS, COUNTS, 1.0),
        ("count", np.ones_like(COUNTS), COUNTS, 0.0),
        ("count", np.arange(50) % 2, np.arange(50) % 4 < 2, 0.0),
    ],
)
def test_agreement_does_not_depend_on_what_a_head_can_change(output, found, labels, expected):
    assert agreement(output, found, labels) == pytest.approx(expected, abs=2e-3)


def test_the_closest_of_the_drawn_rules_is_found_by_each_kind_of_rows(monkeypatch):
    task = get_task("equivariant/palindrome")

    def at_random(values):
        return np.random.default_rng(0).integers(2, size=values.shape).astype(bool)

    def is_own(values):
        return task.label(values).astype(bool)

    def half(values):
        return is_own(values) & (np.arange(values.shape[1]) < 5)

    rules = iter([Rule("at random", at_random), Rule("own", is_own), Rule("half", half)])
    monkeypatch.setattr(prior_closeness, "draw_label_rule", lambda *_: next(rules))
    found = closest_rules(task, num_rules=3)
    assert found.keys() == {"random", "own"}
    for closest in found.values():
        assert (closest.words, closest.agreement) == ("own", 1.0)
        assert closest.uninformed < 1


def test_tasks_with_labels_that_no_rule_can_have_are_left_out():
    names = {task.name for task in comparable_tasks()}
    assert "equivariant/intersect" in names and "pairs/matching_brackets" in names
    assert "graph/reachable" not in names  # it reads pairs


def test_the_page_lists_every_task_and_none_that_is_as_good_as_known():
    rows = re.findall(r"^\| (\w+/\w+) \| ([\d.]+) \(([\d.]+)\) \| ([\d.]+) \(([\d.]+)\) \|", PAGE.read_text(), re.M)
    assert [name for name, *_ in rows] == [task.name for task in comparable_tasks()]
    assert all(
        float(share) < 0.96 for _, random, _, own, _ in rows for share in (random, own)
    )  # on few rows, below .95


@pytest.mark.slow
def test_the_page_is_what_the_command_prints():
    assert table() in PAGE.read_text()
