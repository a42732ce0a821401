"""Forecasts and truth over consecutive rows."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ..model.configuration_task import TaskConfig
from ._arrays import takes_arrays
from ._axes import axes_or_new, wrapped
from ._lines import PREDICTION, TRUTH, legend_lines
from .errors import node_errors, quantile_name, spread_over_quantiles

_FORECASTS = 4
_ROWS = 288  # of a forecast: one day in steps of five minutes


@takes_arrays
def plot_forecast(
    task: TaskConfig, predicted: Tensor, labels: Tensor, ax: Axes | None = None, node: int = 0, label: int = 0
) -> Axes:
    """One node's label and its prediction over the first 288 rows, which must be in the order of time.

    Args:
        task: a node-level regression.
        predicted, labels: ``(N,) + task.label_shape()``, in raw units.
        ax: axes to draw into; ``None`` for new ones.
        node, label: which node and which of its labels.

    Raises:
        ValueError: another kind of task, predictions or labels of another shape, no such node or label, or no known
            label.
    """
    if not task.is_regression:
        raise ValueError("a forecast needs values: problem_type='regression'")
    errors = node_errors(task, predicted, labels)
    for what, number, size in (("node", node, task.degree), ("label", label, task.output_size)):
        if not 0 <= number < size:
            raise ValueError(f"{what} must be in 0 … {size - 1}, got {number!r}")
    ax = axes_or_new(ax, (7.5, 3))
    _draw(ax, task, predicted, labels, node, label)
    ax.set(xlabel="row of the split", ylabel="value (unit of the labels)")
    ax.set_title(wrapped(f"node {node}, {_names(task)[label]}: mean absolute error {errors[node]:.3g}"))
    ax.legend(handles=legend_lines(), loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return ax


def draw_forecasts(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor) -> Figure:
    """The first and the last label of four nodes, from the best to the worst."""
    errors = node_errors(task, predicted, labels)
    chosen = spread_over_quantiles(errors, _FORECASTS)
    shown = sorted({0, task.output_size - 1}) if task.output_size > 2 else list(range(task.output_size))
    figure = Figure(figsize=(6.5 * len(shown), 2 * len(chosen) + 1), layout="constrained")
    grid = figure.subplots(len(chosen), len(shown), squeeze=False, sharex=True, sharey="row")
    for panels, (node, quantile) in zip(grid, chosen, strict=True):
        panels[0].set_ylabel(f"node {node}, {quantile_name(quantile)}:\nmean abs. error {errors[node]:.3g}")
        for ax, label in zip(panels, shown, strict=True):
            _draw(ax, task, predicted, labels, node, label)
    for ax, label in zip(grid[0], shown, strict=True):
        ax.set_title(wrapped(_names(task)[label]))
    for ax in grid[-1]:
        ax.set_xlabel("row of the split")
    title = f"{name}: forecasts from each row, and the truth, in the unit of the labels"
    figure.suptitle(wrapped(title, 70 * len(shown)))
    figure.legend(handles=legend_lines(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(ax: Axes, task: TaskConfig, predicted: Tensor, labels: Tensor, node: int, label: int) -> None:
    for values, style in ((labels, TRUTH), (predicted, PREDICTION)):
        ax.plot(values[:_ROWS].reshape(-1, task.degree, task.output_size)[:, node, label].numpy(), **style)
    ax.grid(alpha=0.3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _names(task: TaskConfig) -> list[str]:
    return task.label_names or [f"label {label}" for label in range(task.output_size)]
