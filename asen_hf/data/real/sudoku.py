"""Sudoku: which digit is in which cell? A puzzle stays one if rows, columns, bands, stacks or digits change places.

Nodes are pairs of a cell and a digit, so that all these exchanges, of digits too, permute nodes: a group of order
2 · 6⁸ · 9! ≈ 1.2 · 10¹² with 12 orbitals on 729 nodes.
"""

import os
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from datasets import Dataset, DatasetDict
from sympy.combinatorics import PermutationGroup

from ...model._messages import naming
from ...model.configuration_asen import TaskConfig
from ...model.configuration_rows import IGNORED_CLASS
from ...model.group_notation import parse_group
from ...model.groups import array_forms, from_array_form, product_action, to_cycles
from .._array_table import Array
from .._npz_files import read_npz
from ..features import to_dataset
from ..group_option import GroupOption, resolve_group
from ..registry import Predictor, register
from ..seeding import random_generator
from ..splits import proportional_sizes

SIDE, CELLS = 9, 81
_FILE_PARTS = ("train", "valid", "test", "easy")
PUZZLES = tuple(
    array
    for part in _FILE_PARTS
    for array in (
        Array(key=f"{part}_puzzle", shape=(f"{part} puzzles", CELLS), kind="integer", low=0, high=SIDE),
        Array(key=f"{part}_solution", shape=(f"{part} puzzles", CELLS), kind="integer", low=1, high=SIDE),
    )
)
_OPEN, _GIVEN, _EXCLUDED = 0, 1, 2  # tokens
_SHARE_PER_STEP = 0.25
_ROW, _COLUMN = np.divmod(np.arange(CELLS), SIDE)
_BOX = _ROW // 3 * 3 + _COLUMN // 3


@register("puzzle/sudoku")
@dataclass(kw_only=True)
class Sudoku:
    """Node classification: whether a cell holds a digit. Node ``9 · cell + digit - 1``; cells are numbered row by row.

    Args:
        data_path: an ``.npz`` with ``train_puzzle``, ``valid_puzzle``, ``test_puzzle`` and ``easy_puzzle`` ``(N, 81)``
            (digits 1 … 9, 0 for an empty cell), and their solutions ``train_solution`` … ``(N, 81)``.
        group: ``"sudoku"`` (rows of a band, bands, columns of a stack, stacks, rows with columns, digits), ``"cells"``
            (the same without digits), ``"digits"`` (S_9 on digits only), ``"trivial"`` or any other group on 729
            points.
        support: which nodes exchange messages. ``"sparse"``: those of which at most one can be true, that is the
            digits of a cell, and a digit in the cells of a row, column or box; ``"complete"``: all.
        test_part: which puzzles of the file are for testing: ``"test"`` or ``"easy"``.
        copies_with_hints: how many copies of each training puzzle are added, in which a random number of the empty
            cells are given. They are solved by the same digits, and by no others.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values, such as a solution
            with a digit twice in a row (names its row); an unknown option.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "sudoku"
    support: Literal["sparse", "complete"] = "sparse"
    test_part: Literal["test", "easy"] = "test"
    copies_with_hints: int = 0
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for option, known in {"support": ("sparse", "complete"), "test_part": ("test", "easy")}.items():
            if (value := getattr(self, option)) not in known:
                raise ValueError(f"{self.name}: {option} must be {' or '.join(known)}, got {value!r}")
        if self.copies_with_hints < 0:
            raise ValueError(f"{self.name}: copies_with_hints must not be negative, got {self.copies_with_hints}")
        cells = _cell_group()
        offered = {
            "sudoku": (_on_nodes(cells, "S9"), "Sudoku's exchanges"),
            "cells": (_on_nodes(cells, "E9"), "Sudoku's exchanges of cells"),
            "digits": (parse_group(f"product_action(E{CELLS}, S{SIDE})"), "S_9 on digits"),
        }
        with naming(self.name):
            group, group_name = resolve_group(self.group, CELLS * SIDE, offered)
        arrays = read_npz(self.data_path, PUZZLES)
        for part in _FILE_PARTS:
            _check(arrays[f"{part}_puzzle"], arrays[f"{part}_solution"], f"{self.data_path}: {part}")
        self._parts = {part: (arrays[f"{part}_puzzle"], arrays[f"{part}_solution"]) for part in _FILE_PARTS}
        parts = {"train": "train", "validation": "valid", "test": self.test_part}
        self._puzzles = {split: self._parts[part] for split, part in parts.items()}
        self.config = TaskConfig(
            degree=CELLS * SIDE,
            generators=to_cycles(group),
            group_name=group_name,
            edges=_conflicts() if self.support == "sparse" else None,
            vocab_size=3,
            label_names=["another digit", "this digit"],
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """The file's splits, or ``num_rows`` of their puzzles at random, from every split in proportion.

        Returns:
            Splits with the columns ``inputs``, tokens ``(729,)`` (0 the cell is empty, 1 this digit is given, 2 another
            digit is given), and ``labels``, classes ``(729,)``, -100 (ignored) where the cell is given.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        sizes = proportional_sizes(
            self.name, {split: len(puzzles) for split, (puzzles, _) in self._puzzles.items()}, num_rows
        )
        return DatasetDict({split: self._split(split, size, seed) for split, size in sizes.items()})

    def judge(self, predict: Predictor) -> dict[str, float]:
        """How much of the file's ``test`` and ``easy`` puzzles is solved: at once, and in steps.

        At once, every empty cell gets its most probable digit. In steps, the quarter of the empty cells whose digit is
        most certain get it and are given from then on, until none is empty.

        Args:
            predict: tokens ``(N, 729)`` to probabilities ``(N, 729, 2)``.

        Returns:
            ``{"cells right, test": …, "puzzles solved, test": …, "puzzles solved in steps, test": …, …}``: the share of
            the empty cells that are right at once, and of the puzzles that are right in every cell.
        """
        found = {}
        for part in ("test", "easy"):
            puzzles, solutions = self._parts[part]
            is_empty = puzzles == 0
            probabilities = _probabilities(puzzles, predict)
            is_right = _fill(puzzles, probabilities, share=1) == solutions
            found[f"cells right, {part}"] = float(is_right[is_empty].mean())
            found[f"puzzles solved, {part}"] = float(is_right.all(axis=1).mean())
            filled = _fill(puzzles, probabilities, _SHARE_PER_STEP)
            while (filled == 0).any():
                filled = _fill(filled, _probabilities(filled, predict), _SHARE_PER_STEP)
            found[f"puzzles solved in steps, {part}"] = float((filled == solutions).all(axis=1).mean())
        return found

    def _split(self, split: str, size: int, seed: int) -> Dataset:
        puzzles, solutions = self._puzzles[split]
        random = random_generator(seed, self.name, split)
        chosen = np.sort(random.permutation(len(puzzles))[:size])
        puzzles, solutions = puzzles[chosen], solutions[chosen]
        if split == "train":
            copies = [_with_hints(puzzles, solutions, random) for _ in range(self.copies_with_hints)]
            puzzles = np.concatenate([puzzles, *copies])
            solutions = np.tile(solutions, (1 + self.copies_with_hints, 1))
        is_digit = solutions[..., None] == np.arange(1, SIDE + 1)
        labels = np.where(puzzles[..., None] == 0, is_digit, IGNORED_CLASS)
        return to_dataset(self.config, _tokens(puzzles), labels.reshape(len(puzzles), -1).astype(np.int64))


