"""Pictures of studies: scores of several arms over the columns of a grid, and results from elsewhere beside them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ._axes import axes_or_new, wrapped

_PANELS = 4  # side by side
_FAINT = "0.6"
_COLORS = [f"C{number}" for number in (0, 1, 2, 3, 4, 5, 6, 8, 9)]  # without grey, which faint arms have
_DASHES: tuple[Any, ...] = ((0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)), (0, (1, 1)))
_MARKERS = "dsv^P"
Scores = Mapping[str, tuple[float, float]]  # column to mean and standard error, which may be NaN


@dataclasses.dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Attributes:
        title: above it; may be empty.
        measure: what the scores are.
        arms: scores of every arm.
        published: results from elsewhere, a number per column, or one number, which is drawn across all columns.
        larger_is_better: whether a higher score is the better one.
    """

    title: str
    measure: str
    arms: Mapping[str, Scores]
    published: Mapping[str, float | Mapping[str, float]] = dataclasses.field(default_factory=dict)
    larger_is_better: bool = True

    def numbers(self) -> list[float]:
        """All that is drawn, but for the errors."""
        elsewhere = [
            number
            for numbers in self.published.values()
            for number in (numbers.values() if isinstance(numbers, Mapping) else [numbers])
        ]
        return [score for scores in self.arms.values() for score, _ in scores.values()] + elsewhere

    def as_error(self) -> Panel:
        """Shares near 1 as shares that are missing, whose logarithm can be read; all other panels as they are."""
        numbers = self.numbers()
        if not (
            self.larger_is_better
            and numbers
            and 0.9 < max(numbers) < 1
            and _spans_a_decade(1 - max(numbers), 1 - min(numbers))
        ):
            return self
        arms = {
            arm: {column: (1 - score, error) for column, (score, error) in scores.items()}
            for arm, scores in self.arms.items()
        }
        elsewhere = {
            name: {column: 1 - number for column, number in numbers.items()}
            if isinstance(numbers, Mapping)
            else 1 - numbers
            for name, numbers in self.published.items()
        }
        return Panel(self.title, f"1 − {self.measure}", arms, elsewhere, larger_is_better=False)

    @property
    def is_logarithmic(self) -> bool:
        """Whether the panel shows errors that span a decade."""
        numbers = self.numbers()
        return bool(not self.larger_is_better and numbers and _spans_a_decade(min(numbers), max(numbers)))


def _spans_a_decade(least: float, most: float) -> bool:
    return least > 0 and most > 10 * least


