"""Every registered sequence task, from its rows to a trained model with its group's symmetry and no other."""

import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask
from asen_hf.data import collate, get_task, list_tasks
from asen_hf.evaluation.equivariance import equivariance_error, find_outsider


@pytest.mark.parametrize("name", [name for name in list_tasks() if name.startswith(("equivariant/", "invariant/"))])
def test_a_trained_model_has_the_symmetry_of_its_group_and_no_other(name):
    torch.manual_seed(0)
    task = get_task(name)
    model = AsenForMultitask(
        AsenConfig(tasks={name: task.config}, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    )
    batch = collate(task.config, task.load(num_rows=120)["train"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(model(**batch, task=name).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert equivariance_error(model, batch["inputs"][:8], name) < 1e-5
    outsider = find_outsider(model.asen.symmetry_breakers[name])
    # Only S_n itself, and what has it as its 2-closure, leaves no permutation outside.
    assert (outsider is None) == (model.asen.symmetry_breakers[name].num_pair_orbits == 2)
    if outsider is not None:
        assert equivariance_error(model, batch["inputs"][:8], name, outsider) > 1e-3
