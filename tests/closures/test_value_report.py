"""The report on a group that changes values names the group that a network really has, counted element by element."""

import itertools

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig, closure_report
from asen_hf.closures import ValueReport
from asen_hf.model.groups import grid_symmetries, to_cycles
from tests.conftest import make_model

REGRESSION = {"problem_type": "regression"}
RING = [[i, (i + 1) % 4] for i in range(4)]
SWAP = {"name": "swap", "inputs": [0, 2, 1], "outputs": [1, 0]}
TOKENS = {"vocab_size": 3, "num_labels": 2}
ONE_SIGN = [[-1], [1], [1]]
TASKS = {
    "swap": {"group": "D4", **TOKENS, "value_symmetries": [SWAP]},
    "mirror": {"group": "C4", **TOKENS, "value_symmetries": [{**SWAP, "points": "R4"}]},
    "without kernel": {"degree": 4, **TOKENS, "value_symmetries": [{**SWAP, "points": "(0 1)(2 3)"}]},
    "A4, which pairs widen": {"group": "A4", **TOKENS, "value_symmetries": [SWAP]},
    "A4 by triples": {"group": "A4", **TOKENS, "value_symmetries": [SWAP], "symmetry_breaking": "triples"},
    "A4 with odd swaps": {"group": "A4", **TOKENS, "value_symmetries": [{**SWAP, "points": "(0 1)"}]},
    "A4 from V4": {"group": "V4", **TOKENS, "value_symmetries": [{"points": "(0 1 2)"}]},
    "A4 from V4, and a swap": {"group": "V4", **TOKENS, "value_symmetries": [{"points": "(0 1 2)"}, SWAP]},
    "S4 from A4": {"group": "A4", **TOKENS, "value_symmetries": [{"points": "(0 1)"}]},
    "C4 from nothing": {"degree": 4, **TOKENS, "value_symmetries": [{"points": "(0 1 2 3)"}]},
    "nodes": {"group": "C4", **TOKENS, "value_symmetries": [SWAP], "symmetry_breaking": "nodes"},
    "nodes of two kinds": {
        "group": "(0 1)(2 3)",
        **TOKENS,
        "value_symmetries": [{**SWAP, "points": "(0 2)(1 3)"}],
        "symmetry_breaking": "nodes",
    },
    "sparse": {"group": "C4", **TOKENS, "value_symmetries": [{**SWAP, "points": "R4"}], "edges": RING},
    "sparse, moved": {"group": "C4", **TOKENS, "value_symmetries": [SWAP], "edges": RING[:2]},
    "sparse, by value symmetries only": {"degree": 4, **TOKENS, "value_symmetries": [SWAP], "edges": RING[:2]},
    "sparse, with few pairs": {
        "group": "V4",
        **TOKENS,
        "value_symmetries": [SWAP],
        "edges": [[i, i] for i in range(4)],
    },
    "weak": {"group": "D4", **TOKENS, "value_symmetries": [SWAP], "edges": [*RING, [1, 0]], "support": "weak"},
    "weak, kept": {"group": "C4", **TOKENS, "value_symmetries": [SWAP], "edges": RING, "support": "weak"},
    "signs of nodes": {
        "group": "S3",
        "num_features": 1,
        **REGRESSION,
        "value_symmetries": [{"inputs": ONE_SIGN, "outputs": ONE_SIGN}],
    },
    "signs of nodes that turn": {
        "degree": 3,
        "num_features": 1,
        **REGRESSION,
        "value_symmetries": [{"points": "(0 1 2)", "inputs": ONE_SIGN, "outputs": ONE_SIGN}],
    },
    "signs of nodes, A3": {
        "group": "A3",
        "num_features": 1,
        **REGRESSION,
        "symmetry_breaking": "nodes",
        "value_symmetries": [{"inputs": ONE_SIGN, "outputs": ONE_SIGN}],
    },
    "invariant": {
        "group": "C3",
        "num_features": 1,
        "output_level": "graph",
        **REGRESSION,
        "value_symmetries": [{"points": "(0 1)", "inputs": [-1], "outputs": [-1]}],
    },
}
CONSTRUCTIONS = [(name, how) for name in TASKS for how in ("average", "lift")]


