"""Draws the banner: five real things, the pairs of their nodes coloured by the orbits of a group.

python docs/images/banner.py
"""

from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Affine2D
from sympy.combinatorics import PermutationGroup

from asen_hf import orbit_labels, parse_group
from asen_hf.model.groups import from_array_form, from_cycles
from asen_hf.plots._saving import save_figure

COLOURS = ["#2b3a67", "#f2b134", "#4f9da6", "#d1495b", "#7a9e4f", "#8d6cab"]  # of nodes from the left,
COLOURS += ["#c98b5e", "#5c8fd6", "#9aa0a6", "#e58fb1", "#3f7d58"]  # of pairs from the right
PALE, FRAME = "#e8ebf2", "#b8bfcc"


def plate(ax: Axes, x: float, y: float, width: float, height: float, color: str, angle: float = 0) -> None:
    """A rectangle with round corners about its centre, turned by an angle in radians."""
    moved = Affine2D().rotate(angle).translate(x, y) + ax.transData
    box = f"round,pad=0,rounding_size={0.12 * min(width, height)}"
    corner = (-width / 2, -height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=box, fc=color, ec=FRAME, transform=moved))


def draw(ax: Axes, group: PermutationGroup, places: np.ndarray, pairs: list[tuple[int, int]], size: float) -> None:
    """Nodes in the colour of their orbit, pairs in that of the orbit of {(i, j), (j, i)}."""
    labels = orbit_labels(group)
    orbits, nodes = np.minimum(labels, labels.T), np.unique(np.diagonal(labels), return_inverse=True)[1]
    kinds = {orbit: number for number, orbit in enumerate(dict.fromkeys(orbits[i, j] for i, j in pairs))}
    for i, j in pairs:
        ax.plot(*places[[i, j]].T, color=COLOURS[-1 - kinds[orbits[i, j]] % len(COLOURS)], lw=size / 3, zorder=1)
    ax.scatter(*places.T, s=size**2, c=[COLOURS[node % len(COLOURS)] for node in nodes], zorder=2, edgecolors="white")


def body(ax: Axes) -> str:
    joints = [(0, 0), (0.4, -0.1), (0.5, -1.1), (0.45, -2.1), (0, 0.7), (0, 1.4), (0, 2)]  # and the left side
    joints += [(0.55, 1.3), (1, 0.7), (1.3, 0.1)]
    right = [1, 2, 3, 7, 8, 9]
    places = np.array([*joints, *((-joints[i][0], joints[i][1]) for i in right)])
    left = {joint: len(joints) + number for number, joint in enumerate(right)}
    bones = [(0, 1), (1, 2), (2, 3), (5, 7), (7, 8), (8, 9)]
    bones += [(left.get(i, i), left.get(j, j)) for i, j in bones] + [(0, 4), (4, 5), (5, 6)]
    draw(ax, from_cycles([[[i, j] for i, j in left.items()]], len(places)), places, bones, 9)
    return "a body: left and right"


def board(ax: Axes) -> str:
    side = 5
    rows, columns = np.divmod(np.arange(side**2), side)
    places = np.stack([columns, -rows], axis=1).astype(float)
    for x, y in places:
        plate(ax, x, y, 0.84, 0.84, PALE)
    knight = [(i, j) for i, j in combinations(range(side**2), 2) if sorted(abs(places[i] - places[j])) == [1, 2]]
    corners = {0, side - 1, side * (side - 1), side**2 - 1}
    draw(ax, parse_group(f"grid {side}x{side} dihedral"), places, [p for p in knight if corners & {*p}], 11)
    return "a board: turns and mirrors"


def robot(ax: Axes) -> str:
    plate(ax, 0, 0, 2.4, 0.9, PALE)
    legs = [(x, y) for x in (1, -1) for y in (1, -1)]  # front left, front right, hind left, hind right
    places = np.array([(x * a, y * b) for x, y in legs for a, b in [(1, 0.35), (1.2, 1), (1.9, 1.5)]])
    bones = [(3 * leg + k, 3 * leg + k + 1) for leg in range(4) for k in range(2)]
    hips = [(0, 3), (6, 9), (0, 6), (3, 9), (0, 9), (3, 6)]
    sagittal, transversal = [[i, i + 3] for i in (0, 1, 2, 6, 7, 8)], [[i, i + 6] for i in range(6)]
    draw(ax, from_cycles([sagittal, transversal], 12), places, [*bones, *hips], 10)
    return "a robot: its four legs"


def hand(ax: Axes) -> str:
    held = [(0, 9), (0, 10), (1, 10), (3, 10), (1, 4)]  # suit and rank
    group = parse_group("product_action(S4, D13)")  # on all 52 cards
    labels = orbit_labels(group)
    cards = [13 * suit + rank for suit, rank in held]
    angles = np.radians(np.linspace(36, -36, len(held)))
    rays = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    for (suit, rank), ray, angle in zip(held, rays, angles, strict=True):
        plate(ax, *(2.6 * ray), 1.2, 1.9, "white", angle)
        text, color = "A23456789TJQK"[rank] + "♠♥♦♣"[suit], "#c0392b" if suit in (1, 2) else "#333333"
        ax.text(*(3.1 * ray), text, ha="center", va="center", rotation=np.degrees(angle), fontsize=11, color=color)
    kinds = list(dict.fromkeys(labels[i, j] for i, j in combinations(cards, 2)))
    for (a, i), (b, j) in combinations(enumerate(cards), 2):
        line = {"arrowstyle": "-", "lw": 2.5, "connectionstyle": f"arc3,rad={-0.25 - 0.06 * (b - a)}"}
        line["color"] = COLOURS[-1 - kinds.index(labels[i, j]) % len(COLOURS)]
        ax.annotate("", 3.65 * rays[b], 3.65 * rays[a], arrowprops=line)
    ax.set(xlim=(-3.1, 3.1), ylim=(1.1, 5.4))
    return "a hand: suits and ranks"


def code(ax: Axes) -> str:
    """Checks of the [[72,12,6]] code on a torus of 6 by 6 cells, each with the six qubits that it reads."""
    side = 6
    cells = np.stack(np.divmod(np.arange(side**2), side), axis=1)
    places = np.concatenate([2.0 * cells, 2 * cells + [1, 0], 2 * cells + [0, 1]])  # checks, left and right qubits
    x, y = np.array([1, 0]), np.array([0, 1])
    shifts = [(36, 3 * x), (36, y), (36, 2 * y), (72, 3 * y), (72, x), (72, 2 * x)]
    shown = [7, 10]
    pairs = [
        (check, block + int((cell := (cells[check] + shift) % side)[0]) * side + int(cell[1]))
        for check in shown
        for block, shift in shifts
    ]
    down, right = (side * ((cells[:, 0] + a) % side) + (cells[:, 1] + b) % side for a, b in [(1, 0), (0, 1)])
    group = from_array_form([np.concatenate([move, move + 36, move + 72]) for move in (down, right)])
    draw(ax, group, places, pairs, 4.5)
    ax.scatter(*places[shown].T, s=60, marker="s", c="#222", zorder=3)
    return "a code: shifts of a torus"


figure = Figure(figsize=(12, 2.7), dpi=110, layout="constrained")
for ax, drawing in zip(figure.subplots(1, 5), [body, board, robot, hand, code], strict=True):
    ax.set_title(drawing(ax), fontsize=10)
    ax.set_aspect("equal")
    ax.axis("off")
path = Path(__file__).with_suffix(".png")
save_figure(figure, path)
print(f"drew {path}: {path.stat().st_size // 1000} KB")
