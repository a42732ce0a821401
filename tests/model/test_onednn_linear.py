"""The linear layer is PyTorch's, whichever product it takes."""

import pytest
import torch
from torch import func, nn
from torch.autograd import forward_ad

from asen_hf.model import _onednn_linear as linear
from asen_hf.model._onednn_linear import Linear


def pair(bias=True, **settings):
    torch.manual_seed(0)
    ours = Linear(24, 40, bias=bias, **settings)
    theirs = nn.Linear(24, 40, bias=bias, **settings)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.fixture
def products(monkeypatch):
    """Every size is large enough; counts the products that the layer takes instead of PyTorch's."""
    monkeypatch.setattr(linear, "_SMALL", 0)
    counted = []
    apply = linear._Linear.apply
    monkeypatch.setattr(linear._Linear, "apply", lambda *tensors: counted.append(1) or apply(*tensors))
    return counted


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 24), (3, 5, 24), (1, 1, 24), (2, 3, 4, 24)], ids=str)
def test_output_and_gradients_are_those_of_pytorch(products, bias, shape):
    ours, theirs = pair(bias)
    inputs = torch.randn(shape, requires_grad=True)
    same = inputs.detach().clone().requires_grad_()
    output, expected = ours(inputs), theirs(same)
    cotangent = torch.randn_like(output)
    output.backward(cotangent)
    expected.backward(cotangent)
    assert products
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(inputs.grad, same.grad, rtol=1e-5, atol=1e-5)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_it_can_be_differentiated_twice(products):
    ours, theirs = pair()
    inputs = torch.randn(6, 24, requires_grad=True)

    def penalty(layer):
        (slope,) = torch.autograd.grad(layer(inputs).sin().sum(), inputs, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [inputs, layer.weight, layer.bias])

    for mine, other in zip(penalty(ours), penalty(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def tangent(function, inputs):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(function(forward_ad.make_dual(inputs, torch.ones_like(inputs)))).tangent


def tangent_without_gradients(function, inputs):
    with torch.no_grad():
        return tangent(function, inputs)


TRANSFORMS = {
    "jacrev": lambda function, inputs: func.jacrev(function)(inputs),
    "jacfwd": lambda function, inputs: func.jacfwd(function)(inputs),
    "hessian": lambda function, inputs: func.hessian(lambda x: function(x).sum())(inputs),
    "vmap": lambda function, inputs: func.vmap(function)(inputs),
    "vmap of grad": lambda function, inputs: func.vmap(func.grad(lambda x: function(x).sum()))(inputs),
    "forward_ad": tangent,
    "forward_ad under no_grad": tangent_without_gradients,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_are_left_to_pytorch(products, transform):
    inputs = torch.randn(5, 24)
    found, expected = (transform(lambda x, layer=layer: layer(x).sin(), inputs) for layer in pair())
    assert torch.equal(found, expected)
    assert not products


@pytest.mark.parametrize("rows", [1, 5])
def test_an_exported_layer_is_left_to_pytorch(products, rows):
    ours, theirs = pair()
    shapes = {"input": {0: torch.export.Dim("rows")}}
    program = torch.export.export(ours, (torch.randn(3, 24),), dynamic_shapes=shapes).module()
    inputs = torch.randn(rows, 24)
    assert torch.equal(program(inputs), theirs(inputs))
    assert not products


def test_a_backward_under_vmap_works(products):
    ours, theirs = pair()
    inputs = torch.randn(5, 24, requires_grad=True)
    found = []
    for layer in (ours, theirs):
        output = layer(inputs)
        backward = func.vmap(
            lambda unit, output=output: torch.autograd.grad(output, inputs, unit, retain_graph=True)[0]
        )
        found.append(backward(torch.eye(200).view(200, 5, 40)))
    assert products
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_batched_gradients_work(products):
    ours, theirs = pair()
    inputs = torch.randn(5, 24, requires_grad=True)
    found = [
        torch.autograd.grad(layer(inputs), inputs, torch.eye(200).view(200, 5, 40), is_grads_batched=True)[0]
        for layer in (ours, theirs)
    ]
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer, inputs: layer.double()(inputs.double()),
        lambda layer, inputs: layer.bfloat16()(inputs.bfloat16()),
        lambda layer, inputs: torch.autocast("cpu", torch.bfloat16)(layer)(inputs),
    ],
    ids=["float64", "bfloat16", "autocast"],
)
def test_other_precisions_are_left_to_pytorch(products, change):
    ours, theirs = pair()
    inputs = torch.randn(5, 24)
    assert torch.equal(change(ours, inputs), change(theirs, inputs))
    assert not products


def test_frozen_weights_get_no_gradient(products):
    ours, _ = pair()
    ours.requires_grad_(False)
    inputs = torch.randn(5, 24, requires_grad=True)
    ours(inputs).sum().backward()
    assert ours.weight.grad is None
    torch.testing.assert_close(inputs.grad, ours.weight.sum(0).expand(5, -1), rtol=1e-5, atol=1e-6)
