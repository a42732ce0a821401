"""Pictures: every ``plot_…`` draws into Matplotlib axes and returns them; without axes it makes a pyplot figure.

Names are loaded on first use, because Matplotlib takes a second to import.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attributions import plot_node_attribution, plot_pair_attribution
    from .errors import node_errors, row_errors
    from .forecasts import plot_forecast
    from .nodes import plot_node_errors, plot_node_orbits
    from .orbitals import plot_orbital_distances, plot_orbital_features, plot_orbitals
    from .pairs import plot_pair_outputs
    from .poses import plot_pose
    from .predictions import write_pictures
    from .tables import plot_calibration, plot_confusion, plot_truth

_ADDRESSES = {
    "node_errors": "errors",
    "plot_calibration": "tables",
    "plot_confusion": "tables",
    "plot_forecast": "forecasts",
    "plot_node_attribution": "attributions",
    "plot_node_errors": "nodes",
    "plot_node_orbits": "nodes",
    "plot_orbital_distances": "orbitals",
    "plot_orbital_features": "orbitals",
    "plot_orbitals": "orbitals",
    "plot_pair_attribution": "attributions",
    "plot_pair_outputs": "pairs",
    "plot_pose": "poses",
    "plot_truth": "tables",
    "row_errors": "errors",
    "write_pictures": "predictions",
}

__all__ = [
    "node_errors",
    "plot_calibration",
    "plot_confusion",
    "plot_forecast",
    "plot_node_attribution",
    "plot_node_errors",
    "plot_node_orbits",
    "plot_orbital_distances",
    "plot_orbital_features",
    "plot_orbitals",
    "plot_pair_attribution",
    "plot_pair_outputs",
    "plot_pose",
    "plot_truth",
    "row_errors",
    "write_pictures",
]


def __getattr__(name: str) -> Any:
    if name not in _ADDRESSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ADDRESSES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
