"""Tasks on random graphs; symmetry: all permutations of their vertices.

The vertices are the nodes and the arcs pair inputs, or the pairs of vertices are the nodes.
"""

import numbers
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from datasets import Dataset, DatasetDict

from ...model._messages import shown
from ...model.configuration_asen import TaskConfig
from ..features import to_dataset
from ..registry import register
from ..seeding import random_generator
from ..splits import split_sizes

MAX_NODES = 64
_VERTICES = 6  # of the graphs of Connected
_EDGES = np.triu_indices(_VERTICES, 1)


@register("graph/reachable")
@dataclass(kw_only=True)
class Reachable:
    """Pair classification: whether a directed path leads from node i to node j (each node reaches itself).

    Arcs are drawn independently; each node has ``arcs`` of them on average. Pair (i, j) has category 1 if there is an
    arc from i to j. All nodes carry the same token: the graph is all there is to see.

    Args:
        num_nodes: number n of nodes.
        arcs: mean number of arcs per node, above 0 and at most n - 1.

    Raises:
        ValueError: an option of the wrong type or range.
    """

    name: ClassVar[str]
    num_nodes: int = 8
    arcs: float = 1.2
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for option, kind in (("num_nodes", numbers.Integral), ("arcs", numbers.Real)):
            value = getattr(self, option)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{self.name}: {option} must be a number, got {shown(value)}")
        if not 2 <= self.num_nodes <= MAX_NODES or not 0 < self.arcs <= self.num_nodes - 1:
            raise ValueError(
                f"{self.name}: num_nodes must be in 2 … {MAX_NODES} and arcs above 0 and at most num_nodes - 1, got "
                f"{self.num_nodes} and {self.arcs}"
            )
        self.config = TaskConfig(
            group=f"S{self.num_nodes}",
            vocab_size=1,
            pair_vocab_size=2,
            output_level="pair",
            label_names=["out of reach", "reachable"],
        )

    def label(self, pairs: np.ndarray) -> np.ndarray:
        """Labels int64 ``(N, n, n)`` of arcs ``(N, n, n)``: the transitive closure, by repeated squaring."""
        return _reached(np.asarray(pairs) == 1).astype(np.int64)

    def load(self, num_rows: int = 2500, seed: int = 0) -> DatasetDict:
        """``num_rows`` random graphs, split 70/15/15 into train, validation and test.

        Returns:
            Splits with the columns ``inputs`` (zeros ``(n,)``), ``pairs`` (arcs ``(n, n)``) and ``labels`` ``(n, n)``.

        Raises:
            ValueError: too few rows to split.
        """
        sizes = split_sizes(num_rows)
        rng = random_generator(seed, self.name, "load")
        arcs = rng.random((num_rows, self.num_nodes, self.num_nodes)) < self.arcs / (self.num_nodes - 1)
        arcs &= ~np.eye(self.num_nodes, dtype=bool)
        ends = np.cumsum(list(sizes.values()))[:-1]
        parts = np.split(arcs.astype(np.int64), ends)
        return DatasetDict({split: self._split(part) for split, part in zip(sizes, parts, strict=True)})

    def _split(self, arcs: np.ndarray) -> Dataset:
        inputs = np.zeros(arcs.shape[:2], dtype=np.int64)
        return to_dataset(self.config, inputs, self.label(arcs), pairs=arcs)


@register("graph/connected")
@dataclass(kw_only=True)
class Connected:
    """Graph classification: whether a graph on 6 vertices is connected.

    The nodes are the 15 pairs of vertices, in lexicographic order, with token 1 for an edge. In half of the rows all
    vertices have two edges: the graph is a hexagon, or it is two triangles. To messages over pairs of nodes these look
    the same (docs/theory.md), so that no network of pairs is right on more than half of them. The other rows are drawn
    from all other graphs. Both halves hold as many connected graphs as disconnected ones.

    Args:
        symmetry_breaking: as in ``TaskConfig``. It does not affect the rows.
    """

    name: ClassVar[str]
    symmetry_breaking: Literal["nodes", "pairs", "triples"] = "triples"
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.config = TaskConfig(
            group=f"S{_VERTICES} on 2-subsets",
            symmetry_breaking=self.symmetry_breaking,
            vocab_size=2,
            output_level="graph",
            label_names=["disconnected", "connected"],
        )

    def label(self, edges: np.ndarray) -> np.ndarray:
        """Labels int64 ``(N,)`` of edges ``(N, 15)``."""
        return np.all(_reached(_adjacency(edges))[:, 0], axis=1).astype(np.int64)

    def load(self, num_rows: int = 2500, seed: int = 0) -> DatasetDict:
        """``num_rows`` graphs, split 70/15/15 into train, validation and test.

        Only ten graphs are two triangles, so rows are repeated within a split. No graph is in two splits.

        Returns:
            Splits with the columns ``inputs`` (tokens ``(15,)``) and ``labels`` (classes).

        Raises:
            ValueError: too few rows to split.
        """
        sizes = split_sizes(num_rows)
        rng = random_generator(seed, self.name, "load")
        graphs = np.arange(2 ** len(_EDGES[0]))[:, None] >> np.arange(len(_EDGES[0])) & 1
        kinds = 2 * (_adjacency(graphs).sum(axis=2) == 2).all(axis=1) + self.label(graphs)
        rows: dict[str, list[np.ndarray]] = {split: [] for split in sizes}
        for kind in range(4):
            members = rng.permutation(graphs[kinds == kind])
            parts = np.split(members, np.cumsum(list(split_sizes(len(members)).values()))[:-1])
            for (split, size), part in zip(sizes.items(), parts, strict=True):
                rows[split].append(rng.choice(part, (size + kind) // 4))  # the four shares add up to the size
        return DatasetDict({split: self._split(rng.permutation(np.concatenate(rows[split]))) for split in sizes})

    def _split(self, edges: np.ndarray) -> Dataset:
        return to_dataset(self.config, edges, self.label(edges))


def _adjacency(edges: np.ndarray) -> np.ndarray:
    """Edges ``(N, 15)`` as symmetric matrices, bool ``(N, 6, 6)``."""
    matrices = np.zeros((len(edges), _VERTICES, _VERTICES), dtype=bool)
    matrices[:, *_EDGES] = edges == 1
    return matrices | matrices.transpose(0, 2, 1)


def _reached(arcs: np.ndarray) -> np.ndarray:
    """Which nodes can be reached from which along arcs ``(N, n, n)``, all bool: by repeated squaring."""
    num_nodes = arcs.shape[1]
    reached = arcs | np.eye(num_nodes, dtype=bool)
    for _ in range(int(np.ceil(np.log2(num_nodes)))):
        reached = reached @ reached
    return reached
