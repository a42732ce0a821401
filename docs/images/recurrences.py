"""Draws the picture of docs/recurrences.md: what a trained network believes after each pass of its one layer.

python docs/images/recurrences.py
"""

import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.plots._axes import ACCENT, NEUTRAL, STYLE
from asen_hf.plots._saving import save_figure

NODES, PASSES = 32, 12
OPEN, WALL, SOURCE = range(3)


def rooms(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Corridors around a court, with walls and a lamp; labels: what its light reaches through open nodes."""
    rng = np.random.default_rng(seed)
    tokens = np.where(rng.random((rows, NODES)) < 0.12, WALL, OPEN)
    tokens[np.arange(rows), rng.integers(NODES, size=rows)] = SOURCE
    lit = tokens == SOURCE
    for _ in range(NODES):
        lit |= (np.roll(lit, 1, axis=1) | np.roll(lit, -1, axis=1)) & (tokens != WALL)
    return tokens, lit.astype(np.int64)


def train(folder: str) -> None:
    edges = [[node, (node + step) % NODES] for node in range(NODES) for step in (-1, 0, 1)]
    task = TaskConfig(group=f"D{NODES}", edges=edges, vocab_size=3, label_names=["dark", "lit"])
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "gated_messages": True}
    model = AsenForMultitask(AsenConfig(tasks={}, num_recurrences=PASSES, **shape))
    budget = {"max_steps": 1500, "lr": 5e-3, "rows_per_task": 32}
    result = asen_hf.finetune(model, task, rooms(3000, seed=0), name="light", output_dir=folder, **budget)
    print(result.scores["light"])


def draw(ax: Axes, folder: str) -> None:
    """Nodes from left to right, passes from top to bottom; walls grey, the lamp white, light by its probability."""
    tokens, labels = rooms(200, seed=1)
    row = np.abs(labels.sum(axis=1) - NODES // 2).argmin()  # half of the ring is lit
    shift = NODES // 2 - np.flatnonzero(tokens[row] == SOURCE)[0]
    tokens, label = np.roll(tokens[row], shift), np.roll(labels[row], shift)
    beliefs = []
    for passes in range(1, PASSES + 1):
        model = AsenForMultitask.from_pretrained(folder, num_recurrences=passes)
        beliefs.append(model.predict_proba(torch.from_numpy(tokens)[None])[0, :, 1].numpy())
    shades = ListedColormap(np.linspace(matplotlib.colors.to_rgb("#eef0f5"), matplotlib.colors.to_rgb(ACCENT), 256))
    image = ax.imshow(np.array([*beliefs, label]), cmap=shades, vmin=0, vmax=1, aspect="auto")
    for node in np.flatnonzero(tokens == WALL):
        ax.axvspan(node - 0.5, node + 0.5, color=NEUTRAL)
    ax.plot(NODES // 2, -0.1, "o", color="white", markersize=6, markeredgecolor="black")
    ax.axhline(PASSES - 0.5, color="white", linewidth=4)
    ax.set_yticks(range(PASSES + 1), [*range(1, PASSES + 1), "truth"])
    ax.set(xlabel="nodes of the ring; walls grey, the lamp white", ylabel="passes of one layer")
    ax.set_title("probability that a node is lit")
    ax.figure.colorbar(image, ax=ax)


with tempfile.TemporaryDirectory() as parent, matplotlib.rc_context(STYLE):
    folder = f"{parent}/light"
    train(folder)
    figure = Figure(figsize=(8, 3.6), dpi=110, layout="compressed")
    draw(figure.subplots(), folder)
    path = Path(__file__).parent / "guide-recurrences.png"
    save_figure(figure, path, bbox_inches="tight")
    print(f"drew {path}: {path.stat().st_size // 1000} KB")
