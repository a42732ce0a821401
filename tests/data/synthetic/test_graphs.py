"""Random graphs: arcs as pair inputs and reachability as outputs of pairs; edges as nodes and connectivity."""

import itertools

import networkx as nx
import numpy as np
import pytest

from asen_hf import get_task
from asen_hf.data import collate
from asen_hf.model.groups import array_forms


@pytest.mark.parametrize(("num_nodes", "arcs"), [(2, 1.0), (5, 0.5), (8, 1.2), (17, 1.0)])
def test_labels_are_the_transitive_closure(num_nodes, arcs):
    task = get_task("graph/reachable", num_nodes=num_nodes, arcs=arcs)
    rows = collate(task.config, task.load(num_rows=20)["train"])
    for pairs, labels in zip(rows["pairs"].numpy(), rows["labels"].numpy(), strict=True):
        assert not pairs.diagonal().any()
        graph = nx.DiGraph(nx.from_numpy_array(pairs, create_using=nx.DiGraph))
        expected = np.eye(num_nodes, dtype=int)
        for node in graph:
            expected[node, list(nx.descendants(graph, node))] = 1
        assert np.array_equal(labels, expected)


def test_labels_move_with_the_nodes_and_arcs_are_as_frequent_as_asked():
    task = get_task("graph/reachable", arcs=1.5)
    rows = collate(task.config, task.load(num_rows=2000, seed=3)["train"])
    assert abs(rows["pairs"].float().sum(dim=(1, 2)).mean() / 8 - 1.5) < 0.05
    permutation = np.random.default_rng(0).permutation(8)
    pairs, labels = rows["pairs"].numpy(), rows["labels"].numpy()
    moved = pairs[:, permutation][:, :, permutation]
    assert np.array_equal(task.label(moved), labels[:, permutation][:, :, permutation])


PAIRS = np.array(list(itertools.combinations(range(6), 2)))


def test_a_graph_is_connected_if_networkx_says_so():
    task = get_task("graph/connected")
    inputs = np.random.default_rng(0).integers(2, size=(300, 15))
    for edges, label in zip(inputs, task.label(inputs), strict=True):
        graph = nx.empty_graph(6)
        graph.add_edges_from(PAIRS[edges == 1])
        assert label == nx.is_connected(graph)
    for element in array_forms(task.config.permutation_group()):
        assert np.array_equal(task.label(inputs[:, element]), task.label(inputs))


def test_half_of_the_graphs_are_regular_both_halves_are_balanced_and_no_graph_is_in_two_splits():
    splits = get_task("graph/connected").load(400, seed=1)
    found = {}
    for split, rows in splits.items():
        inputs, labels = (np.array(rows[name]) for name in ("inputs", "labels"))
        degrees = inputs @ (PAIRS[:, :, None] == np.arange(6)).any(axis=1)
        is_regular = (degrees == 2).all(axis=1)
        shares = [((is_regular == regular) & (labels == label)).mean() for regular in (0, 1) for label in (0, 1)]
        np.testing.assert_allclose(shares, 0.25, atol=0.01)
        found[split] = set(map(tuple, inputs.tolist()))
    assert not any(first & second for first, second in itertools.combinations(found.values(), 2))
    again, other = (get_task("graph/connected").load(400, seed=seed)["train"][:] for seed in (1, 2))
    assert splits["train"][:] == again != other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_nodes": 1}, "num_nodes must be in 2"),
        ({"num_nodes": 65}, "num_nodes must be in 2"),
        ({"num_nodes": 4.5}, "num_nodes must be a number"),
        ({"arcs": 0}, "arcs above 0"),
        ({"arcs": 8}, "at most num_nodes - 1"),
        ({"arcs": "many"}, "arcs must be a number"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"graph/reachable: .*{message}"):
        get_task("graph/reachable", **options)
