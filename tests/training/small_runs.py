"""Runs of a few steps on small tasks, shared by the tests of the training loop."""

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from datasets import DatasetDict

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.data.features import to_dataset
from asen_hf.training.loop import train
from asen_hf.training.objective import MultitaskObjective
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

MARK = TaskConfig(degree=4, generators=[[[0, 1, 2, 3]]], vocab_size=3)  # which tokens are zero
COUNT = TaskConfig(degree=3, vocab_size=3, output_level="graph", problem_type="regression", label_scale=2.0)  # how many
TASKS = {"mark": MARK, "count": COUNT}
BACKBONE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def make_rows(task, count, seed, is_inverted=False):
    inputs = np.random.default_rng(seed).integers(3, size=(count, task.degree))
    labels = inputs == 0
    labels = labels if task is MARK else labels.sum(axis=1)
    return to_dataset(task, inputs, (1 - labels) if is_inverted else labels)


def make_data(tasks=("mark",), train_rows=64, is_inverted=False):
    """Rows whose validation labels, if inverted, get worse the more is learnt."""
    return {
        name: DatasetDict(
            train=make_rows(TASKS[name], train_rows, 0),
            validation=make_rows(TASKS[name], 20, 1, is_inverted),
            test=make_rows(TASKS[name], 20, 2),
        )
        for name in tasks
    }


def make_model(tasks=("mark",), seed=0, **settings):
    set_seed(seed)
    return AsenForMultitask(AsenConfig(tasks={name: TASKS[name] for name in tasks}, **{**BACKBONE, **settings}))


def make_recipe(output, tasks=("mark",), **training):
    settings = {"max_steps": 4, "rows_per_task": 8, "lr": 1e-2, "output_dir": str(output), **training}
    model = ModelRecipe.of(AsenConfig(**BACKBONE))
    return Recipe(model, [TaskRecipe(name) for name in tasks], TrainingRecipe(**settings))


def run(output, model=None, data=None, **training):
    """Train; return the model with the best weights by validation."""
    model = make_model() if model is None else model
    train(model, make_data(tuple(model.config.tasks)) if data is None else data, make_recipe(output, **training))
    return model


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def is_same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def copy_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def checkpoints(output):
    return sorted(path.name for path in output.iterdir() if path.name.startswith("checkpoint"))


class Death(Exception):
    """Stands for whatever ends a process at once."""


def run_and_die(output, batch, **arguments):
    """A run that ends in the forward pass of its training batch number ``batch``."""
    forward, count = MultitaskObjective.forward, 0

    def mortal(self, *inputs):
        nonlocal count
        if count == batch:
            raise Death
        count += 1
        return forward(self, *inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MultitaskObjective, "forward", mortal)
        with pytest.raises(Death):
            run(output, **arguments)
