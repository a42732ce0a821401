"""Which nodes and which pairs mattered: pictures of :mod:`asen_hf.evaluation.attribution`."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..evaluation.attribution import Attribution
from ..model.configuration_task import TaskConfig
from ._axes import axes_or_new, name_ticks, wrapped
from .nodes import draw_bars, draw_map


def plot_node_attribution(
    task: TaskConfig, attribution: Attribution, ax: Axes | None = None, row: int | None = None
) -> Axes:
    """What every node added to the output: on a map where nodes have coordinates, else one bar per node.

    Args:
        task: the task that was explained.
        attribution: of :func:`asen_hf.evaluation.attribution.node_attribution`; a node's features are summed.
        ax: axes to draw into; ``None`` for new ones.
        row: the row to show, with its signs; ``None``: the mean of the absolute values of all rows.

    Raises:
        ValueError: an attribution of another task or of pairs, or no such row.
    """
    values = attribution.values.detach().cpu().double().numpy()
    if values.shape[1:] != task.input_shape():
        raise ValueError(
            f"node attributions must have shape (rows, {', '.join(map(str, task.input_shape()))}), got {values.shape}"
        )
    by_node, measure = _chosen(values.reshape(len(values), task.degree, -1).sum(axis=2), row)
    if task.node_coordinates is None:
        ax = draw_bars(task, by_node, measure, ax)
    else:
        ax = draw_map(task, by_node, measure, ax, is_signed=row is not None)
    ax.set_title(_title("nodes", attribution, row))
    return ax


def plot_pair_attribution(
    task: TaskConfig, attribution: Attribution, ax: Axes | None = None, row: int | None = None
) -> Axes:
    """What the messages of every pair added to the output: row = target i, column = source j.

    Args:
        task, ax, row: as for :func:`plot_node_attribution`.
        attribution: of :func:`asen_hf.evaluation.attribution.pair_attribution`.

    Raises:
        ValueError: an attribution of another task or of nodes, or no such row.
    """
    values = attribution.values.detach().cpu().double().numpy()
    if values.shape[1:] != (task.degree, task.degree):
        raise ValueError(f"pair attributions must have shape (rows, {task.degree}, {task.degree}), got {values.shape}")
    by_pair, measure = _chosen(values, row)
    ax = axes_or_new(ax, (6, 5))
    reach = float(np.abs(by_pair).max()) or 1.0
    colors: Any = {"cmap": "RdBu_r", "vmin": -reach} if row is not None else {"cmap": "viridis", "vmin": 0}
    image = ax.imshow(by_pair, vmax=reach, interpolation="nearest", **colors)
    for axis in (ax.xaxis, ax.yaxis):
        name_ticks(axis, range(task.degree))
    ax.set(xlabel="source j", ylabel="target i")
    ax.set_title(_title("messages", attribution, row))
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label=measure)
    return ax


def _chosen(values: NDArray[np.float64], row: int | None) -> tuple[NDArray[np.float64], str]:
    if row is None:
        return np.abs(values).mean(axis=0), f"mean |attribution| over {len(values):,} row{'s' * (len(values) > 1)}"
    if not 0 <= row < len(values):
        raise ValueError(f"row must be in 0 … {len(values) - 1}, got {row!r}")
    return values[row], "attribution (unit of the output)"


def _title(what: str, attribution: Attribution, row: int | None) -> str:
    if row is None:
        return wrapped(f"which {what} mattered to {attribution.subject}", 56)
    start, end = float(attribution.baseline_output[row]), float(attribution.output[row])
    return wrapped(f"row {row}: {what} that took {attribution.subject} from {start:.3g} to {end:.3g}", 56)
