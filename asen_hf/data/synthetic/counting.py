"""Invariant tasks whose label counts something over the whole sequence: capitals, pairs of letters, inversions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...model.groups import young_subgroup
from ..group_option import NamedGroup, named_group
from ..registry import register
from .sequence_task import SequenceTask, graph_classes, graph_number

_LETTERS = 26


@register("invariant/detect_capital")
@dataclass(kw_only=True)
class DetectCapital(SequenceTask):
    """1 if all letters are upper case, all are lower case, or only the first is upper case; else 0; labels balanced.

    Tokens are 52 letters: a–z are 0–25, A–Z are 26–51. The group fixes the first position.
    """

    length: int = 8
    vocabulary: int = field(default=2 * _LETTERS, init=False)

    def check_options(self) -> None:
        super().check_options()
        self._require(self.length >= 2, f"length must be at least 2, got {self.length}")

    def default_group(self) -> NamedGroup:
        rest = list(range(1, self.length))
        return young_subgroup([[0], rest]), f"S_1 x S_{len(rest)}"

    def output(self) -> dict[str, Any]:
        return graph_number("capitals used right", label_scale=1)

    def balanced_labels(self) -> Sequence[int]:
        return (0, 1)

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        letters = rng.integers(_LETTERS, size=(num_rows, self.length))
        is_upper = rng.random((num_rows, self.length)) < 0.5
        # The three cases that make a positive are rare in long words, so half of the rows get one of them. They are
        # equally likely in the other half as well, so the draw given the label stays that of uniform letters.
        right_cases = np.zeros((3, self.length), dtype=bool)
        right_cases[0], right_cases[1, 0] = True, True
        chosen = rng.random(num_rows) < 0.5
        is_upper[chosen] = right_cases[rng.integers(3, size=chosen.sum())]
        return letters + _LETTERS * is_upper

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        is_upper = sequences >= _LETTERS
        return is_upper.all(axis=1) | np.logical_not(is_upper[:, 1:].any(axis=1))


@register("invariant/longest_palindrome")
@dataclass(kw_only=True)
class LongestPalindrome(SequenceTask):
    """Length of the longest palindrome that the tokens can spell: Σ 2⌊c/2⌋ over token counts c, + 1 if some c is odd.

    All labels that can occur are equally frequent; every row is a fresh draw. ``label_scale`` is the length.
    """

    relations = ("equal",)
    length: int = 8
    vocabulary: int = 10

    def default_group(self) -> NamedGroup:
        return named_group("symmetric", self.length)

    def output(self) -> dict[str, Any]:
        return graph_number("longest palindrome", label_scale=self.length)

    def balanced_labels(self) -> Sequence[int]:
        # The number of odd counts has the parity of the length; a palindrome drops one token of each but one.
        num_odd = range(self.length % 2, min(self.length, self.vocabulary) + 1, 2)
        return sorted({self.length - max(odd - 1, 0) for odd in num_odd})

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        return rng.integers(self.vocabulary, size=(num_rows, self.length))

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        num_odd = np.zeros(len(sequences), dtype=np.int64)
        for token in range(self.vocabulary):
            num_odd += (sequences == token).sum(axis=1) % 2
        return self.length - np.maximum(num_odd - 1, 0)


@register("invariant/permutation_sign")
@dataclass(kw_only=True)
class PermutationSign(SequenceTask):
    """1 if the number of inversions is even, else 0; n distinct tokens in random order.

    A_n keeps the label of distinct tokens. Its 2-closure is S_n, so order-2 orbit labels over-constrain the network.
    The task is there to show this limit.
    """

    length: int = 8
    vocabulary: int = 10

    def check_options(self) -> None:
        super().check_options()
        self._require(
            self.length <= self.vocabulary,
            f"length must be at most the vocabulary, {self.vocabulary}, for distinct tokens, got {self.length}",
        )

    def default_group(self) -> NamedGroup:
        return named_group("alternating", self.length)

    def output(self) -> dict[str, Any]:
        return graph_classes("odd", "even")

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        tokens = np.broadcast_to(np.arange(self.vocabulary), (num_rows, self.vocabulary))
        return rng.permuted(tokens, axis=1)[:, : self.length]

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        inversions = np.zeros(len(sequences), dtype=np.int64)
        for position in range(1, self.length):
            inversions += (sequences[:, :position] > sequences[:, position, None]).sum(axis=1)
        return inversions % 2 == 0
