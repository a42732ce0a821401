"""Networks on a CUDA device: the same function and gradients as on the CPU, the same symmetry, and whole trainings."""

import copy

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error, finetune

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

RING = [[i, (i + step) % 12] for i in range(12) for step in (1, 11)]
TASKS = {
    "dense": TaskConfig(group="D12", vocab_size=5, num_labels=3),
    "sparse": TaskConfig(group="D12", vocab_size=5, num_labels=3, edges=RING),
    "relations": TaskConfig(group="D12", vocab_size=5, num_labels=3, relations=["equal"]),
    "graph": TaskConfig(group="S3 wr S4", vocab_size=5, num_labels=3, output_level="graph"),
    "nodes": TaskConfig(group="S6 x S6", vocab_size=5, num_labels=3, symmetry_breaking="nodes"),
}
NETWORKS = {
    "gatv2": {},
    "gatv2_compile": {"attn_implementation": "gatv2_compile", "gated_messages": True},
    "transformer": {"backbone_type": "transformer"},
    "recurrent": {"attn_implementation": "gatv2_compile", "num_recurrences": 3},
}


def model_of(task: TaskConfig, settings: dict) -> AsenForMultitask:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2}
    return AsenForMultitask(AsenConfig(tasks={"t": task}, **sizes, **settings)).eval()


def rows_of(task: TaskConfig) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = np.random.default_rng(0)
    labels = numbers.integers(3, size=(8, 12) if task.output_level == "node" else 8)
    return torch.from_numpy(numbers.integers(5, size=(8, 12))), torch.from_numpy(labels)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", TASKS)
def test_function_and_gradients_are_those_of_the_cpu(name, network):
    inputs, labels = rows_of(TASKS[name])
    model = model_of(TASKS[name], NETWORKS[network])
    on_device = copy.deepcopy(model).cuda()
    expected, found = model(inputs, labels=labels), on_device(inputs.cuda(), labels=labels.cuda())
    torch.testing.assert_close(found.logits.cpu(), expected.logits, atol=2e-5, rtol=2e-5)
    expected.loss.backward()
    found.loss.backward()
    for parameter, other in zip(model.parameters(), on_device.parameters(), strict=True):
        if parameter.grad is not None:
            torch.testing.assert_close(other.grad.cpu(), parameter.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", TASKS)
def test_the_symmetry_holds_on_the_device(name, network):
    inputs, _ = rows_of(TASKS[name])
    model = model_of(TASKS[name], NETWORKS[network]).cuda()
    assert equivariance_error(model, inputs.cuda(), "t") < 1e-5


def test_symmetry_is_measured_of_rows_on_any_device():
    inputs, _ = rows_of(TASKS["graph"])
    model = model_of(TASKS["graph"], {}).cuda()
    errors = [equivariance_error(model, rows) for rows in (inputs.cuda(), inputs, inputs.numpy(), inputs.tolist())]
    assert errors == [errors[0]] * 4 and errors[0] < 1e-5


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_trained_on_the_device_predicts_the_same_on_the_cpu(network, tmp_path):
    task = TASKS["dense"]
    rows = np.random.default_rng(0).integers(5, size=(200, 12)), np.random.default_rng(1).integers(3, size=(200, 12))
    found = finetune(model_of(task, NETWORKS[network]), task, rows, output_dir=tmp_path, max_steps=10).model
    assert found.device.type == "cuda"
    inputs, _ = rows_of(task)
    expected = copy.deepcopy(found).cpu()(inputs, task="task").logits
    torch.testing.assert_close(found(inputs.cuda(), task="task").logits.cpu(), expected, atol=1e-4, rtol=1e-4)
