"""Pictures of predictions and labels: poses in space, nodes on a map, forecasts. The task's config decides which."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.metrics import METRICS, procrustes
from ..model.configuration_asen import TaskConfig
from ..model.heads import is_known
from ..model.orbits import orbit_labels
from ._saving import save_figure
from .symmetry import STYLE, palette

_POSES, _FORECASTS = 6, 4
_ROWS = 288  # of a forecast: one day in steps of five minutes
_MOST_ROADS = 20  # per node; more would hide the nodes
_MOST_IN_LEGEND = 12
# Predictions are drawn last and thinner, so that the truth is visible where both agree.
_TRUTH: dict[str, Any] = {"color": "#5b6b82", "linewidth": 2.2, "solid_capstyle": "round"}
_PREDICTION: dict[str, Any] = {"color": "#e0004d", "linewidth": 1.1, "solid_capstyle": "round"}

Edges = list[list[int]] | None


def plot_predictions(
    folder: str | Path, name: str, task: TaskConfig, predicted: Tensor, labels: Tensor, edges: Edges = None
) -> dict[Path, str]:
    """Draw the pictures that a task's config allows: ``NAME-poses.png``, ``NAME-map.png``, ``NAME-forecasts.png``.

    Poses: the metric is ``mpjpe`` or ``p_mpjpe`` and labels are in millimetres in the coordinates of a camera: x to its
    right, y down, z away from it. Map: a node-level task has ``node_coordinates``. Forecasts: the task has a
    ``residual_feature``; rows must be in the order of time.

    Args:
        folder: folder to write to; it must exist.
        name: name of the task, for titles and file names.
        task: config of the task.
        predicted, labels: ``(N,) + task.label_shape()``, in raw units, as ``model.predict`` and ``collate`` give them.
        edges: pairs of nodes to draw as bones or roads; a config on the complete support has none.

    Returns:
        ``{file: what it shows}``; empty where there is nothing to draw.

    Raises:
        ValueError: predictions or labels of another shape, or no known error to draw; names the task.
    """
    drawings: list[tuple[str, str, Callable[..., Figure], tuple]] = []
    if task.metric in ("mpjpe", "p_mpjpe") and task.output_size == 3:
        drawings.append(("poses", "predicted and true poses, from the best to the worst", _draw_poses, (edges,)))
    if task.output_level == "node" and task.node_coordinates is not None:
        drawings.append(("map", "nodes where they lie, by orbit and by error", _draw_map, (edges,)))
    if task.residual_feature is not None:
        drawings.append(("forecasts", "forecasts and truth over consecutive rows", _draw_forecasts, ()))
    safe_name = re.sub(r"[^\w.-]+", "-", name)  # names may hold slashes
    written = {}
    for kind, shown, draw, more in drawings:
        path = Path(folder) / f"{safe_name}-{kind}.png"
        try:
            with matplotlib.rc_context(STYLE):
                save_figure(draw(name, task, predicted, labels, *more), path, bbox_inches="tight")
        except ValueError as error:
            raise ValueError(f"task {name!r}: {error}") from error
        written[path] = shown
    return written


def row_errors(task: TaskConfig, predicted: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """The task's metric, computed on each row alone.

    Args:
        task, predicted, labels: as for :func:`plot_predictions`.

    Returns:
        ``(N,)``, in raw units; NaN where the row's labels are unknown.

    Raises:
        ValueError: predictions or labels of another shape, or no known label.
    """
    known = _checked_known(task, predicted, labels)
    compute = METRICS[str(task.metric)].compute
    rows = zip(predicted.split(1), labels.split(1), known.split(1), strict=True)
    return np.array([compute(*row) for row in rows])


def node_errors(task: TaskConfig, predicted: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Each node's mean absolute error over rows and labels, or the share of its classes that are wrong.

    Args:
        task, predicted, labels: as for :func:`plot_predictions`.

    Returns:
        ``(n,)``, in raw units; NaN for a node without known labels.

    Raises:
        ValueError: predictions or labels of another shape, or no known label.
    """
    known = _checked_known(task, predicted, labels)
    errors = (predicted - labels).abs() if task.is_regression else (predicted != labels)
    by_node = errors.double().masked_fill(~known, float("nan")).reshape(len(labels), task.degree, -1)
    return by_node.nanmean(dim=(0, 2)).numpy()


