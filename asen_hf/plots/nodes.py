"""Pictures of nodes: their orbits and their errors, on a map where nodes have coordinates, else as bars."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray
from torch import Tensor

from ..model.configuration_task import TaskConfig
from ..model.orbits import orbit_labels
from ._arrays import takes_arrays
from ._axes import axes_or_new, legend_below, name_ticks, palette
from .errors import node_errors

_MOST_ROADS = 20  # per node; more would hide the nodes
_MOST_IN_LEGEND = 12
_MOST_NUMBERED = 30

Edges = list[list[int]] | None


@takes_arrays
def plot_node_errors(
    task: TaskConfig, predicted: Tensor, labels: Tensor, ax: Axes | None = None, edges: Edges = None
) -> Axes:
    """Each node's mean absolute error, or its share of wrong classes: on a map, or as one bar per node.

    Bars have the colours of node orbits, if there are at most 12. A node without known labels is grey on the map, and
    has no bar.

    Args:
        task: a node-level task; with ``node_coordinates`` the picture is a map.
        predicted, labels: ``(N,) + task.label_shape()``, in raw units.
        ax: axes to draw into; ``None`` for new ones.
        edges: pairs of nodes to draw as roads of the map.

    Raises:
        ValueError: a graph-level task, predictions or labels of another shape, or no known label.
    """
    errors = node_errors(task, predicted, labels)
    measure = "mean absolute error (unit of the labels)" if task.is_regression else "share of wrong classes"
    if task.node_coordinates is not None:
        return draw_map(task, errors, measure, ax, edges)
    return draw_bars(task, errors, measure, ax)


def plot_node_orbits(task: TaskConfig, ax: Axes | None = None, edges: Edges = None) -> Axes:
    """Nodes where they lie, one colour per node orbit.

    Args:
        task: a task with ``node_coordinates``.
        ax: axes to draw into; ``None`` for new ones.
        edges: pairs of nodes to draw as roads.

    Raises:
        ValueError: the task has no coordinates.
    """
    orbits = orbit_labels(task.point_group(), order=1)
    num_orbits = int(orbits.max()) + 1
    ax, points = _ground(task, ax, edges)
    colors = palette(num_orbits)(orbits)
    for orbit in range(num_orbits):
        mine = orbits == orbit
        count = int(mine.sum())
        name = f"{orbit}: {count:,} node{'s' * (count > 1)}"
        ax.scatter(*points[mine].T, color=colors[mine], label=name, **_dots(task.degree))
    ax.set_title(f"node orbits: {num_orbits:,}")
    if 1 < num_orbits <= _MOST_IN_LEGEND:
        legend_below(ax, min(4, num_orbits), title="node orbits")
    return ax


def draw_map(
    task: TaskConfig,
    values: NDArray[np.floating],
    measure: str,
    ax: Axes | None,
    edges: Edges = None,
    is_signed: bool = False,
) -> Axes:
    """One value per node ``(n,)`` as colours where the nodes lie."""
    ax, points = _ground(task, ax, edges)
    reach = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    colors = matplotlib.colormaps["RdBu_r" if is_signed else "viridis"].with_extremes(bad="silver")
    low, high = (-reach, reach) if is_signed else (None, None)
    dots = {**_dots(task.degree), "edgecolors": "#606060" if is_signed else "white"}
    image = ax.scatter(*points.T, c=values, cmap=colors, vmin=low, vmax=high, plotnonfinite=True, **dots)  # type: ignore[misc]
    ax.figure.colorbar(image, ax=ax, label=measure, shrink=0.8)
    ax.set_title("nodes where they lie" + "; grey: no known label" * bool(np.isnan(values).any()))
    return ax


def draw_bars(task: TaskConfig, values: NDArray[np.floating], measure: str, ax: Axes | None) -> Axes:
    """One value per node ``(n,)`` as bars, coloured by node orbit."""
    orbits = orbit_labels(task.point_group(), order=1)
    num_orbits = int(orbits.max()) + 1
    ax = axes_or_new(ax, (float(np.clip(2.5 + 0.18 * task.degree, 5, 11)), 3.6))
    if num_orbits > _MOST_IN_LEGEND:  # colours that no legend explains
        orbits, num_orbits = np.zeros_like(orbits), 1
    nodes, colors = np.arange(task.degree), palette(num_orbits)
    for orbit in range(num_orbits):
        mine = orbits == orbit
        ax.bar(nodes[mine], values[mine], 0.85, color=colors(orbit), label=f"orbit {orbit}")
    name_ticks(ax.xaxis, [str(node) for node in nodes])
    ax.set(xlabel="node", ylabel=measure, xlim=(-0.6, task.degree - 0.4))
    ax.axhline(0, color="#606060", linewidth=0.6)
    ax.margins(y=0.1)
    ax.grid(axis="y", alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if 1 < num_orbits <= _MOST_IN_LEGEND:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    return ax


def joined_pairs(edges: Edges) -> list[tuple[int, int]]:
    """Each joined pair once, without loops."""
    return sorted({(min(edge), max(edge)) for edge in edges or [] if edge[0] != edge[1]})


def map_height(task: TaskConfig) -> float:
    """Height of a map beside its width."""
    (width, height), _ = _spans(task)
    return min(height / width, 1.6)


def _ground(task: TaskConfig, ax: Axes | None, edges: Edges) -> tuple[Axes, NDArray[np.float64]]:
    """Axes of equal scale with the roads, and the nodes' places ``(n, 2)``."""
    if task.node_coordinates is None:
        raise ValueError("a map needs places: set the task's node_coordinates, one [x, y] per node")
    points = np.array(task.node_coordinates, dtype=np.float64)
    spans, center = _spans(task)
    corners = center + np.outer([-0.5, 0.5], spans)
    ax = axes_or_new(ax, (6.2, 1.4 + 4.6 * map_height(task)))
    roads = joined_pairs(edges)
    if len(roads) <= _MOST_ROADS * task.degree:
        ax.add_collection(LineCollection(list(points[roads]), colors="#b8b8b8", linewidths=0.6, zorder=1))
    ax.set(aspect="equal", xlim=corners[:, 0], ylim=corners[:, 1], xlabel="x coordinate", ylabel="y coordinate")
    ax.ticklabel_format(useOffset=False)
    ax.locator_params(axis="x", nbins=5)
    if task.degree <= _MOST_NUMBERED:
        for node, place in enumerate(points):
            ax.annotate(str(node), place, xytext=(5, 4), textcoords="offset points", fontsize=7, color="#404040")
    return ax, points


def _spans(task: TaskConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = np.array(task.node_coordinates, dtype=np.float64)
    spans = np.ptp(points, axis=0)
    spans = 1.1 * np.maximum(spans, spans.max() / 3 or 1)  # nodes on one line still get a picture
    return spans, (points.min(axis=0) + points.max(axis=0)) / 2


def _dots(degree: int) -> dict[str, Any]:
    return {"s": float(np.clip(5000 / degree, 8, 80)), "edgecolors": "white", "linewidths": 0.4}
