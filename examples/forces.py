"""Forces: minus the derivative of a learned energy by the places of the atoms, by autograd through their distances.

Springs between the atoms of methane stand in for your calculations; columns: see asen_hf.data.real.molecules.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask

REST = 0.63 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])  # ångström
STRETCHES = np.array([700] * 4 + [40] * 6)  # kcal/mol/Å², of the pairs C-H and H-H
positions = REST + np.random.default_rng(0).normal(0, 0.08, (800, 5, 3))
energy = [(pdist(geometry) - pdist(REST)) ** 2 @ STRETCHES / 2 for geometry in positions]
Path("runs").mkdir(exist_ok=True)
np.savez("runs/methane.npz", symbols=["C", "H", "H", "H", "H"], positions=positions, energy=energy)

config = AsenConfig(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, gated_messages=True, hidden_act="silu")
task = asen_hf.get_task("molecule/qm22", data_path="runs/methane.npz")
result = asen_hf.finetune(AsenForMultitask(config), task, name="methane", train_rows=300, max_steps=1000, lr=2e-3)
model = result.model.double()


def forces(atoms: torch.Tensor) -> torch.Tensor:
    """Forces ``(5, 3)`` in kcal/mol/Å on atoms at ``(5, 3)`` in ångström."""
    atoms = atoms.detach().requires_grad_()
    outputs = model(torch.tensor([[0, 1, 1, 1, 1]]), pairs=torch.cdist(atoms, atoms)[None])
    return -model.config.tasks["methane"].label_scale * torch.autograd.grad(outputs.logits.sum(), atoms)[0]


atoms, turn = torch.tensor(positions[0]), torch.tensor(Rotation.random(random_state=0).as_matrix())
difference = (forces(atoms @ turn.T) - forces(atoms) @ turn.T).abs().max()
print(f"mean absolute error {result.scores['methane'].value:.2f} kcal/mol, forces:\n{forces(atoms).numpy().round(1)}")
print(f"forces on a turned molecule differ from turned forces by {difference:.0e} kcal/mol/Å")