def spread_over_quantiles(errors: NDArray[np.floating], count: int) -> list[tuple[int, float]]:
    """Choose entries from the best to the worst, evenly spaced over the quantiles of their errors.

    Args:
        errors: ``(N,)``, none negative; entries that are not finite are never chosen.
        count: how many to choose; fewer if there are fewer.

    Returns:
        Index and quantile (0 for the best, 1 for the worst) of every chosen entry.

    Raises:
        ValueError: if no error is finite.
    """
    ranked = np.argsort(errors, kind="stable")[: np.count_nonzero(np.isfinite(errors))]  # inf and NaN sort last
    if len(ranked) == 0:
        raise ValueError("no error is finite: labels are missing, or predictions are not numbers")
    places = np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int))
    return [(int(ranked[place]), place / max(len(ranked) - 1, 1)) for place in places]


def _checked_known(task: TaskConfig, predicted: Tensor, labels: Tensor) -> Tensor:
    for what, tensor in {"predictions": predicted, "labels": labels}.items():
        if tensor.shape != (len(labels), *task.label_shape()):
            expected = ", ".join(map(str, ("rows", *task.label_shape())))
            raise ValueError(f"{what} must have shape ({expected}), got {tuple(tensor.shape)}")
    known = is_known(task, labels)
    if not known.any():
        raise ValueError("every label is missing (-100 or NaN)")
    return known


