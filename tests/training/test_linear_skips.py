"""The linear map beside the network: exact symmetry, fitted at once, never worse than itself."""

import dataclasses

import pytest
import torch
from datasets import DatasetDict

from asen_hf import AsenForMultitask, TaskConfig, equivariance_error, finetune, parse_group
from asen_hf.data.features import to_dataset
from asen_hf.data.statistics import with_statistics
from asen_hf.training._linear_skips import fit_linear_skips
from tests.conftest import make_model

GROUP = "D4 x C2"
EDGES = [[i, j] for i in range(6) for j in range(6) if (i - j) % 3 != 1]
KINDS = {
    "node": {},
    "graph": {"output_level": "graph"},
    "sparse": {"edges": EDGES, "support": "sparse"},
    "two values": {"num_labels": 2},
}


def linear_task(kind, **settings):
    statistics = {"input_mean": [3.0, 1.0], "input_scale": 2.0}
    fields = {"num_features": 2, "problem_type": "regression", "linear_skip": True}
    return TaskConfig(group=GROUP, **fields, **statistics, **KINDS[kind], **settings)


def linear_rows(task, number=300, seed=0):
    """Labels that are a random linear equivariant map of the inputs, drawn in the model's own parameters."""
    model = make_model({"t": task}, seed=1).double().eval()
    skip = model.linear_skips["t"]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        skip.weight.normal_(generator=generator)
        skip.bias.normal_(generator=generator)
        normal = torch.randn(number, 6, 2, dtype=torch.float64, generator=generator)
        labels = skip(normal)
    inputs = torch.tensor([3.0, 1.0], dtype=torch.float64) + 2 * normal
    return inputs, labels if task.output_size > 1 else labels.squeeze(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_map_is_found_exactly_and_is_equivariant(kind):
    task = linear_task(kind)
    inputs, labels = linear_rows(task)
    rows = to_dataset(task, inputs.numpy(), labels.numpy())
    task = with_statistics(task, rows)
    model = make_model({"t": task}, spread=0.5).double().eval()
    fit_linear_skips(model, {"t": rows})
    assert (model.predict(inputs) - labels).abs().max() < 1e-6 * labels.abs().max()
    with torch.no_grad():
        model.heads["t"].weight.normal_()
    if kind != "sparse":  # whose symmetry is that of its edges
        assert equivariance_error(model, inputs[:20]) < 1e-12
    assert equivariance_error(model, inputs[:20], group=parse_group("(0 4)", 6)) > 1e-4


def test_missing_inputs_count_as_their_mean():
    task = linear_task("node")
    inputs, labels = linear_rows(task)
    task = with_statistics(task, to_dataset(task, inputs.numpy(), labels.numpy()))
    model = make_model({"t": task}).double().eval()
    fit_linear_skips(model, {"t": to_dataset(task, inputs.numpy(), labels.numpy())})
    mean = torch.tensor(task.input_mean, dtype=torch.float64)
    missing = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)) < 0.2
    torch.testing.assert_close(
        model.predict(torch.where(missing, torch.nan, inputs)), model.predict(torch.where(missing, mean, inputs))
    )


def test_finetuning_is_no_worse_than_the_map_and_keeps_it(tmp_path):
    task = linear_task("node")
    inputs, labels = (part.numpy() for part in linear_rows(task))
    rows = to_dataset(task, inputs, labels)
    splits = DatasetDict(train=rows.select(range(100)), validation=rows.select(range(100, 200)), test=rows)
    result = finetune(
        make_model({"t": task}), task, splits, name="t", max_steps=4, lr=0.1, output_dir=str(tmp_path / "run")
    )
    assert result.scores["t"].value < 1e-4
    again = AsenForMultitask.from_pretrained(tmp_path / "run")
    assert torch.equal(again.predict(inputs), result.model.predict(inputs))
    before = again.linear_skips["t"].weight.clone()
    fit_linear_skips(again, {"t": splits["train"].select(range(5))})
    assert torch.equal(again.linear_skips["t"].weight, before)  # a fitted map stays


def test_it_needs_a_regression_on_features_of_bounded_size():
    with pytest.raises(ValueError, match="linear_skip needs a regression of nodes or graphs on continuous inputs"):
        TaskConfig(group="C4", vocab_size=3, linear_skip=True)
    large = TaskConfig(degree=2000, num_features=8, problem_type="regression", linear_skip=True)
    with pytest.raises(ValueError, match="linear_skip would need 32,000,000 coefficients"):
        make_model({"t": large})
    assert dataclasses.replace(large, output_level="graph").linear_skip
