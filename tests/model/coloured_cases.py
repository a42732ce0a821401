"""Random tasks whose pairs are coloured by relations, categories and numbers, and random rows for them."""

import numpy as np
import torch

GROUPS = ("E4", "C5", "D4", "R5", "S2 wr S2", "S3 x E2", "S5")
RELATIONS = (["equal"], ["order"], ["sum"], ["difference"], ["order", "sum"], [])


def random_task(seed, **fields):
    """Fields of a task; with a seed, every kind of colour, support, symmetry breaking and output can occur."""
    rng = np.random.default_rng(seed)
    relations = RELATIONS[rng.integers(len(RELATIONS))]
    is_token = bool(set(relations) & {"sum", "difference"}) or rng.random() < 0.5
    level = str(rng.choice(["node", "pair", "graph"]))
    settings = {
        **{"group": str(rng.choice(GROUPS)), "relations": relations, "output_level": level},
        **({"vocab_size": 3} if is_token else {"num_features": 1}),
        **[{}, {"pair_vocab_size": 2}, {"pair_features": 1}, {"pair_features": 2, "pair_buckets": 4}][rng.integers(4)],
        **({"point_order": str(rng.choice(["line", "ring"]))} if rng.random() < 0.5 else {}),
        **({"problem_type": "regression", "num_labels": 2} if rng.random() < 0.5 else {}),
        "symmetry_breaking": str(rng.choice(["pairs", "pairs", "nodes", "triples"])),
    }
    if level == "pair":
        settings["symmetric_outputs"] = bool(rng.random() < 0.5)
    if level == "graph":
        settings["pooling"] = str(rng.choice(["mean", "sum", "max"]))
    if level != "pair" and "pair_features" not in settings and (relations or "pair_vocab_size" in settings):
        settings["partner_counts"] = bool(rng.random() < 0.5)
    return settings | fields


def columns_of(task, number=3, seed=0, missing=0.2, is_masked=False):
    """Rows in float64: inputs, pairs if the task has them, some entries missing; and nodes missing on request."""
    rng = np.random.default_rng(seed)

    def drawn(shape, vocabulary, unknown):
        is_category = vocabulary is not None
        values = rng.integers(vocabulary, size=shape) if is_category else rng.normal(size=shape)
        return torch.from_numpy(np.where(rng.random(shape) < missing, unknown, values))

    shape = (number, *task.input_shape())
    columns = {"inputs": drawn(shape, task.vocab_size, -1 if task.vocab_size else np.nan)}
    if task.has_pairs:
        unknown = -1 if task.pair_vocab_size else np.nan
        columns["pairs"] = drawn((number, *task.pair_shape()), task.pair_vocab_size, unknown)
    if is_masked:
        mask = rng.random((number, task.degree)) < 0.6
        mask[:, 0] = True
        columns["attention_mask"] = torch.from_numpy(mask)
    return columns


def permuted(columns, permutation):
    """The rows with node ``permutation[i]`` moved to place i, pairs and mask along."""
    moved = {name: column[:, permutation] for name, column in columns.items()}
    if "pairs" in columns:
        moved["pairs"] = moved["pairs"][:, :, permutation]
    return moved