# A lift whose points or pairs tell little also allows each node its own swap.
COARSE_LIFTS = {"nodes", "nodes of two kinds", "sparse, by value symmetries only", "sparse, with few pairs"}


def possible_elements(task, is_coarse):
    """Arrays of all elements: points ``(N, n)``; of inputs and outputs, maps ``(N, n, S)``.

    Tokens and classes are changed alike at all nodes, or swapped or not node by node; so are signs.
    """
    points = list(itertools.permutations(range(task.degree)))
    if task.num_features is None and is_coarse:
        inputs = list(itertools.product([(0, 1, 2), (0, 2, 1)], repeat=task.degree))
        outputs = list(itertools.product([(0, 1), (1, 0)], repeat=task.degree))
    elif task.num_features is None:
        inputs = [[image] * task.degree for image in itertools.permutations(range(task.vocab_size))]
        outputs = [[image] * task.degree for image in itertools.permutations(range(task.num_labels))]
    else:
        inputs = [[(sign,) for sign in signs] for signs in itertools.product([1, -1], repeat=task.degree)]
        is_graph = task.output_level == "graph"
        outputs = [[(1,)] * task.degree, [(-1,)] * task.degree] if is_graph else inputs
    return [np.array(part) for part in zip(*itertools.product(points, inputs, outputs), strict=True)]


def measured_elements(task, is_coarse=False, seed=0):
    """How many of all elements a random network of the task is equivariant to, in float64."""
    model = make_model({"it": task}, seed=seed, spread=0.3).double()
    rng = np.random.default_rng(seed)
    rows = rng.integers(3, size=(4, 4)) if task.num_features is None else rng.normal(size=(3, 3, 1))
    points, inputs, outputs = possible_elements(task, is_coarse)
    count, size, nodes = len(points), len(rows), np.arange(task.degree)
    changed = np.empty((count, *rows.shape), dtype=rows.dtype)
    logits = model(torch.from_numpy(rows), task="it").logits.detach().numpy()
    expected = np.empty((count, *logits.shape))
    for g in range(count):
        for b in range(size):
            if task.num_features is None:
                changed[g, b, points[g]] = inputs[g, nodes, rows[b]]
                expected[g, b][points[g][:, None], outputs[g]] = logits[b]
            else:
                changed[g, b, points[g]] = inputs[g] * rows[b]
                expected[g, b] = outputs[g, 0, 0] * logits[b]
                if task.output_level == "node":
                    expected[g, b, points[g]] = outputs[g] * logits[b]
    moved = model(torch.from_numpy(changed.reshape(-1, *rows.shape[1:])), task="it").logits.detach().numpy()
    errors = np.abs(moved.reshape(expected.shape) - expected).reshape(count, -1).max(axis=1)
    assert not np.any((errors > 1e-10) & (errors < 1e-6))  # nothing between equal and different
    return int((errors <= 1e-10).sum())


def report_on(name, how) -> tuple[TaskConfig, ValueReport, object]:
    task = TaskConfig(**TASKS[name], symmetrization=how)
    report = closure_report(task)
    return task, report.values, report


@pytest.mark.parametrize(("name", "how"), CONSTRUCTIONS)
def test_the_networks_group_has_the_elements_that_are_measured(name, how):
    task, values, report = report_on(name, how)
    measured = measured_elements(task, how == "lift" and name in COARSE_LIFTS)
    if values.contains_group:
        assert values.network_order == measured
        assert values.is_exact == report.is_exact == (measured == values.orders.outputs)
    else:
        assert values.is_exact is report.is_exact is False


@pytest.mark.parametrize(("name", "how"), CONSTRUCTIONS)
def test_only_a_moved_support_loses_the_group(name, how):
    _, values, report = report_on(name, how)
    is_lost = name == "sparse, moved" or (how == "lift" and name in ("sparse", "weak")) or name == "weak"
    assert values.contains_group is report.support_is_invariant is not is_lost
    assert ("will not be equivariant" in report.sentence) == is_lost


