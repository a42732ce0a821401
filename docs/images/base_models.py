"""Draws the picture of docs/base_models.md: what a head of a trained transformer weighs, before and after the gates.

python docs/images/base_models.py
"""

import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.plots._axes import STYLE
from asen_hf.plots._saving import save_figure

NODES = 12


def rising(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A ring of numbers; labels: is a node larger than the node before it?"""
    tokens = np.random.default_rng(seed).integers(10, size=(rows, NODES))
    return tokens, (tokens > np.roll(tokens, 1, axis=1)).astype(np.int64)


def train(folder: str) -> AsenForMultitask:
    shape = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8, "gated_messages": True}
    model = AsenForMultitask(AsenConfig(tasks={}, backbone_type="transformer", **shape))
    task = TaskConfig(group=f"C{NODES}", vocab_size=10, label_names=["not larger", "larger"])
    budget = {"max_steps": 300, "lr": 5e-3, "rows_per_task": 32}
    result = asen_hf.finetune(model, task, rising(1000, seed=0), name="rising", output_dir=folder, **budget)
    print(result.scores["rising"])
    return result.model


def factors(model: AsenForMultitask) -> tuple[np.ndarray, np.ndarray]:
    """Attention weights of a row, ``(heads, n, n)``, and the same times one plus the gates."""
    attention, tokens = model.asen.backbone.layers[0].attention, torch.from_numpy(rising(1, seed=1)[0])
    gates = []

    def read(_: torch.nn.Module, arguments: tuple) -> None:
        _, orbital_features, graph = arguments[:3]
        gates.append(attention.gate_projection(orbital_features).T[:, graph.labels])

    with torch.inference_mode(), attention.register_forward_pre_hook(read):
        weights = model(tokens, task="rising", output_attentions=True).attentions[0][0]
    return weights.numpy(), (weights * (1 + gates[0])).numpy()


with tempfile.TemporaryDirectory() as folder, matplotlib.rc_context(STYLE):
    weights, messages = factors(train(f"{folder}/rising"))
    targets = np.arange(NODES)
    head = (messages - weights)[:, targets, targets - 1].sum(axis=1).argmax()  # the gate of the node before
    figure = Figure(figsize=(7, 3.3), dpi=110, layout="compressed")
    largest = messages[head].max()
    titles = ("attention weights", "times the gates of the orbitals")
    for ax, shown, title in zip(figure.subplots(1, 2), (weights[head], messages[head]), titles, strict=True):
        image = ax.imshow(shown, cmap="RdBu_r", vmin=-largest, vmax=largest)
        ax.set(xlabel="source", ylabel="target", title=title, xticks=range(NODES), yticks=range(NODES))
        ax.grid(False)
    figure.colorbar(image, ax=figure.axes)
    path = Path(__file__).parent / "guide-base_models.png"
    save_figure(figure, path, bbox_inches="tight")
    print(f"drew {path}: {path.stat().st_size // 1000} KB")
