"""Messages over triples: exact where pairs give too much symmetry, and absent where no task asks for them."""

import numpy as np
import pytest
import torch

from asen_hf import AsenForMultitask, TaskConfig
from asen_hf.evaluation.equivariance import equivariance_error, find_outsider
from asen_hf.model.groups import alternating, cyclic, from_array_form, symmetric, to_cycles
from asen_hf.model.symmetry import SymmetryBreaker
from asen_hf.model.triples import TripleMessages
from asen_hf.training.objective import freeze_other_tasks
from tests.conftest import make_model, task_of

AGL_1_5 = from_array_form([[1, 2, 3, 4, 0], [0, 2, 4, 1, 3]])
# x + 1, 2x and -1/x on the projective line over seven elements; point 7 is infinity.
PSL_2_7 = from_array_form([[1, 2, 3, 4, 5, 6, 0, 7], [0, 2, 4, 6, 1, 3, 5, 7], [7, 6, 3, 2, 5, 4, 1, 0]])
NOT_2_CLOSED = {"A_4": alternating(4), "AGL(1, 5)": AGL_1_5, "PSL(2, 7)": PSL_2_7}


def model_of(group, breaking, **settings):
    task = task_of(group, vocab_size=10, symmetry_breaking=breaking, **settings)
    return make_model({"t": task}, hidden_size=32, num_attention_heads=4)


def distinct_tokens(degree):
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.stack([rng.permutation(10)[:degree] for _ in range(4)]))


@pytest.mark.parametrize("output_level", ["node", "graph"])
@pytest.mark.parametrize("group", NOT_2_CLOSED.values(), ids=NOT_2_CLOSED)
def test_triples_have_the_groups_symmetry_and_no_more_where_pairs_have_more(group, output_level):
    tokens = distinct_tokens(group.degree)
    pairs = model_of(group, "pairs", output_level=output_level)
    assert equivariance_error(pairs, tokens, "t", symmetric(group.degree)) < 1e-5
    triples = model_of(group, "triples", output_level=output_level)
    assert equivariance_error(triples, tokens, "t") < 1e-5
    assert equivariance_error(triples, tokens, "t", symmetric(group.degree)) > 1e-3
    exact = model_of(group, "triples", output_level=output_level).double()
    assert equivariance_error(exact, tokens, "t") < 1e-12


def test_an_outsider_of_the_triples_is_found_where_pairs_have_none():
    task = {"degree": 4, "generators": to_cycles(alternating(4)), "vocab_size": 4}
    assert find_outsider(SymmetryBreaker(TaskConfig(**task))) is None
    assert find_outsider(SymmetryBreaker(TaskConfig(**task, symmetry_breaking="triples"))) is not None


def test_messages_are_the_gated_sum_over_all_triples():
    torch.manual_seed(0)
    layer = TripleMessages(6).double()
    states, features = torch.randn(2, 3, 6).double(), torch.randn(5, 6).double()
    labels = torch.randint(5, (3, 3, 3))
    first, second, gates = (
        layer.first_projection(states),
        layer.second_projection(states),
        layer.gate_projection(features),
    )
    expected = torch.zeros_like(states)
    for i, j, k in np.ndindex(3, 3, 3):
        expected[:, i] += gates[labels[i, j, k]] * first[:, j] * second[:, k] / 3
    torch.testing.assert_close(layer(states, features, labels), expected, rtol=0, atol=1e-12)


def test_models_without_triples_have_no_weights_for_them():
    names = [name for name, _ in model_of(cyclic(4), "pairs").named_parameters()]
    assert not [name for name in names if "triple" in name]


def test_growing_by_a_task_with_triples_leaves_other_tasks_as_they_were_and_reloads(tmp_path):
    model = model_of(cyclic(4), "pairs")
    tokens = distinct_tokens(4)
    before = model(tokens, task="t").logits
    triples = model_of(alternating(4), "triples").config.tasks["t"]
    model.add_task("sign", triples)
    assert torch.equal(model(tokens, task="t").logits, before)
    model.save_pretrained(tmp_path)
    reloaded = AsenForMultitask.from_pretrained(tmp_path)
    assert torch.equal(reloaded(tokens, task="sign").logits, model(tokens, task="sign").logits)
    assert [name for name, _ in reloaded.named_parameters()] == [name for name, _ in model.named_parameters()]
    model.drop_task("sign")
    assert not [name for name, _ in model.named_parameters() if "triple" in name]
    assert torch.equal(model(tokens, task="t").logits, before)


def test_what_a_pair_task_never_reaches_is_frozen_and_all_else_gets_a_gradient():
    model = model_of(cyclic(4), "pairs")
    model.add_task("sign", model_of(alternating(4), "triples").config.tasks["t"])
    for task in ("t", "sign"):
        freeze_other_tasks(model, [task])
        model.zero_grad()
        model(distinct_tokens(4), task=task, labels=torch.zeros(4, 4, dtype=torch.long)).loss.backward()
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
        assert trained == reached
