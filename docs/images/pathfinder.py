"""Draws the picture of docs/pathfinder.md: images of the task at three sizes, and the patches that share a position.

python docs/images/pathfinder.py
"""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asen_hf import get_task, orbit_labels
from asen_hf.data import collate
from asen_hf.plots._saving import save_figure

SIZES = {16: (3, 0), 32: (6, 2), 64: (6, 2)}  # dashes of a contour, distractors
PATCH = 3


def show(axes: Axes, side: int, label: int) -> None:
    """The first training image with a label."""
    length, distractors = SIZES[side]
    task = get_task("image/pathfinder", side=side, contour_length=length, num_distractors=distractors)
    rows = collate(task.config, task.load(num_rows=40)["train"])
    row = rows["labels"].tolist().index(label)
    axes.imshow(rows["inputs"][row].reshape(side, side), cmap="gray", interpolation="nearest")
    axes.set_title(f"{side} × {side}: {task.config.label_names[label]}", fontsize=8)


figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
panels = figure.subplots(2, 4)
for column, side in enumerate(SIZES):
    for label in (0, 1):
        show(panels[label, column], side, label)
for axes, patch in zip(panels[:, 3], (1, PATCH), strict=True):
    group = get_task("image/pathfinder", group=f"patches_{patch}").config.permutation_group()
    labels = orbit_labels(group, order=1)
    colours = np.random.default_rng(0).random((labels.max() + 1, 3))
    axes.imshow(colours[labels].reshape(16, 16, 3), interpolation="nearest")
    axes.set_title(f"positions, patches of {patch}", fontsize=8)
for axes in panels.flat:
    axes.set(xticks=[], yticks=[])
path = Path(__file__).with_suffix(".png")
save_figure(figure, path)
print(f"drew {path}: {path.stat().st_size // 1000} KB")
