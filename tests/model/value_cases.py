"""Tasks whose groups change values: five worked cases, and random pairs of a group and a value action."""

import numpy as np
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.model.groups import to_cycles

TINY = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "gated_messages": True}
SIGNS = ([-1, 1, 1] * 4, [1, -1, -1] * 4)
CASES = {
    "body": {
        **{"degree": 16, "num_features": 2, "num_labels": 3, "problem_type": "regression"},
        "value_symmetries": {
            "mirror": {
                "points": [[1, 4], [2, 5], [3, 6], [10, 13], [11, 14], [12, 15]],
                **{"inputs": [-1, 2], "outputs": [-1, 2, 3]},
            }
        },
    },
    "strand": {
        **{"group": "C12", "vocab_size": 4, "output_level": "graph", "pooling": "max"},
        "value_symmetries": [{"points": "R12", "inputs": [3, 2, 1, 0], "outputs": [0, 1]}],
    },
    "board": {
        **{"group": "grid 3x3 dihedral", "vocab_size": 3, "output_level": "graph", "num_labels": 3},
        "value_symmetries": [{"name": "colours", "inputs": [0, 2, 1], "outputs": [0, 2, 1]}],
    },
    "robot": {
        **{"degree": 12, "num_features": 3, "num_labels": 6, "problem_type": "regression", "output_level": "graph"},
        "value_symmetries": [
            {
                "points": [[i, i + 3] for i in (0, 1, 2, 6, 7, 8)],
                "inputs": [[s, 2, 3 * s] for s in SIGNS[0]],
                "outputs": [1, -2, 3, -4, 5, -6],
            },
            {
                "points": [[i, i + 6] for i in range(6)],
                "inputs": [[s, 2, 3 * s] for s in SIGNS[1]],
                "outputs": [-1, 2, 3, 4, -5, -6],
            },
        ],
    },
    "field": {
        **{"group": "grid 3x3 translations", "num_features": 2, "num_labels": 2, "problem_type": "regression"},
        "value_symmetries": [
            {"points": "grid 3x3 rotations", "inputs": [-2, 1], "outputs": [-2, 1]},
            {"points": "(0 2)(3 5)(6 8)", "inputs": [-1, 2], "outputs": [-1, 2]},
        ],
    },
}
GROUPS = ("E4", "C4", "D4", "R5", "S2 wr S2", "S3 x E2", "V4")


def model_of(task, seed=0, **settings):
    """A float64 model of one task, with weights at which outputs are far from zero."""
    torch.manual_seed(seed)
    model = AsenForMultitask(AsenConfig(tasks={"t": task}, **TINY | settings)).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def rows_of(task, number=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if task.num_features is None:
        return torch.randint(task.vocab_size, (number, task.degree), generator=generator)
    return torch.randn(number, task.degree, task.num_features, generator=generator, dtype=torch.float64)


def _signed(rng, size):
    return ((rng.permutation(size) + 1) * rng.choice([-1, 1], size)).tolist()


def random_task(seed, **fields):
    """A task with a random group, random value symmetries and random inputs and outputs.

    A symmetry's outputs are a function of its inputs, and its powers move points alike, so that no element moves
    outputs alone: outputs are mapped as inputs are, on as many entries.
    """
    rng = np.random.default_rng(seed)
    task = TaskConfig(group=str(rng.choice(GROUPS)), vocab_size=2)
    is_token, is_class = rng.random() < 0.5, rng.random() < 0.5
    size = int(rng.integers(2, 4))
    level = str(rng.choice(["node", "graph"]))
    per_node = level == "graph" and rng.random() < 0.3
    points = rng.permutation(task.degree)
    if is_token or is_class:  # the same permutation of tokens and classes; of features and classes without signs
        permutation = rng.permutation(size)
        one_based = (np.argsort(permutation) + 1).tolist()
        inputs = permutation.tolist() if is_token else one_based
        outputs = permutation.tolist() if is_class else one_based
    else:
        inputs = outputs = _signed(rng, size)
    if per_node:  # signs or tokens may differ between nodes; the graph's outputs stay
        lists = [rng.permutation(size).tolist() if is_token else _signed(rng, size) for _ in range(task.degree)]
        inputs, outputs = lists, None
    entry = {"points": [], "inputs": inputs}
    if rng.random() < 0.7:
        entry["points"] = _cycles(points)
    if outputs is not None:
        entry["outputs"] = outputs
    settings = {
        **{"degree": task.degree, "generators": task.generators, "value_symmetries": [entry], "output_level": level},
        **({"vocab_size": size} if is_token else {"num_features": size}),
        **({"num_labels": size} if is_class else {"num_labels": size, "problem_type": "regression"}),
    }
    if level == "graph":
        settings |= {"pooling": str(rng.choice(["mean", "sum", "max"])), "pool_by_orbit": bool(rng.random() < 0.3)}
    return settings | fields


def _cycles(points):
    from asen_hf.model.groups import from_array_form

    return (to_cycles(from_array_form([points.tolist()])) or [[]])[0]
