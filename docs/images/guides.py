"""Draws the pictures of the guides: groups, relations, pairs, value symmetries, init_from, prior, theory and others.

python docs/images/guides.py
"""

import csv
import shutil
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

import matplotlib
import networkx as nx
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from asen_hf import TaskConfig, orbit_labels, parse_group
from asen_hf.model.orbital_matching import match_orbitals
from asen_hf.model.relations import refine
from asen_hf.model.symmetry import SymmetryBreaker
from asen_hf.plots._axes import ACCENT, NEUTRAL, STYLE, palette
from asen_hf.plots._saving import save_figure

HERE, EXPERIMENTS = Path(__file__).parent, Path(__file__).parents[2] / "training" / "experiments"
BONES = [(0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9)]
BONES += [(8, 10), (10, 11), (11, 12), (8, 13), (13, 14), (14, 15)]
SIDES = [1, 2, 3, 13, 14, 15], [4, 5, 6, 10, 11, 12]  # right, left


def draw(name, *plots, size=(3.3, 3.3)):
    """One picture with a panel per function of axes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(size[0] * len(plots), size[1]), dpi=110, layout="compressed")
        for plot, ax in zip(plots, np.atleast_1d(figure.subplots(1, len(plots))), strict=True):
            plot(ax)
        path = HERE / f"guide-{name}.png"
        save_figure(figure, path, bbox_inches="tight")
    print(f"drew {path}: {path.stat().st_size // 1000} KB")


def matrix(labels, title, names=None, colors=None):
    """A function that draws a matrix of labels as colours, with the labels in it."""

    def plot(ax: Axes) -> None:
        cells = np.asarray(labels)
        shades = palette(cells.max() + 1)(cells) if colors is None else colors[cells]
        ax.imshow(shades, interpolation="nearest")
        for (row, column), label in np.ndenumerate(cells):
            dark = np.dot(shades[row, column][:3], [0.3, 0.6, 0.1]) < 0.6
            ax.text(column, row, label, ha="center", va="center", fontsize=7, color="white" if dark else "black")
        ticks = range(len(cells))
        ax.set_xticks(ticks, labels=names or ticks)
        ax.set_yticks(ticks, labels=names or ticks)
        ax.tick_params(length=0)
        ax.grid(False)
        ax.set_title(title)

    return plot


def graph_of(edges, places, title):
    def plot(ax: Axes) -> None:
        style = {"node_color": NEUTRAL, "edge_color": ACCENT, "font_color": "white", "width": 2.5}
        nx.draw_networkx(nx.Graph(edges), places, ax=ax, **style)
        ax.set_title(title)
        ax.set_aspect("equal")
        ax.margins(0.15)
        ax.axis("off")

    return plot


def ring(nodes, centre=(0.0, 0.0)):
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(nodes)) / len(nodes)
    return {node: centre + np.array([np.cos(angle), np.sin(angle)]) for node, angle in zip(nodes, angles, strict=True)}


def draw_groups():
    texts = ["S4 wr S2", "D8", "grid 3x3 dihedral", "C4 on 4 x 2"]
    draw("groups", *(matrix(orbit_labels(parse_group(text)), text) for text in texts))


def draw_relations():
    tokens = torch.tensor([[3, 1, 4, 1, 5, 4, 2, 1]])
    task = TaskConfig(group="S4 wr S2", vocab_size=10, relations=["equal"])
    plain = orbit_labels(task.permutation_group())
    coloured = refine(task, SymmetryBreaker(task)(), tokens, None).labels[0].reshape(plain.shape)
    kinds = np.unique(coloured, return_inverse=True)[1].reshape(plain.shape)
    names = [str(token) for token in tokens[0].tolist()]
    draw(
        "relations",
        matrix(plain, "orbitals of two sets of four"),
        matrix(kinds, "and which tokens of a row are equal", names),
        size=(3.8, 3.8),
    )


def draw_pairs():
    edges = [(0, 1), (1, 2), (2, 3), (1, 3), (4, 5)]
    order = [4, 2, 0, 5, 1, 3]  # node i becomes order[i]
    adjacency = nx.to_numpy_array(nx.Graph(edges), nodelist=range(6)).astype(int)
    moved = np.zeros_like(adjacency)
    moved[np.ix_(order, order)] = adjacency
    colors = np.array([to_rgb("#eef0f5"), to_rgb(ACCENT)])
    places = {0: (0, 1), 1: (1, 1), 2: (2, 1.6), 3: (2, 0.4), 4: (0, 0), 5: (1, 0)}
    moved_places = {order[node]: place for node, place in places.items()}
    draw(
        "pairs",
        graph_of(edges, places, "a row's own graph"),
        matrix(adjacency, "its pairs", colors=colors),
        graph_of([(order[i], order[j]) for i, j in edges], moved_places, "renumbered"),
        matrix(moved, "pairs move with their nodes", colors=colors),
    )


def draw_value_symmetries():
    """A walker's 16 joints from the front, the right arm raised."""
    right = {1: (-0.3, 0), 2: (-0.4, -1), 3: (-0.5, -2), 13: (-0.5, 1.5), 14: (-1.1, 2), 15: (-1.5, 2.7)}
    left = {4: (0.3, 0), 5: (0.4, -1), 6: (0.7, -1.9), 10: (0.5, 1.5), 11: (0.8, 0.8), 12: (0.7, 0)}
    middle = {0: (0, 0), 7: (0, 0.8), 8: (0, 1.6), 9: (0, 2.3)}
    pose = np.array([({**right, **left, **middle})[joint] for joint in range(16)])
    swapped = pose.copy()
    for one, other in zip(*SIDES, strict=True):
        swapped[[one, other]] = swapped[[other, one]]

    def body(joints, title):
        def plot(ax: Axes) -> None:
            for i, j in BONES:
                side = NEUTRAL if not {i, j} & {*SIDES[0], *SIDES[1]} else ACCENT if {i, j} & {*SIDES[0]} else "#f2b134"
                ax.plot(*joints[[i, j]].T, color=side, linewidth=4, solid_capstyle="round")
            ax.set_title(title)
            ax.set(xlim=(-1.8, 1.8), ylim=(-2.2, 2.9))
            ax.set_aspect("equal")
            ax.axis("off")

        return plot

    draw(
        "value_symmetries",
        body(pose, "a pose; right side red"),
        body(swapped, "joints exchanged,\nvalues kept: not a mirror image"),
        body(swapped * [-1, 1], "joints exchanged, x negated:\nthe mirror image"),
        size=(2.6, 3.4),
    )


