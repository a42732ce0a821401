"""DNA: does a protein bind here? A site reads the same from the other strand: the reverse complement keeps the label.

Nodes are positions, tokens their bases A, C, G, T = 0, 1, 2, 3. The other strand reads backwards *and* complements:
position p to L - 1 - p, base b to 3 - b, a value symmetry. A motif means the same at every position, so shifts colour
pairs of positions by their offset; only nearby positions exchange messages, and no pair wraps around. Shifts are
therefore a symmetry of the network except near the ends.
"""

import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset, DatasetDict

from ...model._messages import naming
from ...model.configuration_asen import TaskConfig
from ...model.groups import cyclic, to_cycles, trivial
from .._array_table import Array
from .._npz_files import read_npz
from ..features import to_dataset
from ..group_option import GroupOption, resolve_group
from ..registry import register
from ..seeding import random_generator
from ..splits import proportional_sizes

BASES = 4
_FOLDS = 5
SEQUENCES = (
    Array(key="sequence", shape=("sequences", "positions"), kind="integer", low=0, high=BASES - 1, unit="A, C, G, T"),
    Array(key="label", shape=("sequences",), kind="flag"),
    Array(key="is_test", shape=("sequences",), kind="flag"),
)


@register("sequence/dna_nfe2")
@dataclass(kw_only=True)
class DnaNfe2:
    """Graph classification: whether NF-E2 binds a sequence; scored by AUC.

    Args:
        data_path: an ``.npz`` with ``sequence`` ``(N, L)`` (A, C, G, T = 0 … 3), ``label`` ``(N,)`` (1 = bound) and
            ``is_test`` ``(N,)``.
        group: ``"shifts_and_reverse_complement"``, ``"shifts"`` (C_length on positions), ``"reverse_complement"``,
            ``"trivial"``, ``"symmetric"`` or any other group on the positions.
        length: number of positions, taken from the middle of the sequence; ``None`` for all.
        reach: largest distance between positions that exchange messages.
        fold: index 0 … 4 of the fifth of the non-test rows that is for validation.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values; an unknown group or
            an option out of range.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "shifts_and_reverse_complement"
    length: int | None = None
    reach: int = 4
    fold: int = 0
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arrays = read_npz(self.data_path, SEQUENCES)
        sequences, self._labels, self._is_test = (arrays[key] for key in ("sequence", "label", "is_test"))
        if not self._is_test.any() or np.count_nonzero(~self._is_test) < _FOLDS:
            raise ValueError(
                f"{self.data_path}: is_test must mark some sequences, and leave at least {_FOLDS} unmarked"
            )
        total = sequences.shape[1]
        length = total if self.length is None else self.length
        if not 1 <= length <= total or self.reach < 0 or not 0 <= self.fold < _FOLDS:
            raise ValueError(
                f"{self.name}: length must be in 1 … {total}, reach at least 0 and fold in 0 … {_FOLDS - 1}, got "
                f"{length}, {self.reach} and {self.fold}"
            )
        start = (total - length) // 2
        self._sequences = sequences[:, start : start + length]
        offered = {
            "shifts_and_reverse_complement": (cyclic(length), f"C_{length}, both strands"),
            "shifts": (cyclic(length), f"C_{length}, shifts"),
            "reverse_complement": (trivial(length), "reverse complement"),
        }
        with naming(self.name):
            group, group_name = resolve_group(self.group, length, offered)
        has_strands = isinstance(self.group, str) and self.group.endswith("reverse_complement")
        positions = np.arange(length)
        self.config = TaskConfig(
            degree=length,
            generators=to_cycles(group),
            group_name=group_name,
            value_symmetries=[_other_strand(length)] if has_strands else [],
            edges=np.argwhere(np.abs(positions[:, None] - positions) <= self.reach).tolist(),
            vocab_size=BASES,
            output_level="graph",
            pooling="max",
            label_names=["background", "bound"],
            metric="auc",
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """The file's test rows, one fold of the non-test rows for validation, the remaining folds for training.

        ``seed`` draws the folds. ``num_rows`` takes that many rows, from every split in proportion.

        Returns:
            Splits with the columns ``inputs``, tokens ``(length,)``, and ``labels``, a class.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        non_test = np.flatnonzero(~self._is_test)
        non_test = random_generator(seed, self.name, "folds").permutation(non_test)
        folds = np.array_split(non_test, _FOLDS)
        rows = {
            "train": np.concatenate([fold for number, fold in enumerate(folds) if number != self.fold]),
            "validation": folds[self.fold],
            "test": np.flatnonzero(self._is_test),
        }
        sizes = proportional_sizes(self.name, {split: len(numbers) for split, numbers in rows.items()}, num_rows)
        return DatasetDict({split: self._split(numbers[: sizes[split]]) for split, numbers in rows.items()})

    def _split(self, rows: np.ndarray) -> Dataset:
        return to_dataset(self.config, self._sequences[rows], self._labels[rows].astype(np.int64))


def _other_strand(length: int) -> dict[str, Any]:
    return {
        "name": "reverse complement",
        "points": [[position, length - 1 - position] for position in range(length // 2)],
        "inputs": list(range(BASES))[::-1],
        "outputs": [0, 1],
    }
