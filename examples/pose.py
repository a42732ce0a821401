"""Poses: predict where 16 joints are in space from their positions on an image; left and right may be exchanged.

Made-up bodies that wave their limbs stand in for your motion capture; layouts: asen_hf.data.real.pose_files.
"""

from pathlib import Path

import numpy as np

import asen_hf

# Parent of each joint, and offset from it in mm: hip, right leg, left leg, trunk, left arm, right arm.
PARENTS = [0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14]
LEG, ARM, TRUNK = [[0, 0, -440]] * 2, [[0, 0, -280], [0, 0, -250]], [[0, 0, 240], [0, 0, 260], [0, 0, 220]]
BONES = [[0, 0, 940], [130, 0, 0], *LEG, [-130, 0, 0], *LEG, *TRUNK, [-170, 0, -30], *ARM, [170, 0, -30], *ARM]
SEQUENCES, FRAMES = 12, 60

rng = np.random.default_rng(0)
waves = np.sin(np.linspace(0, 12, FRAMES)[:, None, None] + rng.uniform(0, 6, (SEQUENCES, 1, 16, 3)))
bones = BONES + 120 * waves * (np.arange(16) > 0)[:, None]  # (SEQUENCES, FRAMES, 16, 3)
joints = np.zeros(bones.shape)
for joint, parent in enumerate(PARENTS):
    joints[:, :, joint] = bones[:, :, joint] + (joints[:, :, parent] if joint else 0)
sequence = np.repeat(np.arange(SEQUENCES), FRAMES)
path = Path("runs/poses.npz")
path.parent.mkdir(exist_ok=True)
np.savez(path, positions_mm=joints.reshape(-1, 16, 3), sequence=sequence, is_test=sequence >= SEQUENCES - 3)

task = asen_hf.get_task("pose/lifting", data_path=path, group="left_right")
training = {"max_steps": 300, "rows_per_task": 32, "lr": 2e-3, "backbone_lr": 1e-3}
result = asen_hf.finetune("asen-sequence-tiny", task, name="pose", **training)
score = result.scores["pose"]
print(f"mean error per joint {score.value:.0f} mm, after alignment {score.details['p_mpjpe']:.0f} mm")
print(f"without a network: {score.references}")
