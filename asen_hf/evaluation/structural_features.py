"""Features of rows that say how nodes compare and what their pairs are: counts of partners per orbital."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model.configuration_task import TaskConfig
from .pair_colours import NodeOrbit, PairColours
from .paired_rows import PairedRows

Array = NDArray[np.float64]
BUCKETS = 8
"""Into how many parts the numbers of pairs are divided."""
MAX_PATHS = 100
"""Most kinds of paths of two steps that are counted."""


class StructuralFeatures:
    """Counts of a node's partners in each orbital: equal ones, larger ones, and ones that make a given sum with it.

    If pairs have categories, partners are counted for each category by itself. If pairs have numbers, the histogram of
    each number over the orbital's pairs is a feature, too. A number counts for the two quantiles of the training rows
    between which it lies, in proportion: so linear functions of the histogram include sums and means. A row's features
    are the sums of its nodes' counts: numbers of pairs per orbital. The diagonal's sums count which token a node has
    itself. A missing token (-1) has no partners, a missing number no place, and a missing category is one of its own.

    What is between two nodes, for outputs of pairs: how the two compare, by category, and the place of each number; if
    there are pair inputs, also in the other direction; and for every two categories the number of nodes k such that
    pair (i, k) has the first and (k, j) the second, such as common neighbours (at most ``MAX_PATHS``, or none).

    Args:
        task: its config, with ``vocab_size`` or pair inputs.
        colours: its colouring.
        rows: training rows, of which the quantiles are.
        max_features: not read; as for :class:`~asen_hf.evaluation.equivariant_features.EquivariantFeatures`.

    Attributes:
        note: what was left out and why, or "".
    """

    depends_on_target = True

    def __init__(self, task: TaskConfig, colours: PairColours, rows: NDArray | PairedRows, max_features: int):
        del max_features
        self.task, self.colours, self.note = task, colours, ""
        # Equal, larger, and 2v - 1 sums; without tokens, only whether there is a partner.
        self._num_comparisons = 1 if task.vocab_size is None else 2 * task.vocab_size + 1
        self._num_categories = 1 if task.pair_vocab_size is None else task.pair_vocab_size + 1
        self._quantiles = _quantiles(task, rows.pairs) if isinstance(rows, PairedRows) else []
        self.num_counts = self._num_comparisons * self._num_categories + sum(map(len, self._quantiles))
        transposes = colours.transposes()
        is_directed = task.has_pairs  # the two directions of a pair may differ
        self._kept = np.flatnonzero((np.arange(len(transposes)) <= transposes) | (transposes < 0) | is_directed)
        self.graph_width = len(self._kept) * self.num_counts
        self._num_paths = 0 if task.pair_vocab_size is None else self._num_categories**2
        if self._num_paths > MAX_PATHS:
            if task.output_level == "pair":
                self.note = f"without paths of two steps: there are {self._num_paths:,} kinds, more than {MAX_PATHS}"
            self._num_paths = 0
        self.pair_width = self.num_counts * (1 + is_directed) + self._num_paths

    def orbit_width(self, orbit: NodeOrbit) -> int:
        return orbit.num_slots * self.num_counts

    def orbit_design(self, orbit: NodeOrbit, rows: NDArray | PairedRows) -> Array:
        """Features ``(N, m, orbit_width(orbit))`` of the orbit's nodes."""
        bins = orbit.targets * orbit.num_slots + orbit.slots
        counts = self._counts(rows, orbit.nodes[orbit.targets], orbit.sources, bins)
        return counts.reshape(len(rows), len(orbit.nodes), self.orbit_width(orbit))

    def pair_design(self, rows: NDArray | PairedRows, targets: NDArray, sources: NDArray) -> Array:
        """Features ``(N, m, pair_width)`` of what is between targets and sources ``(m,)``."""
        each = np.arange(len(targets))
        parts = [self._counts(rows, targets, sources, each)]
        if self.task.has_pairs:
            parts.append(self._counts(rows, sources, targets, each))
        if self._num_paths:
            assert isinstance(rows, PairedRows)
            categories = np.where(rows.pairs < 0, self._num_categories - 1, rows.pairs)
            steps = [(categories == category).astype(np.float64) for category in range(self._num_categories)]
            paths = [_paths(first, second, targets, sources) for first in steps for second in steps]
            parts.append(np.stack(paths, axis=-1))
        return np.concatenate(parts, axis=-1)

    def graph_design(self, rows: NDArray | PairedRows) -> Array:
        """Features ``(N, graph_width)`` of the rows."""
        colours = self.colours
        seen = np.isin(colours.labels, self._kept)
        bins = np.searchsorted(self._kept, colours.labels[seen])
        return self._counts(rows, colours.targets[seen], colours.sources[seen], bins).reshape(len(rows), -1)

    def _counts(self, rows: NDArray | PairedRows, targets: NDArray, sources: NDArray, bins: NDArray) -> Array:
        """Counts ``(N, number of bins, num_counts)`` over pairs of nodes ``(E,)``, pair e falling into ``bins[e]``."""
        inputs = rows.inputs if isinstance(rows, PairedRows) else rows
        pairs = rows.pairs[:, targets, sources] if isinstance(rows, PairedRows) else None
        num_bins = int(bins.max()) + 1
        first = (np.arange(len(rows))[:, None] * num_bins + bins) * self.num_counts
        places, shares = [], []
        for number, counted in self._comparisons(inputs[:, targets], inputs[:, sources]):
            category: NDArray | int = 0
            if pairs is not None and self.task.pair_vocab_size is not None:
                category = np.where(pairs < 0, self.task.pair_vocab_size, pairs)
            places.append((first + category * self._num_comparisons + number)[counted])
            shares.append(np.ones(len(places[-1])))
        start = self._num_comparisons * self._num_categories
        for feature, knots in enumerate(self._quantiles):
            assert pairs is not None
            values = pairs if pairs.ndim == 2 else pairs[..., feature]
            for number, share in _hats(values, knots):
                places.append((first + start + number)[share > 0])
                shares.append(share[share > 0])
            start += len(knots)
        size = len(rows) * num_bins * self.num_counts
        counts = np.bincount(np.concatenate(places), np.concatenate(shares), minlength=size).astype(np.float64)
        return counts.reshape(len(rows), num_bins, self.num_counts)

    def _comparisons(self, targets: NDArray, sources: NDArray) -> list[tuple[NDArray | int, NDArray[np.bool_]]]:
        """The numbers of what is counted, with the pairs ``(N, E)`` for which it holds."""
        if self.task.vocab_size is None:
            return [(0, ~(np.isnan(targets).all(axis=-1) | np.isnan(sources).all(axis=-1)))]
        known = (targets >= 0) & (sources >= 0)
        return [
            (0, known & (targets == sources)),
            (1, known & (targets < sources)),
            (2 + targets + sources, known),
        ]


