"""Hands of the card game SET: which cards complete two cards of another hand."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..registry import register
from .sequence_task import node_classes
from .sets import SetsTask, as_sets

_ATTRIBUTES = 3 ** np.arange(3)  # a card is a number of three digits in base 3


@register("equivariant/set_intersection")
@dataclass(kw_only=True)
class SetIntersection(SetsTask):
    """1 where the card and two cards of one other hand form a SET: every attribute all alike or all different.

    Tokens are the 27 cards with three attributes of three values each. The cards of a hand differ.
    """

    length: int = 18
    vocabulary: int = field(default=27, init=False)

    def check_options(self) -> None:
        super().check_options()
        size = self.length // self.num_sets
        self._require(size <= self.vocabulary, f"a hand holds at most {self.vocabulary} different cards, got {size}")

    def output(self) -> dict[str, Any]:
        return node_classes("alone", "completes")

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        decks = np.broadcast_to(np.arange(self.vocabulary), (num_rows, self.num_sets, self.vocabulary))
        return rng.permuted(decks, axis=2)[:, :, : self.length // self.num_sets].reshape(num_rows, self.length)

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        hands = as_sets(sequences, self.num_sets)
        digits = hands[..., None] // _ATTRIBUTES % 3
        completes = np.zeros(hands.shape, dtype=bool)
        for first in range(hands.shape[2]):
            for second in range(first):
                # Modulo 3, three digits are all alike or all different if and only if they sum to 0.
                third = (-digits[:, :, first] - digits[:, :, second]) % 3 @ _ATTRIBUTES
                for shift in range(1, self.num_sets):
                    completes |= hands == np.roll(third, shift, axis=1)[..., None]
        return completes.reshape(sequences.shape)
