"""The field's own decoders on the test shots of code/bb72: belief propagation with ordered statistics, of ``ldpc``.

  pip install ldpc
  python training/experiments/real/code/bp_osd.py ../shared/data/bb72_code/bb72_code.npz

writes ``references.csv`` (logical error rates) and ``failures.npz`` (on which shots each decoder fails) beside this
file.
They know the rate of flips of each test part, which the network does not.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from ldpc import BpDecoder, BpOsdDecoder
from scipy.sparse import csr_matrix
from tqdm import tqdm

from asen_hf import get_task
from asen_hf.data.real.decoding import is_logical_failure

FOLDER = Path(__file__).parent
BP = {"max_iter": 50, "bp_method": "product_sum"}
DECODERS = {
    "BP": lambda checks, rate: BpDecoder(checks, error_rate=rate, **BP),
    "BP+OSD-0": lambda checks, rate: BpOsdDecoder(checks, error_rate=rate, osd_method="OSD_0", osd_order=0, **BP),
    "BP+OSD-CS7": lambda checks, rate: BpOsdDecoder(checks, error_rate=rate, osd_method="OSD_CS", osd_order=7, **BP),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_path", help="file of code/bb72")
    lines, failures = [], {}
    for percent in (3, 5, 7):
        task = get_task("code/bb72", data_path=parser.parse_args().data_path, test_percent=percent)
        rows = task.load()["test"].with_format("numpy")[:]
        syndromes, flips = (rows["inputs"][:, 72:] - 1).astype(np.uint8), rows["labels"][:, :72]
        for name, make in DECODERS.items():
            decoder = make(csr_matrix(task.parity_checks.astype(np.uint8)), percent / 100)
            corrections = np.stack([decoder.decode(row) for row in tqdm(syndromes, desc=f"{name}, {percent} %")])
            failed = is_logical_failure(task.parity_checks, task.logical_operators, flips, corrections)
            failures[f"{name}, {percent} %"] = np.packbits(failed)
            lines.append({"percent": percent, "decoder": name, "shots": len(failed), "LER": round(failed.mean(), 4)})
    np.savez_compressed(FOLDER / "failures.npz", **failures)
    with (FOLDER / "references.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
