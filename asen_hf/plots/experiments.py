"""Pictures of experiments: candidates ranked by their scores, and scores over the columns of a grid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._axes import axes_or_new, legend_below, wrapped

_MOST_CANDIDATES = 40
_PANELS = 4  # side by side


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A candidate of :func:`plot_ranking`: its name, what kind it is, and a score per seed."""

    name: str
    kind: str
    scores: Sequence[float]


def plot_ranking(candidates: Sequence[Ranked], measure: str, ax: Axes | None = None) -> Axes:
    """One line per candidate, in the order given, from the top: a dot per seed, their mean and standard deviation.

    Args:
        candidates: the best first; after 40, the rest is left out, and the title says so.
        measure: what the scores are, for the axis.
        ax: axes to draw into; ``None`` for new ones.

    Raises:
        ValueError: no candidate.
    """
    if not candidates:
        raise ValueError("a ranking needs at least one candidate")
    shown = candidates[:_MOST_CANDIDATES]
    ax = axes_or_new(ax, ranking_size(len(candidates)))
    kinds = list(dict.fromkeys(candidate.kind for candidate in shown))
    for place, candidate in enumerate(shown):
        color = f"C{kinds.index(candidate.kind) % 10}"
        scores = np.asarray(candidate.scores, dtype=np.float64)
        below = np.full(len(scores), place + 0.22)  # clear of the bar
        ax.plot(scores, below, "o", color=color, markersize=4, alpha=0.5, markeredgewidth=0)
        spread = scores.std(ddof=1) if len(scores) > 1 else 0.0
        ax.errorbar(scores.mean(), place, xerr=spread, fmt="o", color=color, markersize=6, capsize=3)
    for kind in kinds:
        ax.plot([], [], "o", color=f"C{kinds.index(kind) % 10}", label=kind)
    names = [_in_full(candidate.name) for candidate in shown]
    ax.set_yticks(range(len(shown)), names, fontsize=8)
    ax.set(ylim=(len(shown) - 0.5, -0.5), xlabel=measure)
    if len(shown) < len(candidates):
        ax.set_title(f"the best {len(shown)} of {len(candidates):,} candidates")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    if len(kinds) > 1:
        legend_below(ax, min(4, len(kinds)))
    return ax


def ranking_size(num_candidates: int) -> tuple[float, float]:
    """Width and height in inches of a ranking."""
    return 8, 1.4 + 0.28 * min(num_candidates, _MOST_CANDIDATES)


def plot_columns(
    columns: Sequence[str], arms: Mapping[str, Mapping[str, tuple[float, float]]], ax: Axes | None = None
) -> Axes:
    """Mean and standard error of every arm over columns: lines over numbers, dots side by side over categories.

    Args:
        columns: names of the columns; positive numbers are placed on a logarithmic axis, others at even distances.
        arms: ``{arm: {column: (mean, standard error)}}``; the error may be NaN.
        ax: axes to draw into; ``None`` for new ones.
    """
    ax = axes_or_new(ax, (5, 3.6))
    numbers = [_number(column) for column in columns]
    is_numeric = bool(np.isfinite(numbers).all())
    is_logarithmic = is_numeric and len(columns) > 1 and min(numbers) > 0
    places = numbers if is_logarithmic else list(range(len(columns)))
    # Categories have no order to draw a line along, so their dots stand beside each other.
    steps = np.zeros(len(arms)) if is_numeric else np.linspace(-0.3, 0.3, len(arms)) if len(arms) > 1 else np.zeros(1)
    style = {"marker": "o", "markersize": 3 if is_numeric else 4, "linewidth": 1.2, "capsize": 2}
    for number, ((arm, scores), step) in enumerate(zip(arms.items(), steps, strict=True)):
        known = [(place, *scores[column]) for place, column in zip(places, columns, strict=True) if column in scores]
        if known:
            x, means, errors = np.array(known).T
            line: Any = {**style, "linestyle": "-" if is_numeric else "none", "color": f"C{number % 10}"}
            ax.errorbar(x + step, means, yerr=np.nan_to_num(errors), label=arm, **line)
    ax.set_xscale("log" if is_logarithmic else "linear")
    turned: Any = {"rotation": 45, "ha": "right"} if sum(len(column) + 2 for column in columns) > 40 else {}
    ax.set_xticks(places, columns, fontsize=8, **turned)
    if not is_numeric:
        ax.set_xlim(-0.6, len(columns) - 0.4)
    ax.minorticks_off()
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def draw_panels(
    subjects: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]],
    columns: Sequence[str],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """One panel of :func:`plot_columns` per subject, with one legend for all."""
    across = min(_PANELS, len(subjects))
    down = math.ceil(len(subjects) / across)
    arms = list(dict.fromkeys(arm for scores in subjects.values() for arm in scores))
    width = max(3 * across, 4.5)
    # As many columns as fit into the figure's width, at about 14 characters per inch.
    longest = max((len(arm) for arm in arms), default=1) + 7
    legend_columns = max(1, min(len(arms), int(14 * width / longest)))
    height = 2.5 * down + 0.2 * math.ceil(len(arms) / legend_columns) + 0.3
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    handles: dict[str, Any] = {}
    for panel, (subject, scores) in zip(panels.flat, subjects.items(), strict=False):
        plot_columns(columns, {arm: scores.get(arm, {}) for arm in arms}, panel)
        panel.set_title(wrapped(subject, 34), fontsize=9)
        handles |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    for panel in panels.flat[len(subjects) :]:
        panel.axis("off")
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=legend_columns,
        fontsize=9,
        frameon=False,
    )
    return figure


def _number(text: str) -> float:
    """The number that a text says; NaN for other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _in_full(name: str) -> str:
    """A candidate's name, in two lines if it is long."""
    return wrapped(name, 44) if len(name) <= 88 else wrapped(f"{name[:87]}…", 44)
