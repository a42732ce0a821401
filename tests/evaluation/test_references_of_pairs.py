"""Reference predictions on rows with pairs and on rows of fewer nodes."""

import numpy as np
import pytest
from datasets import DatasetDict

from asen_hf import TaskConfig
from asen_hf.data.features import to_dataset
from asen_hf.data.seeding import random_generator
from asen_hf.evaluation.equivariant_ridge import MAX_FEATURES
from asen_hf.evaluation.pair_colours import pair_colours
from asen_hf.evaluation.paired_rows import PairedRows, without_padding
from asen_hf.evaluation.reference_predictions import REFERENCES, fit_reference, reference_scores, unsuited
from asen_hf.evaluation.structural_features import BUCKETS, StructuralFeatures
from asen_hf.experiments.reference_runs import run_reference
from asen_hf.model.groups import random_elements
from asen_hf.training.recipe import TrainingRecipe

VALUES = {"num_features": 2, "problem_type": "regression"}
TASKS = {
    "node values, numbers": {**VALUES, "pair_features": 2},
    "row values, number": {**VALUES, "pair_features": 1, "output_level": "graph"},
    "row values, categories": {**VALUES, "pair_vocab_size": 3, "output_level": "graph"},
    "node classes, categories": {"vocab_size": 4, "num_labels": 3, "pair_vocab_size": 3},
    "row classes, numbers": {"vocab_size": 4, "num_labels": 3, "output_level": "graph", "pair_features": 2},
    "row classes": {"vocab_size": 4, "num_labels": 3, "output_level": "graph"},
    "residual": {**VALUES, "residual_feature": 1},
}
CONFIGS = {name: TaskConfig(group="S2 x S4", **fields) for name, fields in TASKS.items()}


def arrays(config, count=60, seed=0, holes=0.1):
    """Rows whose last block lacks up to three nodes, with holes and with nonsense at padding."""
    rng = random_generator(seed, "rows")
    shape, pair_shape, label_shape = (
        (count, *s) for s in (config.input_shape(), config.pair_shape(), config.label_shape())
    )
    rows = {"attention_mask": np.arange(6) < rng.integers(3, 7, size=count)[:, None]}
    rows["inputs"] = rng.integers(4, size=shape) if config.vocab_size else rng.normal(size=shape)
    is_residual = np.arange(shape[-1]) == (-1 if config.residual_feature is None else config.residual_feature)
    rows["inputs"] = np.where(
        (rng.random(shape) < holes) & ~is_residual, -1 if config.vocab_size else np.nan, rows["inputs"]
    )
    if config.has_pairs:
        rows["pairs"] = rng.integers(3, size=pair_shape) if config.pair_vocab_size else rng.normal(size=pair_shape)
        rows["pairs"] = np.where(
            rng.random(pair_shape) < holes, -1 if config.pair_vocab_size else np.nan, rows["pairs"]
        )
    rows["labels"] = rng.normal(size=label_shape) if config.is_regression else rng.integers(3, size=label_shape)
    if config.output_level == "node":
        rows["labels"] = np.where(rows["attention_mask"], rows["labels"], np.nan if config.is_regression else -100)
    return rows


def moved(rows, element, is_node):
    inverse = np.argsort(element)
    found = {name: column[:, inverse] for name, column in rows.items() if name != "labels"}
    if "pairs" in rows:
        found["pairs"] = found["pairs"][:, :, inverse]
    return found | {"labels": rows["labels"][:, inverse] if is_node else rows["labels"]}


@pytest.mark.parametrize("task", CONFIGS)
@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_predicts_and_what_stands_at_padding_does_not_matter(task, name):
    config = CONFIGS[task]
    if unsuited(config, name) is not None:
        return
    train, test = arrays(config), arrays(config, seed=1)
    known = test["attention_mask"] if config.output_level == "node" else np.ones(60, bool)
    predicted = fit_reference(config, name, train)(test).numpy()
    assert predicted.shape == (60, *config.label_shape()) and np.isfinite(predicted[known]).all()
    other = fit_reference(config, name, without_padding(config, train))(without_padding(config, test)).numpy()
    np.testing.assert_array_equal(predicted[known], other[known])


@pytest.mark.parametrize("task", [task for task in CONFIGS if unsuited(CONFIGS[task], "structural_ridge") is None])
def test_the_structural_ridge_moves_with_the_group(task):
    config = CONFIGS[task]
    is_node = config.output_level == "node"
    predict, test = fit_reference(config, "structural_ridge", arrays(config, 200)), arrays(config, seed=1)
    found = predict(test).numpy()
    for element in random_elements(config.permutation_group(), 3, seed=0):
        image = predict(moved(test, element, is_node)).numpy()
        expected = found[:, np.argsort(element)] if is_node else found
        mask = test["attention_mask"][:, np.argsort(element)] if is_node else np.ones(60, bool)
        np.testing.assert_allclose(image[mask], expected[mask], atol=1e-8)


