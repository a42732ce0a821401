"""Tasks on the window with the largest score, positions taken modulo n; symmetry: the dihedral or the cyclic group."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..group_option import NamedGroup, named_group
from ..registry import register
from .sequence_task import SequenceTask, graph_number, node_classes


@dataclass(kw_only=True)
class CyclicWindowTask(SequenceTask):
    """Uniform tokens, redrawn until a single window has the largest score.

    Args:
        window: number w < n of consecutive positions (mod n) that are scored together.
    """

    point_order = "ring"
    window: int = 4

    def check_options(self) -> None:
        super().check_options()
        self._require(
            2 <= self.window < self.length,
            f"window must be in 2 … {self.length - 1} (below the length), got {self.window}",
        )

    def default_group(self) -> NamedGroup:
        return named_group("dihedral", self.length)

    @abstractmethod
    def score(self, tokens: list[np.ndarray]) -> np.ndarray:
        """Scores ``(N, n)`` of all windows; ``tokens[k]`` holds the token at offset k of every window, ``(N, n)``."""

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        sequences = rng.integers(self.vocabulary, size=(num_rows, self.length))
        scores = self.window_scores(sequences)
        return sequences[(scores == scores.max(axis=1, keepdims=True)).sum(axis=1) == 1]

    def window_scores(self, sequences: np.ndarray) -> np.ndarray:
        """Score of the window that starts at each position, int64 ``(N, n)``."""
        return self.score([np.roll(sequences, -offset, axis=1) for offset in range(self.window)])


@dataclass(kw_only=True)
class MarkedWindowTask(CyclicWindowTask):
    """1 on the window with the largest score (the first one in case of a tie), 0 elsewhere."""

    length: int = 10
    vocabulary: int = 7

    def output(self) -> dict[str, Any]:
        return node_classes("outside", "best window")

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        best = self.window_scores(sequences).argmax(axis=1)[:, None]
        return (np.arange(self.length) - best) % self.length < self.window


@register("equivariant/cyclic_sum")
@dataclass(kw_only=True)
class CyclicSum(MarkedWindowTask):
    """The score is the sum."""

    def score(self, tokens: list[np.ndarray]) -> np.ndarray:
        return np.add.reduce(tokens)


@register("equivariant/cyclic_product")
@dataclass(kw_only=True)
class CyclicProduct(MarkedWindowTask):
    """The score is the product."""

    def check_options(self) -> None:
        super().check_options()
        self._require(
            self.vocabulary**self.window < 2**63,
            f"products of {self.window} tokens below {self.vocabulary} overflow 64 bits; expected a smaller window",
        )

    def score(self, tokens: list[np.ndarray]) -> np.ndarray:
        return np.multiply.reduce(tokens)


@register("equivariant/cyclic_alternating_sum")
@dataclass(kw_only=True)
class CyclicAlternatingSum(MarkedWindowTask):
    """The score is x_i − x_{i+1} + x_{i+2} − …; the reversal is not a symmetry (of even windows)."""

    def default_group(self) -> NamedGroup:
        return named_group("cyclic", self.length)

    def score(self, tokens: list[np.ndarray]) -> np.ndarray:
        return np.add.reduce(tokens[::2]) - np.add.reduce(tokens[1::2])


@register("invariant/cyclic_sum")
@dataclass(kw_only=True)
class LargestCyclicSum(CyclicWindowTask):
    """The largest window sum.

    ``label_scale`` is 31 at the defaults, the range of the published data, and for other options the same share,
    31/36, of the largest possible sum, w (v - 1).
    """

    length: int = 8
    vocabulary: int = 10

    def output(self) -> dict[str, Any]:
        largest = self.window * max(self.vocabulary - 1, 1)
        return graph_number("largest window sum", label_scale=31 * largest / 36)

    def score(self, tokens: list[np.ndarray]) -> np.ndarray:
        return np.add.reduce(tokens)

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return self.window_scores(sequences).max(axis=1)
