"""Dot-product attention is the formula in plain loops: in every implementation, on every support, at every size."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import func
from torch.utils._python_dispatch import TorchDispatchMode

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.model import _dot_product_blocks, _gatv2_blocks
from asen_hf.model.dot_product_attention import DotProductAttention
from asen_hf.model.groups import cyclic, dihedral, symmetric, to_cycles
from asen_hf.model.symmetry import OrbitGraph, SymmetryBreaker
from tests.conftest import BASES

SIZE, HEADS, ROWS, NODES, RANK = 12, 3, 3, 6, 9
EDGES = [[5, 0], [0, 1], [1, 0], [2, 2], [4, 0], [4, 5], [4, 3]]  # node 3 receives nothing
MASK = torch.tensor([[1, 1, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
# Implementation, and weights up to which training stores them: eager, sdpa as eager, sdpa in blocks.
SIDES = {"eager": ("eager", 0), "stored": ("sdpa", 2**20), "blocks": ("sdpa", 0)}
gated_or_not = pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
with_or_without_mask = pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "padded"])


def breaker_of(group, **settings):
    return SymmetryBreaker(TaskConfig(degree=group.degree, generators=to_cycles(group), vocab_size=2, **settings))


def graph_of(kind, mask=None):
    """One of the graphs that a layer may meet."""
    if kind == "edges":
        graph = breaker_of(dihedral(NODES), edges=EDGES)()
    elif kind == "weak support":
        graph = breaker_of(dihedral(NODES), edges=EDGES, support="weak")()
    elif kind == "nodes":
        graph = breaker_of(cyclic(NODES), symmetry_breaking="nodes")()
    else:
        graph = breaker_of(dihedral(NODES), edges=EDGES if kind == "edges per row" else None)()
    if kind.endswith("per row"):
        generator = torch.Generator().manual_seed(3)
        labels = torch.randint(RANK, (ROWS, *graph.labels.shape), generator=generator)
        graph = dataclasses.replace(graph, given_labels=labels)
    return graph if mask is None else dataclasses.replace(graph, node_mask=mask)


KINDS = ("pairs", "pairs per row", "nodes", "weak support", "edges", "edges per row")
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def side(request, monkeypatch):
    """The name of an implementation, with blocks of two targets of one row, the last of them smaller."""
    implementation, stored = SIDES[request.param]
    monkeypatch.setitem(_dot_product_blocks.BLOCK, "cpu", 4 * HEADS * NODES + 1)
    monkeypatch.setitem(_dot_product_blocks.STORED, "cpu", stored)
    monkeypatch.setitem(_gatv2_blocks.BLOCK, "cpu", len(EDGES) * SIZE)
    return implementation


every_side = pytest.mark.parametrize("side", SIDES, indirect=True)


def make_layer(implementation="eager", dtype=torch.float64, **settings):
    torch.manual_seed(0)
    config = AsenConfig(
        backbone_type="transformer",
        hidden_size=SIZE,
        num_attention_heads=HEADS,
        attn_implementation=implementation,
        **settings,
    )
    layer = DotProductAttention(config)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer.to(dtype)


def make_inputs(dtype=torch.float64, rows=ROWS, nodes=NODES):
    torch.manual_seed(1)
    tensors = (torch.randn(rows, nodes, SIZE), torch.randn(RANK, SIZE))
    return tuple(tensor.to(dtype).requires_grad_() for tensor in tensors)


def by_loops(layer, states, orbital_features, graph):
    """The formula, one pair and one head at a time, over the nodes that a row has; differentiable in all tensors."""
    weights = dict(layer.named_parameters())
    projected = states @ weights["input_projection.weight"].T + weights["input_projection.bias"]
    bias = orbital_features @ weights["edge_projection.weight"].T
    gates = torch.zeros_like(bias)
    if layer.gate_projection is not None:
        gates = orbital_features @ weights["gate_projection.weight"].T + weights["gate_projection.bias"]
    targets, sources, labels = (tensor.tolist() for tensor in graph.to_edges())
    channels, outputs = SIZE // HEADS, []
    for row, node, head in itertools.product(range(len(states)), range(graph.num_nodes), range(HEADS)):
        row_labels = labels[row] if isinstance(labels[0], list) else labels
        query, key, value = (
            projected[row, :, part : part + channels] for part in range(head * channels, 3 * SIZE, SIZE)
        )
        exponentials, messages = [], [torch.zeros(channels, dtype=torch.float64)]
        for target, source, label in zip(targets, sources, row_labels, strict=True):
            if target != node or (graph.node_mask is not None and not graph.node_mask[row, source]):
                continue
            score = (query[target] * key[source]).sum() / math.sqrt(channels) + bias[label, head]
            exponentials.append(score.exp())
            messages.append(exponentials[-1] * (1 + gates[label, head]) * value[source])
        outputs.append(sum(messages) / sum(exponentials) if exponentials else messages[0])
    return torch.stack(outputs).view(len(states), graph.num_nodes, SIZE)


@with_or_without_mask
@gated_or_not
@every_kind
@every_side
def test_output_and_gradients_are_those_of_loops(side, kind, gated, mask):
    graph, layer = graph_of(kind, mask), make_layer(side, gated_messages=gated)
    states, table = make_inputs()
    output, expected = layer(states, table, graph)[0], by_loops(layer, states, table, graph)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(layer(states, table, graph)[0], expected, rtol=1e-12, atol=1e-12)
    tensors, cotangent = (states, table, *layer.parameters()), torch.randn_like(output)
    ours = torch.autograd.grad(output, tensors, cotangent)
    for mine, other in zip(ours, torch.autograd.grad(expected, tensors, cotangent), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@with_or_without_mask
@every_kind
@every_side
def test_weights_that_are_asked_for_sum_to_one_over_the_nodes_that_are_there(side, kind, mask):
    graph, layer = graph_of(kind, mask), make_layer(side)
    output, weights = layer(*make_inputs(), graph, output_attentions=True)
    torch.testing.assert_close(layer(*make_inputs(), graph)[0], output)
    targets, sources, _ = graph.to_edges()
    shape = (len(targets),) if graph.edge_index is not None else (NODES, NODES)
    assert weights.shape == (ROWS, HEADS, *shape)
    by_edge = weights.flatten(2)
    present = torch.ones(ROWS, NODES).bool() if mask is None else mask
    sent = present[:, sources].double()
    assert not by_edge[(sent == 0).unsqueeze(1).expand_as(by_edge)].any()
    sums = torch.zeros(ROWS, HEADS, NODES, dtype=torch.float64).index_add(2, targets, by_edge)
    has_source = torch.zeros(ROWS, NODES, dtype=torch.float64).index_add(1, targets, sent) > 0
    torch.testing.assert_close(sums, has_source.double().unsqueeze(1).expand_as(sums))


@gated_or_not
@pytest.mark.parametrize("kind", ["pairs", "pairs per row", "nodes", "edges"])
@every_side
def test_second_derivatives_equal_finite_differences(side, kind, gated):
    graph, layer = graph_of(kind, MASK[:2] if kind == "pairs" else None), make_layer(side, gated_messages=gated)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    rows = ROWS if kind.endswith("per row") else 2

    def outputs(states, table, *tensors):
        return func.functional_call(layer, dict(zip(names, tensors, strict=True)), (states, table, graph))[0]

    tensors = (*make_inputs(rows=rows), *parameters)
    assert torch.autograd.gradgradcheck(outputs, tensors, fast_mode=True, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@gated_or_not
@every_side
def test_lower_precisions_stay_close(side, gated, dtype):
    graph = graph_of("pairs", MASK)
    found = []
    for precision in (torch.float64, dtype):
        layer = make_layer(side, precision, gated_messages=gated)
        states, table = make_inputs(precision)
        output = layer(states, table, graph)[0]
        assert output.dtype == precision
        found.append([output, *torch.autograd.grad(output.sin().sum(), (states, table, *layer.parameters()))])
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    for exact, rough in zip(*found, strict=True):
        assert (exact - rough).norm() <= tolerance * exact.norm()


@gated_or_not
@every_side
def test_under_autocast_gradients_stay_close(side, gated):
    graph, layer, gradients = graph_of("pairs"), make_layer(side, torch.float32, gated_messages=gated), []
    for enabled in (False, True):
        states, table = make_inputs(torch.float32)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = layer(states, table, graph)[0]
            gradients.append(torch.autograd.grad(output.float().sin().sum(), (states, table)))
    for exact, rough in zip(*gradients, strict=True):
        assert (exact - rough).norm() < 0.05 * exact.norm()


@every_side
def test_scores_far_apart_do_not_overflow(side):
    states, table = make_inputs()
    layer = make_layer(side)
    output, _ = layer(1e3 * states, 1e3 * table, graph_of("pairs"))
    assert output.isfinite().all()
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(output.sum(), (states, table)))


@pytest.mark.parametrize(("rows", "nodes"), [(0, 5), (1, 5), (1, 1), (3, 1), (2, 2)])
@every_side
def test_the_smallest_batches_and_graphs(side, rows, nodes):
    graph, layer = breaker_of(cyclic(nodes))(), make_layer(side)
    states, table = make_inputs(rows=rows, nodes=nodes)
    output, _ = layer(states, table, graph)
    if rows:
        torch.testing.assert_close(output, by_loops(layer, states, table, graph))
    output.sum().backward()
    assert states.grad.shape == (rows, nodes, SIZE) and states.grad.isfinite().all()


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        results = function(*args, **(kwargs or {}))
        for each in results if isinstance(results, tuple | list) else [results]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.untyped_storage().nbytes() // each.element_size())
        return results


@gated_or_not
def test_blocks_on_a_graph_broken_by_nodes_make_nothing_of_size_pairs(gated, monkeypatch):
    """Neither labels nor weights, in the whole model: memory is linear in the number of nodes."""
    nodes = 40
    monkeypatch.setitem(_dot_product_blocks.STORED, "cpu", 0)
    monkeypatch.setitem(_dot_product_blocks.BLOCK, "cpu", HEADS * nodes)
    task = TaskConfig(group=symmetric(nodes), vocab_size=2, symmetry_breaking="nodes")
    sizes = {"hidden_size": SIZE, "num_attention_heads": HEADS, "num_hidden_layers": 1, "gated_messages": gated}
    rows = {"inputs": torch.zeros(1, nodes).long(), "attention_mask": torch.ones(1, nodes)}

    def largest(implementation):
        with LargestTensor() as made:
            config = AsenConfig(tasks={"t": task}, **BASES["transformer"], **sizes, attn_implementation=implementation)
            model = AsenForMultitask(config)
            model(**rows).logits.sum().backward()
            model.predict(**rows)
        return made.elements

    assert largest("sdpa") <= 3 * nodes * SIZE < nodes**2 <= largest("eager")


def test_labels_of_loops_and_other_pairs_are_made_when_they_are_read():
    graph = OrbitGraph(4, None, nodes=torch.arange(4))
    expected = 1 - torch.eye(4).long()
    assert "_made_labels" not in graph.__dict__
    assert torch.equal(graph.labels_into(slice(1, 3)), expected[1:3]) and "_made_labels" not in graph.__dict__
    assert torch.equal(graph.labels, expected) and graph.labels is graph.labels
    for read in (graph, OrbitGraph(4, None, nodes=torch.arange(4))):
        copied = dataclasses.replace(read, node_mask=MASK[:, :4])
        assert "_made_labels" not in copied.__dict__ and copied.node_mask is not None
        assert torch.equal(copied.labels, expected)


@every_side
def test_gates_make_it_any_linear_map_that_is_constant_on_orbitals(side):
    graph, layer = graph_of("pairs"), make_layer(side, gated_messages=True)
    rank = int(graph.labels.max()) + 1
    coefficients = torch.randn(HEADS, rank, dtype=torch.float64)  # neither positive nor of any sum
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.input_projection.weight[2 * SIZE :] = torch.eye(SIZE)  # values are the states, and all weights are 1/n
        layer.gate_projection.weight[:, :rank] = NODES * coefficients - 1
    states, _ = make_inputs()
    output, _ = layer(states, torch.eye(rank, SIZE, dtype=torch.float64), graph)
    expected = torch.einsum("hij,bjhc->bihc", coefficients[:, graph.labels], states.unflatten(-1, (HEADS, -1)))
    torch.testing.assert_close(output, expected.flatten(2))


def test_what_a_masked_node_holds_reaches_no_other():
    for kind in KINDS:
        graph, layer = graph_of(kind, MASK), make_layer("sdpa", gated_messages=True)
        states, table = make_inputs()
        filled = torch.where(MASK.unsqueeze(-1), states, 1e6)
        output, other = (layer(each, table, graph)[0] for each in (states, filled))
        assert torch.equal(output[MASK], other[MASK])


def test_messages_are_what_the_weights_sum():
    for kind in KINDS:
        graph, layer = graph_of(kind, MASK), make_layer(gated_messages=True)
        states, table = make_inputs()
        output, weights = layer(states, table, graph, output_attentions=True)
        scaled = weights.flatten(2).transpose(1, 2).unsqueeze(-1) * layer.messages(states, table, graph)
        summed = torch.zeros_like(output).index_add(1, graph.to_edges()[0], scaled.flatten(2))
        torch.testing.assert_close(summed, output)
