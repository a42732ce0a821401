"""Compiled kernels on a sparse support compute what message passing with torch_geometric computes."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asen_hf.model import _gatv2_sparse
from asen_hf.model._gatv2_sparse_kernels import plain_list_passes
from asen_hf.model._neighbours import edge_lists
from asen_hf.model.groups import cyclic, symmetric, trivial
from tests.model.test_attention import HEADS, SIZE, SPARSE, make_inputs, make_layer, orbit_graph

# Unequal numbers of neighbours in both directions; node 8 receives nothing, node 7 sends nothing, node 6 does neither.
EDGES = [[i, j] for i, j in np.argwhere(np.random.default_rng(0).random((9, 9)) < 0.5) if i not in (6, 8) and j < 6]
RANK, ROWS = 7, 3
MASK = torch.tensor([[1, 1, 0, 1, 1, 0, 1, 1, 1], [0, 0, 0, 1, 0, 0, 0, 0, 0], [1] * 9]).bool()
RING = [[i, (i + step) % 11] for i in range(11) for step in (-1, 0, 1)]


def graph_of(mask=None, has_own_labels=False, rows=ROWS):
    graph = orbit_graph(trivial(9), [[int(i), int(j)] for i, j in EDGES])
    generator = torch.Generator().manual_seed(3)
    shape = (rows, len(EDGES)) if has_own_labels else (len(EDGES),)
    labels = torch.randint(RANK, shape, generator=generator)
    return dataclasses.replace(graph, given_labels=labels, node_mask=None if mask is None else mask[:rows])


def results(implementation, graph, gated, rows=ROWS):
    layer = make_layer(implementation, torch.float64, gated_messages=gated)
    torch.manual_seed(2)
    states = torch.randn(rows, graph.num_nodes, SIZE, dtype=torch.float64, requires_grad=True)
    table = torch.randn(int(graph.labels.max()) + 1, SIZE, dtype=torch.float64, requires_grad=True)
    output, weights = layer(states, table, graph)
    tensors = (states, table, *layer.parameters())
    by_output = torch.autograd.grad(output.sin().sum(), tensors, retain_graph=True)
    by_both = torch.autograd.grad(output.sin().sum() + weights.sin().sum(), tensors)
    return [output, weights, *by_output, *by_both]


slow = pytest.mark.slow


@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("has_own_labels", [False, True], ids=["one graph", "own graphs"])
@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
def test_output_weights_and_gradients_are_those_of_message_passing(gated, has_own_labels, rows, monkeypatch):
    """With the passes in plain PyTorch, which takes no time to compile."""
    monkeypatch.setattr(_gatv2_sparse, "compile_or_warn", lambda _, *constants: plain_list_passes(*constants[:3]))
    assert_equal_to_message_passing(gated, has_own_labels, rows, monkeypatch)


@pytest.mark.parametrize(
    ("gated", "has_own_labels", "rows"),
    [
        (True, False, ROWS),
        *(pytest.param(*case, marks=slow) for case in ((True, True, ROWS), (False, False, ROWS), (False, True, ROWS))),
        *(pytest.param(*case, marks=slow) for case in ((True, False, 1), (False, False, 1))),
    ],
)
def test_compiled_kernels_give_the_same(gated, has_own_labels, rows, monkeypatch):
    assert_equal_to_message_passing(gated, has_own_labels, rows, monkeypatch)


def assert_equal_to_message_passing(gated, has_own_labels, rows, monkeypatch):
    called = []
    fallback = _gatv2_sparse.pyg_attention_forward
    monkeypatch.setattr(_gatv2_sparse, "pyg_attention_forward", lambda *x: called.append(1) or fallback(*x))
    for mask in (None, MASK):
        graph = graph_of(mask, has_own_labels, rows)
        ours, theirs = (results(name, graph, gated, rows) for name in ("gatv2_compile", "gatv2_pyg"))
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)
    assert not called


def test_a_second_run_gives_the_same_bits():
    first, second = (results("gatv2_compile", graph_of(MASK), True) for _ in range(2))
    assert all(torch.equal(mine, other) for mine, other in zip(first, second, strict=True))


def test_second_derivatives_equal_finite_differences():
    graph, layer = graph_of(MASK), make_layer("gatv2_compile", torch.float64, gated_messages=True)
    torch.manual_seed(2)
    states = torch.randn(ROWS, 9, SIZE, dtype=torch.float64, requires_grad=True)
    table = torch.randn(RANK, SIZE, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda *tensors: layer(*tensors, graph), (states, table), fast_mode=True, atol=1e-6
    )


def test_nothing_of_size_edges_times_channels_is_kept_for_the_backward():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each.numel()) or each, lambda x: x):
        graph = orbit_graph(cyclic(11), RING)
        make_layer("gatv2_compile", torch.float64, gated_messages=True)(*make_inputs(graph, torch.float64), graph)
    assert max(kept) <= max(ROWS * 11 * SIZE, ROWS * len(RING) * HEADS)


def test_other_supports_and_numbers_of_rows_compile_nothing_new():
    results("gatv2_compile", graph_of(), True)
    with torch.compiler.set_stance("fail_on_recompile"):
        for group, edges in ((trivial(6), SPARSE), (cyclic(11), RING), (symmetric(4), [[i, i] for i in range(4)])):
            graph = orbit_graph(group, edges)  # the last one has one orbital, and one neighbour per node
            for rows in (2, 5, 11):
                results("gatv2_compile", graph, True, rows)
            layer = make_layer("gatv2_compile", torch.float64, gated_messages=True)
            with torch.inference_mode():
                layer(*make_inputs(graph, torch.float64), graph)


def test_message_passing_takes_over_without_a_compiler_and_where_lists_would_be_padding(monkeypatch):
    star = orbit_graph(trivial(12), [[0, j] for j in range(12)])
    assert star.in_edges is None and star.neighbours is None
    monkeypatch.setattr(_gatv2_sparse, "compile_or_warn", lambda *_: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for graph in (star, graph_of(MASK)):
            ours, theirs = (results(name, graph, False) for name in ("gatv2_compile", "gatv2_pyg"))
            assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), unique=True, max_size=36))
def test_lists_hold_every_edge_once_at_its_node(pairs):
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    lists = edge_lists(edges, 6)
    for nodes, name in zip(edges, ("in_edges", "out_edges"), strict=True):
        if name not in lists:
            most = max(np.bincount(each, minlength=6).max() for each in edges)
            assert 6 * max(2, most) > 4 * len(pairs)
            continue
        for node in range(6):
            listed = lists[name][:, node]
            assert listed[listed < len(pairs)].tolist() == np.flatnonzero(nodes == node).tolist()
