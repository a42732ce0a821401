"""Orbitals of equal offsets, or of one name, share a row, and a row of their own starts at zero."""

import json

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, checkpoint_path, equivariance_error
from asen_hf.model.symmetry import SymmetryBreaker
from tests.conftest import make_model
from tests.model.coloured_cases import columns_of
from tests.model.value_cases import model_of

PLACES = [[x, y] for y in range(2) for x in range(3)]


def classes_of(**fields):
    """The class of every pair, ``(n, n)``."""
    breaker = SymmetryBreaker(TaskConfig(**{"vocab_size": 2, "shared_rows": True, **fields}))
    return breaker.row_classes[breaker.labels].numpy()


@pytest.mark.parametrize(
    ("fields", "offset"),
    [
        ({"group": "E6", "point_order": "line"}, lambda i, j: j - i),
        ({"group": "R6", "point_order": "line"}, lambda i, j: abs(j - i)),
        ({"group": "E6", "point_order": "ring"}, lambda i, j: (j - i) % 6),
        ({"group": "C6", "point_order": "ring"}, lambda i, j: (j - i) % 6),
        ({"group": "D6", "point_order": "ring"}, lambda i, j: min((j - i) % 6, (i - j) % 6)),
        (
            {"group": "E6", "point_order": "grid", "node_coordinates": PLACES},
            lambda i, j: tuple(np.subtract(PLACES[j], PLACES[i])),
        ),
    ],
    ids=["line", "reversed line", "ring", "cyclic", "dihedral", "grid"],
)
def test_classes_are_those_of_equal_offsets(fields, offset):
    classes = classes_of(**fields)
    for pair in np.ndindex(6, 6):
        for other in np.ndindex(6, 6):
            assert (classes[pair] == classes[other]) == (offset(*pair) == offset(*other)), (pair, other)


def test_orbitals_of_one_name_share_a_row():
    names = ["self", "near", "far", "near", "self", "near", "far", "near", "self"]
    classes = classes_of(group="E3", orbital_names=names)
    assert classes.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]


def test_edges_of_a_weak_support_share_no_row_with_other_pairs():
    classes = classes_of(group="E4", point_order="line", edges=[[0, 1]], support="weak")
    assert classes[0, 1] != classes[1, 2] == classes[2, 3]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"point_order": "line"}, True),
        ({"orbital_names": ["a"] * 16}, True),
        ({"orbital_names": list("abcdefghijklmnop")}, False),
        ({}, False),
        ({"point_order": "line", "shared_rows": False}, False),
    ],
    ids=str,
)
def test_rows_are_shared_where_there_is_an_order_or_a_name_twice(fields, expected):
    task = TaskConfig(degree=4, vocab_size=2, **fields)
    assert task.shared_rows is expected
    assert ("t" in make_model({"t": task}).asen.class_embedders) is expected


def test_fresh_orbitals_of_a_class_are_equal_and_both_tables_learn():
    task = TaskConfig(group="R5", vocab_size=3, point_order="line", relations=["order"])
    model = make_model({"t": task})
    features = model.asen._orbital_features("t")
    classes = model.asen.symmetry_breakers["t"].row_classes
    assert not model.asen.edge_embedders["t"].weight.any()
    for row, other in zip(features.unflatten(0, (-1, 4)), classes.tolist(), strict=True):
        assert torch.equal(row, model.asen.class_embedders["t"].weight[4 * other : 4 * other + 4])
    model(torch.randint(3, (8, 5))).logits.square().sum().backward()
    for table in (model.asen.edge_embedders["t"], model.asen.class_embedders["t"]):
        assert table.weight.grad.abs().max() > 0
    moved = model_of(task)
    assert equivariance_error(moved, task="t", **columns_of(task)) < 1e-12


@pytest.mark.parametrize("ours", [True, False], ids=["new shares", "new does not"])
@pytest.mark.parametrize("donors", [True, False], ids=["donor shares", "donor does not"])
@pytest.mark.parametrize("relations", [[], ["equal"]], ids=str)
def test_a_task_started_from_its_like_computes_the_same(ours, donors, relations):
    fields = {"group": "R5", "vocab_size": 3, "point_order": "line", "relations": relations}
    model = make_model({"old": TaskConfig(**fields, shared_rows=donors)}, spread=0.3)
    model.add_task("new", TaskConfig(**fields, shared_rows=ours), init_from="old")
    rows = torch.randint(3, (4, 5))
    with torch.no_grad():
        torch.testing.assert_close(model(rows, task="new").logits, model(rows, task="old").logits)


