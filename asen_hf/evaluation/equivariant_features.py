"""Features that move with a task's group: sums of the inputs over orbitals, and products of two nodes' inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..model.configuration_task import TaskConfig
from .pair_colours import NodeOrbit, PairColours

MAX_CHANNELS = 512
"""Most numbers per node: tokens count one per entry of the vocabulary."""

Array = NDArray[np.float64]


class Channels:
    """Inputs as numbers ``(N, n, C)``: features standardised per node orbit, or one indicator per token.

    What is missing counts as the mean, or as no token; a feature or token that is missing in a training row gets
    one more channel, which says where.

    Args:
        task: its config.
        colours: its node orbits.
        inputs: training rows, in raw units.

    Raises:
        ValueError: there would be more than ``MAX_CHANNELS`` channels.
    """

    def __init__(self, task: TaskConfig, colours: PairColours, inputs: NDArray):
        self.vocab_size, self.node_labels = task.vocab_size, colours.node_labels
        missing = self._missing(inputs)
        self.marked = missing.any(axis=tuple(range(missing.ndim - 1)))
        size = task.vocab_size if task.num_features is None else task.num_features
        self.number = int(size or 0) + int(self.marked.sum())
        if self.number > MAX_CHANNELS:
            raise ValueError(f"{self.number:,} numbers per node are more than {MAX_CHANNELS:,} (MAX_CHANNELS)")
        if task.num_features is not None:
            means, scales = [], []
            for label in range(colours.num_node_orbits):
                values = inputs[:, self.node_labels == label].astype(np.float64).reshape(-1, task.num_features)
                known = ~np.isnan(values)
                count = known.sum(axis=0).clip(min=1)
                mean = np.where(known, values, 0).sum(axis=0) / count
                spread = np.sqrt(np.square(np.where(known, values - mean, 0)).sum(axis=0) / count)
                means.append(mean)
                scales.append(np.where(spread > 1e-12 * np.abs(mean), spread, 1))
            self.mean, self.scale = np.array(means)[self.node_labels], np.array(scales)[self.node_labels]

    def __call__(self, inputs: NDArray) -> Array:
        missing = self._missing(inputs)
        if self.vocab_size is None:
            values = np.where(missing, 0, (inputs - self.mean) / self.scale)
        else:
            values = (inputs[..., None] == np.arange(self.vocab_size)).astype(np.float64)
        return np.concatenate([values, missing[..., self.marked]], axis=-1)

    def _missing(self, inputs: NDArray) -> NDArray[np.bool_]:
        """``(N, n, F)``, or ``(N, n, 1)`` for tokens."""
        return np.isnan(inputs) if self.vocab_size is None else (inputs < 0)[..., None]


class EquivariantFeatures:
    """Linear features of nodes, and linear and quadratic invariants of rows.

    - Node i's features: for each orbital that starts at its orbit, the sum of x_j over the orbital's pairs (i, j). A
      linear map of them, shared by the nodes of an orbit, is the general order-1 equivariant map.
    - A row's features: the sum of x_i over each node orbit, and for each orbital and pair of channels (f, g) the sum
      of x_if · x_jg over its pairs, unless that makes more than ``max_features``.
    - What is between nodes i and j: the products x_if · x_jg, under the same condition.

    Args:
        task: its config.
        colours: its colouring.
        inputs: training rows, in raw units, ``(N, n)`` tokens or ``(N, n, F)`` features.
        max_features: most features of a row, or of a pair.

    Attributes:
        note: what was left out and why, or "".
    """

    depends_on_target = False  # a node's features are those of every node that sees the same groups of sources

    def __init__(self, task: TaskConfig, colours: PairColours, inputs: NDArray, max_features: int):
        self.degree, self.colours = task.degree, colours
        self.channels = Channels(task, colours, inputs)
        self.note = ""
        self._sums: dict[int, csr_array] = {}
        size = self.channels.number
        transposes = colours.transposes()
        kept = np.flatnonzero((np.arange(len(transposes)) <= transposes) | (transposes < 0))
        numbers = [size * (size + 1) // 2 if transposes[label] == label else size**2 for label in kept]
        self._linear_width = colours.num_node_orbits * size
        self.graph_width = self._linear_width + sum(numbers)
        self.pair_width = size**2
        self._orbitals: list[tuple[csr_array, bool]] = []
        if task.output_level != "graph":
            self.graph_width = self._linear_width
            if task.output_level == "pair" and self.pair_width > max_features:
                self.note = f"without products: they would make {size**2:,} features, more than {max_features:,}"
                self.pair_width = 0
        elif self.graph_width > max_features:
            self.note = f"without products: they would make {self.graph_width:,} features, more than {max_features:,}"
            self.graph_width = self._linear_width
        else:
            order = np.argsort(colours.labels, kind="stable")
            bounds = np.searchsorted(colours.labels[order], np.arange(colours.num_orbitals + 1))
            for label in kept:
                pairs = order[bounds[label] : bounds[label + 1]]
                entries = (np.ones(len(pairs)), (colours.targets[pairs], colours.sources[pairs]))
                matrix = csr_array(entries, shape=(self.degree, self.degree))
                self._orbitals.append((matrix, bool(transposes[label] == label)))

    def orbit_width(self, orbit: NodeOrbit) -> int:
        return orbit.num_slots * self.channels.number

    def orbit_design(self, orbit: NodeOrbit, inputs: NDArray) -> Array:
        """Features ``(N, m, orbit_width(orbit))`` of the orbit's nodes."""
        if id(orbit) not in self._sums:
            self._sums[id(orbit)] = orbit.sums(self.degree)
        summed = self._sums[id(orbit)] @ self._by_node(self.channels(inputs))
        shape = (len(orbit.nodes), orbit.num_slots, len(inputs), self.channels.number)
        return summed.reshape(shape).transpose(2, 0, 1, 3).reshape(len(inputs), len(orbit.nodes), -1)

    def pair_design(self, inputs: NDArray, targets: NDArray, sources: NDArray) -> Array:
        """Features ``(N, m, pair_width)`` of what is between targets and sources ``(m,)``."""
        shape = (len(inputs), len(targets), self.pair_width)
        if not self.pair_width:
            return np.empty(shape)
        values = self.channels(inputs)
        return (values[:, targets, :, None] * values[:, sources, None]).reshape(shape)

    def graph_design(self, inputs: NDArray) -> Array:
        """Features ``(N, graph_width)`` of the rows."""
        values = self.channels(inputs)
        rows, size = len(inputs), self.channels.number
        parts = [values[:, orbit.nodes].sum(axis=1) for orbit in self.colours.orbits]
        upper = np.triu_indices(size)
        for matrix, is_symmetric in self._orbitals:
            partners = (matrix @ self._by_node(values)).reshape(self.degree, rows, size).transpose(1, 0, 2)
            products = values.transpose(0, 2, 1) @ partners  # (N, C, C)
            parts.append(products[:, upper[0], upper[1]] if is_symmetric else products.reshape(rows, -1))
        return np.concatenate(parts, axis=1)

    def _by_node(self, values: Array) -> Array:
        return np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(self.degree, -1)
