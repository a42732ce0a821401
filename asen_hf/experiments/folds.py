"""Cross-validation: a fold of the rows for training and validation takes the place of the validation split."""

from __future__ import annotations

import dataclasses

import numpy as np
from datasets import DatasetDict, concatenate_datasets

from ..data.features import read_column
from ..data.seeding import random_generator
from ..model.configuration_rows import PAIRS


@dataclasses.dataclass(frozen=True)
class Fold:
    """One of K folds.

    Attributes:
        number: 0 … ``of`` - 1.
        of: number of folds K.

    Raises:
        ValueError: there are fewer than two folds, or no such fold.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if type(self.of) is not int or self.of < 2:
            raise ValueError(f"folds must be at least 2, got {self.of!r}")
        if type(self.number) is not int or not 0 <= self.number < self.of:
            raise ValueError(f"fold must be in 0 … {self.of - 1}, got {self.number!r}")

    def apply(self, splits: DatasetDict, seed: int) -> DatasetDict:
        """The splits with the fold as validation and the rest of the train and validation rows as train.

        Args:
            splits: train, validation and test; test stays as it is. Columns that train or validation lack are dropped.
            seed: of the division, in which rows with equal inputs and pairs are in one fold.

        Raises:
            ValueError: there are fewer different inputs than folds.
        """
        columns = [name for name in splits["train"].column_names if name in splits["validation"].column_names]
        rows = concatenate_datasets([splits[name].select_columns(columns) for name in ("train", "validation")])
        seen = [name for name in ("inputs", PAIRS) if name in columns]
        inputs = np.concatenate(
            [np.nan_to_num(read_column(rows, name)).reshape(len(rows), -1) for name in seen], axis=1
        )
        group = np.unique(inputs, axis=0, return_inverse=True)[1].reshape(-1)
        num_groups = int(group.max()) + 1
        if num_groups < self.of:
            raise ValueError(f"{num_groups} different inputs are too few for {self.of} folds")
        order = random_generator(seed, "folds").permutation(num_groups)
        sizes = np.bincount(group)[order]
        middles = np.cumsum(sizes) - sizes / 2  # folds of nearly equal size, but no fold without rows
        fold_of = np.minimum((middles * self.of / len(rows)).astype(int), self.of - 1)
        if len(np.unique(fold_of)) < self.of:
            fold_of = np.arange(num_groups) * self.of // num_groups
        folds = np.empty(num_groups, dtype=int)
        folds[order] = fold_of
        is_held_out = folds[group] == self.number
        train, validation = (rows.select(np.flatnonzero(part).tolist()) for part in (~is_held_out, is_held_out))
        return DatasetDict({**splits, "train": train, "validation": validation})
