"""The features that a task's outputs are regressed on: of rows, of nodes, or of pairs of nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..model.configuration_task import TaskConfig
from .pair_colours import NodeOrbit, Orbital, PairColours, pair_colours

Array = NDArray[np.float64]
Place = NodeOrbit | Orbital | None
"""Outputs that share one regression: those of a node orbit's nodes, of an orbital's pairs, or of rows (``None``)."""


class Features(Protocol):
    """What a ridge regression is made on; see :class:`~asen_hf.evaluation.equivariant_features.EquivariantFeatures`."""

    depends_on_target: bool
    note: str
    graph_width: int

    def orbit_width(self, orbit: Any) -> int: ...

    def orbit_design(self, orbit: Any, inputs: Any) -> Array: ...

    def graph_design(self, inputs: Any) -> Array: ...


class NodeFeatures(Features, Protocol):
    """Features of nodes and rows, with those of what is between two nodes."""

    pair_width: int

    def pair_design(self, inputs: Any, targets: NDArray, sources: NDArray) -> Array: ...


FeaturesFactory = Callable[[TaskConfig, PairColours, Any, int], NodeFeatures]


class PairFeatures:
    """Features of pairs: those of the target, those of the source, and what is between the two.

    Args:
        colours: the task's colouring.
        of_nodes: features of its nodes and of what is between two nodes.

    Attributes:
        note: what was left out and why, or "".
    """

    depends_on_target = True
    graph_width = 0  # outputs are of pairs

    def __init__(self, colours: PairColours, of_nodes: NodeFeatures):
        self.colours, self.of_nodes, self.note = colours, of_nodes, of_nodes.note

    def orbit_width(self, orbital: Orbital) -> int:
        widths = [self.of_nodes.orbit_width(orbit) for orbit, _ in self._ends(orbital)]
        return sum(widths) + self.of_nodes.pair_width

    def orbit_design(self, orbital: Orbital, inputs: Any) -> Array:
        """Features ``(N, m, orbit_width(orbital))`` of the orbital's pairs."""
        parts = [self.of_nodes.orbit_design(orbit, inputs)[:, positions] for orbit, positions in self._ends(orbital)]
        return np.concatenate([*parts, self.of_nodes.pair_design(inputs, orbital.targets, orbital.sources)], axis=-1)

    def graph_design(self, inputs: Any) -> Array:
        raise TypeError("features of pairs are of no use for outputs of rows")

    def _ends(self, orbital: Orbital) -> list[tuple[NodeOrbit, NDArray[np.int64]]]:
        """The node orbits of the targets and of the sources, which are one on the diagonal, with their positions."""
        ends = [orbital.targets, orbital.sources][: 1 if np.array_equal(orbital.targets, orbital.sources) else 2]
        orbits = [self.colours.orbits[self.colours.node_labels[nodes[0]]] for nodes in ends]
        return [(orbit, np.searchsorted(orbit.nodes, nodes)) for orbit, nodes in zip(orbits, ends, strict=True)]


def output_features(
    task: TaskConfig, inputs: Any, max_features: int, make: FeaturesFactory
) -> tuple[Features, Sequence[Place]]:
    """The features of a task's outputs, and the outputs that share a regression.

    Args:
        task: its config.
        inputs: training rows, as the features take them.
        max_features: most features of a row, or of what is between two nodes.
        make: makes the features of nodes and rows.

    Raises:
        ValueError: there would be too many features.
    """
    colours = pair_colours(task)
    made = make(task, colours, inputs, max_features)
    if task.output_level == "pair":
        return PairFeatures(colours, made), colours.orbitals()
    return made, colours.orbits if task.output_level == "node" else [None]
