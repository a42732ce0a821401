"""A task on hands of cards: sets of three; symmetry: cards may be permuted, and so may their attributes."""

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from ...model.groups import product_action, symmetric
from ..group_option import NamedGroup
from ..registry import register
from .sequence_task import SequenceTask, node_classes

NUM_VALUES = 3


@register("equivariant/set")
@dataclass(kw_only=True)
class SetCards(SequenceTask):
    """1 on the cards of a set: three cards of which every attribute is the same on all or different on all.

    A row is a hand of different cards, and a card is ``num_attributes`` consecutive tokens, one of three values per
    attribute, as in the game of SET. Uniform hands; with probability ½, one of the cards completes a set.

    Args:
        num_attributes: number a of attributes; it must divide the length into at least 3 cards.
    """

    relations = ("equal",)
    length: int = 20
    vocabulary: int = field(default=NUM_VALUES, init=False)
    num_attributes: int = 4

    def check_options(self) -> None:
        super().check_options()
        attributes = self.num_attributes
        self._require(
            attributes >= 1 and self.length % attributes == 0 and self.length // attributes >= 3,
            f"num_attributes must divide the length, {self.length}, into at least 3 cards, got {attributes}",
        )

    def default_group(self) -> NamedGroup:
        cards, attributes = self.length // self.num_attributes, self.num_attributes
        return product_action(symmetric(cards), symmetric(attributes)), f"S_{cards} × S_{attributes}"

    def output(self) -> dict[str, Any]:
        return node_classes("no set", "set")

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        hands = self._hands(rng.integers(NUM_VALUES, size=(num_rows, self.length)))
        is_completed = rng.random(num_rows) < 0.5
        hands[is_completed, 2] = -hands[is_completed, :2].sum(axis=1) % NUM_VALUES
        order = rng.random(hands.shape[:2]).argsort(axis=1)
        hands = np.take_along_axis(hands, order[:, :, None], axis=1)
        is_repeated = (hands[:, :, None] == hands[:, None]).all(axis=3).sum(axis=(1, 2)) > hands.shape[1]
        return hands[~is_repeated].reshape(-1, self.length)

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        hands = self._hands(sequences)
        is_in_set = np.zeros(hands.shape, dtype=bool)
        for cards in map(list, combinations(range(hands.shape[1]), 3)):
            # Three values are all the same or all different if and only if 3 divides their sum.
            is_in_set[:, cards] |= (hands[:, cards].sum(axis=1) % NUM_VALUES == 0).all(axis=1)[:, None, None]
        return is_in_set.reshape(sequences.shape)

    def _hands(self, sequences: np.ndarray) -> np.ndarray:
        """Sequences ``(N, n)`` as cards ``(N, n / a, a)``."""
        return sequences.reshape(-1, self.length // self.num_attributes, self.num_attributes)
