"""Your own data, from file to model: write a table and its task config, as you would from sensors or logs.

    python examples/own_table.py --output_dir runs/board

The made-up task: tic-tac-toe boards (9 cells; 0 empty, 1 cross, 2 nought), and for each cell whether it lies on a
finished line. Turning or mirroring a board turns or mirrors the answer: two permutations generate that group.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

LINES = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]]

TASK = {
    "degree": 9,
    "generators": [
        [[0, 2, 8, 6], [1, 5, 7, 3]],  # a quarter turn
        [[0, 2], [3, 5], [6, 8]],  # left and right exchanged
    ],
    "group_name": "D_4 on a 3 x 3 board",
    "vocab_size": 3,
    "output_level": "node",
    "label_names": ["other", "finished line"],
}


def board(rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """A random board, half of the time with a line drawn in, and the label of each of its cells."""
    cells = rng.integers(3, size=9)
    if rng.random() < 0.5:
        cells[LINES[rng.integers(len(LINES))]] = rng.integers(1, 3)
    labels = np.zeros(9, dtype=int)
    for line in LINES:
        if cells[line[0]] > 0 and len(set(cells[line])) == 1:
            labels[line] = 1
    return cells.tolist(), labels.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output_dir", type=Path, default=Path("runs/board"), help="folder for boards.csv and board.json"
    )
    parser.add_argument("--rows", type=int, default=300, help="rows of the table")
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with open(arguments.output_dir / "boards.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["inputs", "labels"])
        writer.writerows(board(rng) for _ in range(arguments.rows))  # each cell of the file holds a list
    (arguments.output_dir / "board.json").write_text(json.dumps(TASK, indent=2), encoding="utf-8")
    print(f"wrote boards.csv and board.json to {arguments.output_dir}")


if __name__ == "__main__":
    main()
