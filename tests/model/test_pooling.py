"""Pooling is declared per task: each way is invariant to the group, and by orbit it tells orbits apart."""

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig, equivariance_error, parse_group
from asen_hf.model.heads import pool
from tests.conftest import make_model


@pytest.mark.parametrize("by_orbit", [False, True])
@pytest.mark.parametrize("pooling", ["mean", "sum", "max", None])
def test_every_pooling_is_invariant_to_the_group_only(pooling, by_orbit):
    task = TaskConfig(group="C3 x C3", vocab_size=3, output_level="graph", pooling=pooling, pool_by_orbit=by_orbit)
    model = make_model({"t": task}, spread=0.5).double().eval()
    inputs = torch.from_numpy(np.random.default_rng(0).integers(3, size=(20, 6)))
    assert equivariance_error(model, inputs) < 1e-12
    assert equivariance_error(model, inputs, group=parse_group("(0 1)", 6)) > 1e-4


@pytest.mark.parametrize("how", ["mean", "sum", "max"])
def test_orbits_are_pooled_by_themselves(how):
    states = torch.randn(4, 5, 3)
    orbits = [[0, 2], [1, 3, 4]]
    expected = {"mean": torch.mean, "sum": torch.sum, "max": torch.amax}[how]
    parts = [expected(states[:, [0, 2]], dim=1), expected(states[:, [1, 3, 4]], dim=1)]
    torch.testing.assert_close(pool(states, how, orbits), torch.cat(parts, dim=1))
    torch.testing.assert_close(pool(states, how), expected(states, dim=1))


def test_only_pooling_by_orbit_separates_equal_states_of_two_orbits():
    """With no layers' help: rows that swap the contents of two orbits have equal pooled states without it."""
    inputs = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])
    logits = {}
    for by_orbit in (False, True):
        task = TaskConfig(group="S2 x S2", vocab_size=2, output_level="graph", pool_by_orbit=by_orbit)
        model = make_model({"t": task}, num_hidden_layers=1).double().eval()
        with torch.no_grad():
            table = model.asen.edge_embedders["t"].weight
            table.copy_(table[:1].clone())  # one colour for all pairs
            model.heads["t"].weight.normal_()
        logits[by_orbit] = model(inputs).logits
    assert (logits[False][0] - logits[False][1]).abs().max() < 1e-12
    assert (logits[True][0] - logits[True][1]).abs().max() > 1e-3


def test_tasks_of_one_model_pool_in_their_own_ways():
    tasks = {how: TaskConfig(group="C4", vocab_size=2, output_level="graph", pooling=how) for how in ("max", "mean")}
    model = make_model(tasks, spread=0.5)
    with torch.no_grad():
        for module in ("token_embedders", "edge_embedders"):
            getattr(model.asen, module)["max"].load_state_dict(getattr(model.asen, module)["mean"].state_dict())
    inputs = torch.tensor([[0, 1, 1, 0]])
    last = model.asen(inputs, task="max").last_hidden_state
    torch.testing.assert_close(model.asen(inputs, task="max").pooler_output, last.amax(dim=1))
    torch.testing.assert_close(model.asen(inputs, task="mean").pooler_output, last.mean(dim=1))


@pytest.mark.parametrize("field", [{"pooling": "max"}, {"pool_by_orbit": True}])
def test_node_tasks_pool_nothing(field):
    with pytest.raises(ValueError, match='need output_level="graph"'):
        TaskConfig(group="C4", vocab_size=2, **field)


def test_a_donor_that_pools_another_number_of_orbits_gives_its_tables_but_not_its_head():
    fields = {"vocab_size": 2, "output_level": "graph", "pool_by_orbit": True}
    model = make_model({"one": TaskConfig(group="C6", **fields)})
    with pytest.warns(UserWarning, match="orbitals"):
        model.add_task("two", TaskConfig(group="C3 x C3", **fields), init_from="one")
    assert model.heads["two"].weight.shape[1] == 2 * model.heads["one"].weight.shape[1]
    model.add_task("same", TaskConfig(group="C6", **fields), init_from="one")
    assert torch.equal(model.heads["same"].weight, model.heads["one"].weight)


def test_pooling_by_orbit_can_be_exported():
    task = TaskConfig(group="C3 x C2", vocab_size=3, output_level="graph", pool_by_orbit=True, pooling="max")
    model = make_model({"t": task}, spread=0.5).eval()
    inputs = torch.tensor([[0, 1, 2, 0, 1], [-1, 1, 2, 2, 1]])
    program = torch.export.export(model, (inputs,))
    torch.testing.assert_close(program.module()(inputs).logits, model(inputs).logits)
