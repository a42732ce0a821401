"""Trained networks against the field's own decoders, shot by shot, on the test shots of code/bb72.

  python training/experiments.py real/code
  python training/experiments/real/code/paired.py FILE runs/experiments/real/code/automorphisms_20000_*

with the task's FILE, ../shared/data/bb72_code/bb72_code.npz, adds to ``paired.csv`` beside this file: for every network
and every decoder of ``failures.npz`` (bp_osd.py), how many shots only one of the two decodes, and the p of McNemar's
exact test. The network's probabilities are decoded in rounds and by OSD-0.
"""

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from asen_hf import AsenForMultitask, get_task
from asen_hf.training.judging import predictor

FOLDER = Path(__file__).parent
TASK = "code/bb72"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_path", help="file of code/bb72")
    parser.add_argument("runs", nargs="+", help="folders of trained networks")
    arguments = parser.parse_args()
    task, rivals = get_task(TASK, data_path=arguments.data_path), np.load(FOLDER / "failures.npz")
    names = {Path(run).name for run in arguments.runs}
    with (FOLDER / "paired.csv").open(newline="", encoding="utf-8") as file:
        lines: list[dict] = [line for line in csv.DictReader(file) if line["network"] not in names]
    for run in tqdm(arguments.runs, desc="networks"):
        predict = predictor(AsenForMultitask.from_pretrained(run, attn_implementation="gatv2_compile"), TASK)
        for percent in (3, 5, 7):
            failures = task.logical_failures(predict, percent)
            keys = [key for key in rivals.files if key.endswith(f", {percent} %")]
            for decoding, key in itertools.product(("in rounds", "OSD-0"), keys):
                failed = failures[f"LER at {percent} %, {decoding}"]
                other = np.unpackbits(rivals[key])[: len(failed)].astype(bool)
                ours, theirs = int((failed & ~other).sum()), int((other & ~failed).sum())
                p = binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
                lines.append(
                    {
                        "network": Path(run).name,
                        "decoding": decoding,
                        "percent": percent,
                        "decoder": key.partition(",")[0],
                        "network LER": round(float(failed.mean()), 4),
                        "decoder LER": round(float(other.mean()), 4),
                        "only network fails": ours,
                        "only decoder fails": theirs,
                        "p": float(f"{p:.2g}"),
                    }
                )
    with (FOLDER / "paired.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
