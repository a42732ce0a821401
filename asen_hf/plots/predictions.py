"""The pictures that suit a task, written as files: the task's config decides which."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..model._messages import naming
from ..model.configuration_html import group_text
from ..model.configuration_task import TaskConfig
from ._axes import STYLE, wrapped
from ._saving import save_figure
from .attributions import plot_node_attribution, plot_pair_attribution
from .errors import checked_known
from .forecasts import draw_forecasts
from .nodes import Edges, map_height, plot_node_errors, plot_node_orbits
from .pairs import draw_pair_outputs
from .poses import draw_poses, is_pose
from .tables import plot_calibration, plot_confusion, plot_truth

if TYPE_CHECKING:
    from ..evaluation.attribution import Attribution

_LABELS = 6  # panels of truth against prediction


class Picture(NamedTuple):
    """A kind of picture: the end of its file's name, what it shows, and the function that draws it."""

    kind: str
    shown: str
    draw: Callable[[], Figure]


def write_pictures(
    folder: str | Path,
    name: str,
    task: TaskConfig,
    predicted: Tensor,
    labels: Tensor,
    edges: Edges = None,
    probabilities: Tensor | None = None,
    attributions: tuple[Attribution, Attribution] | None = None,
) -> dict[Path, str]:
    """Draw the pictures that suit a task, as ``NAME-KIND.png``.

    ================  =========================================================================================
    kind              drawn for
    ================  =========================================================================================
    ``confusion``     one class per node or graph
    ``calibration``   any classification, if probabilities are given
    ``truth``         regressions
    ``nodes``         node-level tasks without ``node_coordinates``: errors as bars
    ``map``           node-level tasks with ``node_coordinates``: node orbits, and errors
    ``pairs``         tasks with outputs of pairs; see :func:`plot_pair_outputs`
    ``poses``         places in space: the metric is ``mpjpe`` or ``p_mpjpe``; see :func:`plot_pose`
    ``forecasts``     tasks with a ``residual_feature``; rows must be in the order of time
    ``attribution``   any task, if attributions are given: which nodes and which pairs mattered
    ================  =========================================================================================

    Args:
        folder: folder to write to; it must exist.
        name: name of the task, for titles and file names.
        task: config of the task.
        predicted, labels: ``(N,) + task.label_shape()``, in raw units, as ``model.predict`` and ``collate`` give them.
        edges: pairs of nodes to draw as bones or roads; a config on the complete support has none.
        probabilities: as for :func:`plot_calibration`.
        attributions: of nodes and of pairs, see :mod:`asen_hf.evaluation.attribution`.

    Returns:
        ``{file: what it shows}``.

    Raises:
        ValueError: predictions or labels of another shape, or no known error to draw; names the task.
    """
    safe_name = re.sub(r"[^\w.-]+", "-", name)  # names may hold slashes
    written = {}
    with naming(f"task {name!r}"):
        checked_known(task, predicted, labels)
        for picture in _pictures(name, task, predicted, labels, edges, probabilities, attributions):
            path = Path(folder) / f"{safe_name}-{picture.kind}.png"
            with matplotlib.rc_context(STYLE):
                save_figure(picture.draw(), path, bbox_inches="tight")
            written[path] = picture.shown
    return written


def _pictures(
    name: str,
    task: TaskConfig,
    predicted: Tensor,
    labels: Tensor,
    edges: Edges,
    probabilities: Tensor | None,
    attributions: tuple[Attribution, Attribution] | None,
) -> Iterator[Picture]:
    if task.problem_type == "single_label_classification":
        side = float(np.clip(0.3 * min(task.output_size, 60) + 2.5, 4, 9))
        yield Picture(
            "confusion",
            "true classes against predicted ones",
            lambda: _single(name, (side + 1.2, side), lambda ax: plot_confusion(task, predicted, labels, ax)),
        )
    if not task.is_regression and probabilities is not None:
        yield Picture(
            "calibration",
            "predicted probabilities against what came true",
            lambda: _single(name, (5.2, 4.8), lambda ax: plot_calibration(task, probabilities, labels, ax)),
        )
    if task.is_regression:
        yield Picture("truth", "true values against predicted ones", lambda: _draw_truth(name, task, predicted, labels))
    if task.output_level == "node" and task.node_coordinates is None:
        width = float(np.clip(2.5 + 0.18 * task.degree, 5, 11))
        yield Picture(
            "nodes",
            "errors per node",
            lambda: _single(name, (width, 3.8), lambda ax: plot_node_errors(task, predicted, labels, ax)),
        )
    if task.output_level == "node" and task.node_coordinates is not None:
        yield Picture(
            "map",
            "nodes where they lie, by orbit and by error",
            lambda: _draw_map(name, task, predicted, labels, edges),
        )
    if task.output_level == "pair":
        yield Picture(
            "pairs",
            "true and predicted outputs of pairs, from the best row to the worst",
            lambda: draw_pair_outputs(name, task, predicted, labels),
        )
    if is_pose(task):
        yield Picture(
            "poses",
            "predicted and true poses, from the best to the worst",
            lambda: draw_poses(name, task, predicted, labels, edges),
        )
    if task.residual_feature is not None:
        yield Picture(
            "forecasts",
            "forecasts and truth over consecutive rows",
            lambda: draw_forecasts(name, task, predicted, labels),
        )
    if attributions is not None:
        yield Picture(
            "attribution", "which nodes and which pairs mattered", lambda: _draw_attributions(name, task, attributions)
        )


def _single(name: str, size: tuple[float, float], draw: Callable[[Axes], Axes]) -> Figure:
    figure = Figure(figsize=size, layout="compressed")
    draw(figure.subplots())
    figure.suptitle(wrapped(name, int(11 * size[0])), fontsize=11)
    return figure


def _draw_truth(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor) -> Figure:
    """The first labels, a panel each."""
    count = min(task.output_size, _LABELS)
    across = min(count, 3)
    down = -(-count // across)
    figure = Figure(figsize=(4.6 * across, 4.5 * down + 0.4), layout="compressed")
    grid = figure.subplots(down, across, squeeze=False)
    for label, ax in zip(range(count), grid.flat, strict=False):
        plot_truth(task, predicted, labels, ax, label)
    for ax in grid.flat[count:]:
        ax.set_axis_off()
    part = "" if count == task.output_size else f": the first {count} of {task.output_size} labels"
    figure.suptitle(wrapped(name + part, 50 * across), fontsize=11)
    return figure


def _draw_map(name: str, task: TaskConfig, predicted: Tensor, labels: Tensor, edges: Edges) -> Figure:
    figure = Figure(figsize=(12, 1.8 + 5 * map_height(task)), layout="compressed")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    plot_node_orbits(task, left, edges)
    plot_node_errors(task, predicted, labels, right, edges)
    if task.is_regression and task.label_names:
        right.set_title(wrapped("errors of: " + ", ".join(task.label_names), 60))
    figure.suptitle(wrapped(f"{name}, {group_text(task)}", 110), fontsize=11)
    return figure


def _draw_attributions(name: str, task: TaskConfig, attributions: tuple[Attribution, Attribution]) -> Figure:
    figure = Figure(figsize=(12, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_node_attribution(task, attributions[0], left)
    plot_pair_attribution(task, attributions[1], right)
    figure.suptitle(wrapped(f"{name}: integrated gradients", 110), fontsize=11)
    return figure
