"""A network can be differentiated by the numbers of its pairs, and so by what they are computed from."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from asen_hf import TaskConfig
from asen_hf.model.groups import young_subgroup
from tests.conftest import make_model

ATOMS = torch.tensor([[0, 1, 1, 1, 1]])
TASK = TaskConfig(
    group=young_subgroup([[0], [1, 2, 3, 4]]),
    vocab_size=2,
    pair_features=1,
    pair_buckets=4,
    pair_quantiles=[[0.9, 1.1, 1.6, 2.0]],
    output_level="graph",
    problem_type="regression",
)
POSITIONS = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.63
IMPLEMENTATIONS = ["eager", "gatv2_chunked", "gatv2_pyg"]


def model_of(implementation="eager", **settings):
    settings = {"hidden_act": "silu", "gated_messages": True, **settings}
    return make_model({"energy": TASK}, spread=0.3, attn_implementation=implementation, **settings).double()


def positions(seed=0):
    return torch.tensor(POSITIONS + np.random.default_rng(seed).normal(0, 0.1, POSITIONS.shape))


def energy(model, places):
    return model(ATOMS, pairs=torch.cdist(places, places)[None]).logits.sum()


def forces(model, places):
    places = places.detach().requires_grad_()
    return -torch.autograd.grad(energy(model, places), places)[0]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_forces_are_the_slopes_of_the_energy(implementation):
    model, places, step = model_of(implementation), positions(), 1e-6
    found = forces(model, places)
    assert found.abs().max() > 1e-3
    for atom, axis in itertools.product(range(5), range(3)):
        shift = torch.zeros(5, 3, dtype=torch.float64)
        shift[atom, axis] = step
        with torch.no_grad():
            slope = (energy(model, places + shift) - energy(model, places - shift)) / (2 * step)
        assert found[atom, axis].item() == pytest.approx(-slope.item(), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("sign", [1, -1], ids=["turned", "mirrored"])
def test_forces_turn_with_the_molecule_and_add_up_to_zero(sign):
    model, places = model_of(), positions()
    turn = sign * torch.tensor(Rotation.random(random_state=1).as_matrix())
    plain = forces(model, places)
    moved = forces(model, places @ turn.T + torch.tensor([1.0, -2.0, 3.0]))
    torch.testing.assert_close(moved, plain @ turn.T, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(plain.sum(dim=0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-10)


def test_forces_move_with_exchanged_atoms_of_one_element():
    model, places, order = model_of(), positions(), torch.tensor([0, 3, 1, 4, 2])
    torch.testing.assert_close(forces(model, places[order]), forces(model, places)[order], rtol=1e-9, atol=1e-10)


def test_a_fresh_pair_feature_is_linear_in_its_number():
    model = make_model({"energy": TASK}).double()
    numbers = torch.linspace(0.5, 3, 6, dtype=torch.float64)
    pairs = numbers[:, None, None].expand(-1, 5, 5)
    rows = model.asen.embed("energy", {"inputs": ATOMS.expand(6, -1), "pairs": pairs})
    features = rows.orbital_features[rows.graph.labels][:, 0, 1]
    steps = features.diff(dim=0)
    torch.testing.assert_close(steps[1:], steps[:-1])
    assert steps.abs().max() > 0.1
