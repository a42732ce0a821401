"""Pictures of rankings: candidates in the order of their scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from ._axes import axes_or_new, legend_below, wrapped

_MOST_CANDIDATES = 40


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


def _in_full(name: str) -> str:
    """A candidate's name, in two lines if it is long."""
    return wrapped(name, 44) if len(name) <= 88 else wrapped(f"{name[:87]}…", 44)
