"""Symmetries that trained tables show are found, those that they lack are not, and the comparison says which."""

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.evaluation.discovery import discovered_orbits, orbital_distances
from asen_hf.model.groups import cyclic, dihedral, direct_product, symmetric, trivial, wreath_product
from asen_hf.model.orbits import orbit_labels
from tests.conftest import make_model, task_of

HALVES = direct_product(symmetric(3), symmetric(3))  # orbitals: 0 and 4 diagonal, 1 and 5 within, 2 and 3 across
SWAPPED = wreath_product(symmetric(3), symmetric(2))


def model_of(group=HALVES, task=(), **settings):
    return make_model({"t": task_of(group, **dict(task))}, **settings)


def tie(model, reference, noise=0.0):
    """Give the orbitals that ``reference`` joins one row of the table, up to noise."""
    embedder = model.asen.edge_embedders["t"]
    wanted = np.empty(embedder.num_embeddings, dtype=np.int64)
    wanted[model.asen.symmetry_breakers["t"].labels.numpy()] = orbit_labels(reference)
    with torch.no_grad():
        embedder.weight.copy_(embedder.weight[wanted] + noise * torch.randn_like(embedder.weight))


@pytest.mark.parametrize(
    "group, reference, order",
    [(HALVES, SWAPPED, 72), (cyclic(6), dihedral(6), 12), (trivial(5), cyclic(5), 5), (HALVES, symmetric(6), 720)],
    ids=["S_3 x S_3 to S_3 wr S_2", "C_6 to D_6", "trivial to C_5", "S_3 x S_3 to S_6"],
)
@pytest.mark.parametrize("gated", [False, True])
def test_copied_rows_merge_exactly(group, reference, order, gated):
    model = model_of(group, gated_messages=gated)
    tie(model, reference)
    found = discovered_orbits(model, "t", tolerance=0, reference=reference)
    np.testing.assert_array_equal(found.labels, orbit_labels(reference))
    assert found.num_classes == orbit_labels(reference).max() + 1
    assert found.group.order() == order and found.group.degree == group.degree
    assert (found.agreement.equal, found.agreement.adjusted_rand_index, found.agreement.distance_ratio) == (
        True,
        1,
        0,
    )


def test_random_rows_do_not_merge():
    found = discovered_orbits(model_of(), "t", tolerance=0.1, reference=SWAPPED)
    np.testing.assert_array_equal(found.labels, orbit_labels(HALVES))
    assert found.num_classes == 6 and found.group.order() == 36
    assert not found.agreement.equal
    assert 0 < found.agreement.adjusted_rand_index < 1
    assert 0.7 < found.agreement.distance_ratio < 1.4


def test_tolerance_is_relative_to_the_mean_distance():
    model = model_of()
    tie(model, SWAPPED, noise=0.01)
    ratio = discovered_orbits(model, "t", tolerance=0, reference=SWAPPED).agreement.distance_ratio
    assert 0.003 < ratio < 0.03
    with torch.no_grad():
        model.asen.edge_embedders["t"].weight.mul_(1000)
    assert not discovered_orbits(model, "t", tolerance=ratio / 10, reference=SWAPPED).agreement.equal
    assert discovered_orbits(model, "t", tolerance=ratio * 5, reference=SWAPPED).agreement.equal


@pytest.mark.parametrize("tolerance, order", [(0, 5), (0.3, 10), (0.9, 120)])
def test_single_linkage_joins_whatever_hangs_together(tolerance, order):
    model = model_of(cyclic(5))  # orbital r: steps of r, so that joining 1 with 4 and 2 with 3 gives the dihedral group
    with torch.no_grad():
        places = torch.tensor([9.0, 0, 4, 5, 1])  # on a line, where 1 and 2 are further apart than the mean distance
        model.asen.edge_embedders["t"].weight.copy_(places[:, None] * torch.ones(16))
    assert discovered_orbits(model, "t", tolerance).group.order() == order


def test_diagonal_and_off_diagonal_never_merge():
    model = model_of()
    with torch.no_grad():
        model.asen.edge_embedders["t"].weight.fill_(1)
    found = discovered_orbits(model, "t")
    np.testing.assert_array_equal(found.labels, orbit_labels(symmetric(6)))
    assert found.group.order() == 720


@pytest.mark.parametrize("degree", [1, 2])
def test_smallest_degrees(degree):
    found = discovered_orbits(model_of(symmetric(degree)), None, reference=symmetric(degree))
    assert found.num_classes == degree and found.agreement.equal and found.agreement.adjusted_rand_index == 1
    assert np.isnan(found.agreement.distance_ratio)


