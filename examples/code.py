"""A quantum code: find flipped qubits from parity checks. The code lies on a torus, so translations permute it.

Shots are drawn here from the code's definition; columns: see asen_hf.data.real.codes.
"""

from pathlib import Path

import numpy as np

import asen_hf
from asen_hf.data.real.decoding import is_logical_failure, ordered_statistics

x, y = (np.roll(np.arange(36).reshape(6, 6), 1, axis).ravel() for axis in (0, 1))  # translations of 36 cells
X, Y = np.eye(36, dtype=int)[x], np.eye(36, dtype=int)[y]
A, B = X @ X @ X + Y + Y @ Y, Y @ Y @ Y + X + X @ X  # the bivariate bicycle code [[72, 12, 6]]
Hx, Hz = np.hstack([A, B]), np.hstack([B.T, A.T])
reduced, logicals = [], []  # the second: all that commutes with Hx, by elimination over GF(2)
for column, unit in zip(Hx.T, np.eye(72, dtype=int), strict=True):
    for other, combination in reduced:
        column, unit = (column ^ other, unit ^ combination) if column[other.argmax()] else (column, unit)
    (reduced if column.any() else logicals).append((column, unit))
logicals = np.stack([unit for _, unit in logicals])
generators = [np.r_[shift, 36 + shift, 72 + shift] for shift in (x, y)]
arrays = {"Hx": Hx, "Hz": Hz, "Lz": logicals, "generators": generators, "automorphism_generators": generators}
rng = np.random.default_rng(0)
for end, rate in {"train{}": 0.06, "valid{}": 0.06, "test{}_03": 0.03, "test{}_05": 0.05, "test{}_07": 0.07}.items():
    errors = (rng.random((1000 if end == "train{}" else 200, 72)) < rate).astype(int)
    arrays[end.format("_error")] = np.packbits(errors, axis=1)
    arrays[end.format("_syndrome")] = np.packbits(errors @ Hz.T % 2, axis=1)
path = Path("runs/code.npz")
path.parent.mkdir(exist_ok=True)
np.savez(path, **arrays)

task = asen_hf.get_task("code/bb72", data_path=path)
result = asen_hf.finetune("asen-sequence-tiny", task, name="code", max_steps=300, rows_per_task=16, lr=2e-3)
rows = task.load()["test"].with_format("numpy")[:]
flips, proba = rows["labels"][:, :72], result.model.predict_proba(rows["inputs"])
corrections = ordered_statistics(Hz, rows["inputs"][:, 72:] - 1, proba[:, :72, 1])
print(f"logical error rate after OSD-0: {is_logical_failure(Hz, logicals, flips, corrections).mean():.3f}")
