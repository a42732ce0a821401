"""Draws the pictures of docs/seeing.md.

python docs/images/seeing.py
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

import asen_hf
from asen_hf.evaluation.attribution import node_attribution, pair_attribution
from asen_hf.plots import (
    plot_calibration,
    plot_confusion,
    plot_node_attribution,
    plot_node_errors,
    plot_orbital_features,
    plot_orbitals,
    plot_pair_attribution,
    plot_truth,
)
from asen_hf.plots._axes import STYLE
from asen_hf.plots._saving import save_figure

HERE = Path(__file__).parent


def draw(name, *plots, size=(5, 4)):
    """One picture with a panel per function of axes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(size[0] * len(plots), size[1]), layout="compressed")
        for plot, ax in zip(plots, np.atleast_1d(figure.subplots(1, len(plots))), strict=True):
            plot(ax)
        path = HERE / f"seeing-{name}.png"
        save_figure(figure, path, bbox_inches="tight")
    print(f"drew {path}: {path.stat().st_size // 1000} KB")


model = asen_hf.AsenForMultitask.from_pretrained("asen-sequence-tiny").eval()
name = "equivariant/palindrome"
task = model.config.tasks[name]
inputs, labels = map(torch.from_numpy, asen_hf.get_task(name).sample(2000))
with torch.no_grad():
    probabilities = model(inputs, task=name).logits.softmax(-1)
predicted = probabilities.argmax(-1)
draw("confusion", lambda ax: plot_confusion(task, predicted, labels, ax), size=(4.5, 3.5))
draw("calibration", lambda ax: plot_calibration(task, probabilities, labels, ax))
draw("nodes", lambda ax: plot_node_errors(task, predicted, labels, ax), size=(5, 3))

ring = model.config.tasks["equivariant/cyclic_sum"]
draw(
    "orbitals",
    lambda ax: plot_orbitals(ring, ax),
    lambda ax: plot_orbital_features(model, "equivariant/cyclic_sum", ax),
    size=(5, 4.6),
)

sets = "equivariant/palindrome"
rows, _ = asen_hf.get_task(sets).sample(4)
nodes, pairs = (attribute(model, rows, sets, node=0) for attribute in (node_attribution, pair_attribution))
draw(
    "attribution",
    lambda ax: plot_node_attribution(model.config.tasks[sets], nodes, ax, row=0),
    lambda ax: plot_pair_attribution(model.config.tasks[sets], pairs, ax, row=0),
    size=(5.4, 4.2),
)

# Eight sensors on a ring: each value is that of the opposite sensor, and a part of its neighbours'.
rng = np.random.default_rng(0)
angles = 2 * np.pi * np.arange(8) / 8
features = rng.normal(20, 5, size=(600, 8, 1))
values = np.roll(features, 4, axis=1) + 0.3 * np.roll(features, 1, axis=1) + rng.normal(size=(600, 8, 1))
sensors = asen_hf.TaskConfig(
    group="C8",
    num_features=1,
    problem_type="regression",
    label_names=["temperature in °C"],
    node_coordinates=np.stack([np.cos(angles), np.sin(angles)], axis=1).round(3).tolist(),
)
data = (features.astype(np.float32), values[..., 0].astype(np.float32))
trained = asen_hf.finetune("asen-sequence-tiny", sensors, data, name="sensors", max_steps=300).model
guess, truth = trained.predict(torch.from_numpy(data[0]), "sensors"), torch.from_numpy(data[1])
draw("truth", lambda ax: plot_truth(sensors, guess, truth, ax), size=(4.8, 4.5))
draw("map", lambda ax: plot_node_errors(sensors, guess, truth, ax), size=(5.5, 4.5))
