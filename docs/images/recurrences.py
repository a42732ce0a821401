"""Draws the picture of docs/recurrences.md: what a trained network believes of a Sudoku, pass by pass.

  python training/experiments.py real/sudoku
  python docs/images/recurrences.py FILE runs/experiments/real/sudoku/Sudoku_s_exchanges_0

with the task's FILE, ../shared/data/sudoku_expert/sudoku_expert.npz.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asen_hf import AsenForMultitask
from asen_hf.data.real.sudoku import CELLS, SIDE
from asen_hf.plots._axes import ACCENT, NEUTRAL, STYLE
from asen_hf.plots._saving import save_figure
from asen_hf.training.judging import predictor

TASK, PASSES = "puzzle/sudoku", [1, 2, 4, 8]


def draw(ax: Axes, puzzle: np.ndarray, solution: np.ndarray, probabilities: np.ndarray, passes: int) -> None:
    """Given digits grey; of the others the most probable, as large as it is probable, red where it is wrong."""
    for cell, (row, column) in enumerate(np.ndindex(SIDE, SIDE)):
        best = 1 + int(probabilities[cell].argmax())
        digit, size = (puzzle[cell], 10) if puzzle[cell] else (best, 12 * probabilities[cell].max())
        color = "#a9b3c3" if puzzle[cell] else NEUTRAL if best == solution[cell] else ACCENT
        weight = "normal" if puzzle[cell] else "bold"
        ax.text(column, row, digit, ha="center", va="center", fontsize=size, color=color, weight=weight)
    for line in range(SIDE + 1):
        for draw_line in (ax.axhline, ax.axvline):
            draw_line(line - 0.5, color=NEUTRAL, linewidth=1.5 if line % 3 == 0 else 0.3)
    right = (1 + probabilities.argmax(1) == solution)[puzzle == 0]
    ax.set_title(f"after {passes} pass{'es' * (passes > 1)}: {right.sum()} of {len(right)} right")
    ax.set(xlim=(-0.5, SIDE - 0.5), ylim=(SIDE - 0.5, -0.5))
    ax.set_aspect("equal")
    ax.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_path", help="file of puzzle/sudoku")
    parser.add_argument("run", help="folder of a trained network")
    parser.add_argument("--row", type=int, default=0, help="which test puzzle; default: 0")
    arguments = parser.parse_args()
    with np.load(arguments.data_path) as arrays:
        puzzle, solution = arrays["test_puzzle"][arguments.row], arrays["test_solution"][arguments.row]
    given = puzzle[:, None]
    tokens = np.where(given == 0, 0, np.where(given == np.arange(1, SIDE + 1), 1, 2)).reshape(1, -1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.9 * len(PASSES), 3.1), dpi=110, layout="compressed")
        for passes, ax in zip(PASSES, figure.subplots(1, len(PASSES)), strict=True):
            model = AsenForMultitask.from_pretrained(arguments.run, num_recurrences=passes)
            probabilities = np.asarray(predictor(model, TASK)(tokens))[0, :, 1].reshape(CELLS, SIDE)
            draw(ax, puzzle, solution, probabilities, passes)
        path = Path(__file__).parent / "guide-recurrences.png"
        save_figure(figure, path, bbox_inches="tight")
    print(f"drew {path}: {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