def plot_columns(
    columns: Sequence[str],
    arms: Mapping[str, Scores],
    ax: Axes | None = None,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
) -> Axes:
    """Mean and standard error of every arm over columns: lines over numbers, dots side by side over categories.

    Args:
        columns: names of the columns; positive numbers are placed on a logarithmic axis, others at even distances.
        arms: ``{arm: {column: (mean, standard error)}}``; the error may be NaN.
        ax: axes to draw into; ``None`` for new ones.
        styles: options of ``Axes.errorbar`` per arm.
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
            line |= (styles or {}).get(arm, {})
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
    panels: Sequence[Panel],
    columns: Sequence[str],
    xlabel: str,
    faint: Collection[str] = (),
    arms: Sequence[str] | None = None,
) -> Figure:
    """One panel of :func:`plot_columns` each, with one legend for all.

    Errors that span more than a decade are drawn on a logarithmic axis, and so are shares near 1, as what is missing,
    if all panels have such.

    Args:
        panels: at least one.
        columns: names of the columns.
        xlabel: what the columns are.
        faint: arms drawn as thin grey lines, such as reference predictions.
        arms: all arms, in an order that gives each its colour; ``None`` for that of the panels.
    """
    errors = [panel.as_error() for panel in panels]
    if all(panel.is_logarithmic for panel in errors):  # else panels side by side would show different things
        panels = errors
    arms = list(dict.fromkeys(arms or [arm for panel in panels for arm in panel.arms]))
    shown = [arm for arm in arms if any(panel.arms.get(arm) for panel in panels)]
    styles = _styles(arms, faint)
    measures = {panel.measure for panel in panels}
    names = list(dict.fromkeys(name for panel in panels for name in panel.published))
    dashes = {
        name: {"linestyle": _DASHES[place % len(_DASHES)], "marker": _MARKERS[place % len(_MARKERS)]}
        for place, name in enumerate(names)
    }
    levels = {name for panel in panels for name, number in panel.published.items() if not isinstance(number, Mapping)}
    labels = [*shown, *(name for name in names if name not in levels)]
    across = min(_PANELS, len(panels))
    down = math.ceil(len(panels) / across)
    size = 3.0 if len(panels) > 2 else 4.0
    width = max(size * across, 6)
    # As many columns as fit into the figure's width, at about 13 characters per inch.
    longest = max((len(label) for label in labels), default=1) + 7
    legend_columns = max(1, min(len(labels), int(13 * width / longest)))
    height = (2.5 if len(panels) > 2 else 3.2) * down + 0.2 * math.ceil(len(labels) / legend_columns) + 0.3
    figure = Figure(figsize=(width, height), layout="constrained")
    drawn = figure.subplots(down, across, squeeze=False)
    handles: dict[str, Any] = {}
    for ax, panel in zip(drawn.flat, panels, strict=False):
        plot_columns(columns, {arm: panel.arms.get(arm, {}) for arm in arms}, ax, styles)
        _plot_published(ax, panel, columns, dashes)
        if panel.is_logarithmic:
            _make_logarithmic(ax, panel.numbers())
        _name_levels(ax, panel, columns)
        ax.set_title(wrapped(panel.title, 34) if panel.title else "", fontsize=9)
        if len(measures) > 1:
            ax.set_ylabel(panel.measure, fontsize=8)
        handles |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    for ax in drawn.flat[len(panels) :]:
        ax.axis("off")
    figure.supxlabel(xlabel, fontsize=9)
    if len(measures) == 1:
        figure.supylabel(next(iter(measures)), fontsize=9)
    known = [label for label in labels if label in handles]
    figure.legend(
        [handles[label] for label in known],
        known,
        loc="outside upper center",
        ncols=legend_columns,
        fontsize=8,
        frameon=False,
        handlelength=2.8,
    )
    return figure


def _styles(arms: Sequence[str], faint: Collection[str]) -> dict[str, dict[str, Any]]:
    """Colours in order for all arms that are not faint, the first one's line thick; markers tell faint ones apart."""
    bold = [arm for arm in arms if arm not in faint]
    pale = [arm for arm in arms if arm in faint]
    styles: dict[str, dict[str, Any]] = {
        arm: {"color": _COLORS[place % len(_COLORS)], **({"linewidth": 2.0, "zorder": 3} if place == 0 else {})}
        for place, arm in enumerate(bold)
    }
    for place, arm in enumerate(pale):
        style = {"color": _FAINT, "linewidth": 0.8, "marker": "sv^Dx"[place % 5], "markersize": 3.5, "zorder": 1.5}
        styles[arm] = style
    return styles


def _plot_published(ax: Axes, panel: Panel, columns: Sequence[str], styles: Mapping[str, Mapping[str, Any]]) -> None:
    """Dashed lines: from column to column, or across the panel."""
    places = dict(zip(columns, ax.get_xticks(), strict=True))
    for name, numbers in panel.published.items():
        style: Any = {"color": "0.15", "linewidth": 1.0, "zorder": 1.8, **styles[name]}
        if isinstance(numbers, Mapping):
            known = [(places[column], numbers[column]) for column in columns if column in numbers]
            ax.plot(*zip(*known, strict=True), markersize=4.5, markerfacecolor="white", label=name, **style)
        else:
            ax.axhline(numbers, **{**style, "marker": ""})


def _name_levels(ax: Axes, panel: Panel, columns: Sequence[str]) -> None:
    """Names on the lines across a panel, at the side where the arms are farther away."""
    levels = {name: float(number) for name, number in panel.published.items() if not isinstance(number, Mapping)}

    def height(number: float) -> float:
        """As a part of the panel's."""
        return float(ax.transAxes.inverted().transform(ax.transData.transform((ax.get_xticks()[0], number)))[1])

    sides = [
        [height(score) for scores in panel.arms.values() for column, (score, _) in scores.items() if column == side]
        for side in (columns[0], columns[-1])
    ]
    taken: list[float] = []
    for name, number in sorted(levels.items(), key=lambda item: -item[1]):
        here = height(number)
        left, right = (min((abs(here - there) for there in side), default=1.0) for side in sides)
        is_below = any(abs(here - there) < 0.06 for there in taken) or here > 0.94
        taken.append(here)
        ax.annotate(
            name,
            (0.01 if left > right else 0.99, number),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2 if is_below else 1.5),
            textcoords="offset points",
            ha="left" if left > right else "right",
            va="top" if is_below else "bottom",
            fontsize=6.5,
            color="0.15",
            zorder=4,
        )


def _make_logarithmic(ax: Axes, numbers: Sequence[float]) -> None:
    """With limits from the means: a bar as long as its mean would reach to minus infinity."""
    low, high = min(numbers) / 1.6, max(numbers) * 1.6
    ax.set_yscale("log", nonpositive="clip")
    ax.set_ylim(low, high)
    few = math.log10(high / low) < 2
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _number(text: str) -> float:
    """The number that a text says; NaN for other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan
