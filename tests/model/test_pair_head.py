"""Outputs of pairs of nodes: the formula, equal for (i, j) and (j, i) on request, and learned."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from asen_hf import TaskConfig, equivariance_error, finetune
from asen_hf.data.features import to_dataset
from tests.conftest import make_model
from tests.model.coloured_cases import columns_of
from tests.model.value_cases import model_of


def test_logits_are_those_of_the_formula():
    task = TaskConfig(group="D4", vocab_size=3, output_level="pair", num_labels=3)
    model = model_of(task)
    rows, head = columns_of(task)["inputs"], model.heads["t"]
    with torch.no_grad():
        found = model(rows).logits
        states = model.asen(rows).last_hidden_state
        labels, table = model.asen.symmetry_breakers["t"].labels, model.asen.edge_embedders["t"].weight
        for b, i, j in np.ndindex(3, 4, 4):
            mixed = head.target_projection(states[b, i]) + head.source_projection(states[b, j])
            mixed = head.norm(mixed + head.edge_projection(table[labels[i, j]])).relu()
            torch.testing.assert_close(found[b, i, j], F.linear(mixed, head.output.weight, head.output.bias))


@pytest.mark.parametrize("is_symmetric", [True, False])
def test_symmetric_outputs_are_equal_both_ways(is_symmetric):
    task = TaskConfig(group="C4", vocab_size=3, output_level="pair", symmetric_outputs=is_symmetric)
    logits = model_of(task)(columns_of(task)["inputs"]).logits
    difference = (logits - logits.transpose(1, 2)).abs().max()
    assert difference == 0 if is_symmetric else difference > 1e-3


def test_brackets_swap_under_a_reversal():
    """Mirroring a sequence swaps opening and closing brackets, and with them which end of a match is which."""
    entry = {"points": [[0, 3], [1, 2]], "inputs": [1, 0], "outputs": [1, 0]}
    task = TaskConfig(group="E4", vocab_size=2, output_level="pair", value_symmetries=[entry])
    model, rows = model_of(task), columns_of(task, number=5)["inputs"]
    assert equivariance_error(model, rows) < 1e-12
    swap = TaskConfig(group="R4", vocab_size=2).permutation_group()
    assert equivariance_error(model, rows, group=swap) > 1e-3
    labels = torch.randint(2, (5, 4, 4))
    alone = [
        model.losses({"t": {"inputs": rows, "labels": labels, "cosets": torch.full((5,), k)}})["t"] for k in (0, 1)
    ]
    assert all(loss.isfinite() for loss in alone) and alone[0] != alone[1]


def test_partners_of_equal_tokens_are_learned(tmp_path):
    task = TaskConfig(group="S6", vocab_size=20, relations=["equal"], output_level="pair", symmetric_outputs=True)
    rows = np.random.default_rng(0).integers(20, size=(200, 6))
    rows[:, 3] = rows[:, 0]
    labels = (rows[:, :, None] == rows[:, None]).astype(np.int64)
    model = make_model({"other": TaskConfig(group="S2", vocab_size=2)})
    result = finetune(
        model, task, to_dataset(task, rows, labels), output_dir=tmp_path / "run", max_steps=60, lr=0.01, name="match"
    )
    assert result.scores["match"].value == 1 and result.scores["match"].references["majority"] < 0.9
    again = type(model).from_pretrained(result.output_dir)
    predicted = again.predict(rows[:3], task="match")
    assert torch.equal(predicted, torch.from_numpy(labels[:3])) and predicted.shape == (3, 6, 6)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]], ids=["same", "permuted"])
@pytest.mark.parametrize("is_symmetric", [True, False])
def test_a_head_of_pairs_is_copied_from_the_donor(order, is_symmetric):
    names = ["none", "single", "double"]
    fields = {"group": "C5", "vocab_size": 3, "output_level": "pair", "symmetric_outputs": is_symmetric}
    model = make_model({"old": TaskConfig(**fields, label_names=names)}, spread=0.3)
    model.add_task("new", TaskConfig(**fields, label_names=[names[place] for place in order]), init_from="old")
    rows = torch.randint(3, (4, 5))
    with torch.no_grad():
        torch.testing.assert_close(model(rows, task="new").logits, model(rows, task="old").logits[..., order])
