"""A molecule: exchanging hydrogens changes no energy. Fit methane's energy with and without this symmetry.

Springs between the atoms stand in for your calculations; columns: see asen_hf.data.real.molecules.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist

import asen_hf

CORNERS = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
SYMBOLS = ["C", "H", "H", "H", "H"]
STRETCHES = np.array([700] * 4 + [40] * 6)  # kcal/mol/Å², of the pairs C-H and H-H

rng = np.random.default_rng(0)
positions = 0.63 * CORNERS + rng.normal(0, 0.08, (1000, 5, 3))  # ångström
distances = np.stack([pdist(geometry) for geometry in positions])
energies = ((distances - pdist(0.63 * CORNERS)) ** 2 @ STRETCHES) / 2
path = Path("runs/methane.npz")
path.parent.mkdir(exist_ok=True)
np.savez(path, symbols=SYMBOLS, positions=positions, energy=energies)

training = {"max_steps": 400, "train_rows": 200, "rows_per_task": 32, "lr": 2e-3, "backbone_lr": 1e-3}
for group in ("bonds", "trivial"):
    task = asen_hf.get_task("molecule/qm22", data_path=path, group=group)
    score = asen_hf.finetune("asen-sequence-tiny", task, name="methane", **training).scores["methane"]
    print(f"{task.config.group_name}: mean absolute error {score.value:.2f} kcal/mol; references: {score.references}")