def _quantiles(task: TaskConfig, pairs: NDArray) -> list[Array]:
    """For each number of a pair, its quantiles over the training rows; an empty array where it is always missing."""
    if task.pair_features is None:
        return []
    between = pairs.reshape(len(pairs), task.degree, task.degree, -1)
    if task.degree > 1:
        between = between[:, ~np.eye(task.degree, dtype=bool)]
    columns = between.reshape(-1, between.shape[-1]).T.astype(np.float64)
    levels = np.linspace(0, 1, BUCKETS + 1)
    known = (column[~np.isnan(column)] for column in columns)
    return [np.unique(np.quantile(values, levels)) if len(values) else values for values in known]


def _paths(first: Array, second: Array, targets: NDArray, sources: NDArray) -> Array:
    """Numbers ``(N, m)`` of paths of two steps, of which each is 0 or 1 for all pairs ``(N, n, n)``."""
    if len(targets) > first.shape[1]:
        return (first @ second)[:, targets, sources]
    return np.einsum("rmk,rkm->rm", first[:, targets], second[:, :, sources])


def _hats(values: NDArray, knots: Array) -> list[tuple[int, Array]]:
    """Each quantile's number and its share of every value: linear between the quantiles, 0 of a missing value."""
    if not len(knots):
        return []
    known = ~np.isnan(values)
    clipped = np.where(known, values, knots[0]).astype(np.float64).clip(knots[0], knots[-1])
    basis = np.eye(len(knots))
    return [(number, np.where(known, np.interp(clipped, knots, hat), 0)) for number, hat in enumerate(basis)]
