"""Outputs of pairs of nodes: the matrix of a row, true and predicted."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ..model.configuration_task import TaskConfig
from ..model.heads import is_known
from ._arrays import takes_arrays
from ._axes import ACCENT, axes_or_new, name_ticks, wrapped
from .errors import row_errors, spread_over_quantiles

_ROWS = 3
_MOST_TICKS = 20  # panels are small
_MOST_NAMED = 10  # classes in a legend


@takes_arrays
def plot_pair_outputs(
    task: TaskConfig, values: Tensor, ax: Axes | None = None, label: int = 0, truth: Tensor | None = None
) -> Axes:
    """One row's classes or values of all pairs: targets down, sources across; unknown ones stay blank.

    Args:
        task: a task with outputs of pairs.
        values: ``task.label_shape()``, labels or predictions in raw units.
        ax: axes to draw into; ``None`` for those of a new pyplot figure.
        label: which of several labels to draw.
        truth: labels of the same shape; classes that differ from them are marked, values are coloured as these are.

    Raises:
        ValueError: a task without outputs of pairs, or values of another shape.
    """
    if task.output_level != "pair" or values.shape != task.label_shape():
        raise ValueError(f"expected the outputs of pairs of one row, {task.label_shape()}, got {tuple(values.shape)}")
    drawn, known = (part if values.ndim == 2 else part[..., label] for part in (values, is_known(task, values)))
    ax = axes_or_new(ax)
    low: float | None = None if task.is_regression else 0
    high: float | None = None if task.is_regression else task.top_class
    if task.is_regression and truth is not None:
        true = truth if truth.ndim == 2 else truth[..., label]
        true = true[~true.isnan()].double()
        low, high = (float(true.min()), float(true.max())) if len(true) else (None, None)
    image = ax.imshow(np.where(known, drawn.double(), np.nan), cmap="viridis", vmin=low, vmax=high)
    if task.is_regression:
        ax.figure.colorbar(image, ax=ax, shrink=0.8)
    elif truth is not None:
        wrong = (values != truth) & is_known(task, truth)
        rows, columns = np.nonzero((wrong if values.ndim == 2 else wrong[..., label]).numpy())
        ax.plot(columns, rows, "x", color=ACCENT, markersize=5)
    for axis, name in ((ax.xaxis, "source"), (ax.yaxis, "target")):
        if task.degree <= _MOST_TICKS:
            name_ticks(axis, range(task.degree))
        else:
            axis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_label_text(name)
    return ax


def draw_pair_outputs(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor) -> Figure:
    """The truth above the prediction, of rows from the best to the worst."""
    errors = row_errors(task, predicted, labels)
    sign = 1 if task.is_regression else -1  # of classes, the metric grows with success
    chosen = spread_over_quantiles(sign * errors - np.nanmin(sign * errors), _ROWS)
    figure = Figure(figsize=(3.4 * len(chosen) + 0.6, 6.9), layout="compressed")
    grid = figure.subplots(2, len(chosen), squeeze=False)
    for column, (row, _) in enumerate(chosen):
        plot_pair_outputs(task, labels[row], grid[0, column])
        plot_pair_outputs(task, predicted[row], grid[1, column], truth=labels[row])
        grid[0, column].set_title(f"row {row}: true")
        grid[1, column].set_title(f"predicted, {task.metric} {errors[row]:.3g}")
    if task.problem_type == "single_label_classification" and task.output_size <= _MOST_NAMED:
        names = task.label_names or [f"class {number}" for number in range(task.output_size)]
        image = grid[0, 0].images[0]
        patches = [
            Patch(facecolor=image.cmap(image.norm(number)), edgecolor="gray", label=wrapped(label, 24))
            for number, label in enumerate(names)
        ]
        figure.legend(
            handles=patches,
            loc="outside lower center",
            frameon=False,
            fontsize=8,
            ncols=min(len(patches), 2 * len(chosen)),
        )
    figure.suptitle(wrapped(name, 30 * len(chosen)), fontsize=11)
    return figure
