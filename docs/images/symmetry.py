"""Draws the picture of the README: the orbits of a group, and the equivariance error inside and outside the group.

python docs/images/symmetry.py
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from asen_hf import AsenForMultitask, get_task, orbit_labels
from asen_hf.model.groups import random_elements
from asen_hf.plots._saving import save_figure

TASK, SAMPLES = "equivariant/intersect-8", 100
COLOURS = np.array([[0x2B, 0x3A, 0x67], [0x4F, 0x9D, 0xA6], [0xF2, 0xB1, 0x34]], dtype=np.uint8)

model = AsenForMultitask.from_pretrained("asen-sequence-base").eval()
group = model.config.tasks[TASK].permutation_group()
labels = orbit_labels(group)
rng = np.random.default_rng(0)
permutations = (rng.permutation(8) for _ in range(SAMPLES))
outside = [element for element in permutations if (labels[element][:, element] != labels).any()]
inside = random_elements(group, SAMPLES, seed=0)
tokens = torch.from_numpy(get_task("equivariant/intersect", length=8).sample(32)[0])


@torch.no_grad()
def error(element: np.ndarray) -> float:
    """max|f(gx) - g f(x)| / max|f(x)|."""
    outputs, inverse = model(tokens, task=TASK).logits, torch.from_numpy(np.argsort(element))
    return float((model(tokens[:, inverse], task=TASK).logits - outputs[:, inverse]).abs().max() / outputs.abs().max())


figure = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
orbits, errors = figure.subplots(1, 2, width_ratios=[1, 1.9])
orbits.imshow(COLOURS[labels])
for (row, column), label in np.ndenumerate(labels):
    orbits.text(column, row, str(label), ha="center", va="center", color="white", fontsize=8)
orbits.set_title("two teams of four, S4 wr S2:\norbits of pairs (oneself, team mate, opponent)", fontsize=9)
orbits.set(xticks=range(8), yticks=range(8), xlabel="source player", ylabel="target player")
orbits.tick_params(length=0)
for height, elements in enumerate([outside, inside]):
    values = np.maximum([error(element) for element in elements], 1e-9)
    color = COLOURS[2 - 2 * height] / 255
    errors.scatter(values, height + rng.uniform(-0.2, 0.2, len(values)), s=14, alpha=0.6, color=color)
errors.set(xscale="log", xlim=(1e-9, 10), ylim=(-0.6, 1.6), yticks=[0, 1])
errors.set_xlabel("equivariance error of asen-sequence-base")
errors.set_yticklabels(["permutations\noutside the group", "elements\nof the group"])
errors.set_title("what the network respects, and what it tells apart", fontsize=9)
errors.grid(alpha=0.3)
path = Path(__file__).with_suffix(".png")
save_figure(figure, path)
print(f"drew {path}: {path.stat().st_size // 1000} KB")