@pytest.mark.parametrize(
    ("name", "how", "sentence"),
    [
        ("swap", "average", "The network will be equivariant to exactly this group (order 16)."),
        (
            "swap",
            "lift",
            "The network will be equivariant to exactly this group (order 16). It need not be universal: inputs with "
            'ties may look the same to it; symmetry_breaking="triples" tells more of them apart.',
        ),
        (
            "A4, which pairs widen",
            "average",
            "The network will be equivariant to a group of order 48 rather than to this group (order 24): it sees S_4 "
            "(order 24) instead of the subgroup that changes no value, because pairs of points cannot tell them apart; "
            'symmetry_breaking="triples" could.',
        ),
        (
            "A4 from V4",
            "average",
            "The network will be equivariant to exactly this group (order 12) with pairs of points only, by averaging "
            "over the 3 cosets of a subgroup; without, pairs could not tell it from a group of order 24.",
        ),
        (
            "C4 from nothing",
            "average",
            "The network will be equivariant to exactly this group (order 4), by averaging over the 4 cosets of a "
            "subgroup.",
        ),
        (
            "A4 from V4",
            "lift",
            "The network will be equivariant to a group of order 24 rather than to this group (order 12): it sees S_4 "
            "(order 24) instead of the lift of the whole group, because pairs of points cannot tell them apart; "
            'symmetry_breaking="triples" could.',
        ),
        (
            "sparse, moved",
            "average",
            "The network will not be equivariant to this group (order 8): the subgroup that changes no value does not "
            "map the support to itself.",
        ),
        (
            "sparse",
            "lift",
            "The network will not be equivariant to this group (order 8): the lift of the whole group does not map the "
            "support to itself.",
        ),
    ],
)
def test_sentences(name, how, sentence):
    assert report_on(name, how)[2].sentence == sentence


@pytest.mark.parametrize(
    ("name", "how", "numbers"),
    [
        ("swap", "average", (4, 2, 2)),
        ("swap", "lift", (8, 1, 2)),
        ("A4 from V4", "average", (4, 3, 1)),
        ("A4 from V4", "lift", (4, 1, 1)),
        ("signs of nodes", "average", (3, 8, 2)),
        ("signs of nodes", "lift", (6, 1, 2)),
        ("invariant", "average", (3, 2, 2)),
    ],
)
def test_numbers_of_points_cosets_and_value_maps(name, how, numbers):
    _, values, report = report_on(name, how)
    assert values.symmetrization == how
    assert (values.num_seen_points, values.num_cosets, values.num_value_maps) == numbers
    assert report.degree == values.num_seen_points


def test_facts_say_what_is_whole_and_what_is_seen():
    facts = report_on("swap", "average")[2].facts
    assert facts["whole group"] == (
        "order 8 on points, 16 with input values, 16 with outputs; 1 element of the group changes values and no point"
    )
    assert facts["value maps"] == "2, the identity included" and facts["order"] == "8"
    assert facts["seen by network"] == "the subgroup that changes no value on 4 points, averaged over 2 cosets"
    lifted = report_on("swap", "lift")[2].facts
    assert lifted["seen by network"] == "the lift of the whole group on 8 points (node, value map)"
    assert lifted["order"] == "16" and lifted["points"] == "8"


def test_contradictions_stand_in_the_facts():
    task = TaskConfig(group="C4", **TOKENS, value_symmetries=[{"outputs": [1, 0]}])
    assert closure_report(task).facts["whole group"].endswith("; 1 element of the group changes outputs alone, which "
                                                              "no network can follow")  # fmt: skip


def test_a_field_of_vectors_is_exact_by_either_construction():
    turn, flip = to_cycles(grid_symmetries(4, 4, "dihedral"))
    entries = [
        {"points": turn, "inputs": [-2, 1], "outputs": [-2, 1]},
        {"points": flip, "inputs": [1, -2], "outputs": [1, -2]},
    ]
    for how in ("average", "lift"):
        task = TaskConfig(group="grid 4x4 translations", num_features=2, num_labels=2, **REGRESSION,
                          value_symmetries=entries, symmetrization=how)  # fmt: skip
        report = closure_report(task)
        assert report.is_exact and report.values.network_order == 128 and report.values.num_value_maps == 8


def test_what_cannot_be_decided_is_said():
    task = TaskConfig(group="C1100", **TOKENS, value_symmetries=[SWAP])
    report = closure_report(task)
    assert report.is_exact is None and report.values.network_order is None
    assert "whether to a larger one as well was not decided: the 2-closure is computed up to" in report.sentence
