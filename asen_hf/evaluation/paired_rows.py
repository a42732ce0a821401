"""Rows with pair inputs, to be cut like an array of inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.configuration_rows import MASK, MISSING_TOKEN, PAIRS
from ..model.configuration_task import TaskConfig


@dataclasses.dataclass(frozen=True)
class PairedRows:
    """N rows with their pairs; ``rows[part]`` are some of them.

    Attributes:
        inputs: ``(N, n)`` tokens or ``(N, n, F)`` features, in raw units.
        pairs: ``(N, n, n)`` categories or numbers, or ``(N, n, n, P)`` numbers.
    """

    inputs: NDArray
    pairs: NDArray

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: Any) -> PairedRows:
        return PairedRows(self.inputs[rows], self.pairs[rows])


def without_padding(task: TaskConfig, rows: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Arrays of rows, with inputs and pairs as missing where a row lacks a node, whatever a table has put there."""
    found = dict(rows)
    if MASK not in rows:
        return found
    mask = rows[MASK].astype(bool)
    both = mask[:, :, None] & mask[:, None]
    for name, has_node, is_number in (
        ("inputs", mask, task.vocab_size is None),
        (PAIRS, both, task.pair_features is not None),
    ):
        if name in rows:
            has_node = has_node.reshape(*has_node.shape, *[1] * (rows[name].ndim - has_node.ndim))
            found[name] = np.where(has_node, rows[name], np.nan if is_number else MISSING_TOKEN)
    return found
