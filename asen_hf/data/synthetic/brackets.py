"""A task on pairs of positions: which brackets match."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...model.groups import trivial
from ..group_option import NamedGroup
from ..registry import register
from .sequence_task import SequenceTask, pair_classes


@register("pairs/matching_brackets")
@dataclass(kw_only=True)
class MatchingBrackets(SequenceTask):
    """1 for the pairs (i, j) and (j, i) of an opening bracket i and its closing bracket j, 0 for all other pairs.

    Tokens 0 and 1, "(" and ")", are independent and uniform, so some brackets have no partner. Read from behind, every
    bracket is its mirror image: the default group is trivial, and the reversal is a value symmetry that exchanges the
    tokens. With another ``group`` there is none.
    """

    point_order = "line"
    length: int = 14
    vocabulary: int = field(default=2, init=False)

    def default_group(self) -> NamedGroup:
        return trivial(self.length), "trivial"

    def output(self) -> dict[str, Any]:
        mirror = {"points": [[i, self.length - 1 - i] for i in range(self.length // 2)], "inputs": [1, 0]}
        symmetry = {"value_symmetries": [mirror]} if self.group is None else {}
        return pair_classes("apart", "matching") | symmetry | {"symmetric_outputs": True}

    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        return rng.integers(2, size=(num_rows, self.length))

    def rule(self, sequences: np.ndarray) -> np.ndarray:
        steps = 1 - 2 * sequences
        height = np.cumsum(steps, axis=1)  # number of open brackets behind each position
        matching = np.zeros((*sequences.shape, self.length), dtype=bool)
        for opening in range(self.length):
            # Open brackets since before the opening one: the first return to 0 closes it.
            depth = height[:, opening:] - height[:, opening, None] + 1
            is_closing = (depth == 0) & (np.cumsum(depth == 0, axis=1) == 1) & (steps[:, opening, None] == 1)
            matching[:, opening, opening:] = is_closing
        return matching | matching.transpose(0, 2, 1)
