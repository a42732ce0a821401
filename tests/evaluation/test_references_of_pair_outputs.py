"""Reference predictions of outputs of pairs: features against loops and networkx, and their symmetry."""

import networkx as nx
import numpy as np
import pytest
from datasets import DatasetDict

from asen_hf import TaskConfig, get_task
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.equivariant_features import EquivariantFeatures
from asen_hf.evaluation.output_features import PairFeatures
from asen_hf.evaluation.pair_colours import pair_colours
from asen_hf.evaluation.paired_rows import PairedRows
from asen_hf.evaluation.reference_predictions import REFERENCES, fit_reference, reference_scores, unsuited
from asen_hf.evaluation.structural_features import StructuralFeatures
from asen_hf.experiments.reference_runs import run_reference
from asen_hf.model.groups import random_elements
from asen_hf.model.orbits import orbit_labels
from asen_hf.training.recipe import TrainingRecipe

PAIR = {"output_level": "pair"}
VALUES = {"problem_type": "regression", "num_labels": 2}
TASKS = {
    "classes, categories": {"vocab_size": 3, "num_labels": 3, "pair_vocab_size": 2},
    "scores": {"vocab_size": 3, "num_labels": 2, "metric": "auc"},
    "labels, numbers": {"vocab_size": 3, "problem_type": "multi_label_classification", "pair_features": 2},
    "values": {"num_features": 2, **VALUES},
    "value, categories": {"num_features": 1, "problem_type": "regression", "pair_vocab_size": 2},
}
CONFIGS = {name: TaskConfig(group="S2 x C4", **PAIR, **fields) for name, fields in TASKS.items()}


def arrays(config, count=60, seed=0, holes=0.1):
    rng = np.random.default_rng(seed)
    shape, pair_shape, label_shape = (
        (count, *s) for s in (config.input_shape(), config.pair_shape(), config.label_shape())
    )
    inputs = rng.integers(3, size=shape) if config.vocab_size else rng.normal(size=shape)
    rows = {"inputs": np.where(rng.random(shape) < holes, -1 if config.vocab_size else np.nan, inputs)}
    if config.has_pairs:
        pairs = rng.integers(2, size=pair_shape) if config.pair_vocab_size else rng.normal(size=pair_shape)
        rows["pairs"] = np.where(rng.random(pair_shape) < holes, -1 if config.pair_vocab_size else np.nan, pairs)
    labels = rng.normal(size=label_shape) if config.is_regression else rng.integers(2, size=label_shape)
    unknown = rng.random(label_shape) < 0.2
    return rows | {"labels": np.where(unknown, np.nan if config.is_regression else -100, labels)}


def moved(array, element, num_axes):
    inverse = np.argsort(element)
    for axis in range(1, 1 + num_axes):
        array = array.take(inverse, axis=axis)
    return array


@pytest.mark.parametrize("task", CONFIGS)
def test_references_predict_and_move_with_the_group(task):
    config = CONFIGS[task]
    train, test = arrays(config, 150), arrays(config, 30, seed=1)
    names = [name for name in REFERENCES if unsuited(config, name) is None]
    assert {"equivariant_ridge", "boosted_trees"} <= set(names) and len(names) >= 4
    for name in names:
        predict = fit_reference(config, name, train)
        found = predict(test).numpy()
        assert found.shape == (30, *config.label_shape()) and np.isfinite(found).all()
        for element in random_elements(config.permutation_group(), 2, seed=0):
            image = {key: moved(column, element, 1 + (key == "pairs")) for key, column in test.items()}
            expected = moved(found, element, 2)
            np.testing.assert_allclose(predict(image).numpy(), expected, atol=1e-8, err_msg=name)


def test_the_prediction_by_orbital_is_the_majority_or_median_of_each_orbital():
    for config in (CONFIGS["classes, categories"], CONFIGS["values"]):
        rows, orbitals = arrays(config, 80), orbit_labels(config.permutation_group())
        name = "orbital_constant" if config.is_regression else "orbital_majority"
        found = fit_reference(config, name, rows)(rows).numpy()
        for orbital in range(orbitals.max() + 1):
            labels, guess = rows["labels"][:, orbitals == orbital], found[:, orbitals == orbital]
            if config.is_regression:
                expected = np.nanmedian(labels, axis=(0, 1))
                np.testing.assert_allclose(guess, np.broadcast_to(expected, guess.shape))
            else:
                assert (guess == np.bincount(labels[labels >= 0]).argmax()).all()