def _draw_poses(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor, edges: Edges) -> Figure:
    errors = row_errors(task, predicted, labels)
    chosen = spread_over_quantiles(errors, _POSES)
    rows = [row for row, _ in chosen]
    guesses, truths = predicted[rows].double(), labels[rows].double()
    if task.metric == "p_mpjpe":
        guesses = procrustes(guesses, truths)
    both = np.stack([truths.numpy(), guesses.numpy()], axis=1)[..., [0, 2, 1]]  # (rows, 2, n, 3)
    both[..., 2] *= -1  # axes: right, away, up, so that poses stand upright
    lowest, highest = np.nanmin(both, axis=(1, 2), keepdims=True), np.nanmax(both, axis=(1, 2), keepdims=True)
    both -= (lowest + highest) / 2
    reach = float((highest - lowest).max()) / 2 or 1.0  # one scale for all panels, so that sizes can be compared
    ticks = MaxNLocator(4).tick_values(-reach, reach)
    step = ticks[1] - ticks[0]
    height, width = -(-len(rows) // 3), min(3, len(rows))
    figure = Figure(figsize=(max(3.2 * width, 5), 3.3 * height + 0.9), layout="constrained")
    for place, (row, quantile) in enumerate(chosen):
        axes = figure.add_subplot(height, width, place + 1, projection="3d")
        axes.set_title(f"{_place(quantile)}: {errors[row]:.3g} mm (row {row})")
        for points, style in zip(both[place], (_TRUTH, _PREDICTION), strict=True):
            axes.plot(*points.T, "o", color=style["color"], markersize=2 * style["linewidth"])
            for i, j in _lines(edges):
                axes.plot(*points[[i, j]].T, **style)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
        axes.set_box_aspect((1, 1, 1), zoom=1.15)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.set_ticks(ticks, [])
        axes.view_init(elev=12, azim=-75)  # seen from the camera
    aligned = "\npredictions are shifted, turned and scaled to fit" if task.metric == "p_mpjpe" else ""
    figure.suptitle(f"{name}: {task.metric} of single rows; a grid square is {step:g} mm{aligned}", wrap=True)
    figure.legend(handles=_legend_lines(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_map(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor, edges: Edges) -> Figure:
    errors = node_errors(task, predicted, labels)
    orbits = orbit_labels(task.permutation_group(), order=1)
    points = np.array(task.node_coordinates, dtype=np.float64)
    spans = np.ptp(points, axis=0)
    spans = 1.1 * np.maximum(spans, spans.max() / 3 or 1)  # nodes on one line still get a picture
    corners = (points.min(axis=0) + points.max(axis=0)) / 2 + np.outer([-0.5, 0.5], spans)
    figure = Figure(figsize=(12, 1.8 + 5 * min(spans[1] / spans[0], 1.6)), layout="compressed")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes in (left, right):
        roads = _lines(edges)
        if len(roads) <= _MOST_ROADS * task.degree:
            axes.add_collection(LineCollection(list(points[roads]), colors="#b8b8b8", linewidths=0.6, zorder=1))
        axes.set(aspect="equal", xlim=corners[:, 0], ylim=corners[:, 1])
        axes.ticklabel_format(useOffset=False)
    num_orbits, size = int(orbits.max()) + 1, _marker_area(task.degree)
    edge = {"edgecolors": "white", "linewidths": 0.4}
    left.set_title(f"node orbits: {num_orbits:,}")
    colors = palette(num_orbits)(orbits)
    for orbit in range(num_orbits):
        mine = orbits == orbit
        left.scatter(*points[mine].T, s=size, color=colors[mine], **edge, label=f"{orbit}: {mine.sum():,} nodes")
    if 1 < num_orbits <= _MOST_IN_LEGEND:
        figure.legend(loc="outside lower center", ncols=6, frameon=False, title="node orbits")
    measure = "mean absolute error" if task.is_regression else "error rate"
    names = f": {', '.join(task.label_names)}" if task.is_regression and task.label_names else ""
    right.set_title(measure + names, wrap=True)
    colormap = matplotlib.colormaps["viridis"].with_extremes(bad="silver")  # where no label is known
    image = right.scatter(*points.T, s=size, c=errors, cmap=colormap, **edge, plotnonfinite=True)
    figure.colorbar(image, ax=right, label=measure)
    figure.suptitle(f"{name}, {task.group_name or f'{len(task.generators)} generators'}", wrap=True)
    return figure


def _draw_forecasts(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor) -> Figure:
    errors = node_errors(task, predicted, labels)
    chosen = spread_over_quantiles(errors, _FORECASTS)
    truths, guesses = (
        values[:_ROWS].reshape(-1, task.degree, task.output_size).numpy() for values in (labels, predicted)
    )
    shown = sorted({0, task.output_size - 1}) if task.output_size > 2 else list(range(task.output_size))
    names = task.label_names or [f"label {label}" for label in range(task.output_size)]
    figure = Figure(figsize=(6.5 * len(shown), 2 * len(chosen) + 0.8), layout="constrained")
    grid = figure.subplots(len(chosen), len(shown), squeeze=False, sharex=True, sharey="row")
    for panels, (node, quantile) in zip(grid, chosen, strict=True):
        panels[0].set_ylabel(f"node {node}, {_place(quantile)}:\nmean abs. error {errors[node]:.3g}")
        for axes, label in zip(panels, shown, strict=True):
            axes.plot(truths[:, node, label], **_TRUTH)
            axes.plot(guesses[:, node, label], **_PREDICTION)
            axes.grid(alpha=0.3)
    for axes, label in zip(grid[0], shown, strict=True):
        axes.set_title(names[label])
    for axes in grid[-1]:
        axes.set_xlabel("row of the split")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(f"{name}: forecasts from each row, and the truth", wrap=True)
    figure.legend(handles=_legend_lines(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _lines(edges: Edges) -> list[tuple[int, int]]:
    """Each joined pair once, without loops."""
    return sorted({(min(edge), max(edge)) for edge in edges or [] if edge[0] != edge[1]})


def _place(quantile: float) -> str:
    return {0.0: "best", 1.0: "worst"}.get(quantile, f"{quantile:.0%} quantile")


def _legend_lines() -> list[Line2D]:
    return [Line2D([], [], **_TRUTH, label="truth"), Line2D([], [], **_PREDICTION, label="prediction")]


def _marker_area(count: int) -> float:
    return float(np.clip(5000 / count, 6, 80))
