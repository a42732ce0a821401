"""The pipeline on rows with pairs and on rows of fewer nodes, which are what a smaller task makes of them."""

import numpy as np
import pytest
import torch
from transformers import pipeline

from asen_hf import TaskConfig
from tests.conftest import make_model

VALUES = {"num_features": 2, "problem_type": "regression"}
KINDS = {
    "node": {"vocab_size": 4, "pair_vocab_size": 3},
    "graph": {"output_level": "graph", "pair_features": 2, **VALUES},
    "pair": {"output_level": "pair", "vocab_size": 4, "label_names": ["apart", "joined"]},
    "labels": {"vocab_size": 4, "problem_type": "multi_label_classification", "num_labels": 3},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
NODES = 3


def models(kind):
    """A task on six nodes, and one on three with the same weights: under S_n both have two orbitals."""
    large, small = (make_model({kind: TaskConfig(group=f"S{n}", **KINDS[kind])}, spread=0.3) for n in (6, NODES))
    small.load_state_dict(large.state_dict())
    return [pipeline("asen-prediction", model=model, device="cpu") for model in (large, small)]


def row_of(kind, size, seed=0):
    task, rng = TaskConfig(group="S6", **KINDS[kind]), np.random.default_rng(seed)
    row = {"inputs": rng.integers(4, size=size) if task.vocab_size else rng.normal(size=(size, 2)), "task": kind}
    if task.has_pairs:
        row["pairs"] = rng.integers(3, size=(size, size)) if task.pair_vocab_size else rng.normal(size=(size, size, 2))
    return row


def numbers(result):
    """All numbers of a result, in order."""
    if isinstance(result, dict):
        return [number for name in sorted(result) for number in numbers(result[name])]
    if isinstance(result, list):
        return [number for entry in result for number in numbers(entry)]
    return [] if isinstance(result, str) else [result]


@every_kind
def test_a_row_of_fewer_nodes_is_predicted_as_by_a_smaller_task(kind):
    large, small = models(kind)
    row = row_of(kind, NODES)
    found, expected = large(row), small(row)
    assert np.shape(found)[:2] == np.shape(expected)[:2]  # results only of nodes that are there
    np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-4, atol=1e-6)
    lists = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}
    assert large(lists) == found


@every_kind
def test_rows_of_all_lengths_share_a_batch(kind):
    large, _ = models(kind)
    rows = [row_of(kind, size, seed=size) for size in (6, 2, 1, 5, 6)]
    found = large(rows, batch_size=4)
    for row, result in zip(rows, found, strict=True):
        np.testing.assert_allclose(numbers(result), numbers(large(row)), rtol=1e-4, atol=1e-6)
        if kind != "graph":
            assert len(result) == len(row["inputs"])


@every_kind
def test_a_mask_says_which_nodes_are_there_wherever_they_stand(kind):
    large, _ = models(kind)
    row, own = row_of(kind, NODES), np.array([1, 2, 5])
    wide = row_of(kind, 6, seed=7) | {"attention_mask": np.isin(np.arange(6), own)}
    wide["inputs"][own] = row["inputs"]
    if "pairs" in row:
        wide["pairs"][np.ix_(own, own)] = row["pairs"]
    for mask in (wide["attention_mask"], wide["attention_mask"].astype(int).tolist()):
        found = large(wide | {"attention_mask": mask})
        np.testing.assert_allclose(numbers(found), numbers(large(row)), rtol=1e-4, atol=1e-6)


def test_pairs_and_masks_may_be_tensors():
    large, _ = models("graph")
    row = row_of("graph", 6)
    tensors = {name: torch.from_numpy(value) if hasattr(value, "shape") else value for name, value in row.items()}
    assert large(tensors | {"attention_mask": torch.ones(6, dtype=torch.bool)}) == large(row)


BAD = {
    "no pairs": ("node", {"pairs": None, "drop": "pairs"}, r"the task has pair inputs: give pairs \(6, 6\)"),
    "pairs of other nodes": ("node", {"pairs": [[0] * 6] * 6}, "inputs have 3 nodes, but pairs have shape"),
    "no square": ("node", {"pairs": [0, 1, 2]}, "inputs have 3 nodes, but pairs have shape"),
    "ragged pairs": ("node", {"pairs": [[0, 1], [0]]}, "inputs have 3 nodes, but pairs have shape"),
    "text for pairs": ("node", {"pairs": "many"}, "inputs have 3 nodes, but pairs have shape"),
    "an unknown category": ("node", {"pairs": [[0, 1, 3]] * 3}, "expected a category in 0 … 2"),
    "floats for categories": ("node", {"pairs": [[0.5, 1, 2]] * 3}, "pairs must be integers"),
    "an infinite number": ("graph", {"pairs": [[[np.inf, 0]] * 3] * 3}, "expected a finite number"),
    "one number of two": ("graph", {"pairs": [[0.0] * 3] * 3}, "pairs must have shape"),
    "unwanted pairs": ("pair", {"pairs": [[0] * 3] * 3}, "there are pairs, but the task states neither"),
    "a mask of more nodes": (
        "pair",
        {"attention_mask": [1] * 4},
        "inputs have 3 nodes, but attention_mask has a node 3",
    ),
    "a mask without nodes": ("pair", {"attention_mask": [0] * 3}, "expected a node, got none"),
    "a mask of numbers": ("pair", {"attention_mask": [1, 2, 1]}, "expected 1, or 0 for padding"),
    "a mask of texts": ("pair", {"attention_mask": ["a", "b", "c"]}, "attention_mask"),
    "a mask of masks": ("pair", {"attention_mask": [[1, 1, 1]]}, "attention_mask must have shape"),
    "no node": ("pair", {"inputs": []}, "inputs must have shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows_are_refused_by_number(case):
    kind, change, message = BAD[case]
    large, _ = models(kind)
    bad = row_of(kind, NODES) | change
    bad.pop(bad.pop("drop", None), None)
    with pytest.raises(ValueError, match=f"row 1: .*{message}"):
        list(large([row_of(kind, 6), bad]))


def test_a_row_that_the_group_does_not_allow_says_why():
    predict = pipeline(
        "asen-prediction", model=make_model({"ring": TaskConfig(group="D6", vocab_size=4)}), device="cpu"
    )
    with pytest.raises(ValueError, match=r"must have shape \(rows, 6\), got \(1, 5\); row 0 lacks node 5"):
        predict({"inputs": [0] * 5})
