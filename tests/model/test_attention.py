"""Every attention implementation is the same function: PyG's GATv2Conv, or with gated messages the formula itself."""

import functools
import itertools
import os
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from asen_hf import AsenConfig, TaskConfig
from asen_hf.model import _gatv2_blocks, _gatv2_dense, attention
from asen_hf.model._gatv2_compiler import compile_or_warn
from asen_hf.model._gatv2_kernels import compiled_passes
from asen_hf.model.attention import GATv2Attention
from asen_hf.model.groups import cyclic, dihedral, symmetric, to_cycles, trivial, wreath_product
from asen_hf.model.symmetry import OrbitGraph, SymmetryBreaker

SIZE, HEADS, BATCH = 16, 2, 3  # as in make_model: kernels are compiled once per process, size and dtype
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
PYG_NAMES = {
    "attention_vector": "att",
    "bias": "bias",
    "source_projection.weight": "lin_l.weight",
    "source_projection.bias": "lin_l.bias",
    "target_projection.weight": "lin_r.weight",
    "target_projection.bias": "lin_r.bias",
    "edge_projection.weight": "lin_edge.weight",
}
SPARSE = [[5, 0], [0, 1], [1, 0], [2, 2], [4, 0], [4, 5], [4, 3]]  # node 3 receives nothing

GRAPHS = {
    "eager, trivial": ("eager", trivial(5), None),
    "eager, symmetric": ("eager", symmetric(6), None),
    "eager, wreath": ("eager", wreath_product(symmetric(3), cyclic(2)), None),
    "compiled, trivial": ("gatv2_compile", trivial(5), None),
    "compiled, wreath": ("gatv2_compile", wreath_product(symmetric(3), cyclic(2)), None),
    "compiled, long rows": ("gatv2_compile", cyclic(17), None),  # from 16 nodes on, the softmax is another
    "chunked, trivial": ("gatv2_chunked", trivial(5), None),
    "chunked, wreath": ("gatv2_chunked", wreath_product(symmetric(3), cyclic(2)), None),
    "chunked, long rows": ("gatv2_chunked", cyclic(17), None),
    "pyg, trivial": ("gatv2_pyg", trivial(5), None),
    "pyg, symmetric": ("gatv2_pyg", symmetric(6), None),
    "pyg, dihedral": ("gatv2_pyg", dihedral(6), None),
    "pyg, sparse cyclic": ("gatv2_pyg", cyclic(6), SPARSE),
    "pyg, sparse trivial": ("gatv2_pyg", trivial(6), SPARSE),
    "eager falls back, sparse dihedral": ("eager", dihedral(6), SPARSE),
}
every_graph = pytest.mark.parametrize(("implementation", "group", "edges"), GRAPHS.values(), ids=GRAPHS.keys())
DENSE = ("eager", "gatv2_chunked", "gatv2_compile")
every_dense = pytest.mark.parametrize("implementation", DENSE)
gated_or_not = pytest.mark.parametrize("gated", [False, True], ids=["plain", "gated"])
every_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture(autouse=True)
def two_targets_a_chunk(monkeypatch):
    """So that the small graphs here take several chunks, the last of them smaller."""
    monkeypatch.setitem(_gatv2_blocks.BLOCK, "cpu", 2 * BATCH * 6 * SIZE)


def orbit_graph(group, edges=None) -> OrbitGraph:
    task = TaskConfig(degree=group.degree, generators=to_cycles(group), edges=edges, vocab_size=2)
    return SymmetryBreaker(task)()


def make_layer(implementation="eager", dtype=torch.float32, **settings) -> GATv2Attention:
    torch.manual_seed(0)
    sizes = {"hidden_size": SIZE, "num_attention_heads": HEADS}
    config = AsenConfig(**{**sizes, **settings}, attn_implementation=implementation)
    layer = GATv2Attention(config)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer.to(dtype)


def make_inputs(graph, dtype=torch.float32, batch=BATCH):
    torch.manual_seed(1)
    states = torch.randn(batch, graph.num_nodes, SIZE, dtype=dtype, requires_grad=True)
    return states, torch.randn(int(graph.labels.max()) + 1, SIZE, dtype=dtype, requires_grad=True)


