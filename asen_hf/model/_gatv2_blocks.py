"""Attention in blocks of batch rows, so that tensors with one channel vector per node pair fit in the cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ._transforms import is_transformed

# Elements (pairs × channels) per block. On a CPU, 2 MiB of float32 fit the second-level cache of one core.
BLOCK = {"cpu": 2**19}
_LARGE_BLOCK = 2**25  # devices that BLOCK does not list


def block_size(device: torch.device) -> int:
    """Number of elements (pairs × channels) per block on a device."""
    return BLOCK.get(device.type, _LARGE_BLOCK)


def split_rows(rows: int, target: Tensor, *others: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Split a batch into blocks of at most ``rows`` rows; what all rows share is repeated for every block.

    Transformed tensors stay one block, because the number of blocks would fix the size of the batch.
    """
    if is_transformed():
        return iter([(target, *others)])
    blocks: list[Iterable[Tensor | None]] = [
        itertools.repeat(each) if each is None or len(each) < len(target) else each.split(rows) for each in others
    ]
    return zip(target.split(rows), *blocks, strict=False)


def join_rows(parts: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Concatenate the outputs and weights of all blocks along the batch."""
    outputs, weights = zip(*parts, strict=True)
    return (torch.cat(outputs), torch.cat(weights)) if len(outputs) > 1 else (outputs[0], weights[0])
