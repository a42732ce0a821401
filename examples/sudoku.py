"""Sudoku: rows, columns, bands, stacks and digits may change places: five learned vectors tell 21,141 pairs of nodes.

Easy puzzles are made here from one pattern; columns: see asen_hf.data.real.sudoku.
"""

from pathlib import Path

import numpy as np

import asen_hf

PATTERN = (3 * (np.arange(9)[:, None] % 3) + np.arange(9)[:, None] // 3 + np.arange(9)) % 9

rng = np.random.default_rng(0)


def solution() -> np.ndarray:
    rows, columns = (np.concatenate([3 * band + rng.permutation(3) for band in rng.permutation(3)]) for _ in range(2))
    return (1 + rng.permutation(9))[PATTERN[rows][:, columns]].ravel()


arrays = {}
for part, number in {"train": 200, "valid": 5, "test": 20, "easy": 1}.items():
    solutions = np.stack([solution() for _ in range(number)])
    arrays[f"{part}_solution"] = solutions
    arrays[f"{part}_puzzle"] = np.where(rng.random(solutions.shape) < 0.6, solutions, 0)  # 0: an empty cell
path = Path("runs/sudoku.npz")
path.parent.mkdir(exist_ok=True)
np.savez(path, **arrays)

task = asen_hf.get_task("puzzle/sudoku", data_path=path)
result = asen_hf.finetune("asen-sequence-tiny", task, name="sudoku", max_steps=120, rows_per_task=4, lr=4e-3)
proba = np.asarray(result.model.predict_proba(task.load()["test"].with_format("numpy")["inputs"][:]))
is_right = 1 + proba[..., 1].reshape(-1, 81, 9).argmax(axis=2) == arrays["test_solution"]
is_empty = arrays["test_puzzle"] == 0
print(f"{is_right[is_empty].mean():.3f} of the empty cells right, ", end="")
print(f"{(is_right | ~is_empty).all(axis=1).mean():.3f} of the puzzles solved")
