"""A task's group becomes orbit-label buffers, and tables with one row an orbit."""

import numpy as np
import pytest
import torch

from asen_hf import AsenModel
from asen_hf.model.groups import cyclic, dihedral, symmetric, trivial
from asen_hf.model.orbits import orbit_labels, refine_by_support
from asen_hf.model.symmetry import OrbitGraph, SymmetryBreaker
from tests.conftest import every_group, make_model, task_of

every_mode = pytest.mark.parametrize("mode", ["pairs", "nodes"])


def some_edges(n: int) -> list[list[int]]:
    """Distinct pairs in an order that is not row-major, a loop among them."""
    return [[n - 1, 0], *([i, (i + 1) % n] for i in range(n - 1)), *([[1, 1]] if n > 1 else [])]


def expected_pair_labels(group, mode, edges):
    return orbit_labels(group if mode == "pairs" else symmetric(group.degree), edges=edges)


@every_group
@every_mode
def test_complete_support_carries_the_orbit_labels(group, mode):
    breaker = SymmetryBreaker(task_of(group, symmetry_breaking=mode))
    graph = breaker()
    assert (graph.num_nodes, graph.edge_index) == (group.degree, None)
    assert graph.labels.dtype == torch.int64
    np.testing.assert_array_equal(graph.labels, expected_pair_labels(group, mode, None))


@every_group
@every_mode
def test_sparse_support_carries_the_orbit_labels_of_its_edges(group, mode):
    edges = some_edges(group.degree)
    graph = SymmetryBreaker(task_of(group, symmetry_breaking=mode, edges=edges))()
    assert graph.edge_index.T.tolist() == edges
    np.testing.assert_array_equal(graph.labels, expected_pair_labels(group, mode, edges))


@every_group
@every_mode
def test_weak_support_is_one_more_colour_of_all_pairs(group, mode):
    edges = some_edges(group.degree)
    graph = SymmetryBreaker(task_of(group, symmetry_breaking=mode, edges=edges, support="weak"))()
    assert graph.edge_index is None
    expected = refine_by_support(expected_pair_labels(group, mode, None), edges)
    np.testing.assert_array_equal(graph.labels, expected)
    assert graph.labels.max() > expected_pair_labels(group, mode, None).max() or group.degree < 4 or group.order() == 1


@every_group
def test_nodes_are_labelled_only_where_the_task_asks_for_it(group):
    breaker = SymmetryBreaker(task_of(group, symmetry_breaking="nodes"))
    np.testing.assert_array_equal(breaker.node_labels, orbit_labels(group, order=1))
    assert SymmetryBreaker(task_of(group)).node_labels is None


def test_edges_of_a_complete_graph_are_row_major():
    graph = OrbitGraph(3, torch.arange(9).view(3, 3))
    targets, sources, labels = graph.to_edges()
    assert targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sources.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert labels.tolist() == list(range(9))


def test_edges_of_a_sparse_graph_keep_their_order_with_targets_first():
    edges = some_edges(5)
    targets, sources, labels = SymmetryBreaker(task_of(trivial(5), edges=edges))().to_edges()
    assert torch.stack([targets, sources], dim=1).tolist() == edges
    assert labels.tolist() == [*range(len(edges))]


@every_mode
@pytest.mark.parametrize("edges", [None, some_edges(6)], ids=["complete", "sparse"])
def test_labels_are_buffers_that_are_never_saved(mode, edges):
    breaker = SymmetryBreaker(task_of(dihedral(6), symmetry_breaking=mode, edges=edges))
    names = {"nodes" if mode == "nodes" and edges is None else "labels"}
    names |= {"node_labels", "node_rows"} if mode == "nodes" else set()
    names |= {"edge_index", "in_edges", "out_edges"} if edges else set()
    assert {name for name, _ in breaker.named_buffers()} == names
    assert not breaker.state_dict()
    assert not list(breaker.parameters())


def test_writing_into_a_buffer_does_not_reach_other_models():
    first = SymmetryBreaker(task_of(cyclic(5)))
    first.labels.zero_()
    np.testing.assert_array_equal(SymmetryBreaker(task_of(cyclic(5)))().labels, orbit_labels(cyclic(5)))


@every_group
@every_mode
@pytest.mark.parametrize("sparse", [False, True], ids=["complete", "sparse"])
def test_tables_have_one_row_an_orbit(group, mode, sparse):
    edges = some_edges(group.degree) if sparse else None
    tasks = {"t": task_of(group, symmetry_breaking=mode, edges=edges)}
    model = make_model(tasks, AsenModel)
    rank = expected_pair_labels(group, mode, edges).max() + 1
    assert model.edge_embedders["t"].weight.shape == (rank, 16)
    if mode == "nodes":
        assert model.node_embedders["t"].weight.shape == (len(group.orbits()), 16)
    else:
        assert "t" not in model.node_embedders
