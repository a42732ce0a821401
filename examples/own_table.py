"""Your own table: write rows and a TaskConfig to files, then finetune a checkpoint on them.

Tic-tac-toe boards (0 empty, 1 cross, 2 nought); which cells lie on a finished line? Turning or mirroring a board turns
or mirrors the answer: a quarter turn and a mirror image generate that group.
"""

import csv
import json
from pathlib import Path

import numpy as np
import torch

import asen_hf

LINES = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]]
TASK = {
    "degree": 9,
    "generators": [[[0, 2, 8, 6], [1, 5, 7, 3]], [[0, 2], [3, 5], [6, 8]]],
    "group_name": "D_4 on a 3 x 3 board",
    "vocab_size": 3,
    "label_names": ["other", "finished line"],
}

folder, rng = Path("runs/board"), np.random.default_rng(0)
folder.mkdir(parents=True, exist_ok=True)
boards = rng.integers(3, size=(300, 9))
for board in boards[::2]:
    board[LINES[rng.integers(8)]] = rng.integers(1, 3)  # every second board has a finished line
with open(folder / "boards.csv", "w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerow(["inputs", "labels"])
    for board in boards:
        finished = {cell for line in LINES if board[line[0]] and len({*board[line]}) == 1 for cell in line}
        csv.writer(file).writerow([board.tolist(), [int(cell in finished) for cell in range(9)]])
(folder / "board.json").write_text(json.dumps(TASK), encoding="utf-8")

result = asen_hf.finetune("asen-sequence-base", folder / "board.json", folder / "boards.csv", num_epochs=40)
print(result.model.predict(torch.tensor([[1, 1, 1, 2, 0, 2, 0, 2, 0]])))  # the top row is finished
print(f"test accuracy {result.scores['board'].value:.3f}")
