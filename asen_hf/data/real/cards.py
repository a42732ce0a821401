"""Playing cards: the best poker combination in a hand of five.

Nodes are the 52 cards, so that the order of a hand is gone by construction. Suits mean the same: S_4 permutes them.
Ranks follow each other, and turning or reversing their circle nearly always keeps what a hand is worth.
"""

import os
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from datasets import Dataset, DatasetDict

from ...model._messages import naming
from ...model.configuration_asen import TaskConfig
from ...model.group_notation import parse_group
from ...model.groups import to_cycles
from .._array_table import Array
from .._npz_files import read_npz
from ..features import to_dataset
from ..group_option import GroupOption, resolve_group
from ..registry import register
from ..seeding import random_generator
from ..splits import proportional_sizes

SUITS, RANKS, CARDS = 4, 13, 52
_HANDS = [
    *("nothing", "one pair", "two pairs", "three of a kind", "straight", "flush", "full house", "four of a kind"),
    *("straight flush", "royal flush"),
]
_VALIDATION = 5  # every fifth of the training hands is for validation
HANDS = (
    Array(key="train_suit", shape=("train hands", 5), kind="integer", low=0, high=SUITS - 1),
    Array(key="train_rank", shape=("train hands", 5), kind="integer", low=0, high=RANKS - 1, unit="0 = ace, 12 = king"),
    Array(key="train_label", shape=("train hands",), kind="integer", low=0, high=len(_HANDS) - 1),
    Array(key="test_cards", shape=("test hands", 5), kind="integer", low=0, high=CARDS - 1, unit="13 suit + rank"),
    Array(key="test_label", shape=("test hands",), kind="integer", low=0, high=len(_HANDS) - 1),
)


@register("cards/poker_hand")
@dataclass(kw_only=True)
class PokerHand:
    """Graph classification: which of ten combinations five cards are (UCI "Poker Hand").

    Args:
        data_path: an ``.npz`` with ``train_suit`` and ``train_rank`` ``(N, 5)``, ``train_label`` ``(N,)``,
            ``test_cards`` ``(M, 5)`` (13 · suit + rank) and ``test_label`` ``(M,)``.
        group: ``"suits"`` (S_4 on suits, exact on every hand), ``"suits_and_ranks"`` (S_4 × D_13: ranks may also be
            shifted and reversed in a circle, which only straights notice: each element keeps the class of 99.7 % of
            hands or more), ``"trivial"`` or any other group on the 52 cards; card 13 · suit + rank is a point.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values, such as a card
            twice in a hand; an unknown group.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "suits"
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        offered = {
            "suits": (parse_group(f"product_action(S{SUITS}, E{RANKS})"), "S_4 on suits"),
            "suits_and_ranks": (parse_group(f"product_action(S{SUITS}, D{RANKS})"), "S_4 × D_13"),
        }
        with naming(self.name):
            group, group_name = resolve_group(self.group, CARDS, offered)
        arrays = read_npz(self.data_path, HANDS)
        cards = {"train": RANKS * arrays["train_suit"] + arrays["train_rank"], "test": arrays["test_cards"]}
        keys = {"train": "train_suit and train_rank", "test": "test_cards"}
        self._hands = {
            split: (_present(hands, f"{self.data_path}: {keys[split]}"), arrays[f"{split}_label"])
            for split, hands in cards.items()
        }
        self.config = TaskConfig(
            degree=CARDS,
            generators=to_cycles(group),
            group_name=group_name,
            vocab_size=2,
            output_level="graph",
            label_names=_HANDS,
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """The file's test hands; its other hands for training, every fifth of them, by ``seed``, for validation.

        ``num_rows`` takes that many hands at random, from every split in proportion.

        Returns:
            Splits with the columns ``inputs``, tokens ``(52,)``, 1 for a card in the hand, and ``labels``, a class.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        numbers = random_generator(seed, self.name, "validation").permutation(len(self._hands["train"][0]))
        num_validation = len(numbers) // _VALIDATION
        rows = {
            "train": numbers[num_validation:],
            "validation": numbers[:num_validation],
            "test": random_generator(seed, self.name, "test").permutation(len(self._hands["test"][0])),
        }
        sizes = proportional_sizes(self.name, {split: len(chosen) for split, chosen in rows.items()}, num_rows)
        return DatasetDict({split: self._split(split, np.sort(rows[split][: sizes[split]])) for split in rows})

    def _split(self, split: str, rows: np.ndarray) -> Dataset:
        present, labels = self._hands["test" if split == "test" else "train"]
        return to_dataset(self.config, present[rows], labels[rows])


def _present(hands: np.ndarray, where: str) -> np.ndarray:
    """Hands ``(N, 5)`` as tokens ``(N, 52)``; ``ValueError`` for a card twice in a hand."""
    present = np.zeros((len(hands), CARDS), dtype=np.int64)
    present[np.arange(len(hands))[:, None], hands] = 1
    repeated = present.sum(axis=1) < hands.shape[1]
    if repeated.any():
        row = int(repeated.argmax())
        raise ValueError(f"{where}, row {row}: the hand {hands[row].tolist()} holds a card twice")
    return present
