"""Tasks on two halves of a sequence, each seen as a set: S_{n/2} wr S_2 permutes within the halves and swaps them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..groups import symmetric, wreath_product
from .group_option import NamedGroup
from .registry import register
from .sequence_task import SequenceTask, graph_number, node_classes


@dataclass(kw_only=True)
class HalvesTask(SequenceTask):
    """Both halves hold n/2 independent uniform tokens."""

    def check_options(self) -> None:
        super().check_options()
        self._require(self.length % 2 == 0, f"length must be even to have two halves, got {self.length}")

    def default_group(self) -> NamedGroup:
        half = self.length // 2
        return wreath_product(symmetric(half), symmetric(2)), f"S_{half} wr S_2"

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        return rng.integers(self.vocabulary, size=(num_rows, self.length))


def in_other_half(sought: np.ndarray, sequences: np.ndarray) -> np.ndarray:
    """Whether the number sought at a position occurs in the other half of the sequence; all arrays are ``(N, n)``."""
    half = sequences.shape[1] // 2
    found = np.zeros(sequences.shape, dtype=bool)
    for offset in range(half):
        found[:, :half] |= sought[:, :half] == sequences[:, half + offset, None]
        found[:, half:] |= sought[:, half:] == sequences[:, offset, None]
    return found


@register("equivariant/intersect")
@dataclass(kw_only=True)
class Intersect(HalvesTask):
    """1 where the token occurs in the other half too."""

    length: int = 10
    vocabulary: int = 7

    def output(self) -> dict[str, Any]:
        return node_classes("single", "shared")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return in_other_half(sequences, sequences)


@register("equivariant/symmetric_difference")
@dataclass(kw_only=True)
class SymmetricDifference(HalvesTask):
    """1 where the token does not occur in the other half."""

    length: int = 10
    vocabulary: int = 7

    def output(self) -> dict[str, Any]:
        return node_classes("shared", "single")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return ~in_other_half(sequences, sequences)


@register("equivariant/target_sum")
@dataclass(kw_only=True)
class TargetSum(HalvesTask):
    """1 where some token of the other half and this one sum to ``target``."""

    length: int = 10
    vocabulary: int = 7
    target: int = 7

    def output(self) -> dict[str, Any]:
        return node_classes("unpaired", "paired")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return in_other_half(self.target - sequences, sequences)


@register("invariant/intersect")
@dataclass(kw_only=True)
class IntersectionSize(HalvesTask):
    """Number of distinct tokens that both halves hold. ``label_scale`` is the length."""

    length: int = 8
    vocabulary: int = 10

    def output(self) -> dict[str, Any]:
        return graph_number("common tokens", label_scale=self.length)

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        left, right = np.split(sequences, 2, axis=1)
        count = np.zeros(len(sequences), dtype=np.int64)
        for token in range(self.vocabulary):
            count += (left == token).any(axis=1) & (right == token).any(axis=1)
        return count