def test_features_of_pairs_are_those_of_both_ends_and_of_what_is_between():
    config = CONFIGS["classes, categories"]
    data = arrays(config, 5, holes=0)
    rows, colours = PairedRows(data["inputs"], data["pairs"]), pair_colours(config)
    of_nodes = StructuralFeatures(config, colours, rows, 1000)
    features = PairFeatures(colours, of_nodes)
    by_node = {}
    for orbit in colours.orbits:
        for position, node in enumerate(orbit.nodes):
            by_node[node] = of_nodes.orbit_design(orbit, rows)[:, position]
    assert sorted(np.concatenate([o.places for o in colours.orbitals()])) == list(range(36))
    for orbital in colours.orbitals():
        design = features.orbit_design(orbital, rows)
        assert design.shape == (5, len(orbital.places), features.orbit_width(orbital))
        for row, m in np.ndindex(*design.shape[:2]):
            i, j = orbital.targets[m], orbital.sources[m]
            x, arcs = rows.inputs[row], rows.pairs[row]
            ends = [by_node[i][row]] if i == j else [by_node[i][row], by_node[j][row]]
            there, back = np.zeros((3, 7)), np.zeros((3, 7))
            there[arcs[i, j], [0, 1, 2 + x[i] + x[j]]] = [x[i] == x[j], x[i] < x[j], 1]
            back[arcs[j, i], [0, 1, 2 + x[i] + x[j]]] = [x[i] == x[j], x[j] < x[i], 1]
            paths = np.zeros((3, 3))
            for k in range(6):
                paths[arcs[i, k], arcs[k, j]] += 1
            expected = np.concatenate([*ends, there.ravel(), back.ravel(), paths.ravel()])
            np.testing.assert_array_equal(design[row, m], expected)


def test_products_of_both_nodes_inputs_are_features():
    config = CONFIGS["values"]
    inputs, colours = arrays(config, 5, holes=0)["inputs"], pair_colours(config)
    features = EquivariantFeatures(config, colours, inputs, 1000)
    values = features.channels(inputs)
    found = features.pair_design(inputs, np.array([0, 3]), np.array([4, 3]))
    expected = np.stack([np.einsum("rf,rg->rfg", values[:, i], values[:, j]) for i, j in ((0, 4), (3, 3))], axis=1)
    np.testing.assert_allclose(found, expected.reshape(5, 2, -1))
    few = EquivariantFeatures(config, colours, inputs, 3)
    assert few.pair_width == 0 and "without products" in few.note
    assert few.pair_design(inputs, np.array([0]), np.array([1])).shape == (5, 1, 0)


@pytest.mark.parametrize("categories", [8, 10])
def test_paths_of_many_kinds_are_left_out(categories):
    config = TaskConfig(group="S3", vocab_size=2, pair_vocab_size=categories, **PAIR)
    rows = PairedRows(np.zeros((2, 3), int), np.zeros((2, 3, 3), int))
    features = StructuralFeatures(config, pair_colours(config), rows, 1000)
    assert bool(features.note) == (categories == 10)
    assert features.pair_design(rows, np.arange(3), np.arange(3)).shape == (2, 3, features.pair_width)


def test_common_neighbours_are_found():
    rng = np.random.default_rng(0)
    config = TaskConfig(group="S7", vocab_size=1, pair_vocab_size=2, problem_type="regression", **PAIR)
    graphs = [nx.gnp_random_graph(7, 0.5, seed=int(rng.integers(10**6))) for _ in range(120)]
    pairs = np.stack([nx.to_numpy_array(graph, dtype=int) for graph in graphs])
    labels = np.stack(
        [[[len(set(graph[i]) & set(graph[j])) if i != j else np.nan for j in graph] for i in graph] for graph in graphs]
    )
    inputs = np.zeros((120, 7), int)
    train, test = (
        to_dataset(config, inputs[part], labels[part], pairs=pairs[part]) for part in (slice(90), slice(90, 120))
    )
    scores = reference_scores(config, train, test)
    assert scores["structural_ridge"] < 1e-6 < 0.1 < min(scores["orbital_constant"], scores["equivariant_ridge"])


def test_too_many_orbitals_leave_the_logistic_regression_out():
    config = TaskConfig(group="E9", vocab_size=3, num_labels=2, **PAIR)
    with pytest.raises(ValueError, match="81 orbitals are more than 64"):
        fit_reference(config, "logistic_regression", arrays(config, 10))


@pytest.mark.parametrize("name", ["orbital_majority", "structural_ridge", "boosted_trees"])
def test_rivals_are_scored_on_pairs(name):
    task = get_task("graph/reachable", num_nodes=5)
    splits = DatasetDict(task.load(60))
    scores, outcomes = run_reference(task.config, name, splits, TrainingRecipe())
    assert 0.5 < scores["test"].value <= 1 and len(outcomes) == 9
    assert outcomes.score() == pytest.approx(scores["validation"].value)
