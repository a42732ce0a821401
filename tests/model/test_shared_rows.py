"""Orbitals of equal offsets, or of one name, share a row, and a row of their own starts at zero.

Node orbits in the same columns of a grid share one, and those in the same rows.
"""

import json
import warnings

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, checkpoint_path, equivariance_error
from asen_hf.model.groups import from_cycles, grid_patches, symmetric, trivial
from asen_hf.model.orbital_classes import line_classes
from asen_hf.model.symmetry import SymmetryBreaker
from tests.conftest import make_model, task_of
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
    features = model.asen.orbital_features("t")
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


def grid_task(group, height=2, width=3, **fields):
    places = [[x, -y] for y in range(height) for x in range(width)]
    settings = {"symmetry_breaking": "nodes", "point_order": "grid", "node_coordinates": places}
    return task_of(group, **settings | fields)


def test_the_lines_of_a_grid_share_rows_of_the_node_table():
    model = make_model({"t": grid_task(trivial(6))}, spread=0.3)
    breaker, table = model.asen.symmetry_breakers["t"], model.asen.node_embedders["t"].weight
    assert breaker.node_rows.tolist() == [[x, 3 + y] for y in range(2) for x in range(3)]
    assert len(table) == 5 and "t" not in model.asen.class_embedders
    tokens = torch.randint(3, (2, 6))
    vectors = table[:3].repeat(2, 1) + table[3:].repeat_interleave(3, 0)
    embedded = model.asen.token_embedders["t"].weight[tokens] + vectors
    torch.testing.assert_close(model.asen.embed("t", {"inputs": tokens}).node_features, embedded)


@pytest.mark.parametrize("patch", [(1, 1), (2, 2), (2, 3), (4, 1)], ids=str)
def test_a_grid_that_shares_rows_keeps_the_patches_and_nothing_more(patch):
    group = grid_patches(4, 5, *patch)  # ragged
    model = make_model({"t": grid_task(group, 4, 5)}, spread=0.3).double()
    tokens = torch.randint(3, (3, 20))
    assert equivariance_error(model, tokens) < 1e-12
    assert equivariance_error(model, tokens, group=symmetric(20)) > 1e-3


def test_tables_of_images_are_as_large_as_the_papers():
    """Table 4: parameters in thousands of 1D-PE, 2D-PE and patches of 2, 3 and 4, at 64 by 64 pixels and width 64."""
    rows, columns = np.indices((64, 64)).reshape(2, -1)
    places = np.stack([columns, rows], axis=1)
    patches = [orbits_of(rows // size, columns // size) for size in (1, 2, 3, 4)]
    tables = [64 * 64, *(int(line_classes(labels, places).max()) + 1 for labels in patches)]
    differences = -64 * np.diff(tables) / 1000
    np.testing.assert_allclose(differences, -np.diff([370.5, 116.6, 112.5, 111.2, 110.4]), atol=0.1)


def orbits_of(rows, columns):
    return np.unique(rows * 64 + columns, return_inverse=True)[1]


def test_orbits_in_the_same_lines_cannot_share_rows():
    diagonals = from_cycles([[[0, 3]], [[1, 2]]], 4)
    with pytest.raises(ValueError, match=r"do not tell the 2 node orbits .* apart: set shared_rows=False"):
        SymmetryBreaker(grid_task(diagonals, 2, 2))
    breaker = SymmetryBreaker(grid_task(diagonals, 2, 2, shared_rows=False))
    assert breaker.node_rows.tolist() == [[0], [1], [1], [0]]


@pytest.mark.parametrize("ours", [True, False], ids=["new shares", "new does not"])
@pytest.mark.parametrize("donors", [True, False], ids=["donor shares", "donor does not"])
def test_the_node_table_of_a_grid_is_copied_from_an_equal_one_only(ours, donors):
    model = make_model({"old": grid_task(trivial(6), shared_rows=donors)}, spread=0.3)
    fresh = "node orbits start fresh"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.add_task("new", grid_task(trivial(6), shared_rows=ours), init_from="old")
    assert any(fresh in str(warning.message) for warning in told) == (ours != donors)
    old, new = (model.asen.node_embedders[name].weight for name in ("old", "new"))
    assert (old.shape == new.shape and torch.equal(old, new)) == (ours == donors)


def test_checkpoints_of_a_grid_go_round(tmp_path):
    model = make_model({"t": grid_task(trivial(6))}, spread=0.3)
    model.save_pretrained(tmp_path)
    tokens = torch.randint(3, (2, 6))
    with torch.no_grad():
        assert torch.equal(AsenForMultitask.from_pretrained(tmp_path)(tokens).logits, model(tokens).logits)
