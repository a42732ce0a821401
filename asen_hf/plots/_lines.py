"""The lines of truth and prediction: predictions are drawn last and thinner, so that both are seen where they agree."""

from typing import Any

from matplotlib.lines import Line2D

from ._axes import ACCENT, NEUTRAL

TRUTH: dict[str, Any] = {"color": NEUTRAL, "linewidth": 2.2, "solid_capstyle": "round"}
PREDICTION: dict[str, Any] = {"color": ACCENT, "linewidth": 1.1, "solid_capstyle": "round"}


def legend_lines() -> list[Line2D]:
    return [Line2D([], [], **TRUTH, label="truth"), Line2D([], [], **PREDICTION, label="prediction")]
