"""Missing inputs: a learned vector that starts at zero, moves with the nodes, and is absent from older checkpoints."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from asen_hf import AsenForMultitask, TaskConfig, equivariance_error, parse_group
from tests.conftest import make_model

TASKS = {
    "tokens": TaskConfig(group="D6", vocab_size=3),
    "features": TaskConfig(group="D6", num_features=2, input_mean=[1.0, -2.0], input_scale=[2.0, 0.5]),
}


def rows(name, share=0.3, seed=0):
    rng = np.random.default_rng(seed)
    shape = (20, *TASKS[name].input_shape())
    missing = rng.random(shape) < share
    if name == "tokens":
        return torch.from_numpy(np.where(missing, -1, rng.integers(3, size=shape)))
    return torch.from_numpy(np.where(missing, np.nan, rng.normal(size=shape)))


def trained(name):
    model = make_model({name: TASKS[name]}, spread=0.5).double().eval()
    with torch.no_grad():
        model.asen.missing_embedders[name].weight.normal_()
    return model


@pytest.mark.parametrize("name", TASKS)
def test_missing_inputs_move_with_the_nodes(name):
    model, inputs = trained(name), rows(name)
    assert equivariance_error(model, inputs, name) < 1e-12
    assert equivariance_error(model, inputs, name, parse_group("(0 1)", 6)) > 1e-3


def test_a_missing_feature_starts_as_its_mean():
    model, inputs = make_model({"features": TASKS["features"]}).eval(), rows("features")
    filled = torch.where(inputs.isnan(), torch.tensor([1.0, -2.0], dtype=inputs.dtype), inputs)
    assert torch.equal(model(inputs).logits, model(filled).logits)


@pytest.mark.parametrize("name", TASKS)
def test_being_missing_is_learned(name):
    model, inputs = trained(name), rows(name)
    labels = torch.zeros(20, 6, dtype=torch.int64)
    model(inputs, labels=labels).loss.backward()
    assert (model.asen.missing_embedders[name].weight.grad.abs().sum(dim=1) > 0).all()
    before = model(inputs).logits
    with torch.no_grad():
        model.asen.missing_embedders[name].weight.normal_()
    is_complete = (inputs >= 0).all(dim=1) if name == "tokens" else ~inputs.isnan().flatten(1).any(dim=1)
    changed = (model(inputs).logits != before).flatten(1).any(dim=1)
    assert torch.equal(changed, ~is_complete)


@pytest.mark.parametrize("name", TASKS)
def test_an_older_checkpoint_loads_with_zero_vectors(name, tmp_path):
    model = trained(name).float()
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    key = f"asen.missing_embedders.{name}.weight"
    assert torch.equal(AsenForMultitask.from_pretrained(tmp_path).state_dict()[key], tensors.pop(key))
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    older = AsenForMultitask.from_pretrained(tmp_path)
    assert not older.state_dict()[key].any()
    complete = rows(name, share=0).to(torch.int64 if name == "tokens" else torch.float32)
    assert torch.equal(older(complete).logits, model(complete).logits)


def test_a_donor_gives_its_vectors():
    model = trained("tokens")
    model.add_task("new", TASKS["tokens"], init_from="tokens")
    assert torch.equal(model.asen.missing_embedders["new"].weight, model.asen.missing_embedders["tokens"].weight)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tokens", -2, "a token in 0 … 2 .or -1 where missing., got -2"),
        ("features", np.inf, "a finite feature, or NaN where missing, got inf"),
    ],
)
def test_other_marks_are_refused(name, value, message):
    inputs = rows(name)
    inputs.view(-1)[3] = value
    with pytest.raises(ValueError, match=message):
        make_model({name: TASKS[name]})(inputs)


def test_a_residual_feature_must_be_known():
    task = TaskConfig(group="C4", num_features=2, problem_type="regression", residual_feature=1)
    inputs = np.zeros((2, 4, 2))
    inputs[0, 0, 0] = np.nan
    task.check_inputs(inputs)
    inputs[1, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"row 1: expected a known residual_feature, got nan at \(2, 1\)"):
        task.check_inputs(inputs)


def test_a_table_of_missing_inputs_predicts_in_batches_of_any_size():
    model, inputs = trained("features"), rows("features")
    expected = model(inputs).logits.argmax(dim=-1)
    for batch_size in (1, 7, 20, 1000):
        assert torch.equal(model.predict(inputs.numpy(), batch_size=batch_size), expected)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, not 0"):
        model.predict(inputs, batch_size=0)
    torch.testing.assert_close(model.predict_proba(inputs).sum(dim=-1), torch.ones(20, 6, dtype=torch.float64))
