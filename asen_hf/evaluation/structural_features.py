"""Features of token rows that say how tokens compare, not which they are: counts of partners per orbital."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.configuration_task import TaskConfig
from .pair_colours import NodeOrbit, PairColours

Array = NDArray[np.float64]


class StructuralFeatures:
    """Counts of a node's partners in each orbital: equal ones, larger ones, and ones that make a given sum with it.

    A row's features are the sums of its nodes' counts: numbers of pairs per orbital. The diagonal's sums count which
    token a node has itself. A missing token (-1) has no partners.

    Args:
        task: its config, with ``vocab_size``.
        colours: its colouring.
        inputs: not read; as for :class:`~asen_hf.evaluation.equivariant_features.EquivariantFeatures`.
        max_features: not read.

    Attributes:
        note: empty: nothing is left out.
    """

    depends_on_target = True

    def __init__(self, task: TaskConfig, colours: PairColours, inputs: NDArray, max_features: int):
        del inputs, max_features
        assert task.vocab_size is not None
        self.colours, self.note = colours, ""
        self.num_counts = 2 * task.vocab_size + 1  # equal, larger, and 2v - 1 sums
        transposes = colours.transposes()
        self._kept = np.flatnonzero((np.arange(len(transposes)) <= transposes) | (transposes < 0))
        self.graph_width = len(self._kept) * self.num_counts

    def node_width(self, orbit: NodeOrbit) -> int:
        return orbit.num_slots * self.num_counts

    def node_design(self, orbit: NodeOrbit, inputs: NDArray) -> Array:
        """Features ``(N, m, node_width(orbit))`` of the orbit's nodes."""
        bins = orbit.targets * orbit.num_slots + orbit.slots
        shape = (len(inputs), len(orbit.nodes), self.node_width(orbit))
        counts = self._counts(inputs[:, orbit.nodes[orbit.targets]], inputs[:, orbit.sources], bins)
        return counts.reshape(shape)

    def graph_design(self, inputs: NDArray) -> Array:
        """Features ``(N, graph_width)`` of the rows."""
        colours = self.colours
        seen = np.isin(colours.labels, self._kept)
        bins = np.searchsorted(self._kept, colours.labels[seen])
        counts = self._counts(inputs[:, colours.targets[seen]], inputs[:, colours.sources[seen]], bins)
        return counts.reshape(len(inputs), -1)

    def _counts(self, targets: NDArray, sources: NDArray, bins: NDArray) -> Array:
        """Counts ``(N, number of bins, num_counts)`` of pairs of tokens ``(N, E)``, pair e falling into ``bins[e]``."""
        rows, num_bins = len(targets), int(bins.max()) + 1
        first = (np.arange(rows)[:, None] * num_bins + bins) * self.num_counts
        known = (targets >= 0) & (sources >= 0)
        places = [
            first[known & (targets == sources)],
            first[known & (targets < sources)] + 1,
            (first + 2 + targets + sources)[known],
        ]
        counts = np.bincount(np.concatenate(places), minlength=rows * num_bins * self.num_counts)
        return counts.reshape(rows, num_bins, self.num_counts).astype(np.float64)
