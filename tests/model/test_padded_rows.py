"""Rows that lack nodes: as the same network on fewer nodes, and only where the group permutes nodes freely."""

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig, equivariance_error, groups
from asen_hf.data import collate
from asen_hf.model.twins import can_lack_nodes, has_twin
from tests.conftest import BASES, make_model
from tests.model.coloured_cases import columns_of, random_task
from tests.model.value_cases import model_of

LEVELS = [
    *({"output_level": "graph", "pooling": pooling} for pooling in ("mean", "sum", "max")),
    {"output_level": "node"},
    {"output_level": "pair"},
]
FIELDS = {"relations": ["order"], "pair_features": 1, "vocab_size": 3, "pair_quantiles": [[-1.0, 0.0, 1.0]]}


@pytest.mark.parametrize("fields", LEVELS, ids=str)
@pytest.mark.parametrize(
    "settings",
    [*({"attn_implementation": name} for name in ("eager", "gatv2_chunked", "gatv2_pyg")), BASES["transformer"]],
    ids=str,
)
def test_a_padded_row_is_a_row_of_a_smaller_task(fields, settings):
    large, small = (TaskConfig(group=group, **FIELDS, **fields) for group in ("S6", "S4"))
    model = model_of(large, **settings)
    smaller = model_of(small, **settings)
    smaller.load_state_dict(model.state_dict())  # S_n has two orbitals for every n
    columns = columns_of(small)
    padding = (0, 2, 0, 2)
    padded = {
        "inputs": torch.nn.functional.pad(columns["inputs"], (0, 2), value=1),
        "pairs": torch.nn.functional.pad(columns["pairs"], padding, value=0.7),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 0, 0]] * 3),
    }
    with torch.no_grad():
        found, expected = model(**padded).logits, smaller(**columns).logits
        pooled, states = model.asen(**padded), smaller.asen(**columns)
    if fields["output_level"] == "node":
        found = found[:, :4]
    if fields["output_level"] == "pair":
        found = found[:, :4, :4]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(pooled.pooler_output, states.pooler_output, rtol=0, atol=1e-12)
    assert not (pooled.attentions or ())


@pytest.mark.parametrize("seed", range(8))
def test_masks_move_with_their_nodes(seed):
    task = TaskConfig(**random_task(seed, group="S3 wr S2", symmetry_breaking="pairs"))
    model, columns = model_of(task, seed), columns_of(task, seed=seed, is_masked=True)
    assert equivariance_error(model, task="t", **columns) < 1e-12
    kept = {name: column for name, column in columns.items() if name != "attention_mask"}
    with torch.no_grad():
        assert (model(**columns).logits - model(**kept).logits).abs().max() > 1e-3


def test_a_sparse_support_may_lose_all_sources_of_a_node():
    edges = [[0, 1], [1, 0], [2, 0], [2, 1]]
    model = model_of(TaskConfig(group="S2 x E1", vocab_size=2, edges=edges, output_level="graph"))
    tokens, mask = torch.tensor([[0, 1, 1]]), torch.tensor([[1, 0, 1]])
    with torch.no_grad():
        logits = model(tokens, attention_mask=mask).logits
        other = model(torch.tensor([[0, 0, 1]]), attention_mask=mask).logits
    assert logits.isfinite().all() and torch.equal(logits, other)


def test_orbits_that_are_pooled_apart_may_be_empty():
    task = TaskConfig(group="S2 x S3", vocab_size=2, output_level="graph", pooling="max", pool_by_orbit=True)
    model = model_of(task)
    tokens, mask = torch.tensor([[0, 1, 1, 0, 1]]), torch.tensor([[1, 1, 0, 0, 0]])
    assert model(tokens, attention_mask=mask).logits.isfinite().all()


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_orbits_that_are_pooled_apart_are_those_of_a_smaller_task(pooling):
    fields = {**FIELDS, "output_level": "graph", "pooling": pooling, "pool_by_orbit": True}
    large, small = (TaskConfig(group=group, **fields) for group in ("S4 x S3", "S2 x S3"))
    model, smaller = model_of(large), model_of(small)
    smaller.load_state_dict(model.state_dict())
    columns = columns_of(large)
    kept = [0, 3, 4, 5, 6]
    mask = torch.zeros(3, 7).index_fill(1, torch.tensor(kept), 1)
    few = {"inputs": columns["inputs"][:, kept], "pairs": columns["pairs"][:, kept][:, :, kept]}
    with torch.no_grad():
        found, expected = model(**columns, attention_mask=mask).logits, smaller(**few).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_rows_are_predicted_alike_in_batches_of_any_size():
    task = TaskConfig(group="S5", **FIELDS)
    model, columns = model_of(task), columns_of(task, number=7, is_masked=True)
    whole = model.predict(**columns)
    assert torch.equal(model.predict(**columns, batch_size=2), whole)
    arrays = {name: column.numpy() for name, column in columns.items()}
    assert torch.equal(model.predict(**arrays), whole)
    probabilities = model.predict_proba(**columns, batch_size=3)
    mask = columns["attention_mask"]
    assert torch.equal(probabilities.argmax(dim=-1)[mask], whole[mask])
    assert probabilities[~mask].isnan().all() and probabilities[mask].isfinite().all()


