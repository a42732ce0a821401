"""Equivariant ridge: its symmetry, its exactness, and its features against plain loops."""

import itertools

import numpy as np
import pytest

from asen_hf import TaskConfig
from asen_hf.evaluation.equivariant_features import EquivariantFeatures
from asen_hf.evaluation.equivariant_ridge import fit_equivariant_ridge
from asen_hf.evaluation.pair_colours import pair_colours
from asen_hf.evaluation.structural_features import StructuralFeatures
from asen_hf.model.groups import random_elements
from asen_hf.model.orbits import orbit_labels

RING = [[i, (i + s) % 6] for i in range(6) for s in (1, 5)]
GROUPS = ["D6", "C6", "S3 wr S2", "S2 x S4", "E6", "(0 1 2)(3 4 5)"]
NODE = {"num_features": 2, "problem_type": "regression", "num_labels": 3}
GRAPH = {**NODE, "output_level": "graph"}
TOKENS = {"vocab_size": 4}
FACTORIES = {"linear": EquivariantFeatures, "structural": StructuralFeatures}


def task(group, **fields):
    return TaskConfig(degree=6, group=group, **fields)


def rows(config, count=40, seed=0):
    rng = np.random.default_rng(seed)
    shape = (count, *config.input_shape())
    inputs = rng.normal(2, 3, size=shape) if config.vocab_size is None else rng.integers(config.vocab_size, size=shape)
    nodes = (config.degree,) if config.output_level == "node" else ()
    return inputs, rng.normal(size=(count, *nodes, config.output_size))


def moved(array, element):
    """Point i of each row goes to element[i]."""
    return array[:, np.argsort(element)]


CASES = [
    *((group, fields, "linear") for group in GROUPS for fields in (NODE, GRAPH)),
    *((group, {**TOKENS, **level}, kind) for group in GROUPS[:4] for level in ({}, {"output_level": "graph"})
      for kind in FACTORIES),
    ("D6", {**NODE, "edges": RING}, "linear"),
    ("D6", {**NODE, "edges": RING, "support": "weak"}, "linear"),
    ("S2 x S4", {**NODE, "symmetry_breaking": "nodes"}, "linear"),
]  # fmt: skip


@pytest.mark.parametrize(("group", "fields", "kind"), CASES, ids=str)
def test_it_commutes_with_the_group_and_with_nothing_else(group, fields, kind):
    config = task(group, **fields)
    inputs, targets = rows(config)
    ridge = fit_equivariant_ridge(config, inputs, targets, FACTORIES[kind])
    new, _ = rows(config, seed=1)
    straight = ridge(new)

    def error(element):
        expected = moved(straight, element) if config.output_level == "node" else straight
        return np.abs(ridge(moved(new, element)) - expected).max()

    for element in random_elements(config.permutation_group(), 10):
        assert error(element) < 1e-9
    labels = orbit_labels(config.permutation_group())
    if labels.max() > 1:  # else every permutation is a symmetry
        permutations = [np.random.default_rng(seed).permutation(6) for seed in range(20)]
        outside = [p for p in permutations if not np.array_equal(labels[p][:, p], labels)]
        assert max(error(p) for p in outside) > 1e-5


@pytest.mark.parametrize("group", GROUPS)
def test_an_exact_equivariant_map_is_recovered(group):
    config = task(group, **NODE)
    labels = orbit_labels(config.permutation_group())
    nodes = orbit_labels(config.permutation_group(), order=1)
    rng = np.random.default_rng(2)
    weights, bias = rng.normal(size=(labels.max() + 1, 2, 3)), rng.normal(size=(nodes.max() + 1, 3))

    def truth(x):
        return np.einsum("bjf,ijfk->bik", x, weights[labels]) + bias[nodes]

    inputs, _ = rows(config, 60)
    new, _ = rows(config, 50, seed=1)
    ridge = fit_equivariant_ridge(config, inputs, truth(inputs))
    assert np.abs(ridge(new) - truth(new)).mean() < 1e-6


