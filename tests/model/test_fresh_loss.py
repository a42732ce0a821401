"""A fresh model's loss is about that of predicting without inputs: ln K for classes, the labels' spread for values."""

import math

import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

SHAPES = {
    "default": {},
    "checkpoints": {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "gated_messages": True},
    "deep": {"hidden_size": 32, "num_hidden_layers": 12, "num_attention_heads": 4},
}
OUTPUTS = {
    "two_classes": {"num_labels": 2},
    "many_classes": {"num_labels": 20},
    "squares": {"problem_type": "regression", "loss": "mse"},
    "distances": {"problem_type": "regression", "num_labels": 2},
}
INPUTS = {
    "tokens": {"vocab_size": 5},
    "features": {"num_features": 3},
    "pairs": {"vocab_size": 5, "relations": ["order"], "point_order": "line", "pair_features": 1},
}


def tasks_of(degree):
    return {
        f"{level}/{output}/{kind}": TaskConfig(
            group=f"S{degree}", output_level=level, **OUTPUTS[output], **INPUTS[kind]
        )
        for level in ("node", "pair", "graph")
        for output in OUTPUTS
        for kind in INPUTS
    }


def batch(task, rows):
    """Random inputs, and labels whose uninformed loss is known exactly: all classes equally often, or values ±1."""
    shape = (rows, *task.input_shape())
    inputs = torch.randint(task.vocab_size, shape) if task.vocab_size else torch.randn(shape)
    numbers = torch.arange(rows * math.prod(task.label_shape())).reshape(rows, *task.label_shape())
    pairs = {"pairs": torch.randn(rows, *task.pair_shape())} if task.has_pairs else {}
    return {
        "inputs": inputs,
        **pairs,
        "labels": numbers % 2 * 2.0 - 1 if task.is_regression else numbers % task.output_size,
    }


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("degree", [2, 10])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_fresh_model_starts_at_the_uninformed_loss(shape, pooling, degree, seed):
    check(SHAPES[shape], pooling, tasks_of(degree), rows=20, seed=seed)


@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("shape", ["default", "checkpoints"])
def test_so_it_does_on_a_hundred_nodes(shape, pooling):
    names = ["graph/many_classes/tokens", "graph/squares/features"]
    check(SHAPES[shape], pooling, {name: tasks_of(100)[name] for name in names}, rows=4, seed=0)


@pytest.mark.parametrize("pooling", ["sum", "mean"])
def test_a_task_that_is_added_starts_there_too(pooling):
    tasks = tasks_of(30)
    check({}, pooling, {}, rows=20, seed=0, added={"graph/squares/tokens": tasks["graph/squares/tokens"]})


def check(shape, pooling, tasks, rows, seed, added=()):
    torch.manual_seed(seed)
    model = AsenForMultitask(AsenConfig(tasks=tasks, pooling=pooling, **shape)).eval()
    for name in added:
        model.add_task(name, added[name])
    with torch.no_grad():
        losses = {name: float(model(**batch(task, rows), task=name).loss) for name, task in model.config.tasks.items()}
    assert losses
    for name, task in model.config.tasks.items():
        uninformed = 1.0 if task.is_regression else math.log(task.output_size)
        assert uninformed / 1.5 < losses[name] < 1.5 * uninformed, name
