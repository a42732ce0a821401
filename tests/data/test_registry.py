"""Tasks by name."""

from dataclasses import dataclass

import pytest

from asen_hf.data import get_task, list_tasks, registry
from asen_hf.data.registry import check_options, register, register_stream

EQUIVARIANT = [
    "intersect",
    "symmetric_difference",
    "target_sum",
    "palindrome",
    "monotone_run",
    "constant_run",
    "cyclic_sum",
    "cyclic_product",
    "cyclic_alternating_sum",
    "set",
]
INVARIANT = ["intersect", "palindrome", "detect_capital", "longest_palindrome", "cyclic_sum", "permutation_sign"]


def test_all_tasks_are_known():
    expected = {f"equivariant/{name}" for name in EQUIVARIANT} | {f"invariant/{name}" for name in INVARIANT}
    assert set(list_tasks()) >= expected | {
        *("cards/poker_hand", "code/bb72", "molecule/qm22", "music/jsb_chorales", "pose/lifting", "puzzle/sudoku"),
        *("robot/solo12_momentum", "sequence/dna_nfe2", "traffic/metr_la"),
    }


@pytest.mark.parametrize("name", [name for name in list_tasks() if name.startswith(("equivariant/", "invariant/"))])
def test_a_task_knows_its_name_and_level(name):
    task = get_task(name)
    assert task.name == name
    assert task.config.output_level == {"equivariant": "node", "invariant": "graph"}[name.split("/")[0]]


def test_an_unknown_name_lists_those_known():
    with pytest.raises(
        ValueError,
        match="unknown task 'intersect'; the known tasks are cards/poker_hand, code/bb72, equivariant/co",
    ):
        get_task("intersect")


def test_an_unknown_option_lists_those_taken():
    with pytest.raises(
        ValueError, match=r"takes length, vocabulary, group, symmetry_breaking, num_sets; unknown option window"
    ):
        get_task("equivariant/intersect", window=3)
    with pytest.raises(ValueError, match=r"takes length, group, symmetry_breaking; unknown option vocabulary"):
        get_task("invariant/detect_capital", vocabulary=3)


def test_a_missing_option_is_named():
    with pytest.raises(ValueError, match=r"takes data_path, .*; missing data_path"):
        get_task("traffic/metr_la")


def test_registering_is_one_line(monkeypatch):
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))

    @register("mine/first")
    @dataclass(kw_only=True)
    class Mine:
        size: int = 3

    task = get_task("mine/first", size=4)
    assert (task.name, task.size) == ("mine/first", 4)
    assert "mine/first" in list_tasks()


@pytest.mark.parametrize("add", [register, register_stream])
@pytest.mark.parametrize("name, kind", [("equivariant/palindrome", "task"), ("prior", "stream")])
def test_a_taken_name_is_refused(add, name, kind):
    owner = registry._TASKS.get(name, registry._STREAMS.get(name))
    with pytest.raises(ValueError, match=f"a {kind} named '{name}' is already registered"):
        add(name)(dataclass(type("Another", (), {})))
    assert registry._TASKS.get(name, registry._STREAMS.get(name)) is owner


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("equivariant/palindrom", {}, "unknown task"),
        ("equivariant/palindrome", {"size": 4}, "unknown option size"),
        ("equivariant/intersect", {"length": 7}, "length"),
        ("traffic/metr_la", {}, "missing data_path"),
        ("image/pathfinder", {"side": 17}, "side is 17"),
        ("prior", {}, "unknown task 'prior'"),
    ],
)
def test_options_are_checked_without_reading_rows(name, options, message):
    with pytest.raises(ValueError, match=message):
        check_options(name, options)
    check_options("traffic/metr_la", {"data_path": "a file that is not here"})
    check_options("equivariant/intersect", {"length": 8})
    check_options("image/pathfinder", {"side": 17, "data_path": "a folder that is not here"})
