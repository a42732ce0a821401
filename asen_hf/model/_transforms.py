"""Tells when tensors must meet only plain PyTorch operators: kernels with a backward of their own are opaque."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad


def is_transformed() -> bool:
    """Whether ``torch.func``, forward-mode differentiation, ``torch.compile`` or ``torch.export`` sees the operators.

    Then tensors may be batched, carry tangents or have symbolic sizes: no kernel without rules for these may be called,
    no value may be read, no size may decide anything, and no tensor may be changed in place by a larger one.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0  # there is no public way to ask
    )


def are_batched(gradients: Sequence[Tensor | None]) -> bool:
    """Whether ``torch.autograd.grad`` was called with ``is_grads_batched``, whose vmap is an older one (torch 2.13)."""
    return any(gradient is not None and torch._C._functorch.is_legacy_batchedtensor(gradient) for gradient in gradients)


def add_in_place(sums: Tensor, terms: Tensor) -> Tensor:
    """``sums + terms``, in the memory of ``sums`` unless a transform may have given ``terms`` more elements."""
    return sums + terms if is_transformed() else sums.add_(terms)