@pytest.mark.parametrize("group", ["D6", "S2 x S4", "E6"])
def test_quadratic_invariants_are_recovered(group):
    config = task(group, **GRAPH)
    labels = orbit_labels(config.permutation_group())
    weights = np.random.default_rng(2).normal(size=(labels.max() + 1, 2, 2, 3))

    def truth(x):
        return np.einsum("bif,bjg,ijfgk->bk", x, x, weights[labels]) + 7

    inputs, _ = rows(config, 300)
    new, _ = rows(config, 50, seed=1)
    ridge = fit_equivariant_ridge(config, inputs, truth(inputs))
    assert np.abs(ridge(new) - truth(new)).mean() < 1e-5 * np.abs(truth(new)).mean()


@pytest.mark.parametrize("group", GROUPS)
def test_with_many_rows_it_is_the_dense_least_squares_fit(group):
    config = task(group, **NODE)
    inputs, targets = rows(config, 200)
    labels, nodes = orbit_labels(config.permutation_group()), orbit_labels(config.permutation_group(), order=1)
    rank, orbits = labels.max() + 1, nodes.max() + 1
    design = np.zeros((200, 6, rank * 2 + orbits))
    for i, j in itertools.product(range(6), repeat=2):
        design[:, i, 2 * labels[i, j] : 2 * labels[i, j] + 2] += inputs[:, j]
    design[:, np.arange(6), 2 * rank + nodes] = 1
    targets = targets + design @ np.random.default_rng(5).normal(size=(design.shape[-1], 3)) * 100  # hardly any noise
    flat = design.reshape(-1, design.shape[-1])
    dense = flat @ np.linalg.lstsq(flat, targets.reshape(-1, 3), rcond=None)[0]
    np.testing.assert_allclose(fit_equivariant_ridge(config, inputs, targets)(inputs).reshape(-1, 3), dense, atol=2e-2)


def test_fixed_points_share_one_regression_and_keep_their_own_outputs():
    config = task("E6", **NODE)
    inputs, targets = rows(config, 100)
    together = fit_equivariant_ridge(config, inputs, targets)(inputs)
    for node in range(6):
        alone = np.full_like(targets, np.nan)
        alone[:, node] = targets[:, node]
        np.testing.assert_allclose(fit_equivariant_ridge(config, inputs, alone)(inputs)[:, node], together[:, node])


def test_unknown_labels_are_left_out():
    config = task("D6", **NODE)
    inputs, targets = rows(config, 60)
    garbled = targets.copy()
    garbled[40:] = np.nan
    expected = fit_equivariant_ridge(config, inputs[:40], targets[:40])
    features = fit_equivariant_ridge(config, inputs, garbled)
    # Both standardise inputs, on 40 and on 60 rows, before the penalty does so again.
    np.testing.assert_allclose(features(inputs), expected(inputs), atol=1e-8)


def test_each_output_is_fitted_on_its_own_labels_where_many_are_unknown():
    config = task("D6", **NODE)
    inputs, targets = rows(config, 60)
    holes = targets.copy()
    holes[:30, :, 0], holes[30:, :, 1], holes[..., 2] = np.nan, np.nan, np.nan
    predicted = fit_equivariant_ridge(config, inputs, holes)(inputs)
    for output, part in ((0, slice(30, 60)), (1, slice(0, 30))):
        alone = fit_equivariant_ridge(config, inputs[part], targets[part][..., [output] * 3])(inputs)
        np.testing.assert_allclose(predicted[..., output], alone[..., 0], atol=1e-8)
    np.testing.assert_array_equal(predicted[..., 2], 0)  # nothing is known of it


