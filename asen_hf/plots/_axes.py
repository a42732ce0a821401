"""What all pictures share: their style, axes to draw into, ticks with the names of points, and colours."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import ListedColormap
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

STYLE: Any = {"font.size": 9, "axes.titlesize": 10, "font.family": "DejaVu Sans"}
ACCENT, NEUTRAL = "#e0004d", "#5b6b82"
_QUALITATIVE = 20  # with more colours, single ones cannot be told apart
_MOST_NAMED = 40  # ticks with a name each
_LONGEST_NAME = 20


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (5.5, 4.5), **subplot: Any) -> Axes:
    """The axes given, or those of a new pyplot figure, which a notebook or ``pyplot.show`` displays."""
    if ax is not None:
        return ax
    from matplotlib import pyplot  # imported here: it chooses a backend

    return pyplot.figure(figsize=size, layout="compressed").add_subplot(**subplot)


def name_ticks(axis: Axis, names: Sequence[Any] | NDArray[Any]) -> None:
    """Ticks at 0 … len(names)-1 with these names: every tick up to 40 of them, else a few."""
    texts = [shortened(str(name)) for name in names]
    if len(texts) > _MOST_NAMED:
        axis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_major_formatter(FuncFormatter(lambda place, _: _at(texts, place)))
        return
    size = 8 if len(texts) <= 20 else 6
    is_horizontal = isinstance(axis, XAxis)
    # Characters that all names together take, beside what a picture of usual width holds.
    turned: Any = {"rotation": 90} if is_horizontal and sum(len(text) + 1 for text in texts) * size > 480 else {}
    axis.set_ticks(range(len(texts)), texts, fontsize=size, **turned)


def _at(texts: list[str], place: float) -> str:
    return texts[int(place)] if place == int(place) and 0 <= place < len(texts) else ""


def legend_below(ax: Axes, columns: int, **options: Any) -> None:
    """A legend below the axes and their label, where it hides nothing."""
    place = offset_copy(ax.transAxes, fig=ax.figure.figure, y=-34, units="points")
    options = {"frameon": False, "fontsize": 8, "title_fontsize": 8, **options}
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=place, ncols=columns, **options)


def shortened(name: str) -> str:
    """A name of at most 20 characters."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def wrapped(text: str, width: int = 60) -> str:
    """A title in lines of at most so many characters; a long word, such as a task's name, is broken."""
    return "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, width) or [""])


def palette(size: int) -> ListedColormap:
    """Distinct colours for few labels; for many a cyclic map in scrambled order, so that neighbours differ."""
    if size <= _QUALITATIVE:
        return ListedColormap([matplotlib.colormaps.get_cmap("tab20")(index) for index in _spread(_QUALITATIVE)[:size]])
    hues = np.linspace(0, 1, size, endpoint=False)
    return ListedColormap(matplotlib.colormaps.get_cmap("turbo")(hues[_spread(size)]))


def _spread(size: int) -> list[int]:
    """0 … size-1 in an order that keeps neighbours apart: saturated colours of tab20 first, then the pale ones."""
    return [*range(0, size, 2), *range(1, size, 2)]
