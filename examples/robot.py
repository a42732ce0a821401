"""A robot: mirroring it exchanges legs *and* turns signs, a hip's other than a thigh's. Declare both.

A made-up quadruped stands in for your recordings; columns: see asen_hf.data.real.robots.
"""

from pathlib import Path

import numpy as np

import asen_hf

SIDE, END = np.array([1, -1, 1, -1]), np.array([1, 1, -1, -1])  # of four legs: left or right, front or hind

rng = np.random.default_rng(0)
arrays = {}
for split, rows in {"train": 500, "valid": 100, "test": 200}.items():
    angles, velocities = rng.uniform(-np.pi, np.pi, (2, rows, 4, 3))  # hip, thigh and knee of every leg
    along, across = velocities * np.cos(angles), velocities * np.sin(angles)
    forward, sideways, upward = along[..., 1] + 0.3 * along[..., 2], along[..., 0], across[..., 1]
    linear = [forward, sideways, upward]
    angular = [SIDE * upward, END * upward, SIDE * forward]  # roll, pitch, yaw
    arrays[f"{split}_X"] = np.concatenate([angles.reshape(rows, 12), velocities.reshape(rows, 12)], axis=1)
    arrays[f"{split}_Y"] = np.stack([component.sum(axis=1) for component in linear + angular], axis=1)
path = Path("runs/robot.npz")
path.parent.mkdir(exist_ok=True)
np.savez(path, **arrays)

training = {"max_steps": 400, "rows_per_task": 32, "lr": 2e-3, "backbone_lr": 1e-3}
for group in ("K4", "unsigned"):  # both reflections, with their signs and without
    task = asen_hf.get_task("robot/solo12_momentum", data_path=path, group=group)
    result = asen_hf.finetune("asen-sequence-tiny", task, name="robot", **training)
    inputs = task.load()["test"].with_format("torch")["inputs"][:]
    error = asen_hf.equivariance_error(result.model, inputs, task="robot")
    score = result.scores["robot"].loss
    print(f"{group}: standardised squared error {score:.3f}, equivariance error to this group {error:.5f}")
