"""Rows of new tasks that are computed from structure: columns, the embedder, and add_task(init_from="prior")."""

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error, groups, orbit_labels
from asen_hf.model.configuration_pairs import num_colours
from asen_hf.model.structure_columns import (
    NUM_CODES,
    NUM_INPUT_COLUMNS,
    NUM_ORBITAL_COLUMNS,
    NUM_PAIR_COLUMNS,
    StructureColumns,
    input_columns,
    pair_columns,
)
from asen_hf.model.symmetry import SymmetryBreaker

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
RING_EDGES = [[i, (i + step) % 6] for i in range(6) for step in (-1, 0, 1)]
FLIP = {"points": "(0 5)(1 4)(2 3)", "inputs": [1, 0, 2]}
TASKS = {
    "tokens": {"group": "S3 wr S2", "vocab_size": 4},
    "one token for all": {"group": "D6", "vocab_size": 4, "relations": ["equal"], "shared_token_embedding": True},
    "features": {"group": "D6", "num_features": 3, "output_level": "graph"},
    "order of tokens": {"group": "C6", "vocab_size": 5, "relations": ["order"], "point_order": "ring"},
    "order of numbers": {"group": "R6", "num_features": 1, "relations": ["order"], "point_order": "line"},
    "sums and differences": {"group": "S6", "vocab_size": 3, "relations": ["sum", "difference"]},
    "grid": {
        "group": "grid 2x3 flips",
        "vocab_size": 2,
        "point_order": "grid",
        "node_coordinates": [[float(column), float(row)] for row in range(2) for column in range(3)],
    },
    "rows not shared": {"group": "R6", "vocab_size": 3, "point_order": "line", "shared_rows": False},
    "categories of pairs": {"group": "S6", "vocab_size": 2, "pair_vocab_size": 3, "output_level": "pair"},
    "sparse": {"group": "D6", "vocab_size": 3, "edges": RING_EDGES, "support": "sparse"},
    "weak": {"group": "D6", "vocab_size": 3, "edges": RING_EDGES, "support": "weak"},
    "nodes": {"group": "R6", "vocab_size": 3, "symmetry_breaking": "nodes"},
    "values, average": {"group": "E6", "vocab_size": 3, "value_symmetries": [FLIP], "symmetrization": "average"},
    "values, lift": {"group": "E6", "vocab_size": 3, "value_symmetries": [FLIP], "symmetrization": "lift"},
}


def new_model(**fields):
    torch.manual_seed(0)
    return AsenForMultitask(AsenConfig(**SIZE, structure_embedder=True, **fields)).double().eval()


def rows_of(task, number=4):
    rng = np.random.default_rng(0)
    shape = (number, *task.input_shape())
    inputs = rng.integers(task.vocab_size, size=shape) if task.vocab_size else rng.normal(size=shape)
    pairs = rng.integers(task.pair_vocab_size, size=(number, task.degree, task.degree)) if task.has_pairs else None
    return torch.from_numpy(inputs), None if pairs is None else torch.from_numpy(pairs)


def set_of_rows(columns):
    return {tuple(row) for row in columns.round(9).tolist()}


@pytest.mark.parametrize("case", TASKS)
def test_every_row_of_a_new_task_is_what_the_embedder_computes(case, monkeypatch):
    model, task = new_model(), TaskConfig(**TASKS[case])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    read = []
    of = StructureColumns.of
    monkeypatch.setattr(StructureColumns, "of", lambda *arguments: read.append(of(*arguments)) or read[-1])
    model.add_task("new", task, init_from="prior")
    breaker, [columns] = SymmetryBreaker(task), read
    assert columns.pairs.shape == (breaker.num_pair_orbits * num_colours(task), NUM_PAIR_COLUMNS)
    assert columns.inputs.shape[1] == NUM_INPUT_COLUMNS
    assert np.isfinite(columns.pairs).all()
    with torch.no_grad():
        pairs, _ = model.asen.structure_embedder(columns)
        torch.testing.assert_close(model.asen.orbital_features("new"), pairs, rtol=0, atol=1e-12)
        inputs, categories = rows_of(task)
        assert model(inputs, pairs=categories).logits.isfinite().all()
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("case", ["tokens", "order of tokens", "sums and differences", "categories of pairs", "sparse"])
def test_a_task_from_the_prior_has_the_symmetry_of_its_group_and_no_other(case):
    model, task = new_model(), TaskConfig(**TASKS[case])
    model.add_task("new", task, init_from="prior")
    inputs, pairs = rows_of(task)
    if pairs is None:
        assert equivariance_error(model, inputs, group=groups.from_cycles(task.generators, task.degree)) < 1e-12
        if task.generators != TaskConfig(group="S6", vocab_size=2).generators:
            assert equivariance_error(model, inputs, group=groups.symmetric(task.degree)) > 1e-3
        return
    order = torch.tensor([3, 1, 0, 5, 4, 2])
    moved = model(inputs[:, order], pairs=pairs[:, order][:, :, order]).logits
    torch.testing.assert_close(moved, model(inputs, pairs=pairs).logits[:, order][:, :, order], rtol=0, atol=1e-12)