@pytest.mark.parametrize("kind", ["categories", "numbers"])
@pytest.mark.parametrize("tokens", [True, False])
def test_counts_by_pairs_are_those_of_a_loop(kind, tokens):
    pairs = {"pair_vocab_size": 3} if kind == "categories" else {"pair_features": 2}
    config = TaskConfig(group="S2 x S4", **({"vocab_size": 4} if tokens else {"num_features": 1}), **pairs)
    rows = without_padding(config, arrays(config, 6, seed=3))
    colours = pair_colours(config)
    features = StructuralFeatures(config, colours, PairedRows(rows["inputs"], rows["pairs"]), MAX_FEATURES)
    categories, comparisons = (4 if kind == "categories" else 1), (9 if tokens else 1)
    knots = [] if kind == "categories" else features._quantiles
    assert features.num_counts == categories * comparisons + sum(map(len, knots))
    for orbit in colours.orbits:
        found = features.orbit_design(orbit, PairedRows(rows["inputs"], rows["pairs"]))
        found = found.reshape(6, len(orbit.nodes), orbit.num_slots, -1)
        expected = np.zeros_like(found)
        for row in range(6):
            for place, j, slot in zip(orbit.targets, orbit.sources, orbit.slots, strict=True):
                i = orbit.nodes[place]
                counts, pair = expected[row, place, slot], rows["pairs"][row, i, j]
                x, y = rows["inputs"][row, i], rows["inputs"][row, j]
                category = 0 if kind == "numbers" else (3 if pair < 0 else pair)
                if tokens and min(x, y) >= 0:
                    counts[category * 9 + 0] += x == y
                    counts[category * 9 + 1] += x < y
                    counts[category * 9 + 2 + x + y] += 1
                if not tokens and not np.isnan([x, y]).any():
                    counts[category] += 1
                start = comparisons * categories
                for feature, points in enumerate(knots):
                    value = pair[feature]
                    if not np.isnan(value):
                        value = np.clip(value, points[0], points[-1])
                        counts[start : start + len(points)] += [
                            np.interp(value, points, hat) for hat in np.eye(len(points))
                        ]
                    start += len(points)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("missing", [[0], [1], [2], [0, 1], [0, 2], [0, 1, 2]], ids=str)
def test_a_number_that_training_never_knows_has_no_part_and_moves_no_other(missing):
    kept = [number for number in range(3) if number not in missing]
    inputs = np.zeros((20, 6), dtype=int)
    pairs = random_generator(0, "pairs").normal(size=(20, 6, 6, 3))
    known_nowhere = pairs.copy()
    known_nowhere[..., missing] = np.nan
    designs = []
    for training, rows in ((known_nowhere, pairs), (pairs[..., kept], pairs[..., kept])):
        fields = {"pair_features": rows.shape[-1]} if rows.shape[-1] else {}
        config = TaskConfig(group="S2 x S4", vocab_size=4, **fields)
        features = StructuralFeatures(
            config, colours := pair_colours(config), PairedRows(inputs, training), MAX_FEATURES
        )
        assert features.num_counts == 9 + len(kept) * (BUCKETS + 1)
        designs.append(features.orbit_design(colours.orbits[0], PairedRows(inputs, rows)))
    np.testing.assert_array_equal(*designs)


def test_the_histogram_has_the_sums_of_its_numbers():
    config = CONFIGS["row values, number"]
    rows = arrays(config, 50, holes=0)
    rows["pairs"] = rows["pairs"].clip(-2, 2)
    features = StructuralFeatures(config, pair_colours(config), PairedRows(rows["inputs"], rows["pairs"]), MAX_FEATURES)
    [knots] = features._quantiles
    assert len(knots) == BUCKETS + 1
    design = features.graph_design(PairedRows(rows["inputs"], rows["pairs"].clip(knots[0], knots[-1])))
    sums = design.reshape(50, -1, features.num_counts)[..., 1:] @ knots
    np.testing.assert_allclose(sums.sum(axis=1), rows["pairs"].clip(knots[0], knots[-1]).sum(axis=(1, 2)), atol=1e-9)


def test_what_only_pairs_tell_is_found_by_the_reference_that_reads_them():
    rng = np.random.default_rng(0)
    config = TaskConfig(group="S6", vocab_size=4, pair_vocab_size=3, output_level="graph", problem_type="regression")
    inputs, pairs = rng.integers(4, size=(400, 6)), rng.integers(3, size=(400, 6, 6))
    labels = ((pairs == 1) & (inputs[:, :, None] == inputs[:, None])).sum(axis=(1, 2)).astype(float)
    train, test = (
        to_dataset(config, inputs[part], labels[part], pairs=pairs[part]) for part in (slice(300), slice(300, 400))
    )
    scores = reference_scores(config, train, test, ["constant", "equivariant_ridge", "structural_ridge"])
    assert scores["structural_ridge"] < 0.05 * scores["constant"] < scores["equivariant_ridge"]


@pytest.mark.parametrize("name", ["structural_ridge", "boosted_trees"])
def test_rivals_are_fitted_on_moved_rows_with_their_pairs(name):
    config = CONFIGS["row classes, numbers"]
    rows = {split: arrays(config, seed=seed) for seed, split in enumerate(("train", "validation", "test"))}
    splits = DatasetDict({split: to_dataset(config, **columns) for split, columns in rows.items()})
    scores, outcomes = run_reference(config, name, splits, TrainingRecipe(train_rows=40))
    assert 0 <= scores["test"].value <= 1 and len(outcomes) == 60
