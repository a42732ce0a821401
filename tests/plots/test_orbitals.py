"""Pictures of orbitals: ticks name the nodes that lie there, colours are those of the pairs' orbitals."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, orbit_labels
from asen_hf.evaluation.discovery import orbital_distances
from asen_hf.model.groups import cyclic, trivial, young_subgroup
from asen_hf.model.symmetry import SymmetryBreaker
from asen_hf.plots import plot_orbital_distances, plot_orbital_features, plot_orbitals
from asen_hf.plots.orbitals import MOST_DISTANCES, pair_labels, principal_component, write_symmetry

pytestmark = pytest.mark.usefixtures("coarse_pictures")

EDGES = [[0, 1], [1, 2], [3, 4], [4, 5]]
SIXES = {
    "complete": TaskConfig(group="C6", vocab_size=2),
    "nodes": TaskConfig(group="S2 x S4", vocab_size=2, symmetry_breaking="nodes"),
    "sparse": TaskConfig(degree=6, generators=[[[0, 3], [1, 4], [2, 5]]], edges=EDGES, vocab_size=2),
    "weak": TaskConfig(group="S6", edges=EDGES, support="weak", vocab_size=2),
}


BOARD = {"group": "grid 3x3 dihedral", "vocab_size": 3, "value_symmetries": [{"inputs": [0, 2, 1]}]}
VALUES = {
    "average": TaskConfig(**BOARD),
    "lift": TaskConfig(**BOARD, symmetrization="lift"),
    "lifted nodes": TaskConfig(**BOARD, symmetrization="lift", symmetry_breaking="nodes"),
    "lifted sparse": TaskConfig(**BOARD, symmetrization="lift", edges=[[0, 1], [4, 4]]),
    "lifted weak": TaskConfig(**BOARD, symmetrization="lift", edges=[[0, 1], [4, 4]], support="weak"),
    "moves": TaskConfig(group="V4", vocab_size=3, value_symmetries=[{"points": "(0 1 2)"}]),
}


def axes():
    return Figure(layout="constrained").subplots()


def small_model(**tasks):
    return AsenForMultitask(AsenConfig(tasks=tasks, hidden_size=16, num_attention_heads=2, num_hidden_layers=2))


@pytest.mark.parametrize("task", (SIXES | VALUES).values(), ids=SIXES | VALUES)
def test_pairs_have_the_labels_that_the_network_sees(task):
    graph = SymmetryBreaker(task)()
    expected = np.full((graph.num_nodes, graph.num_nodes), -1)
    targets, sources, labels = (tensor.numpy() for tensor in graph.to_edges())
    expected[targets, sources] = labels
    np.testing.assert_array_equal(pair_labels(task), expected)


@pytest.mark.parametrize("degree", [12, 60])
def test_ticks_of_sorted_nodes_give_their_own_numbers(degree):
    blocks = np.random.default_rng(0).permutation(degree)
    group = young_subgroup([sorted(blocks[: degree // 3].tolist()), sorted(blocks[degree // 3 :].tolist())])
    ax = plot_orbitals(group, axes())
    ax.figure.draw_without_rendering()
    labels = orbit_labels(group)
    image = ax.images[0].get_array()
    names = {}
    for tick, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True):
        if text.get_text():
            names[int(tick)] = int(text.get_text())
    assert len(names) >= 5
    for row, target in names.items():
        for column, source in names.items():
            assert image[row, column] == labels[target, source]


def test_a_picture_of_a_lift_names_nodes_and_value_maps_and_says_so():
    ax = plot_orbitals(VALUES["lift"], axes())
    assert "of the lift: 18 points (node.value map)" in ax.get_title()
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert sorted(names) == sorted(f"{node}.{value_map}" for node in range(9) for value_map in (0, 1))
    labels, numbers = pair_labels(VALUES["lift"]), [int(name[0]) + 9 * int(name[2]) for name in names]
    np.testing.assert_array_equal(ax.images[0].get_array(), labels[np.ix_(numbers, numbers)])


@pytest.mark.parametrize("name", ["average", "moves"])
def test_a_picture_of_an_average_says_that_it_shows_moves_only(name):
    ax = plot_orbitals(VALUES[name], axes())
    assert ax.get_title().endswith("\nof moves that change no value")
    assert len(ax.get_yticklabels()) == VALUES[name].degree


@pytest.mark.parametrize("task", VALUES.values(), ids=VALUES)
def test_learned_features_of_value_symmetries_are_drawn(task, tmp_path):
    model = small_model(it=task)
    ax = plot_orbital_features(model, "it", axes())
    assert ax.images[0].get_array().shape == pair_labels(task).shape
    assert ax.get_title().count("\n") == 2
    write_symmetry(tmp_path / "out.png", "title", task, model, "it")


def test_numbers_stand_on_few_pairs_only():
    assert len(plot_orbitals(cyclic(5), axes()).texts) == 25
    assert len(plot_orbitals(cyclic(17), axes()).texts) == 0
    assert len(plot_orbitals(SIXES["sparse"], axes()).texts) == len(EDGES)


def test_learned_features_are_one_colour_per_orbital_and_blank_off_the_support():
    model = small_model(it=SIXES["sparse"], ring=SIXES["complete"])
    image = plot_orbital_features(model, "ring", axes()).images[0].get_array()
    labels = pair_labels(SIXES["complete"])
    for orbital in range(labels.max() + 1):
        assert np.ptp(image[labels == orbital]) == 0
    assert len(np.unique(image)) == labels.max() + 1
    assert plot_orbital_features(model, "it", axes()).images[0].get_array().mask.sum() == 36 - len(EDGES)


def test_the_principal_component_keeps_the_most_variance_and_a_fixed_sign():
    features = np.random.default_rng(0).normal(size=(20, 5)) * [5, 1, 1, 1, 1]
    scores, share = principal_component(features)
    values = np.linalg.eigvalsh(np.cov(features.T))
    assert share == pytest.approx(values[-1] / values.sum()) and scores.var(ddof=1) == pytest.approx(values[-1])
    assert scores[0] <= 0
    np.testing.assert_allclose(principal_component(features + 3)[0], scores)
    assert principal_component(np.ones((1, 4))) == (pytest.approx([0]), 1.0)


def test_distances_are_over_their_mean_and_named():
    task = TaskConfig(group="S3 wr S2", vocab_size=2, orbital_names=["itself", "same", "other"])
    model = small_model(it=task)
    ax = plot_orbital_distances(model, "it", axes())
    distances = orbital_distances(model, "it")
    np.testing.assert_allclose(ax.images[0].get_array(), distances / distances[np.triu_indices(3, 1)].mean())
    assert [text.get_text() for text in ax.get_xticklabels()] == task.orbital_names


def test_orbitals_that_relations_divide_stay_one_colour_and_one_row():
    task = TaskConfig(group="C6", vocab_size=3, relations=["equal"], orbital_names=list("abcdef"))
    model = small_model(it=task)
    ax = plot_orbital_features(model, "it", axes())
    assert "of 6 orbitals" in ax.get_title() and len(np.unique(ax.images[0].get_array())) == 6
    ax = plot_orbital_distances(model, "it", axes())
    assert ax.images[0].get_array().shape == (6, 6)
    assert [text.get_text() for text in ax.get_xticklabels()] == task.orbital_names


def test_too_many_orbitals_for_distances_are_refused_and_left_out_of_a_file(tmp_path):
    model = small_model(it=TaskConfig(degree=33, vocab_size=2))
    assert MOST_DISTANCES < 33**2
    with pytest.raises(ValueError, match="1,089 orbitals"):
        plot_orbital_distances(model, "it", axes())
    write_symmetry(tmp_path / "out.png", "title", model.config.tasks["it"], model, "it")
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize("degree", [1, 3, 40])
def test_any_degree_is_drawn(degree):
    assert plot_orbitals(trivial(degree), axes()).images[0].get_array().shape == (degree, degree)