@pytest.mark.parametrize("fields", [NODE, GRAPH, TOKENS], ids=str)
def test_missing_inputs_keep_the_symmetry_and_say_where_they_are(fields):
    config = task("D6", **fields)
    inputs, targets = rows(config, 200)
    gone = np.random.default_rng(4).random(inputs.shape) < 0.2
    inputs = np.where(gone, -1 if config.vocab_size else np.nan, inputs)
    targets = targets + (gone if config.vocab_size else gone[..., 0]).sum(axis=1).reshape(-1, *[1] * (targets.ndim - 1))
    ridge = fit_equivariant_ridge(config, inputs, targets)
    predicted = ridge(inputs)
    assert np.isfinite(predicted).all()
    assert np.square(predicted - targets).mean() < 0.98 * np.square(targets - targets.mean()).mean()
    [element, *_] = random_elements(config.permutation_group(), 1, seed=1)
    expected = moved(predicted, element) if config.output_level == "node" else predicted
    np.testing.assert_allclose(ridge(moved(inputs, element)), expected, atol=1e-9)


def test_structural_counts_are_those_of_a_loop():
    config = task("(0 1 2)(3 4 5)", **TOKENS)
    inputs = np.random.default_rng(0).integers(-1, 4, size=(5, 6))
    colours = pair_colours(config)
    features = StructuralFeatures(config, colours, inputs, 10**6)
    for orbit in colours.orbits:
        found = features.orbit_design(orbit, inputs).reshape(5, len(orbit.nodes), orbit.num_slots, 9)
        expected = np.zeros_like(found)
        for row, (a, j, slot) in itertools.product(
            range(5), zip(orbit.targets, orbit.sources, orbit.slots, strict=True)
        ):
            x, y = inputs[row, orbit.nodes[a]], inputs[row, j]
            if min(x, y) >= 0:
                expected[row, a, slot, 0] += x == y
                expected[row, a, slot, 1] += x < y
                expected[row, a, slot, 2 + x + y] += 1
        np.testing.assert_array_equal(found, expected)


def test_a_rule_on_pairs_of_equal_tokens_is_learned_from_few_rows():
    config = task("S3 wr S2", **TOKENS)
    rng = np.random.default_rng(0)

    def make(count):
        inputs = rng.integers(4, size=(count, 6))
        shared = (inputs[:, :, None] == inputs[:, None, :])[:, :3, 3:]
        return inputs, np.concatenate([shared.any(axis=2), shared.any(axis=1)], axis=1)

    inputs, labels = make(60)
    indicators = np.stack([~labels, labels], axis=-1).astype(float)
    new, truth = make(200)
    guess = fit_equivariant_ridge(config, inputs, indicators, StructuralFeatures)(new).argmax(axis=-1)
    assert (guess == truth).mean() > 0.9


def test_what_is_too_large_is_refused_or_left_out_with_the_reason(monkeypatch):
    config = task("E6", **GRAPH)
    inputs, targets = rows(config)
    module = "asen_hf.evaluation.equivariant_ridge"
    monkeypatch.setattr(f"{module}.MAX_FEATURES", 20)
    assert "without products: they would make 90 features" in fit_equivariant_ridge(config, inputs, targets).note
    monkeypatch.setattr(f"{module}.MAX_FEATURES", 11)
    with pytest.raises(ValueError, match="12 features are more than 11"):
        fit_equivariant_ridge(config, inputs, targets)
    monkeypatch.undo()
    monkeypatch.setattr(f"{module}.MAX_OPERATIONS", 3e5)
    monkeypatch.setattr(f"{module}.MIN_ROWS", 10)
    assert "of 40 rows" in fit_equivariant_ridge(config, inputs, targets).note
    monkeypatch.setattr(f"{module}.MAX_OPERATIONS", 1e3)
    with pytest.raises(ValueError, match="cost more than 1e"):
        fit_equivariant_ridge(config, inputs, targets)
    with pytest.raises(ValueError, match="513 numbers per node"):
        big = task("D6", vocab_size=513)
        fit_equivariant_ridge(big, np.zeros((3, 6), dtype=int), np.zeros((3, 6, 2)))