def draw_init_from():
    donor, new = (orbit_labels(parse_group(name)) for name in ("D8", "D12"))
    rows = match_orbitals(new, donor, ordered="ring").donor_rows
    draw(
        "init_from",
        matrix(donor, "the donor's orbitals: a ring of 8"),
        matrix(rows[new], "the rows that a ring of 12 starts from"),
        size=(3.9, 3.9),
    )


def draw_prior():
    """Means over the tasks of the study `foundation`, and standard errors over its seeds."""
    arms = ["from scratch", "finetuned", "in context, counts", "structural ridge"]
    with (EXPERIMENTS / "foundation" / "results.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    scores: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        scores[line["arm"], int(line["train_rows"])][line["seed"]].append(float(line["value"]))
    sizes = sorted({size for _, size in scores})

    def plot(ax: Axes) -> None:
        for arm in arms:
            means = [[fmean(values) for values in scores[arm, size].values()] for size in sizes]
            errors = [stdev(values) / len(values) ** 0.5 for values in means]
            ax.errorbar(sizes, [fmean(values) for values in means], errors, marker="o", capsize=2, label=arm)
        ax.set_xscale("log")
        ax.set_xticks(sizes, labels=sizes)
        ax.minorticks_off()
        ax.set(xlabel="labelled rows", ylabel="test accuracy")
        ax.set_title("nine tasks that asen-foundation-small has not seen")
        ax.legend()

    draw("prior", plot, size=(5.6, 3.6))


def draw_theory():
    hexagon, triangles = [(i, (i + 1) % 6) for i in range(6)], [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)]
    apart = {**ring(range(3), (-1.6, 0)), **ring(range(3, 6), (1.6, 0))}
    one, two = graph_of(hexagon, ring(range(6)), "one ring"), graph_of(triangles, apart, "two rings")
    draw("theory", one, two, size=(3.4, 2.6))


def draw_own_data():
    """A board of examples/own_table.py as it is given, turned and mirrored; its labels move with it."""
    board = np.array([[1, 2, 0], [1, 0, 2], [1, 2, 0]])
    finished = np.array([[1, 0, 0]] * 3)

    def cells(change, title):
        def plot(ax: Axes) -> None:
            marks, line = change(board), change(finished)
            ax.imshow(np.array([to_rgb("#eef0f5"), to_rgb("#f9c6d6")])[line])
            for (row, column), mark in np.ndenumerate(marks):
                ax.text(column, row, "\u00a0×○"[mark], ha="center", va="center", fontsize=30, color=NEUTRAL)
            for at in (0.5, 1.5):
                ax.axhline(at, color=NEUTRAL)
                ax.axvline(at, color=NEUTRAL)
            ax.set_title(title)
            ax.axis("off")

        return plot

    draw(
        "own_data",
        cells(np.array, "a row: inputs, labels in red"),
        cells(np.rot90, "turned"),
        cells(np.fliplr, "mirrored"),
        size=(2.6, 2.8),
    )


def draw_estimators():
    """A recording of examples/knocks.py: what eight sensors on a ring read after a knock between two of them."""
    random, time = np.random.default_rng(0), np.arange(48)
    knock = np.exp(-time / 18) * np.cos(0.4 * time)

    def struck(loudness, title):
        def plot(ax: Axes) -> None:
            for sensor, (x, y) in ring(range(8)).items():
                reading = loudness.get(sensor, 0) * knock + random.normal(0, 0.7, 48)
                color = ACCENT if sensor in loudness else NEUTRAL
                ax.plot(2 * x - 0.45 + time / 53, 2 * y + 0.09 * reading, color=color, linewidth=1.5)
                ax.text(x, y, f"sensor {sensor}", ha="center", va="center", fontsize=7, color=color)
            ax.set_title(title)
            ax.set_aspect("equal")
            ax.axis("off")

        return plot

    draw(
        "estimators",
        struck({0: 5, 1: 4}, "two neighbours were struck"),
        struck({3: 5, 4: 4}, "the ring turned: still two neighbours"),
        size=(3.6, 3.6),
    )


def copy_from_experiments():
    for name, path in {"choosing": "select_palindrome/ranking.png", "matrix_groups": "gravity/plot.png"}.items():
        shutil.copy(EXPERIMENTS / path, HERE / f"guide-{name}.png")


draw_groups()
draw_relations()
draw_pairs()
draw_value_symmetries()
draw_init_from()
draw_prior()
draw_theory()
draw_own_data()
draw_estimators()
copy_from_experiments()
