"""Every implementation has the derivatives of the formula: of any order, by any of PyTorch's ways, at every size.

The second derivatives of all layers are compared with finite differences; every way of differentiating a model with
``torch.autograd.grad`` on the eager formula.
"""

import dataclasses
import functools
import itertools

import pytest
import torch
from torch import func
from torch.autograd import forward_ad

from asen_hf import TaskConfig
from asen_hf.model import _dot_product_blocks, _gatv2_blocks, _gatv2_dense
from asen_hf.model.symmetry import OrbitGraph, SymmetryBreaker
from asen_hf.training.objective import MultitaskObjective
from tests.conftest import make_model

ROWS, NODES, SIZE, HEADS = 3, 4, 8, 2
PAIRS = NODES * NODES * SIZE  # elements of one row


@dataclasses.dataclass(frozen=True)
class Side:
    """An implementation on one side of each of its size switches."""

    implementation: str
    block: int = 2**19
    eager_limit: int = 2**22
    base: str = "gatv2"

    @property
    def reference(self):
        """The formula in plain operators."""
        return Side("eager", base=self.base)

    def set(self, monkeypatch):
        monkeypatch.setitem(_dot_product_blocks.STORED, "cpu", 0)
        monkeypatch.setitem(_dot_product_blocks.BLOCK, "cpu", self.block // SIZE)
        monkeypatch.setitem(_gatv2_blocks.BLOCK, "cpu", self.block)
        monkeypatch.setitem(_gatv2_dense.EAGER_LIMIT, "cpu", self.eager_limit)


DENSE = {
    "eager": Side("eager"),
    "eager above its limit": Side("eager", eager_limit=0),
    "chunked, one block": Side("gatv2_chunked"),
    "chunked, blocks of rows": Side("gatv2_chunked", block=2 * PAIRS),
    "chunked, blocks of targets": Side("gatv2_chunked", block=3 * PAIRS // NODES),
    "pyg": Side("gatv2_pyg"),
}
SPARSE = {"sparse, one block": Side("eager"), "sparse, blocks of rows": Side("eager", block=PAIRS // 2)}
TRANSFORMER = {"transformer, blocks": Side("sdpa", block=2 * PAIRS, base="transformer")}
COMPILED = {"compiled": Side("gatv2_compile")}

EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [0, 0]]
FEATURES = {"num_features": 2, "input_mean": [0.1, 0.2], "input_scale": [0.5, 2.0], "output_level": "graph"}
TOKENS = {"vocab_size": 3}
PLAIN, GATED = False, True
ON_ALL_PAIRS = {
    "nodes": (FEATURES | {"symmetry_breaking": "nodes"}, PLAIN),
    "pairs": (FEATURES | {"symmetry_breaking": "pairs"}, GATED),
    "triples": (FEATURES | {"symmetry_breaking": "triples"}, GATED),
    "weak": (FEATURES | {"support": "weak", "edges": EDGES}, PLAIN),
    "tokens": (TOKENS, PLAIN),
}
ON_EDGES = {
    "edges": (FEATURES | {"support": "sparse", "edges": EDGES}, GATED),
    "tokens": (TOKENS | {"support": "sparse", "edges": EDGES}, PLAIN),
}


def cases(*sides_and_kinds, marks=()):
    """Every side × every kind of task, or of graph, with or without gates."""
    return [
        pytest.param(side, *kind, id=f"{label}, {name}", marks=marks)
        for sides, kinds in sides_and_kinds
        for (label, side), (name, kind) in itertools.product(sides.items(), kinds.items())
    ]


FEWER = {"nodes": ON_ALL_PAIRS["nodes"], "edges": ON_EDGES["edges"]}
every_case = pytest.mark.parametrize(
    ("side", "task", "gated"), cases((DENSE, ON_ALL_PAIRS), (SPARSE, ON_EDGES), (TRANSFORMER, FEWER))
)


def model_of(side, task, gated):
    sizes = {"hidden_size": SIZE, "num_attention_heads": HEADS, "num_hidden_layers": 1}
    settings = {"gated_messages": gated, "attn_implementation": side.implementation, "backbone_type": side.base}
    return make_model({"t": TaskConfig(group="C4", **task)}, spread=0.3, **sizes, **settings).double()


def rows_of(task):
    torch.manual_seed(2)
    return torch.randint(3, (ROWS, NODES)) if "vocab_size" in task else torch.randn(ROWS, NODES, 2).double()


def logits(model, rows, parameters):
    return func.functional_call(model, parameters, (rows,)).logits


# --- one layer, through its output and its attention weights ----------------------------------------------------------


def layer_of(side, gated):
    return model_of(side, TOKENS, gated).asen.backbone.layers[0].attention


def graph_of(group="C4", **settings):
    return SymmetryBreaker(TaskConfig(group=group, **TOKENS, **settings))()


def tensors_of(graph):
    torch.manual_seed(1)
    states = torch.randn(ROWS, NODES, SIZE, dtype=torch.float64, requires_grad=True)
    return states, torch.randn(int(graph.labels.max()) + 1, SIZE, dtype=torch.float64, requires_grad=True)


SHARED = graph_of()
PER_ROW = OrbitGraph(NODES, torch.stack([graph_of(group).labels for group in ("C4", "S4", "D4")]))
DENSE_GRAPHS = {
    "shared labels": (SHARED, PLAIN),
    "shared labels, gated": (SHARED, GATED),
    "labels per row": (PER_ROW, PLAIN),
    "labels per row, gated": (PER_ROW, GATED),
}
SPARSE_GRAPHS = {
    "edges": (graph_of(support="sparse", edges=EDGES), PLAIN),
    "edges, gated": (graph_of(support="sparse", edges=EDGES), GATED),
}
every_layer = pytest.mark.parametrize(
    ("side", "graph", "gated"),
    [
        *cases((DENSE, DENSE_GRAPHS), (SPARSE, SPARSE_GRAPHS)),
        *cases((COMPILED, DENSE_GRAPHS), marks=pytest.mark.slow),
    ],
)


@every_layer
def test_second_derivatives_of_a_layer_equal_finite_differences(side, graph, gated, monkeypatch):
    side.set(monkeypatch)
    layer = layer_of(side, gated)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def outputs(states, table, *tensors):
        return func.functional_call(layer, dict(zip(names, tensors, strict=True)), (states, table, graph))

    torch.manual_seed(3)
    assert torch.autograd.gradgradcheck(outputs, (*tensors_of(graph), *parameters), fast_mode=True, atol=1e-6)


@pytest.mark.parametrize("through", ["output", "weights"])
@every_layer
def test_second_derivatives_through_one_result_and_with_a_frozen_tensor(side, graph, gated, through, monkeypatch):
    def derivatives(layer, frozen):
        states, table = tensors_of(graph)
        tensors = {"states": states, "table": table, **dict(layer.named_parameters())}
        tensors[frozen].requires_grad_(False)
        inputs = [tensor for tensor in tensors.values() if tensor.requires_grad]
        result = layer(states, table, graph)[through == "weights"]
        kwargs = {"allow_unused": True, "materialize_grads": True}
        first = torch.autograd.grad(result.sin().sum(), inputs, create_graph=True, **kwargs)
        penalty = sum(slope.square().sum() for slope in first)
        second = torch.autograd.grad(penalty, inputs, **kwargs)
        tensors[frozen].requires_grad_()
        return [*first, *second]

    side.set(monkeypatch)
    layer, pyg = layer_of(side, gated), layer_of(DENSE["pyg"], gated)
    for frozen in ("states", "table", *dict(layer.named_parameters())):
        for ours, theirs in zip(derivatives(layer, frozen), derivatives(pyg, frozen), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10, msg=f"{frozen}: {{}}".format)


@pytest.mark.parametrize("side", DENSE.values(), ids=DENSE)
def test_a_tensor_computed_from_another_one_does_not_count_twice(side, monkeypatch):
    side.set(monkeypatch)
    layer = layer_of(side, GATED)
    _, table = tensors_of(SHARED)

    def output(vector, layer=layer):
        states = torch.linspace(1, 2, ROWS * NODES).double().outer(vector.flatten()).view(ROWS, NODES, SIZE)
        return func.functional_call(layer, {"attention_vector": vector}, (states, table, SHARED))[0].square()

    vector = layer.attention_vector.detach().requires_grad_()
    assert torch.autograd.gradgradcheck(output, vector, fast_mode=True, atol=1e-5)
    expected = torch.autograd.grad(output(vector, layer_of(DENSE["pyg"], GATED)).sum(), vector)
    found = torch.autograd.grad(output(vector).sum(), vector, create_graph=True)
    torch.testing.assert_close(found, expected)


# --- the model, by every way of PyTorch -------------------------------------------------------------------------------


def by_autograd(function, tensor, direction):
    """The Jacobian times a direction: autograd gives uᵀJ, which is linear in u, and then its gradient by u."""
    tensor = tensor.detach().requires_grad_()
    output = function(tensor)
    unit = torch.zeros_like(output).requires_grad_()
    (product,) = torch.autograd.grad(output, tensor, unit, create_graph=True)
    return torch.autograd.grad(product, unit, direction)[0].detach()


def by_loops(function, tensor, direction):
    """One backward per output."""
    tensor = tensor.detach().requires_grad_()
    output = function(tensor)
    rows = [torch.autograd.grad(each, tensor, retain_graph=True)[0] for each in output.flatten()]
    return torch.stack([(row * direction).sum() for row in rows]).view(output.shape)


def by_batched_gradients(function, tensor, direction):
    """All outputs in one backward, whose gradients have one more dimension."""
    tensor = tensor.detach().requires_grad_()
    output = function(tensor)
    units = torch.eye(output.numel(), dtype=output.dtype).view(-1, *output.shape)
    (rows,) = torch.autograd.grad(output, tensor, units, is_grads_batched=True)
    return (rows * direction).flatten(1).sum(1).view(output.shape)


def by_vmap_of_a_backward(function, tensor, direction):
    tensor = tensor.detach().requires_grad_()
    output = function(tensor)
    units = torch.eye(output.numel(), dtype=output.dtype).view(-1, *output.shape)
    rows = func.vmap(lambda unit: torch.autograd.grad(output, tensor, unit, retain_graph=True)[0])(units)
    return (rows * direction).flatten(1).sum(1).view(output.shape)


def by_forward_ad(function, tensor, direction):
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(tensor.detach(), direction)
        return forward_ad.unpack_dual(function(dual)).tangent


def by_forward_ad_without_gradients(function, tensor, direction):
    with torch.no_grad():
        return by_forward_ad(function, tensor, direction)


def times_direction(jacobian):
    def product(function, tensor, direction):
        return (jacobian(function, tensor).flatten(-tensor.dim()) * direction.flatten()).sum(-1)

    return product


vectorised = functools.partial(torch.autograd.functional.jacobian, vectorize=True)
JACOBIANS = {
    "loops": by_loops,
    "twice autograd": by_autograd,
    "batched gradients": by_batched_gradients,
    "vmap of a backward": by_vmap_of_a_backward,
    "autograd.functional, vectorised": times_direction(vectorised),
    "autograd.functional, forward": times_direction(functools.partial(vectorised, strategy="forward-mode")),
    "forward_ad": by_forward_ad,
    "forward_ad under no_grad": by_forward_ad_without_gradients,
    "jvp": lambda function, tensor, direction: func.jvp(function, (tensor,), (direction,))[1],
    "jacrev": times_direction(lambda function, tensor: func.jacrev(function)(tensor)),
    "jacfwd": times_direction(lambda function, tensor: func.jacfwd(function)(tensor)),
}


def slope_of(function):
    """The gradient of a sum, for autograd to differentiate."""

    def slope(tensor):
        return torch.autograd.grad(function(tensor).sin().sum(), tensor, create_graph=True)[0]

    return slope


def times_hessian(hessian):
    return times_direction(lambda function, tensor: hessian(lambda x: function(x).sin().sum(), tensor))


HESSIANS = {
    "autograd": lambda function, tensor, direction: by_autograd(slope_of(function), tensor, direction),
    "batched gradients": lambda function, tensor, direction: by_batched_gradients(
        slope_of(function), tensor, direction
    ),
    "autograd.functional, vectorised": times_hessian(
        functools.partial(torch.autograd.functional.hessian, vectorize=True)
    ),
    "hessian": times_hessian(lambda function, tensor: func.hessian(function)(tensor)),
    "jacrev of grad": times_hessian(lambda function, tensor: func.jacrev(func.grad(function))(tensor)),
    "forward_ad of grad": lambda function, tensor, direction: by_forward_ad(
        func.grad(lambda x: function(x).sin().sum()), tensor, direction
    ),
}


def functions_of(model, task):
    """Functions of one tensor whose values are the logits, by the tensor's name, and the tensor."""
    rows = rows_of(task)
    for name, parameter in model.named_parameters():
        if name.endswith(("source_projection.bias", "input_projection.bias", "edge_embedders.t.weight")):
            yield name, lambda tensor, name=name: logits(model, rows, {name: tensor}), parameter.detach()
    if "num_features" in task:
        yield "inputs", lambda tensor: logits(model, tensor, {}), rows


def check_all_ways(ways, side, task, gated, monkeypatch):
    """Every way of differentiating gives what the first gives on the eager formula."""
    first = next(iter(ways.values()))
    torch.manual_seed(4)
    cases = [
        (name, function, tensor, torch.randn_like(tensor))
        for name, function, tensor in functions_of(model_of(side.reference, task, gated), task)
    ]
    expected = {name: first(*rest) for name, *rest in cases}
    side.set(monkeypatch)
    functions = {name: function for name, function, _ in functions_of(model_of(side, task, gated), task)}
    for name, _, tensor, direction in cases:
        assert expected[name].abs().max() > 1e-6, name
        for way, derivative in ways.items():
            found, message = derivative(functions[name], tensor, direction), f"{way}, {name}: {{}}".format
            torch.testing.assert_close(found, expected[name], rtol=1e-8, atol=1e-12, msg=message)


@every_case
def test_jacobians(side, task, gated, monkeypatch):
    check_all_ways(JACOBIANS, side, task, gated, monkeypatch)


@every_case
def test_hessians(side, task, gated, monkeypatch):
    check_all_ways(HESSIANS, side, task, gated, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "task", "gated"), cases((COMPILED, ON_ALL_PAIRS)))
def test_derivatives_of_compiled_kernels(side, task, gated, monkeypatch):
    check_all_ways(JACOBIANS, side, task, gated, monkeypatch)
    check_all_ways(HESSIANS, side, task, gated, monkeypatch)


@every_case
def test_vmap_over_rows_and_gradients_of_each_row(side, task, gated, monkeypatch):
    side.set(monkeypatch)
    model, rows = model_of(side, task, gated), rows_of(task)
    one_by_one = torch.cat([model(row).logits for row in rows.split(1)])
    torch.testing.assert_close(func.vmap(lambda row: model(row[None]).logits[0])(rows), one_by_one)

    parameters = dict(model.named_parameters())
    per_row = func.vmap(func.grad(lambda p, row: logits(model, row[None], p).sin().sum()), in_dims=(None, 0))
    found = per_row(parameters, rows)
    for number, row in enumerate(rows.split(1)):
        expected = torch.autograd.grad(model(row).logits.sin().sum(), parameters.values())
        for name, gradient in zip(parameters, expected, strict=True):
            torch.testing.assert_close(found[name][number], gradient, msg=f"{name}: {{}}".format)


@every_case
def test_vmap_over_each_parameter_alone(side, task, gated, monkeypatch):
    """Nothing is changed in place by a tensor that is larger for being batched."""
    side.set(monkeypatch)
    model, rows = model_of(side, task, gated), rows_of(task)
    for name, parameter in model.named_parameters():
        versions = torch.stack([parameter.detach(), 2 * parameter.detach()])
        found = func.vmap(lambda version, name=name: logits(model, rows, {name: version}))(versions)
        expected = torch.stack([logits(model, rows, {name: version}) for version in versions])
        torch.testing.assert_close(found, expected, msg=f"{name}: {{}}".format)


# --- what else a transform meets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", DENSE.values(), ids=DENSE)
def test_the_gradient_of_a_multitask_objective_whose_tasks_share_a_batch(side, monkeypatch):
    side.set(monkeypatch)
    tasks = {"one": TaskConfig(group="C4", **TOKENS), "two": TaskConfig(group="D4", **FEATURES)}
    model = make_model(tasks, spread=0.3, attn_implementation=side.implementation).double()
    objective = MultitaskObjective(model)
    batch = {
        "one": {"inputs": rows_of(TOKENS), "labels": torch.randint(2, (ROWS, NODES))},
        "two": {"inputs": rows_of(FEATURES), "labels": torch.randint(2, (ROWS,))},
    }
    parameters = dict(objective.named_parameters())
    found = func.grad(lambda tensors: func.functional_call(objective, tensors, (batch,))[0])(parameters)
    expected = torch.autograd.grad(objective(batch)[0], parameters.values())
    for name, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(found[name], gradient, msg=f"{name}: {{}}".format)


@pytest.mark.parametrize("task", [FEATURES, TOKENS], ids=["features", "tokens"])
def test_a_loss_per_row(task):
    model, rows = model_of(DENSE["eager"], task, False), rows_of(task)
    labels = torch.randint(2, (ROWS, NODES) if "vocab_size" in task else (ROWS,))
    found = func.vmap(lambda row, label: model(row[None], labels=label[None]).loss)(rows, labels)
    expected = [model(row, labels=label).loss for row, label in zip(rows.split(1), labels.split(1), strict=True)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_transform_leaves_the_check_of_shape_and_dtype():
    for task, rows, words in (
        (TOKENS, rows_of(TOKENS)[:, 1:], "must have shape"),
        (TOKENS, rows_of(FEATURES)[..., 0], "integer tokens"),
        (FEATURES, rows_of(FEATURES)[..., :1], "must have shape"),
        (FEATURES, rows_of(TOKENS), "must have shape"),
    ):
        model = model_of(DENSE["eager"], task, False)
        with pytest.raises(ValueError, match=words):
            func.vmap(lambda row, model=model: model(row[None]).logits)(rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_gradients_by_transforms_in_half_precision(dtype):
    model = model_of(DENSE["eager"], FEATURES, True).to(dtype)
    rows = rows_of(FEATURES).to(dtype).requires_grad_()
    (expected,) = torch.autograd.grad(model(rows).logits.sum(), rows)
    found = func.grad(lambda x: model(x).logits.sum())(rows.detach())
    assert (found - expected).norm() < 0.05 * expected.norm()
