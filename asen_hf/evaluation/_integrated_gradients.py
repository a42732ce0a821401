"""What :mod:`asen_hf.evaluation.attribution` needs that knows no task: captum's integral, and hooks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..model.layers import AttentionLayer
from ..model.pretrained_asen import evaluating
from ..model.symmetry import OrbitGraph

_NUMBERS = {"cpu": 2**22}  # of the largest tensor of one forward pass
_NUMBERS_ELSEWHERE = 2**26


def integrated_gradients(
    model: nn.Module,
    function: Callable[..., Tensor],
    rows: Tensor,
    start: Tensor,
    constant: tuple[Tensor, ...],
    num_steps: int,
    row_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Captum's integrated gradients of some rows at a time, by Gauss-Legendre quadrature.

    Args:
        model: what the function runs; it is put into evaluation mode meanwhile.
        function: of ``rows`` and the ``constant`` tensors, to one number per row.
        rows, start: where the path ends and begins, ``(B, …)``.
        constant: tensors ``(B, …)`` that go with the rows.
        num_steps: number of points of the path.
        row_size: how many numbers the largest tensor of a forward pass holds per row.

    Returns:
        The values, of the shape of ``rows``, and the function at the end and at the start, ``(B,)``.

    Raises:
        ValueError: fewer than one step.
        ImportError: captum is not installed.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps!r}")
    captum = _captum()
    size = max(1, _NUMBERS.get(rows.device.type, _NUMBERS_ELSEWHERE) // row_size)
    num_rows = max(1, size // num_steps)
    parts = []
    for first in range(0, len(rows), num_rows):
        block = slice(first, first + num_rows)
        row, base, more = rows[block], start[block], tuple(tensor[block] for tensor in constant)
        with evaluating(model), torch.enable_grad():
            values = captum.attr.IntegratedGradients(function).attribute(
                row,
                baselines=base,
                additional_forward_args=more,
                n_steps=num_steps,
                internal_batch_size=max(size, len(row)),
            )
        with evaluating(model):
            parts.append((values.detach(), function(row, *more), function(base, *more)))
    values, output, start_output = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return values, output, start_output


def scaled_messages(factors: Tensor) -> Callable[..., tuple[Tensor, Tensor]]:
    """A hook on an attention layer: its message from j to i times ``factors[:, i, j]``, with the same weights."""

    def hook(layer: AttentionLayer, arguments: tuple[Any, ...], output: tuple[Tensor, Any]) -> tuple[Tensor, Tensor]:
        states, orbital_features, graph = cast(tuple[Tensor, Tensor, OrbitGraph], arguments[:3])
        targets, sources, _ = graph.to_edges()
        _, weights = layer.forward(states, orbital_features, graph, output_attentions=True)  # not through the hooks
        assert weights is not None
        by_edge = weights if graph.edge_index is not None else weights.flatten(2)  # (B, H, E)
        scaled = (by_edge * factors[:, targets, sources].unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
        messages = scaled * layer.messages(states, orbital_features, graph)
        update = torch.zeros_like(output[0]).index_add(1, targets, messages.flatten(2))
        bias = cast(Tensor | None, layer.bias)
        return update if bias is None else update + bias, weights

    return hook


@contextlib.contextmanager
def hooked(handles: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise ImportError('attribution needs captum: pip install "asen-hf[explain]"') from error
    return captum