@pytest.mark.parametrize("level", ["node", "pair", "graph"])
@pytest.mark.parametrize("moves", [True, False], ids=["moves", "stays"])
def test_masks_go_with_value_symmetries(level, moves):
    points = {"points": [[0, 3], [1, 4], [2, 5]]} if moves else {}
    entry = {**points, "inputs": [2, 1, 0], "outputs": [1, 0]}
    task = TaskConfig(group="S3 x S3", **FIELDS, output_level=level, value_symmetries=[entry])
    model, columns = model_of(task), columns_of(task, is_masked=True)
    assert equivariance_error(model, task="t", **columns) < 1e-12
    assert equivariance_error(model.asen, task="t", **columns) < 1e-12


@pytest.mark.parametrize("level", ["node", "pair"])
def test_padding_has_no_part_in_loss_and_gradient(level):
    task = TaskConfig(group="S4", vocab_size=2, output_level=level)
    model = model_of(task)
    columns = columns_of(task, is_masked=True, missing=0)
    labels = torch.from_numpy(np.random.default_rng(1).integers(2, size=(3, *task.label_shape())))
    mask = columns["attention_mask"]
    known = mask if level == "node" else mask[:, :, None] & mask[:, None]
    results = []
    for filled in (labels, torch.where(known, labels, 1 - labels)):
        loss = model(**columns, labels=filled).loss
        results.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
    collated = collate(task, {**columns, "labels": labels})
    assert (collated["labels"][~known] == -100).all() and torch.equal(collated["labels"][known], labels[known])
    predicted, probabilities = model.predict(**columns), model.predict_proba(**columns)
    assert (predicted[~known] == -100).all() and (predicted[known] >= 0).all()
    assert probabilities[~known].isnan().all() and probabilities[known].isfinite().all()


def test_twins_are_the_points_that_a_transposition_of_the_group_moves():
    for text in ("S5", "S2 x S3", "S3 wr S2", "C5", "D4", "S2 x E2", "E1", "S1 x S3", "A5", "R4", "C4 wr S2"):
        task = TaskConfig(group=text, vocab_size=2)
        closure = groups.from_array_form(
            [
                [j if k == i else i if k == j else k for k in range(task.degree)]
                for i in range(task.degree)
                for j in range(i)
                if _is_automorphism(task, i, j)
            ]
            or [list(range(task.degree))]
        )
        moved = {point for generator in closure.generators for point in generator.support()}
        assert set(np.flatnonzero(has_twin(task))) == moved, text


def _is_automorphism(task, i, j):
    from asen_hf import orbit_labels

    labels = orbit_labels(task.permutation_group())
    image = np.arange(task.degree)
    image[[i, j]] = image[[j, i]]
    return np.array_equal(labels[image][:, image], labels)


@pytest.mark.parametrize(
    ("group", "mask", "message"),
    [
        ("C4", [[1, 1, 1, 0]], "row 0 lacks node 3, but no exchange of this node"),
        ("S3 x E1", [[1, 1, 0, 1], [1, 1, 1, 0]], "row 1 lacks node 3"),
        ("S4", [[0, 0, 0, 0]], "row 0: expected a node, got none"),
        ("S4", [[2, 1, 1, 1]], "row 0: expected 1, or 0 for padding"),
        ("S4", [[1, 1, 1]], r"attention_mask must have shape \(rows, 4\)"),
    ],
    ids=str,
)
def test_bad_masks_are_refused(group, mask, message):
    model = make_model({"t": TaskConfig(group=group, vocab_size=2)})
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(len(mask), 4, dtype=torch.long), attention_mask=torch.tensor(mask))


SYMMETRIZATIONS = {
    "none": {},
    **{
        how: {"value_symmetries": [{"inputs": [1, 0, 2, 3], "outputs": [1, 0]}], "symmetrization": how}
        for how in ("average", "lift")
    },
}


@pytest.mark.parametrize("level", ["node", "pair", "graph"])
@pytest.mark.parametrize("symmetrization", SYMMETRIZATIONS)
@pytest.mark.parametrize("breaking", ["pairs", "nodes", "triples"])
def test_what_stands_at_padding_is_not_read_or_the_mask_is_refused(breaking, symmetrization, level):
    fields = SYMMETRIZATIONS[symmetrization]
    if symmetrization == "lift" and level == "pair":
        return  # no such task
    task = TaskConfig(group="S4", vocab_size=4, symmetry_breaking=breaking, output_level=level, **fields)
    model, mask = model_of(task), torch.tensor([[1, 1, 1, 0]])
    rows = torch.tensor([[0, 1, 1, 2], [0, 1, 1, 3]])
    if symmetrization == "lift" or breaking == "triples":
        expected = 'symmetrization="average"' if symmetrization == "lift" else 'symmetry_breaking="pairs" or "nodes"'
        with pytest.raises(ValueError, match=f"rows that lack nodes need {expected}"):
            model(rows, attention_mask=mask.expand(2, 4))
        assert model(rows, attention_mask=torch.ones(2, 4)).logits.isfinite().all()
        assert not can_lack_nodes(task)
        return
    one, other = model.predict_proba(rows, attention_mask=mask.expand(2, 4)).nan_to_num(-1)
    assert torch.equal(one, other) and can_lack_nodes(task)
