"""Does a trained network solve more puzzles if its layers are applied more often than in training?

  python training/experiments.py real/sudoku
  python training/experiments/real/sudoku/passes.py FILE runs/experiments/real/sudoku/1_copy_with_hints_0 --passes 16

with the task's FILE, ../shared/data/sudoku_expert/sudoku_expert.npz, writes ``passes.csv`` beside this file: the shares
of puzzles solved and of empty cells right (:meth:`asen_hf.data.real.sudoku.Sudoku.judge`), by the number of passes.
"""

import argparse
import csv
from pathlib import Path

from tqdm import tqdm

from asen_hf import AsenForMultitask, get_task
from asen_hf.training.judging import predictor

TASK = "puzzle/sudoku"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_path", help="file of puzzle/sudoku")
    parser.add_argument("run", help="folder of a trained network")
    parser.add_argument("--passes", type=int, nargs="+", default=[8, 16, 32])
    arguments = parser.parse_args()
    task = get_task(TASK, data_path=arguments.data_path)
    lines = []
    for passes in tqdm(arguments.passes, desc="numbers of passes"):
        model = AsenForMultitask.from_pretrained(
            arguments.run, num_recurrences=passes, attn_implementation="gatv2_compile"
        )
        for measure, value in task.judge(predictor(model, TASK)).items():
            name = f"{measure.partition(',')[0]}, {passes} passes"
            lines.append({"measure": name, "part": measure.rpartition(" ")[2], "share": round(value, 4)})
        with (Path(__file__).parent / "passes.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)


if __name__ == "__main__":
    main()
