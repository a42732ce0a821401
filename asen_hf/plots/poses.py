"""Predicted and true poses in space, as a camera sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from ..evaluation.metrics import procrustes
from ..model.configuration_task import TaskConfig
from ._arrays import takes_arrays
from ._axes import axes_or_new, wrapped
from ._lines import PREDICTION, TRUTH, legend_lines
from .errors import quantile_name, row_errors, spread_over_quantiles
from .nodes import Edges, joined_pairs

_POSES = 6


def is_pose(task: TaskConfig) -> bool:
    """Whether labels are places in space."""
    return task.metric in ("mpjpe", "p_mpjpe") and task.output_size == 3


@takes_arrays
def plot_pose(
    task: TaskConfig, predicted: Tensor, labels: Tensor, ax: Axes | None = None, edges: Edges = None, row: int = 0
) -> Axes:
    """One row's predicted and true pose.

    Labels are in millimetres in the coordinates of a camera: x to its right, y down, z away from it. If the metric is
    ``p_mpjpe``, the prediction is shifted, turned and scaled to fit.

    Args:
        task: a task with places in space: its metric is ``mpjpe`` or ``p_mpjpe``, with three labels.
        predicted, labels: ``(N, n, 3)``.
        ax: axes with ``projection="3d"`` to draw into; ``None`` for new ones.
        edges: pairs of nodes to draw as bones.
        row: which row.

    Raises:
        ValueError: a task without places, predictions or labels of another shape, no such row, or no known label.
    """
    if not is_pose(task):
        raise ValueError("a pose needs metric mpjpe or p_mpjpe and three labels per node")
    if not 0 <= row < len(labels):
        raise ValueError(f"row must be in 0 … {len(labels) - 1}, got {row!r}")
    [error] = row_errors(task, predicted[row : row + 1], labels[row : row + 1])
    both, reach = _centered(task, predicted[[row]], labels[[row]])
    ax = axes_or_new(ax, (4.5, 4.5), projection="3d")
    _draw(ax, both[0], reach, edges)
    ax.set_title(f"row {row}: {error:.3g} mm; a grid square is {_step(reach):g} mm")
    ax.legend(handles=legend_lines(), loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2, frameon=False)
    return ax


def draw_poses(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor, edges: Edges) -> Figure:
    """Six rows from the best to the worst, on one scale."""
    errors = row_errors(task, predicted, labels)
    chosen = spread_over_quantiles(errors, _POSES)
    rows = [row for row, _ in chosen]
    both, reach = _centered(task, predicted[rows], labels[rows])
    height, width = -(-len(rows) // 3), min(3, len(rows))
    figure = Figure(figsize=(max(3.2 * width, 5), 3.3 * height + 0.9), layout="constrained")
    for place, (row, quantile) in enumerate(chosen):
        ax = figure.add_subplot(height, width, place + 1, projection="3d")
        _draw(ax, both[place], reach, edges)
        ax.set_title(f"{quantile_name(quantile)}: {errors[row]:.3g} mm (row {row})")
    aligned = "\npredictions are shifted, turned and scaled to fit" if task.metric == "p_mpjpe" else ""
    title = f"{name}: {task.metric} of single rows; a grid square is {_step(reach):g} mm{aligned}"
    figure.suptitle(wrapped(title, 32 * max(width, 2)))
    figure.legend(handles=legend_lines(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _centered(task: TaskConfig, predicted: Tensor, labels: Tensor) -> tuple[NDArray[np.float64], float]:
    """Truths and predictions, ``(rows, 2, n, 3)`` around the origin, and the largest coordinate of all."""
    guesses, truths = predicted.double(), labels.double()
    if task.metric == "p_mpjpe":
        guesses = procrustes(guesses, truths)
    both = np.stack([truths.numpy(), guesses.numpy()], axis=1)[..., [0, 2, 1]]
    both[..., 2] *= -1  # axes: right, away, up, so that poses stand upright
    lowest, highest = np.nanmin(both, axis=(1, 2), keepdims=True), np.nanmax(both, axis=(1, 2), keepdims=True)
    both -= (lowest + highest) / 2
    return both, float((highest - lowest).max()) / 2 or 1.0


def _draw(ax: Any, both: NDArray[np.float64], reach: float, edges: Edges) -> None:
    for points, style in zip(both, (TRUTH, PREDICTION), strict=True):
        ax.plot(*points.T, "o", color=style["color"], markersize=2 * style["linewidth"])
        for i, j in joined_pairs(edges):
            ax.plot(*points[[i, j]].T, **style)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    ax.set_box_aspect((1, 1, 1), zoom=1.15)
    ticks = _ticks(reach)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_ticks(ticks, [])
    ax.view_init(elev=12, azim=-75)  # seen from the camera


def _ticks(reach: float) -> NDArray[np.float64]:
    ticks = np.asarray(MaxNLocator(4).tick_values(-reach, reach))
    return ticks[np.abs(ticks) <= reach]  # a tick outside the limits would widen the axes


def _step(reach: float) -> float:
    ticks = MaxNLocator(4).tick_values(-reach, reach)
    return float(ticks[1] - ticks[0])