def by_loops(layer, states, orbital_features, graph):
    """The layer's formula, one pair and one head at a time, in float64; differentiable in all that it is given."""
    weights = {name: tensor.double() for name, tensor in layer.named_parameters()}

    def project(name, rows):
        return rows.double() @ weights[f"{name}_projection.weight"].T + weights.get(f"{name}_projection.bias", 0)

    targets, sources = project("target", states), project("source", states)
    edges = project("edge", orbital_features)
    gates = 1 + project("gate", orbital_features) if layer.gate_projection is not None else torch.ones_like(edges)
    pairs = list(zip(*(each.tolist() for each in graph.to_edges()), strict=True))
    rows = []
    for b, i, head in itertools.product(range(len(states)), range(graph.num_nodes), range(HEADS)):
        part = slice(head * SIZE // HEADS, (head + 1) * SIZE // HEADS)
        exponentials, messages = [], [torch.zeros(SIZE // HEADS, dtype=torch.float64)]
        for j, r in ((source, label) for target, source, label in pairs if target == i):
            sums = (targets[b, i] + sources[b, j] + edges[r])[part]
            activated = torch.where(sums > 0, sums, 0.2 * sums)
            exponentials.append((weights["attention_vector"][head] * activated).sum().exp())
            messages.append(exponentials[-1] * gates[r][part] * sources[b, j][part])
        rows.append(sum(messages) / sum(exponentials) if exponentials else messages[0])
    return torch.stack(rows).view(len(states), graph.num_nodes, SIZE) + weights["bias"]


@every_graph
@every_dtype
def test_forward_and_gradients_equal_those_of_pyg_sample_by_sample(implementation, group, edges, dtype):
    graph = orbit_graph(group, edges)
    layer = make_layer(implementation, dtype)
    conv = layer.to_pyg()
    states, table = make_inputs(graph, dtype)
    other_states, other_table = (each.detach().clone().requires_grad_() for each in (states, table))

    targets, sources, labels = graph.to_edges()
    edge_index = torch.stack([sources, targets])
    expected = torch.stack([conv(sample, edge_index, edge_attr=other_table[labels]) for sample in other_states])
    output, _ = layer(states, table, graph)
    cotangent = torch.randn_like(output)
    output.backward(cotangent)
    expected.backward(cotangent)

    pairs = {"output": (output, expected), "states": (states.grad, other_states.grad)}
    pairs["orbital features"] = table.grad, other_table.grad
    theirs = dict(conv.named_parameters())
    assert set(PYG_NAMES.values()) == set(theirs)
    for name, parameter in layer.named_parameters():
        pairs[name] = parameter.grad, theirs[PYG_NAMES[name]].grad
    tolerance = TOLERANCE[dtype]
    for name, (ours, pyg) in pairs.items():
        assert pyg.abs().max() > 1e-3, name
        torch.testing.assert_close(ours, pyg.view_as(ours), rtol=tolerance, atol=tolerance, msg=lambda m, n=name: n + m)


@every_graph
@pytest.mark.parametrize(
    ("gated", "dtype"), [(False, torch.float64), (True, torch.float64), (True, torch.float32)], ids=str
)  # without gates, float32 is compared with PyG above
def test_output_and_gradients_equal_the_formula_written_as_loops(implementation, group, edges, gated, dtype):
    graph = orbit_graph(group, edges)
    layer = make_layer(implementation, dtype, gated_messages=gated)
    states, table = make_inputs(graph, dtype, batch=2)
    output, expected = layer(states, table, graph)[0], by_loops(layer, states, table, graph)
    cotangent = torch.randn_like(output)
    inputs = (states, table, *layer.parameters())
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(output.double(), expected, rtol=tolerance, atol=tolerance)
    ours = torch.autograd.grad(output, inputs, cotangent)
    for mine, other in zip(ours, torch.autograd.grad(expected, inputs, cotangent.double()), strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


@gated_or_not
def test_implementations_give_equal_weights_and_gradients(gated):
    graph = orbit_graph(dihedral(6))
    found = []
    for implementation in ("eager", "gatv2_pyg", "gatv2_compile", "gatv2_chunked"):
        layer = make_layer(implementation, gated_messages=gated)
        states, table = make_inputs(graph)
        output, weights = layer(states, table, graph)
        (output.sin().sum() + weights.flatten().sin().sum()).backward()
        gradients = [parameter.grad for parameter in layer.parameters()]
        found.append([output, weights.flatten(2), states.grad, table.grad, *gradients])
    for eager, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(eager, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", [*DENSE, "gatv2_pyg"])
def test_gates_of_zero_leave_the_plain_layer(implementation):
    graph = orbit_graph(cyclic(5))
    gated, plain = make_layer(implementation, gated_messages=True), make_layer(implementation)
    gated.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.zeros_(gated.gate_projection.weight)
    torch.nn.init.zeros_(gated.gate_projection.bias)
    states, table = make_inputs(graph)
    torch.testing.assert_close(gated(states, table, graph)[0], plain(states, table, graph)[0], rtol=1e-5, atol=1e-6)


@every_graph
def test_weights_of_the_sources_of_each_target_sum_to_one(implementation, group, edges):
    graph = orbit_graph(group, edges)
    _, weights = make_layer(implementation)(*make_inputs(graph), graph)
    targets = graph.to_edges()[0]
    assert weights.min() > 0
    sums = torch.zeros(BATCH, HEADS, group.degree).index_add(2, targets, weights.flatten(2))
    has_source = torch.isin(torch.arange(group.degree), targets)
    torch.testing.assert_close(sums, has_source.float().expand_as(sums))


def test_scores_far_apart_do_not_overflow():
    graph = orbit_graph(trivial(4))
    for implementation in (*DENSE, "gatv2_pyg"):
        states, table = make_inputs(graph)
        output, weights = make_layer(implementation)(states * 1e4, table, graph)
        assert output.isfinite().all()
        assert weights.isfinite().all()


@gated_or_not
def test_a_node_that_receives_nothing_gets_the_bias_and_no_nan(gated):
    graph = orbit_graph(trivial(6), SPARSE)
    layer = make_layer(gated_messages=gated)
    states, table = make_inputs(graph)
    output, _ = layer(states, table, graph)
    torch.testing.assert_close(output[:, 3], layer.bias.expand(BATCH, SIZE), rtol=0, atol=0)
    assert (output[:, 0] - layer.bias).abs().max() > 1e-2
    output.sum().backward()
    for tensor in (output, states.grad, table.grad, *(parameter.grad for parameter in layer.parameters())):
        assert tensor.isfinite().all()


def test_an_isolated_node_touches_no_other():
    edges = [[0, 1], [1, 0], [1, 1]]
    graph = orbit_graph(trivial(3), edges)
    layer = make_layer()
    states, table = make_inputs(graph)
    output, _ = layer(states, table, graph)
    moved, _ = layer(states + torch.tensor([0.0, 0.0, 1.0])[:, None], table, graph)
    torch.testing.assert_close(moved, output, rtol=0, atol=0)


def test_messages_go_from_source_to_target():
    graph = orbit_graph(trivial(3), [[0, 1]])
    layer = make_layer()
    states, table = make_inputs(graph)
    layer(states, table, graph)[0][:, 0].sum().backward()
    assert states.grad[:, 1].abs().min() > 0
    assert not states.grad[:, 2].any()


def test_a_gated_layer_has_no_equal_in_pyg():
    with pytest.raises(ValueError, match="gated_messages=False"):
        make_layer(gated_messages=True).to_pyg()


def test_the_pyg_layer_is_a_copy_with_the_dtype_of_the_original():
    layer = make_layer(dtype=torch.float64)
    conv = layer.to_pyg()
    assert conv.lin_l.weight.dtype == torch.float64
    conv.lin_l.weight.data.zero_()
    assert layer.source_projection.weight.abs().min() > 0


# --- rows with graphs of their own ------------------------------------------------------------------------------------


def several_graphs(batch):
    """One of three colourings of six nodes for each row, all in one table."""
    parts = [orbit_graph(group).labels for group in (dihedral(6), trivial(6), symmetric(6))]
    firsts = itertools.accumulate((int(labels.max()) + 1 for labels in parts), initial=0)
    shifted = [labels + first for labels, first in zip(parts, firsts, strict=False)]
    return OrbitGraph(6, torch.stack([shifted[row % 3] for row in range(batch)]))


@gated_or_not
@pytest.mark.parametrize("implementation", [*DENSE, "gatv2_pyg"])
def test_rows_with_graphs_of_their_own_are_as_if_each_came_alone(implementation, gated):
    graph = several_graphs(BATCH)
    layer = make_layer(implementation, torch.float64, gated_messages=gated)
    states, table = make_inputs(graph, torch.float64)
    output, weights = layer(states, table, graph)
    cotangent = torch.randn_like(output)
    output.backward(cotangent)
    gradients = [each.grad.clone() for each in (states, table, *layer.parameters())]

    other = make_layer("gatv2_pyg", torch.float64, gated_messages=gated)
    alone, alone_table = (each.detach().clone().requires_grad_() for each in (states, table))
    parts = [other(alone[row : row + 1], alone_table, OrbitGraph(6, labels)) for row, labels in enumerate(graph.labels)]
    expected = torch.cat([part[0] for part in parts])
    expected.backward(cotangent)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(weights, torch.cat([part[1] for part in parts]), rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(gradients, (alone, alone_table, *other.parameters()), strict=True):
        torch.testing.assert_close(ours, theirs.grad, rtol=1e-10, atol=1e-10)


# --- gradients and memory of those that recompute ---------------------------------------------------------------------


@gated_or_not
@every_dense
def test_gradients_equal_finite_differences(implementation, gated):
    layer = make_layer(implementation, torch.float64, gated_messages=gated)
    graph = orbit_graph(dihedral(5))
    states, table = make_inputs(graph, torch.float64, batch=2)
    assert torch.autograd.gradcheck(
        lambda states, table, *_: layer(states, table, graph), (states, table, *layer.parameters()), atol=1e-6
    )


@gated_or_not
@pytest.mark.parametrize("implementation", ["gatv2_chunked", "gatv2_compile"])
def test_no_channel_of_a_pair_is_kept_for_the_backward(implementation, gated):
    graph = orbit_graph(cyclic(17))

    def largest_kept(name):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda each: sizes.append(each.numel()) or each, lambda x: x):
            make_layer(name, gated_messages=gated)(*make_inputs(graph), graph)
        return max(sizes)

    assert largest_kept(implementation) <= BATCH * HEADS * 17 * 17  # the attention weights
    assert largest_kept("eager") >= BATCH * SIZE * 17 * 17


def test_eager_gives_way_to_chunks_above_its_memory_bound(monkeypatch):
    graph = orbit_graph(cyclic(6))
    layer = make_layer("eager")
    states, table = make_inputs(graph)
    expected, _ = layer(states, table, graph)
    called = []
    chunked = attention.chunked_attention_forward
    monkeypatch.setattr(attention, "chunked_attention_forward", lambda *x: called.append(1) or chunked(*x))
    bound = BATCH * 6 * 6 * SIZE
    for limit, chunks in ((bound, 0), (bound - 1, 1)):
        monkeypatch.setitem(_gatv2_dense.EAGER_LIMIT, "cpu", limit)
        torch.testing.assert_close(layer(states, table, graph)[0], expected)
        assert len(called) == chunks


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        for each in results if isinstance(results, tuple | list) else [results]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.untyped_storage().nbytes() // each.element_size())
        return results


@gated_or_not
def test_chunks_never_make_a_tensor_of_all_pairs_and_channels(gated):
    graph = orbit_graph(cyclic(17))

    def largest(name):
        states, table = make_inputs(graph)
        layer = make_layer(name, gated_messages=gated)
        with LargestTensor() as made:
            layer(states, table, graph)[0].sum().backward()
        return made.elements

    assert largest("gatv2_chunked") < BATCH * 17 * 17 * SIZE <= largest("eager")


@gated_or_not
@every_dense
def test_the_backward_may_run_under_autocast_too(implementation, gated):
    graph = orbit_graph(dihedral(6))
    layer = make_layer(implementation, gated_messages=gated)
    states, table = make_inputs(graph)
    with torch.autocast("cpu", torch.bfloat16):
        layer(states, table, graph)[0].float().sin().sum().backward()
    assert states.grad.isfinite().all()
    assert states.grad.norm() > 0


@gated_or_not
@every_dense
def test_under_autocast_outputs_and_gradients_stay_close(implementation, gated):
    graph = orbit_graph(dihedral(6))
    layer = make_layer(implementation, gated_messages=gated)
    states, table = make_inputs(graph)
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output, _ = layer(states, table, graph)
        gradients.append(torch.autograd.grad(output.float().sin().sum(), (states, table)))
    for exact, rough in zip(*gradients, strict=True):
        assert (exact - rough).norm() < 0.05 * exact.norm()


# --- torch.compile ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heads", "gated"),
    [(HEADS, True), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(HEADS, False), (6, True), (6, False)])],
)
def test_other_batch_sizes_tasks_and_layers_compile_nothing_new(heads, gated, monkeypatch):
    channels = SIZE // HEADS
    size = channels * heads
    compile_anew = functools.cache(compile_or_warn.__wrapped__)  # new kernels, which nothing has called
    monkeypatch.setattr(_gatv2_dense, "compile_or_warn", compile_anew)

    def step(graph, batch, dtype):
        layer = make_layer("gatv2_compile", dtype, gated_messages=gated, hidden_size=size, num_attention_heads=heads)
        states = torch.randn(batch, graph.num_nodes, size, dtype=dtype, requires_grad=True)
        table = torch.randn(int(graph.labels.max()) + 1, size, dtype=dtype)
        layer(states, table, graph)[0].sum().backward()
        with torch.no_grad():
            layer(states, table, graph)
        with torch.inference_mode():
            layer(states, table, graph)
        with torch.autocast("cpu", torch.bfloat16):  # which leaves float64 as it is
            layer(states, table, graph)[0].float().sum().backward()

    # The passes are compiled when they are asked for, on sizes of their own; no run compiles anything. In float64, as
    # the tests above, whose kernels are the same.
    kinds = [(torch.float32, False, True)]  # one row or not, one graph for all or not
    kinds += [(torch.float64, *kind) for kind in ((False, True), (True, True), (False, False))]
    for dtype, one_row, shared in kinds:
        compile_anew(compiled_passes, heads, channels, 0.2, dtype, torch.device("cpu"), gated, one_row, shared)
    with torch.compiler.set_stance("fail_on_recompile"):
        for group, batch in ((symmetric(6), 5), (cyclic(7), 7), (trivial(4), 2), (cyclic(17), 3), (cyclic(4), 1)):
            for dtype in (torch.float64,) if batch == 1 else (torch.float32, torch.float64):
                step(orbit_graph(group), batch, dtype)  # among them as many rows as nodes as orbitals
        for batch in (2, 6, 7):
            step(several_graphs(batch), batch, torch.float64)


@pytest.mark.slow
def test_many_kinds_of_layers_are_all_compiled():
    """Dynamo gives up, silently, after eight compilations of one code object."""
    graph = orbit_graph(cyclic(5))
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for channels in range(2, 12):
            layer = make_layer("gatv2_compile", hidden_size=2 * channels, num_attention_heads=2)
            layer(torch.randn(2, 5, 2 * channels), torch.randn(5, 2 * channels), graph)


def test_without_a_compiler_it_falls_back_to_eager_with_one_warning(tmp_path):
    program = """
import warnings
import torch
from asen_hf import AsenConfig, AsenModel, TaskConfig
from asen_hf.model import _gatv2_kernels as pair_passes
config = AsenConfig(tasks={"t": TaskConfig(group="D5", vocab_size=3)}, hidden_size=8, num_attention_heads=2)
models = [AsenModel._from_config(config, attn_implementation=each) for each in ("eager", "gatv2_compile")]
models[1].load_state_dict(models[0].state_dict())
tokens = torch.randint(3, (2, 5))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    tried = []
    try_out = pair_passes._try_out
    pair_passes._try_out = lambda *arguments: tried.append(1) or try_out(*arguments)
    outputs = [model(tokens).last_hidden_state for model in models for _ in range(2)]
    assert len(tried) == 1
assert all(torch.equal(outputs[0], other) for other in outputs)
print([str(each.message) for each in caught if "falls back to eager" in str(each.message)])
"""
    environment = {**os.environ, "PATH": str(tmp_path), "CXX": str(tmp_path / "none"), "HOME": str(tmp_path)}
    environment |= {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.count("gatv2_compile falls back to eager") == 1


# --- last, since kernels are compiled anew for sizes of 0 and 1, and then torch compiles others differently ----------


@pytest.mark.parametrize(
    ("implementation", "gated"),
    [
        *itertools.product(("eager", "gatv2_chunked", "gatv2_pyg"), (False, True)),
        pytest.param("gatv2_compile", False, marks=pytest.mark.slow),
        ("gatv2_compile", True),  # the kernels of a plain layer are among those of a gated one
    ],
)
@pytest.mark.parametrize(
    "rows, group", [(0, cyclic(5)), (1, cyclic(5)), (1, trivial(1)), (3, trivial(1)), (2, cyclic(2))], ids=str
)
def test_the_smallest_batches_and_graphs(implementation, gated, rows, group):
    graph = orbit_graph(group)
    states, table = make_inputs(graph, torch.float64, batch=rows)
    expected = make_layer("gatv2_pyg", torch.float64, gated_messages=gated)(states, table, graph)
    output, weights = make_layer(implementation, torch.float64, gated_messages=gated)(states, table, graph)
    torch.testing.assert_close(output, expected[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(weights, expected[1], rtol=1e-10, atol=1e-10)
    output.sum().backward()
    assert states.grad.isfinite().all()