def _with_hints(puzzles: np.ndarray, solutions: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The puzzles with a share of their empty cells given, which is anything between none and all of them."""
    is_hint = random.random(puzzles.shape) < random.random((len(puzzles), 1))
    return np.where((puzzles == 0) & is_hint, solutions, puzzles)


def _probabilities(puzzles: np.ndarray, predict: Predictor) -> np.ndarray:
    """The probability of every digit in every cell, ``(N, 81, 9)``."""
    return np.asarray(predict(_tokens(puzzles)))[..., 1].reshape(-1, CELLS, SIDE)


def _fill(puzzles: np.ndarray, probabilities: np.ndarray, share: float) -> np.ndarray:
    """The puzzles with the most probable digit in the most certain of their empty cells, that share of them or more."""
    is_empty = puzzles == 0
    certainty = np.where(is_empty, probabilities.max(axis=2), -1)
    rank = (-certainty).argsort(axis=1, kind="stable").argsort(axis=1)
    number = np.ceil(share * is_empty.sum(axis=1, keepdims=True))
    return np.where(is_empty & (rank < number), 1 + probabilities.argmax(axis=2), puzzles)


def _tokens(puzzles: np.ndarray) -> np.ndarray:
    """Puzzles ``(N, 81)`` as tokens ``(N, 729)``."""
    given = puzzles[:, :, None]
    tokens = np.where(given == 0, _OPEN, np.where(given == np.arange(1, SIDE + 1), _GIVEN, _EXCLUDED))
    return tokens.reshape(len(puzzles), -1)


def _cell_group() -> PermutationGroup:
    """The group of order 2 · 6⁸ on the 81 cells."""
    lines = "S3 wr S3"
    sides = parse_group(f"product_action({lines}, {lines})")
    transposition = np.arange(CELLS).reshape(SIDE, SIDE).T.ravel()
    return from_array_form([*array_forms(sides).tolist(), transposition.tolist()])


def _on_nodes(cells: PermutationGroup, digits: str) -> PermutationGroup:
    return product_action(cells, parse_group(digits))


def _conflicts() -> list[list[int]]:
    """Ordered pairs of nodes that exclude each other, and every node with itself."""
    cell, digit = np.divmod(np.arange(CELLS * SIDE), SIDE)
    same = {name: key[:, None] == key for name, key in {"cell": cell, "digit": digit}.items()}
    house = np.any([key[cell][:, None] == key[cell] for key in (_ROW, _COLUMN, _BOX)], axis=0)
    return np.argwhere(same["cell"] | (same["digit"] & house)).tolist()


def _check(puzzles: np.ndarray, solutions: np.ndarray, where: str) -> None:
    """Refuse solutions that are none, or none of their puzzles."""
    for name, house in {"row": _ROW, "column": _COLUMN, "box": _BOX}.items():
        order = np.argsort(house, kind="stable")
        digits = np.sort(solutions[:, order].reshape(-1, SIDE, SIDE), axis=2)
        wrong = (digits != np.arange(1, SIDE + 1)).any(axis=(1, 2))
        if wrong.any():
            raise ValueError(f"{where}_solution, row {int(wrong.argmax())}: a {name} holds a digit twice")
    wrong = ((puzzles != 0) & (puzzles != solutions)).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"{where}_puzzle, row {int(wrong.argmax())}: a given digit differs from the digit in {where}_solution"
        )
