"""Tasks on random graphs, which every row brings as its own pair inputs; symmetry: all permutations of the nodes."""

import numbers
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from datasets import Dataset, DatasetDict

from ...model._messages import shown
from ...model.configuration_asen import TaskConfig
from ..features import to_dataset
from ..registry import register
from ..seeding import random_generator
from ..splits import split_sizes

MAX_NODES = 64


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
        reached = (np.asarray(pairs) == 1) | np.eye(self.num_nodes, dtype=bool)
        for _ in range(int(np.ceil(np.log2(self.num_nodes)))):
            reached = reached @ reached
        return reached.astype(np.int64)

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