@pytest.mark.parametrize(
    "fields",
    [
        {"pair_vocab_size": 2, "relations": ["sum"]},
        {"pair_features": 2, "pair_quantiles": [[0.0, 1.0], [0.5, 0.75]]},
        {"edges": [[0, 1], [1, 2], [4, 4]]},
        {"edges": [[0, 1], [1, 2], [4, 4]], "support": "weak"},
        {"symmetry_breaking": "nodes"},
        {"symmetry_breaking": "triples"},
        {"output_level": "pair", "pair_features": 1},
    ],
    ids=str,
)
def test_so_does_one_with_pairs_on_any_support(fields):
    fields = {"group": "R5", "vocab_size": 3, "point_order": "line", **fields}
    model = make_model({"old": TaskConfig(**fields)}, spread=0.3)
    model.add_task("new", TaskConfig(**fields, shared_rows=False), init_from="old")
    columns = columns_of(model.config.tasks["old"])
    with torch.no_grad():
        torch.testing.assert_close(model(task="new", **columns).logits, model(task="old", **columns).logits)


def test_colours_start_from_a_donor_without_any():
    model = make_model({"old": TaskConfig(group="C5", vocab_size=3)}, spread=0.3)
    model.add_task("new", TaskConfig(group="C5", vocab_size=3, relations=["order"]), init_from="old")
    rows = torch.randint(3, (4, 5))
    with torch.no_grad():
        torch.testing.assert_close(model(rows, task="new").logits, model(rows, task="old").logits)
    with pytest.warns(UserWarning, match=r"orbitals start fresh.*relations=\['order'\]"):
        model.add_task("other", TaskConfig(group="C5", vocab_size=3, relations=["equal"]), init_from="new")


def test_checkpoints_go_round(tmp_path):
    fields = {"relations": ["order"], "point_order": "ring", "pair_features": 2}
    task = TaskConfig(group="D5", vocab_size=3, output_level="pair", **fields)
    model = make_model({"t": task}, spread=0.3)
    model.save_pretrained(tmp_path)
    columns = columns_of(task)
    loaded = AsenForMultitask.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(**columns).logits, model(**columns).logits)


def test_configs_older_than_shared_rows_share_none():
    config = AsenConfig(tasks={"t": TaskConfig(group="R5", vocab_size=3, point_order="line", shared_rows=False)})
    fields = json.loads(config.to_json_string(use_diff=False))
    for field in ("shared_rows", "relations", "pair_vocab_size", "symmetric_outputs"):
        del fields["tasks"]["t"][field]
    assert AsenConfig.from_dict(fields).tasks["t"].shared_rows is False
    assert TaskConfig(group="R5", vocab_size=3, point_order="line").shared_rows is True


def test_a_checkpoint_older_than_shared_rows_computes_the_same_also_beside_a_new_task(tmp_path):
    fields = {"group": "R5", "vocab_size": 3, "point_order": "line", "shared_rows": False}
    model = make_model({"old": TaskConfig(**fields)}, spread=0.3)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    new = {"relations", "shared_rows", "shared_token_embedding", "pair_vocab_size", "pair_features", "pair_buckets"}
    for field in new | {"pair_quantiles", "symmetric_outputs"}:
        del config["tasks"]["old"][field]
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = AsenForMultitask.from_pretrained(tmp_path)
    rows = torch.randint(3, (4, 5))
    with torch.no_grad():
        expected = model(rows).logits
        assert torch.equal(loaded(rows).logits, expected)
        loaded.add_task("new", TaskConfig(**fields | {"shared_rows": None}), init_from="old")
        assert torch.equal(loaded(rows, task="old").logits, expected)
        torch.testing.assert_close(loaded(rows, task="new").logits, expected)
    loaded.save_pretrained(tmp_path)
    tasks = AsenForMultitask.from_pretrained(tmp_path).config.tasks
    assert (tasks["old"].shared_rows, tasks["new"].shared_rows) == (False, True)


@pytest.mark.parametrize("name", ["asen-sequence-base", "asen-sequence-invariant", "asen-sequence-tiny"])
def test_committed_checkpoints_say_what_they_share(name):
    fields = json.loads((checkpoint_path(name) / "config.json").read_text())
    model = AsenForMultitask.from_pretrained(name)
    for task, config in model.config.tasks.items():
        assert config.shared_rows is fields["tasks"][task].get("shared_rows", False)
        assert (task in model.asen.class_embedders) is config.shared_rows
