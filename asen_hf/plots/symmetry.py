"""Pictures of symmetries: node orbits and orbitals as colour maps (the paper's Figure 1), and learned distances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ._saving import save_figure

STYLE: Any = {"font.size": 9, "axes.titlesize": 10, "font.family": "DejaVu Sans"}
_QUALITATIVE = 20  # with more colours, single ones cannot be told apart


def plot_symmetry(
    path: str | Path,
    labels: NDArray[np.integer],
    node_labels: NDArray[np.integer],
    title: str,
    distances: NDArray[np.floating] | None = None,
) -> None:
    """Draw the orbitals of a group as a coloured matrix, with its node orbits beside it.

    Points are sorted by node orbit, so that orbits are blocks; up to 40 points they are named.

    Args:
        path: file to write; its ending decides on the format.
        labels: orbital numbers ``(n, n)``, rows = targets; -1 for pairs outside the support.
        node_labels: orbit numbers ``(n,)``.
        title: title of the picture.
        distances: pairwise distances of learned orbital features ``(rank, rank)``, drawn as a second panel.
    """
    order = np.argsort(node_labels, kind="stable")
    panels = 1 if distances is None else 2
    with matplotlib.rc_context(STYLE):
        # Not pyplot's: it would stay open, and show up in a notebook.
        figure = Figure(figsize=(6.2 * panels, 6.2), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)
        figure.suptitle(title, wrap=True, fontsize=11)
        _draw_orbitals(axes[0, 0], labels[np.ix_(order, order)], node_labels[order], order)
        if distances is not None:
            _draw_distances(axes[0, 1], distances)
        save_figure(figure, path)


def _draw_orbitals(
    axes: Axes, labels: NDArray[np.integer], node_labels: NDArray[np.integer], names: Sequence[int] | NDArray
) -> None:
    n, num_orbitals, num_orbits = len(labels), int(labels.max()) + 1, int(node_labels.max()) + 1
    absent = np.ma.masked_less(labels, 0)
    axes.imshow(absent, cmap=palette(num_orbitals), vmin=-0.5, vmax=num_orbitals - 0.5, interpolation="nearest")
    axes.set_facecolor("#f4f4f4")
    axes.set_title(f"orbitals on pairs: {num_orbitals:,}; orbits on points: {num_orbits:,}")
    axes.set_xlabel("source j")
    axes.set_ylabel("target i")
    strip = axes.inset_axes((-0.035, 0, 0.02, 1), sharey=axes)  # orbits of the points, beside their rows
    strip.imshow(node_labels[:, None], cmap=palette(num_orbits), aspect="auto", interpolation="nearest")
    strip.set_axis_off()
    for boundary in np.flatnonzero(np.diff(node_labels)) + 0.5:
        if num_orbits <= _QUALITATIVE:
            axes.axhline(boundary, color="white", linewidth=1.2)
            axes.axvline(boundary, color="white", linewidth=1.2)
    if n <= 40:
        axes.set_xticks(range(n), [str(name) for name in names], fontsize=8 if n <= 20 else 6)
        axes.set_yticks(range(n), [str(name) for name in names], fontsize=8 if n <= 20 else 6)
    if n <= 16 and num_orbitals <= 100:
        for (row, column), label in np.ndenumerate(labels):
            if label >= 0:
                axes.text(column, row, str(label), ha="center", va="center", color="white", fontsize=7)
    axes.tick_params(axis="y", pad=14, length=0)  # clear of the strip
    axes.tick_params(axis="x", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_distances(axes: Axes, distances: NDArray[np.floating]) -> None:
    image = axes.imshow(distances, cmap="viridis", interpolation="nearest")
    axes.set_title("distances between learned orbital features")
    axes.set_xlabel("orbital")
    axes.set_ylabel("orbital")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.figure.colorbar(image, ax=axes, shrink=0.8)


def palette(size: int) -> ListedColormap:
    """Distinct colours for few labels; for many a cyclic map in scrambled order, so that neighbours differ."""
    if size <= _QUALITATIVE:
        return ListedColormap([matplotlib.colormaps.get_cmap("tab20")(index) for index in _spread(_QUALITATIVE)[:size]])
    hues = np.linspace(0, 1, size, endpoint=False)
    return ListedColormap(matplotlib.colormaps.get_cmap("turbo")(hues[_spread(size)]))


def _spread(size: int) -> list[int]:
    """0 … size-1 in an order that keeps neighbours apart: saturated colours of tab20 first, then the pale ones."""
    return [*range(0, size, 2), *range(1, size, 2)]
