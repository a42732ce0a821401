"""What kernel ridge regression makes of the rows of this study, symmetrised over the group or not.

    python training/experiments/molecules/references.py

The kernel is a Gaussian of the features exp(-r / 2 Å) of all pairs of atoms; symmetrised, its mean over the exchanges
of atoms that the task's group holds. Width and penalty are chosen by the validation rows. Writes references.csv beside
this file.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

from asen_hf import get_task
from asen_hf.data.features import read_column

FOLDER = Path(__file__).parent
DATA = "../shared/data/qm22_molecules"
WIDTHS = 2.0 ** np.arange(0, 7)  # of standardised features, times the root of their number, over 2
PENALTIES = 10.0 ** np.arange(-13, -2)


def rows_of(molecule: str, train_rows: int, group: str) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Features ``(N, pairs)`` and energies of each split, and the group's elements ``(order, pairs)``."""
    task = get_task(
        "molecule/qm22", data_path=f"{DATA}/{molecule}.npz", nodes="pairs", group=group, train_rows=train_rows
    )
    rows = {
        name: (read_column(split, "inputs")[..., 0], read_column(split, "labels"))
        for name, split in task.load().items()
    }
    elements = [element.array_form for element in task.config.permutation_group().elements]
    return rows, np.array(elements)


def kernel_ridge(rows: dict[str, tuple[np.ndarray, np.ndarray]], elements: np.ndarray) -> tuple[float, float]:
    """Validation and test error of the width and penalty that are best by validation."""
    features, energies = rows["train"]
    mean, scale = features.mean(), features[:, elements].std(axis=(0, 1))  # equal for pairs that the group exchanges
    parts = {name: (inputs - mean) / scale for name, (inputs, _) in rows.items()}
    centre, spread = energies.mean(), energies.std()
    best = (np.inf, np.inf)
    for width in WIDTHS * np.sqrt(features.shape[1]) / 2:
        kernel = RBF(width)
        grams = {
            name: np.mean([kernel(part, parts["train"][:, element]) for element in elements], axis=0)
            for name, part in parts.items()
        }
        for penalty in PENALTIES:
            model = KernelRidge(alpha=penalty, kernel="precomputed").fit(grams["train"], (energies - centre) / spread)
            errors = [
                float(np.abs(model.predict(grams[name]) * spread + centre - rows[name][1]).mean())
                for name in ("validation", "test")
            ]
            best = min(best, (errors[0], errors[1]))
    return best


def main() -> None:
    with (FOLDER / "references.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["molecule", "train_rows", "reference", "validation_mae", "test_mae"])
        for molecule, train_rows, group in itertools.product(
            ("methane", "ethanol"), (100, 300, 1000), ("trivial", "bonds")
        ):
            validation, test = kernel_ridge(*rows_of(molecule, train_rows, group))
            name = "kernel ridge" if group == "trivial" else "kernel ridge, symmetrised"
            writer.writerow([molecule, train_rows, name, f"{validation:.4f}", f"{test:.4f}"])
            print(f"{molecule}, {train_rows} rows, {name}: {test:.4f} kcal/mol", flush=True)


if __name__ == "__main__":
    main()
