"""Attention over some rows of a batch at a time, so that what has a channel for every pair fits in the cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

# Elements of a tensor (pairs of a block) × channels: about the second-level cache of one CPU core.
BLOCK = {"cpu": 2**19}
_LARGE_BLOCK = 2**25  # other devices


def block_size(device: torch.device) -> int:
    """Number of elements (pairs × channels) that one block should hold on a device."""
    return BLOCK.get(device.type, _LARGE_BLOCK)


def split_rows(rows: int, target: Tensor, source: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of at most ``rows`` rows; labels that all rows share go to every block."""
    label_blocks = labels.split(rows) if len(labels) > 1 else itertools.repeat(labels)
    return zip(target.split(rows), source.split(rows), label_blocks, strict=False)


def join_rows(parts: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The outputs and weights of all blocks, one after the other along the batch."""
    outputs, weights = zip(*parts, strict=True)
    return (torch.cat(outputs), torch.cat(weights)) if len(outputs) > 1 else (outputs[0], weights[0])