def test_more_points_than_orbitals_are_computed_for_are_refused_before_the_model_changes():
    model, degree = new_model(), 4097
    ring = [[i, (i + 1) % degree] for i in range(degree)]
    task = TaskConfig(degree=degree, vocab_size=3, edges=ring)
    before = list(model.state_dict())
    with pytest.raises(ValueError, match=r"task 'ring': .*4,097 points have 16,785,409: add it without init_from"):
        model.add_task("ring", task, init_from="prior")
    assert model.config.tasks == {} and list(model.state_dict()) == before
    with pytest.raises(ValueError, match="4,097 points"):
        model.predict(np.zeros((2, degree), int), task, context=(np.zeros((2, degree), int),) * 2)


@pytest.mark.parametrize("group", ["S2 wr S3", "C6", "D4 x E2", "Young(2, 4)"])
def test_columns_do_not_depend_on_how_points_are_numbered(group):
    task = TaskConfig(group=group, vocab_size=3)
    labels = orbit_labels(groups.from_cycles(task.generators, 6))
    order = np.random.default_rng(1).permutation(6)
    renamed = TaskConfig(
        degree=6, generators=[[[int(order[i]) for i in c] for c in g] for g in task.generators], vocab_size=3
    )
    codes = np.random.default_rng(0)
    relabelled = orbit_labels(groups.from_cycles(renamed.generators, 6))
    columns, again = (
        pair_columns(config, found.astype(np.int64), None, codes)[:, :NUM_ORBITAL_COLUMNS]  # without the codes
        for config, found in ((task, labels), (renamed, relabelled))
    )
    assert set_of_rows(columns) == set_of_rows(again)


def test_columns_tell_apart_shifts_colours_and_tokens():
    task = TaskConfig(**TASKS["order of tokens"])
    labels = orbit_labels(groups.from_cycles(task.generators, 6)).astype(np.int64)
    columns = pair_columns(task, labels, None, np.random.default_rng(0))
    assert len(set_of_rows(columns)) == len(columns) == 6 * 4
    tokens = input_columns(task, np.random.default_rng(0))
    assert (np.diff(tokens[:, 3]) > 0).all()  # places in the vocabulary
    assert len(set_of_rows(tokens[:, -NUM_CODES:])) == task.vocab_size
    features = input_columns(TaskConfig(**TASKS["features"]), np.random.default_rng(0))
    assert len(set_of_rows(features)) == 3 + 1  # and the bias


def test_codes_tell_apart_an_orbital_and_its_converse_and_no_orbital_that_is_known_without():
    task = TaskConfig(group="C6", vocab_size=2)
    labels = orbit_labels(groups.from_cycles(task.generators, 6)).astype(np.int64)
    columns = pair_columns(task, labels, None, np.random.default_rng(0))
    assert len(set_of_rows(columns[:, :NUM_ORBITAL_COLUMNS])) == 4  # 0, 1 or 5, 2 or 4, 3
    assert len(set_of_rows(columns)) == 6
    codes = columns[:, NUM_ORBITAL_COLUMNS:]
    assert not codes[[labels[0, 0], labels[0, 3]]].any()
    model = new_model()
    model.add_task("new", task, init_from="prior")
    assert equivariance_error(model, rows_of(task)[0], group=groups.dihedral(6)) > 1e-3


def test_a_sparse_support_says_what_the_complete_one_says_of_the_same_pairs():
    sparse, complete = (TaskConfig(**{**TASKS["sparse"], "support": support}) for support in ("sparse", "complete"))
    codes = np.random.default_rng(0)
    edges = np.array(sparse.seen_edges).T
    labels = orbit_labels(groups.from_cycles(sparse.generators, 6)).astype(np.int64)
    of_edges = pair_columns(sparse, SymmetryBreaker(sparse).labels.numpy(), edges, codes)
    of_pairs = pair_columns(complete, labels, None, codes)
    is_equal = (of_edges[:, None] == of_pairs[None]).sum(axis=-1) == NUM_PAIR_COLUMNS - 1  # all but the support
    assert is_equal.any(axis=1).all()


def test_saved_with_the_model_and_loaded(tmp_path):
    model = new_model()
    model.add_task("new", TASKS["tokens"], init_from="prior")
    model.save_pretrained(tmp_path)
    loaded = AsenForMultitask.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in model.state_dict().items())
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model.add_task("again", TASKS["tokens"], init_from="prior")
        torch.manual_seed(1)
        loaded.add_task("again", TASKS["tokens"], init_from="prior")
    assert torch.equal(model.asen.edge_embedders["again"].weight, loaded.asen.edge_embedders["again"].weight)


def test_without_an_embedder_the_prior_is_refused_and_no_task_has_its_name():
    plain = AsenForMultitask(AsenConfig(**SIZE, tasks={"new": TASKS["tokens"]}))
    with pytest.raises(ValueError, match="a task cannot be named 'prior'"):
        plain.add_task("prior", TASKS["tokens"])
    with pytest.raises(ValueError, match="pretrained on random tasks"):
        plain.add_task("other", TASKS["tokens"], init_from="prior")
    assert list(plain.config.tasks) == ["new"]
