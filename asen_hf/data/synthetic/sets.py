"""Tasks on a sequence of sets, two halves by default: S_{n/2} wr S_2 permutes within the halves and swaps them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...model.groups import symmetric, wreath_product
from ..group_option import NamedGroup
from ..registry import register
from .sequence_task import SequenceTask, graph_number, node_classes


@dataclass(kw_only=True)
class SetsTask(SequenceTask):
    """Equal parts of the sequence, each of independent uniform tokens.

    Args:
        num_sets: number m of parts; it must divide the length.
    """

    num_sets: int = 2

    def check_options(self) -> None:
        super().check_options()
        self._require(
            self.num_sets >= 2 and self.length % self.num_sets == 0,
            f"num_sets must be at least 2 and divide the length, {self.length}, got {self.num_sets}",
        )

    def default_group(self) -> NamedGroup:
        size = self.length // self.num_sets
        return wreath_product(symmetric(size), symmetric(self.num_sets)), f"S_{size} wr S_{self.num_sets}"

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        return rng.integers(self.vocabulary, size=(num_rows, self.length))


def as_sets(sequences: np.ndarray, num_sets: int) -> np.ndarray:
    """Reshape ``(N, n)`` to ``(N, m, n/m)``."""
    return sequences.reshape(len(sequences), num_sets, sequences.shape[1] // num_sets)


def in_another_set(sought: np.ndarray, sequences: np.ndarray, num_sets: int) -> np.ndarray:
    """Whether the number sought at a position occurs in another set of the sequence; all arrays are ``(N, n)``."""
    parts = as_sets(sequences, num_sets)
    wanted = sought.reshape(parts.shape)
    found = np.zeros(parts.shape, dtype=bool)
    for shift in range(1, num_sets):
        shifted = np.roll(parts, shift, axis=1)
        for offset in range(parts.shape[2]):
            found |= wanted == shifted[:, :, offset, None]
    return found.reshape(sequences.shape)


@register("equivariant/intersect")
@dataclass(kw_only=True)
class Intersect(SetsTask):
    """1 where the token also occurs in another set."""

    relations = ("equal",)
    length: int = 10
    vocabulary: int = 7

    def output(self) -> dict[str, Any]:
        return node_classes("single", "shared")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return in_another_set(sequences, sequences, self.num_sets)


@register("equivariant/symmetric_difference")
@dataclass(kw_only=True)
class SymmetricDifference(SetsTask):
    """1 where the token occurs in no other set."""

    relations = ("equal",)
    length: int = 10
    vocabulary: int = 7

    def output(self) -> dict[str, Any]:
        return node_classes("shared", "single")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return ~in_another_set(sequences, sequences, self.num_sets)


@register("equivariant/target_sum")
@dataclass(kw_only=True)
class TargetSum(SetsTask):
    """1 where some token of another set and this one sum to ``target``."""

    length: int = 10
    vocabulary: int = 7
    target: int = 7

    def output(self) -> dict[str, Any]:
        return node_classes("unpaired", "paired")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return in_another_set(self.target - sequences, sequences, self.num_sets)


@register("invariant/intersect")
@dataclass(kw_only=True)
class IntersectionSize(SetsTask):
    """Number of distinct tokens that all sets hold. ``label_scale`` is the length."""

    relations = ("equal",)
    length: int = 8
    vocabulary: int = 10

    def output(self) -> dict[str, Any]:
        return graph_number("common tokens", label_scale=self.length)

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        parts = as_sets(sequences, self.num_sets)
        count = np.zeros(len(sequences), dtype=np.int64)
        for token in range(self.vocabulary):
            count += (parts == token).any(axis=2).all(axis=1)
        return count
