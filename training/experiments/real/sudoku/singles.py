"""What a pencil does first: naked and hidden singles, until no more is found.

  python training/experiments/real/sudoku/singles.py ../shared/data/sudoku_expert/sudoku_expert.npz

writes ``references.csv`` beside this file: the shares of puzzles solved and of empty cells filled in. A naked single is
a cell with one digit left, a hidden single a digit with one cell left in a row, column or box.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from asen_hf import get_task

SIDE, CELLS = 9, 81
ROW, COLUMN = np.divmod(np.arange(CELLS), SIDE)
HOUSES = np.stack([key == number for key in (ROW, COLUMN, ROW // 3 * 3 + COLUMN // 3) for number in range(SIDE)])
SEES = (HOUSES.T.astype(int) @ HOUSES) > 0  # (81, 81): cells of a common row, column or box


def singles(puzzle: np.ndarray) -> np.ndarray:
    """The puzzle ``(81,)``, 0 for an empty cell, with all that singles fill in."""
    digits = np.eye(SIDE + 1, dtype=bool)[puzzle][:, 1:]
    while True:
        is_open = ~digits.any(axis=1)
        candidates = is_open[:, None] & ~(SEES @ digits)
        naked = candidates & (candidates.sum(axis=1) == 1)[:, None]
        per_house = HOUSES.astype(int) @ candidates == 1  # (27, 9)
        hidden = candidates & (HOUSES.T @ per_house)
        if not (naked | hidden).any():
            return np.where(is_open, 0, digits.argmax(axis=1) + 1)
        digits |= naked | hidden


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_path", help="file of puzzle/sudoku")
    arguments = parser.parse_args()
    with (Path(__file__).parent / "references.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "method", "measure", "share"])
        for part in ("test", "easy"):
            rows = get_task("puzzle/sudoku", data_path=arguments.data_path, test_part=part).load()["test"]
            rows = rows.with_format("numpy")[:]
            tokens, labels = (np.reshape(rows[name], (-1, CELLS, SIDE)) for name in ("inputs", "labels"))
            puzzles = np.where((tokens == 1).any(axis=2), (tokens == 1).argmax(axis=2) + 1, 0)
            is_right = np.stack([singles(puzzle) for puzzle in puzzles]) == labels.argmax(axis=2) + 1
            is_empty = puzzles == 0
            shares = {"cells": is_right[is_empty].mean(), "puzzles": (is_right | ~is_empty).all(axis=1).mean()}
            writer.writerows([part, "singles", measure, round(float(share), 4)] for measure, share in shares.items())


if __name__ == "__main__":
    main()
