"""Tasks on brackets: which of them match, and whether all do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...model.groups import trivial
from ..group_option import NamedGroup
from ..registry import register
from .sequence_task import SequenceTask, graph_number, pair_classes


@register("pairs/matching_brackets")
@dataclass(kw_only=True)
class MatchingBrackets(SequenceTask):
    """1 for the pairs (i, j) and (j, i) of an opening bracket i and its closing bracket j, 0 for all other pairs.

    Tokens 0 and 1, "(" and ")", are independent and uniform, so some brackets have no partner. Read from behind, every
    bracket is its mirror image: the default group is trivial, and the reversal is a value symmetry that exchanges the
    tokens. With another ``group`` there is none.
    """

    point_order = "line"
    length: int = 14
    vocabulary: int = field(default=2, init=False)

    def default_group(self) -> NamedGroup:
        return trivial(self.length), "trivial"

    def output(self) -> dict[str, Any]:
        symmetry = {"value_symmetries": [mirror(self.length, 1)]} if self.group is None else {}
        return pair_classes("apart", "matching") | symmetry | {"symmetric_outputs": True}

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        return rng.integers(2, size=(num_rows, self.length))

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        return matching_pairs(sequences == 1)


@register("invariant/balanced_brackets")
@dataclass(kw_only=True)
class BalancedBrackets(SequenceTask):
    """1 if every bracket has a partner of its kind, else 0; both labels are equally frequent.

    Tokens 0 … 5 are "(", ")", "{", "}", "[", "]". Given the label, sequences are uniform. The default group is trivial,
    and the reversal is a value symmetry that exchanges the two tokens of every kind. With another ``group`` there is
    none.
    """

    point_order = "line"
    length: int = 10
    vocabulary: int = field(default=6, init=False)

    def check_options(self) -> None:
        super().check_options()
        self._require(self.length % 2 == 0, f"length must be even, got {self.length}: else no sequence is balanced")

    def default_group(self) -> NamedGroup:
        return trivial(self.length), "trivial"

    def output(self) -> dict[str, Any]:
        symmetry = {"value_symmetries": [mirror(self.length, 3)]} if self.group is None else {}
        return graph_number("balanced", label_scale=1) | symmetry

    def balanced_labels(self) -> Sequence[int]:
        return (0, 1)

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        sequences = rng.integers(self.vocabulary, size=(num_rows, self.length))
        chosen = rng.random(num_rows) < 0.5  # few random sequences are balanced
        is_closing = balanced_shapes(rng, int(chosen.sum()), self.length)
        kinds = rng.integers(3, size=is_closing.shape)
        partners = matching_pairs(is_closing).argmax(axis=2)
        kinds = np.where(is_closing, np.take_along_axis(kinds, partners, axis=1), kinds)
        sequences[chosen] = 2 * kinds + is_closing
        return sequences

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        kinds, is_matching = sequences // 2, matching_pairs(sequences % 2 == 1)
        of_partners = np.take_along_axis(kinds, is_matching.argmax(axis=2), axis=1)
        return (is_matching.any(axis=2) & (kinds == of_partners)).all(axis=1)


def mirror(length: int, num_kinds: int) -> dict[str, Any]:
    """The reversal as an entry of ``value_symmetries``: tokens 2k and 2k + 1, the brackets of kind k, are exchanged."""
    points = [[i, length - 1 - i] for i in range(length // 2)]
    return {"points": points, "inputs": [token ^ 1 for token in range(2 * num_kinds)]}


def matching_pairs(is_closing: np.ndarray) -> np.ndarray:
    """Which brackets ``(N, n)``, of one kind, are partners of each other: symmetric, bool ``(N, n, n)``."""
    steps = np.where(is_closing, -1, 1)
    height = np.cumsum(steps, axis=1)  # number of open brackets behind each position
    matching = np.zeros((*steps.shape, steps.shape[1]), dtype=bool)
    for opening in range(steps.shape[1]):
        # Open brackets since before the opening one: the first return to 0 closes it.
        depth = height[:, opening:] - height[:, opening, None] + 1
        is_partner = (depth == 0) & (np.cumsum(depth == 0, axis=1) == 1) & (steps[:, opening, None] == 1)
        matching[:, opening, opening:] = is_partner
    return matching | matching.transpose(0, 2, 1)


def balanced_shapes(rng: np.random.Generator, num_rows: int, length: int) -> np.ndarray:
    """Uniform random balanced sequences of one kind of brackets, as which ones close: bool ``(num_rows, length)``.

    By the cycle lemma (Dvoretzky and Motzkin, 1947): of the rotations of a sequence with one closing bracket too many,
    just one closes no bracket too early but the last. It starts behind the first of the lowest places.
    """
    is_closing = rng.permuted(np.tile(np.arange(length + 1) >= length // 2, (num_rows, 1)), axis=1)
    lowest = np.cumsum(np.where(is_closing, -1, 1), axis=1).argmin(axis=1)
    places = (lowest[:, None] + 1 + np.arange(length)) % (length + 1)
    return np.take_along_axis(is_closing, places, axis=1)
