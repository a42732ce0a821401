"""A layer on rows with own graphs that lack nodes: the formula in plain loops over the nodes that are there."""

import dataclasses

import pytest
import torch

from asen_hf.model import _gatv2_blocks
from asen_hf.model.groups import dihedral, symmetric
from asen_hf.model.symmetry import OrbitGraph
from tests.model.test_attention import BATCH, HEADS, SIZE, SPARSE, by_loops, make_layer, orbit_graph

NODES, RANK = 6, 9
MASK = torch.tensor([[1, 1, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
SUPPORTS = {"complete": (symmetric(NODES), None), "sparse": (dihedral(NODES), SPARSE)}


@pytest.fixture(autouse=True)
def two_targets_a_chunk(monkeypatch):
    monkeypatch.setitem(_gatv2_blocks.BLOCK, "cpu", 2 * BATCH * NODES * SIZE)


def graph_of(support, mask, has_own_labels):
    graph = orbit_graph(*SUPPORTS[support])
    if has_own_labels:
        generator = torch.Generator().manual_seed(3)
        graph = dataclasses.replace(
            graph, given_labels=torch.randint(RANK, (BATCH, *graph.labels.shape), generator=generator)
        )
    return dataclasses.replace(graph, node_mask=mask)


def rows_of(graph, mask):
    """For every row, a graph with the edges whose source is there."""
    targets, sources, labels = graph.to_edges()
    for row in range(BATCH):
        is_sent = torch.ones(len(sources), dtype=torch.bool) if mask is None else mask[row][sources]
        edges = torch.stack([targets, sources])[:, is_sent]
        yield OrbitGraph(NODES, labels.expand(BATCH, -1)[row][is_sent], edges)


def inputs():
    torch.manual_seed(2)
    states = torch.randn(BATCH, NODES, SIZE, dtype=torch.float64, requires_grad=True)
    return states, torch.randn(RANK, SIZE, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])
@pytest.mark.parametrize("has_own_labels", [False, True], ids=["one graph", "own graphs"])
@pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
@pytest.mark.parametrize(
    ("implementation", "support"),
    [("eager", "complete"), ("gatv2_chunked", "complete"), ("gatv2_pyg", "complete"), ("gatv2_pyg", "sparse")],
)
def test_outputs_and_gradients_are_those_of_loops(implementation, support, gated, has_own_labels, mask):
    graph = graph_of(support, mask, has_own_labels)
    layer, (states, table) = make_layer(implementation, torch.float64, gated_messages=gated), inputs()
    output, weights = layer(states, table, graph)
    expected = torch.cat(
        [by_loops(layer, states[row, None], table, alone) for row, alone in enumerate(rows_of(graph, mask))]
    )
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    tensors = (states, table, *layer.parameters())
    cotangent = torch.randn_like(output)
    ours = torch.autograd.grad(output, tensors, cotangent)
    for mine, other in zip(ours, torch.autograd.grad(expected, tensors, cotangent), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)
    assert weights.isfinite().all()


@pytest.mark.parametrize("implementation", ["eager", "gatv2_chunked", "gatv2_pyg"])
def test_nodes_that_a_row_lacks_have_no_weight_and_the_others_have_all(implementation):
    graph = graph_of("complete", MASK, True)
    weights = make_layer(implementation, torch.float64)(*inputs(), graph)[1]
    assert weights.shape == (BATCH, HEADS, NODES, NODES)
    assert not weights[~MASK[:, None, None].expand_as(weights)].any()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(BATCH, HEADS, NODES, dtype=torch.float64))


@pytest.mark.parametrize(("implementation", "support"), [("eager", "complete"), ("gatv2_pyg", "sparse")])
def test_what_stands_at_a_node_that_a_row_lacks_reaches_no_other(implementation, support):
    graph = graph_of(support, MASK, True)
    layer, (states, table) = make_layer(implementation, torch.float64), inputs()
    filled = torch.where(MASK.unsqueeze(-1), states, 1e6)
    output, other = (layer(each, table, graph)[0] for each in (states, filled))
    assert torch.equal(output[MASK], other[MASK])
    gradient = torch.autograd.grad(output[MASK].sin().sum(), states)[0]
    assert not gradient[~MASK].any() and gradient[MASK].abs().max() > 0