@pytest.mark.parametrize("gated", [False, True])
def test_distances_are_those_of_the_tables_that_layers_use(gated):
    model = model_of(gated_messages=gated)
    weights = [layer.attention.edge_projection.weight for layer in model.asen.backbone.layers]
    if gated:
        for layer in model.asen.backbone.layers:
            torch.nn.init.normal_(layer.attention.gate_projection.weight)
            weights.append(layer.attention.gate_projection.weight)
    table = model.asen.edge_embedders["t"].weight.double()
    squared = sum(((table[:, None] - table) @ weight.double().T).square().sum(-1) for weight in weights)
    expected = squared.sqrt().detach().numpy()
    np.testing.assert_allclose(orbital_distances(model), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(orbital_distances(model.asen, "t"), orbital_distances(model))


def test_orbitals_that_share_rows_differ_as_their_vectors_do():
    """The table holds only corrections then, which start at zero."""
    model = make_model({"t": TaskConfig(group="E6", vocab_size=3, point_order="ring")})
    vectors = model.asen.orbital_features("t").double().detach()
    weights = [layer.attention.edge_projection.weight.double() for layer in model.asen.backbone.layers]
    squared = sum(((vectors[:, None] - vectors) @ weight.T).square().sum(-1) for weight in weights)
    np.testing.assert_allclose(orbital_distances(model), squared.sqrt().detach().numpy(), rtol=1e-4, atol=1e-6)
    ring = orbit_labels(cyclic(6))  # pairs of equal offset share a row
    np.testing.assert_array_equal(discovered_orbits(model, "t", tolerance=0).labels, ring)


@pytest.mark.parametrize("fields", [{"relations": ["equal"]}, {"pair_vocab_size": 2}, {"pair_features": 1}], ids=str)
def test_orbitals_that_are_divided_are_equal_if_all_their_parts_are(fields):
    model = make_model({"t": TaskConfig(group="C6", vocab_size=3, **fields)}, gated_messages=True)
    table = model.asen.edge_embedders["t"].weight
    parts = table.data.unflatten(0, (6, -1))
    found = discovered_orbits(model, "t", tolerance=0)
    assert found.distances.shape == (6, 6)
    np.testing.assert_array_equal(found.labels, orbit_labels(cyclic(6)))
    parts[1] = parts[5]
    parts[2:4] = parts[4]
    parts[3, -1] += 1  # one part of one orbital
    merged = np.array([0, 1, 2, 3, 2, 1])[orbit_labels(cyclic(6))]
    found = discovered_orbits(model, "t", tolerance=0)
    np.testing.assert_array_equal(found.labels, merged)
    assert found.num_classes == 4 and found.group.order() == 12


@pytest.mark.parametrize(
    "settings, reference, message",
    [
        ({}, cyclic(6), "separates pairs"),
        ({}, symmetric(5), "degree 6, the reference group 5"),
        ({"task": {"symmetry_breaking": "nodes"}}, None, "pairs"),
        ({"task": {"edges": [[0, 0], [0, 1]]}}, None, "complete support"),
    ],
)
def test_what_cannot_be_compared_is_refused(settings, reference, message):
    with pytest.raises(ValueError, match=message):
        discovered_orbits(model_of(**settings), "t", reference=reference)


@pytest.mark.parametrize("has_swap", [True, False])
def test_training_discovers_a_symmetry_that_was_not_given_if_the_task_has_it(has_swap):
    """The paper's Figure 5 (right) in small: whether a token occurs in the other half, told only S_3 x S_3.

    The table starts small, since noise that the loss doesn't mind would stay (training/experiments/symmetry_discovery).
    """
    model = model_of()
    with torch.no_grad():
        model.asen.edge_embedders["t"].weight.mul_(0.01)
    assert discovered_orbits(model, "t", reference=SWAPPED).agreement.distance_ratio > 0.7
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)  # at a constant rate the loss has spikes
    for _ in range(600):
        inputs = torch.randint(3, (64, 6))
        shared = inputs[:, :3, None] == inputs[:, None, 3:]
        labels = torch.cat([shared.any(2), shared.any(1) & has_swap], dim=1).long()
        loss = model(inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    assert loss < 0.1
    found = discovered_orbits(model, "t", reference=SWAPPED)
    assert found.agreement.equal == has_swap
    assert found.group.order() == (72 if has_swap else 36)
    assert (found.agreement.distance_ratio < 0.1) == has_swap
