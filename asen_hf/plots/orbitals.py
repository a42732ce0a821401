"""Pictures of symmetries: orbitals and node orbits as colours (paper, Figure 1), and what training made of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup

from ..model.configuration_symmetries import seen_symmetry, value_group
from ..model.configuration_task import TaskConfig
from ..model.groups import symmetric
from ..model.orbits import orbit_labels, refine_by_support
from ._axes import STYLE, axes_or_new, name_ticks, palette, wrapped
from ._saving import save_figure

if TYPE_CHECKING:
    from ..model.pretrained_asen import AsenPreTrainedModel

_MOST_BOUNDARIES = 20
MOST_DISTANCES = 1000  # orbitals of a matrix of distances


def plot_orbitals(group_or_task: PermutationGroup | TaskConfig, ax: Axes | None = None) -> Axes:
    """The orbitals as a coloured matrix, row = target i, column = source j, with the node orbits beside it.

    Nodes are sorted by orbit, so that orbits are blocks; ticks give the nodes' own numbers. Up to 16 nodes, pairs show
    the number of their orbital.

    Args:
        group_or_task: a group, or a task with its support and ``symmetry_breaking``: pairs without messages are blank.
            With value symmetries, the orbitals are those that the network sees: of the elements that change no value,
            or of the lift, whose points (node, value map) are named ``3.1`` for node 3 seen through value map 1.
        ax: axes to draw into; ``None`` for new ones.
    """
    labels, node_labels = pair_labels(group_or_task), _node_labels(group_or_task)
    order = np.argsort(node_labels, kind="stable")
    labels, node_labels = labels[np.ix_(order, order)], node_labels[order]
    n, num_orbitals, num_orbits = len(labels), int(labels.max()) + 1, int(node_labels.max()) + 1
    ax = axes_or_new(ax, (6.2, 6.2))
    blank = np.ma.masked_less(labels, 0)
    colors = palette(num_orbitals)
    ax.imshow(blank, cmap=colors, vmin=-0.5, vmax=num_orbitals - 0.5, interpolation="nearest")
    _finish(ax, order, node_labels, group_or_task)
    ax.set_title(f"orbitals on pairs: {num_orbitals:,}; orbits on points: {num_orbits:,}{_seen_text(group_or_task)}")
    if n <= 16 and num_orbitals <= 100:
        for (row, column), label in np.ndenumerate(labels):
            if label >= 0:
                red, green, blue, _ = colors(int(label))
                text_color = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.6 else "white"
                ax.text(column, row, str(label), ha="center", va="center", color=text_color, fontsize=7)
    return ax


def plot_orbital_features(model: AsenPreTrainedModel, task: str | None = None, ax: Axes | None = None) -> Axes:
    """The first principal component of the orbitals' learned features, at the pairs of each orbital.

    Orbitals that training has tied look alike. Features are as the attention sees them: every orbital's row of all
    layers' projected tables (see :func:`asen_hf.evaluation.discovery.orbital_features`). The sign of the component is
    such that the first orbital, of the pair (0, 0), is not positive.

    Args:
        model: ``AsenForMultitask`` or ``AsenModel``.
        task: name of the task; ``None`` if there is only one.
        ax: axes to draw into; ``None`` for new ones.

    Raises:
        ValueError: the task is unknown.
    """
    from ..evaluation.discovery import orbital_features  # imported here: the picture of a group needs no torch

    name, config = model.config.task(task)
    scores, share = principal_component(orbital_features(model, name))
    labels, node_labels = pair_labels(config), _node_labels(config)
    order = np.argsort(node_labels, kind="stable")
    values = np.ma.masked_array(scores[labels], labels < 0)[np.ix_(order, order)]
    ax = axes_or_new(ax, (6.8, 6.2))
    reach = float(np.abs(scores).max()) or 1.0
    image = ax.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
    _finish(ax, order, node_labels[order], config)
    ax.set_title(
        f"learned features of {len(scores):,} orbitals:\nfirst principal component, {share:.0%} of the variance"
        f"{_seen_text(config)}"
    )
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="first principal component")
    return ax


def plot_orbital_distances(model: AsenPreTrainedModel, task: str | None = None, ax: Axes | None = None) -> Axes:
    """Euclidean distances between the learned features of orbitals, over their mean; near 0: training tied them.

    Args:
        model, task, ax: as for :func:`plot_orbital_features`.

    Raises:
        ValueError: the task is unknown, or has over 1,000 orbitals.
    """
    from ..evaluation.discovery import orbital_distances, orbital_features

    name, config = model.config.task(task)
    rank = len(orbital_features(model, name))
    if rank > MOST_DISTANCES:
        raise ValueError(
            f"task {name!r} has {rank:,} orbitals, and distances of over {MOST_DISTANCES:,} cannot be read: use "
            "plot_orbital_features"
        )
    distances = orbital_distances(model, name)
    mean = distances.sum() / max(1, rank * (rank - 1))
    ax = axes_or_new(ax, (6.2, 5.4))
    image = ax.imshow(distances / (mean or 1.0), cmap="viridis", vmin=0, interpolation="nearest")
    names = config.orbital_names or [str(orbital) for orbital in range(rank)]
    for axis in (ax.xaxis, ax.yaxis):
        name_ticks(axis, names)
    ax.set(title="distances of learned orbital features", xlabel="orbital", ylabel="orbital")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label="distance / mean distance")
    return ax


def write_symmetry(
    path: str | Path,
    title: str,
    group_or_task: PermutationGroup | TaskConfig,
    model: AsenPreTrainedModel | None = None,
    task: str | None = None,
) -> None:
    """Draw a group's orbitals and, of a trained task, their learned features, and distances of at most 1,000.

    Args:
        path: file to write; its ending decides on the format.
        title: title of the picture.
        group_or_task: as for :func:`plot_orbitals`.
        model, task: as for :func:`plot_orbital_features`; without a model, orbitals alone are drawn.

    Raises:
        ValueError: Matplotlib knows no format of that ending.
    """
    labels = pair_labels(group_or_task)
    panels = 1 if model is None else 2 if labels.max() >= MOST_DISTANCES else 3
    with matplotlib.rc_context(STYLE):
        # Not pyplot's: it would stay open, and show up in a notebook.
        figure = Figure(figsize=(6.6 * panels, 6.4), layout="compressed")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        figure.suptitle(wrapped(title, 90 * panels), fontsize=11)
        plot_orbitals(group_or_task, axes[0])
        if model is not None:
            for plot, ax in zip((plot_orbital_features, plot_orbital_distances), axes[1:], strict=False):
                plot(model, task, ax)
        save_figure(figure, path)


def pair_labels(group_or_task: PermutationGroup | TaskConfig) -> NDArray[np.integer]:
    """Orbital numbers of all pairs ``(n, n)``, as a network sees them; -1 for pairs outside a sparse support."""
    if not isinstance(group_or_task, TaskConfig):
        return orbit_labels(group_or_task)
    task, seen = group_or_task, seen_symmetry(group_or_task)
    group = symmetric(seen.degree) if task.symmetry_breaking == "nodes" else seen.permutation_group()
    if seen.edges is None:
        return orbit_labels(group)
    if task.support == "weak":
        return refine_by_support(orbit_labels(group), seen.edges)
    labels = np.full((seen.degree, seen.degree), -1, dtype=np.int64)
    labels[tuple(np.array(seen.edges).T)] = orbit_labels(group, edges=seen.edges)
    return labels


def principal_component(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Scores ``(rank,)`` along the first principal component of ``(rank, D)``, and its share of the variance."""
    centered = np.asarray(features, dtype=np.float64) - np.mean(features, axis=0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    scores = left[:, 0] * values[0]
    total = np.square(values).sum()
    return scores * (-1 if scores[0] > 0 else 1), float(values[0] ** 2 / total) if total > 0 else 1.0


def _node_labels(group_or_task: PermutationGroup | TaskConfig) -> NDArray[np.integer]:
    is_task = isinstance(group_or_task, TaskConfig)
    return orbit_labels(seen_symmetry(group_or_task).permutation_group() if is_task else group_or_task, order=1)


def _is_lifted(group_or_task: PermutationGroup | TaskConfig) -> bool:
    return isinstance(group_or_task, TaskConfig) and group_or_task.symmetrization == "lift"


def _seen_text(group_or_task: PermutationGroup | TaskConfig) -> str:
    """What a picture of a task with value symmetries shows, as one more line of its title."""
    if not isinstance(group_or_task, TaskConfig) or not group_or_task.value_symmetries:
        return ""
    if _is_lifted(group_or_task):
        return f"\nof the lift: {seen_symmetry(group_or_task).degree:,} points (node.value map)"
    return "\nof moves that change no value"


def _point_names(group_or_task: PermutationGroup | TaskConfig, points: NDArray[np.integer]) -> list[str]:
    if not _is_lifted(group_or_task):
        return [str(point) for point in points]
    lift = value_group(group_or_task).lift
    return [f"{lift.nodes[point]}.{lift.maps[point]}" for point in points]


def _finish(
    ax: Axes,
    order: NDArray[np.integer],
    node_labels: NDArray[np.integer],
    group_or_task: PermutationGroup | TaskConfig,
) -> None:
    """Ticks with the nodes' numbers, a strip of node orbits, and white lines between them."""
    num_orbits = int(node_labels.max()) + 1
    ax.set_facecolor("#f4f4f4")
    for axis in (ax.xaxis, ax.yaxis):
        name_ticks(axis, _point_names(group_or_task, order))
    ax.set(xlabel="source j", ylabel="target i")
    strip = ax.inset_axes((-0.035, 0, 0.02, 1), sharey=ax)  # orbits of the points, beside their rows
    strip.imshow(node_labels[:, None], cmap=palette(num_orbits), aspect="auto", interpolation="nearest")
    strip.set_axis_off()
    if num_orbits <= _MOST_BOUNDARIES:
        for boundary in np.flatnonzero(np.diff(node_labels)) + 0.5:
            ax.axhline(boundary, color="white", linewidth=1.2)
            ax.axvline(boundary, color="white", linewidth=1.2)
    ax.tick_params(axis="y", pad=14, length=0)  # clear of the strip
    ax.tick_params(axis="x", length=0)
    ax.spines[:].set_visible(False)
