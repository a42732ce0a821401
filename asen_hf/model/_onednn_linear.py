"""A linear layer whose float32 matrix products on a CPU are computed by oneDNN instead of MKL.

Cause: PyTorch's x86 builds contain both libraries, and ``torch.nn.functional.linear`` calls MKL (torch 2.13). On
processors with AVX-512 that are not Intel's, MKL uses only AVX2 and takes twice as long as oneDNN, which Inductor uses
as well. Without AVX-512, MKL takes three quarters of oneDNN's time.

Delete when ``torch.nn.functional.linear`` itself calls oneDNN for float32 on x86 CPUs, or is as fast as
``torch.ops.mkldnn._linear_pointwise`` on an AMD processor.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._transforms import is_transformed


class Linear(nn.Linear):
    """``torch.nn.Linear``, computed by oneDNN for large float32 inputs on a CPU and by the base class otherwise."""

    def forward(self, input: Tensor) -> Tensor:
        return _linear(input, self.weight, self.bias)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if not _is_faster(input, weight):
        return F.linear(input, weight, bias)
    return (_Linear.apply if torch.is_grad_enabled() else _product)(input, weight, bias)


def _product(input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    """The product with a backward that calls ``_linear`` again, so it is differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input if ctx.needs_input_grad[1] else None, weight)
        return _product(input, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        input, weight = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        to_input = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_input = _linear(gradient, weight.T, None)
        if ctx.needs_input_grad[1]:
            to_weight = _linear(rows.T, input.reshape(-1, input.shape[-1]).T, None)
        if ctx.needs_input_grad[2]:
            to_bias = rows.sum(0)
        return to_input, to_weight, to_bias


# Number of input elements up to which oneDNN is not faster, with AVX-512 because of the overhead of the call.
_SMALL = 2**15 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 2**62


def _is_faster(input: Tensor, weight: Tensor) -> bool:
    return (
        not is_transformed()
        and input.dtype == weight.dtype == torch.float32
        and input.device.type == "cpu"
        and input.numel() > _SMALL
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )
