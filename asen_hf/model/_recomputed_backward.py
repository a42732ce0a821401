"""Attention with a backward of its own, which recomputes tensors of size pairs × channels instead of storing them.

Autograd would store several of them per layer and read them from memory again. Only a backward that is itself
differentiated stores them, because it is the plain formula's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ._transforms import are_batched, is_transformed

Results = TypeVar("Results", bound=tuple[Tensor, ...], covariant=True)


class Recomputed(Protocol[Results]):
    """An attention function of some tensors, the first a float, any of them ``None``; its first result is the output.

    GATv2's second result is the attention weights; dot-product attention has none.
    """

    def forward(self, *tensors: Any) -> Results:
        """The results, by any operators."""

    def backward(self, *tensors: Any) -> Sequence[Tensor | None]:
        """The gradients of the tensors of :meth:`forward`, by any operators.

        Args:
            tensors: the gradients of the results, ``None`` for zero, but one of them is not ``None``; the tensors of
                :meth:`forward`; the results.
        """

    def plain(self, *tensors: Any) -> Results:
        """The results, by operators that autograd and all transforms of PyTorch understand."""


def attend(attention: Recomputed[Results], *tensors: Tensor | None) -> Results:
    """The results, differentiable any number of times in all tensors and through every result."""
    if torch.is_grad_enabled():
        return _Function.apply(attention, *tensors)
    # torch.compile recompiles for inference tensors: clone them into normal tensors.
    with torch.inference_mode(False), torch.no_grad():
        return _forward(attention, *(x.clone() if x is not None and x.is_inference() else x for x in tensors))


def _forward(attention: Recomputed[Results], *tensors: Tensor | None) -> Results:
    # torch.compile guards on parameters and on requires_grad even under no_grad: detach, so that it compiles once.
    detached: list[Any] = [None if x is None else x.detach() for x in tensors]
    with torch.autocast(detached[0].device.type, enabled=False):
        return attention.forward(*detached)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attention: Recomputed, *tensors: Any) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.attention, ctx.num_tensors = attention, len(tensors)
        results = _forward(attention, *tensors)
        ctx.save_for_backward(*tensors, *results)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        with torch.autocast(saved[0].device.type, enabled=False):
            # Gradients are enabled if the backward itself will be differentiated.
            if torch.is_grad_enabled() or is_transformed() or are_batched(gradients):
                needed = ctx.needs_input_grad[1:]
                return None, *_plain_backward(ctx.attention, needed, gradients, *saved[: ctx.num_tensors])
            tensors: list[Any] = [None if x is None else x.detach() for x in saved]
            return None, *ctx.attention.backward(*gradients, *tensors)


def _plain_backward(
    attention: Recomputed, needed: Sequence[bool], output_gradients: Sequence[Tensor | None], *tensors: Any
) -> tuple[Tensor | None, ...]:
    """The needed gradients of the tensors, by autograd."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases, because one tensor may have been computed from another one: no alias depends on another alias.
        aliases: list[Any] = [None if x is None else x.view_as(x) for x in tensors]
        results = zip(attention.plain(*aliases), output_gradients, strict=True)
        outputs, gradients = zip(*((y, gradient) for y, gradient in results if gradient is not None), strict=True)
        inputs = [alias for alias, is_needed in zip(aliases, needed, strict=True) if is_needed]
        found = iter(torch.autograd.grad(outputs, inputs, gradients, create_graph=create_graph, allow_unused=True))
    return tuple(next(found) if is_needed else None for is_needed in needed)
