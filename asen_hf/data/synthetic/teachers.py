"""A task whose labels a random equivariant network computes, as in the paper's Theorem 1."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from datasets import Dataset, DatasetDict
from sympy.combinatorics import PermutationGroup

from ...model._messages import shown
from ...model.configuration_asen import TaskConfig
from ...model.orbits import orbit_labels
from ..features import to_dataset
from ..registry import register
from ..seeding import random_generator
from ..splits import split_sizes


@register("numbers/equivariant_mlp")
@dataclass(kw_only=True)
class EquivariantTeacher:
    """Node regression: the output of a random equivariant multilayer perceptron of order 1 and one channel.

    Its layers are linear maps of Rⁿ that commute with the group, one weight per orbital and one bias per orbit of
    points, with tanh in between (paper, Section 4). Weights and biases are normal; every map is scaled such that inputs
    of variance 1 have outputs of variance 1 on average. Inputs are independent, uniform and of variance 1.

    Args:
        group: a notation such as ``"D6"``, or a ``PermutationGroup``.
        num_layers: number of linear maps.
        teacher: seed of the weights.

    Raises:
        ValueError: an option of the wrong type or range, or what is no group.
    """

    name: ClassVar[str]
    group: str | PermutationGroup = "D6"
    num_layers: int = 3
    teacher: int = 0
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.num_layers, int) or isinstance(self.num_layers, bool) or self.num_layers < 1:
            raise ValueError(f"{self.name}: num_layers must be a positive integer, got {shown(self.num_layers)}")
        self.config = TaskConfig(group=self.group, num_features=1, problem_type="regression", num_labels=1, loss="mse")
        group = self.config.permutation_group()
        labels, orbits = orbit_labels(group), orbit_labels(group, order=1)
        rng = random_generator(self.teacher, self.name, "teacher")
        self._layers = []
        for _ in range(self.num_layers):
            matrix = rng.standard_normal(labels.max() + 1)[labels]
            matrix /= np.sqrt((matrix**2).sum(axis=1).mean())
            self._layers.append((matrix, rng.standard_normal(orbits.max() + 1)[orbits]))

    def label(self, inputs: np.ndarray) -> np.ndarray:
        """Labels float32 ``(N, n)`` of inputs ``(N, n, 1)``, computed in float64."""
        states = np.asarray(inputs, dtype=np.float64)[..., 0]
        for number, (matrix, bias) in enumerate(self._layers):
            states = (np.tanh(states) if number else states) @ matrix.T + bias
        return states.astype(np.float32)

    def load(self, num_rows: int = 20_000, seed: int = 0) -> DatasetDict:
        """``num_rows`` rows, split 70/15/15 into train, validation and test.

        Returns:
            Splits with the columns ``inputs`` and ``labels``, float32 ``(n, 1)`` and ``(n,)``.

        Raises:
            ValueError: too few rows to split.
        """
        sizes = split_sizes(num_rows)
        rng = random_generator(seed, self.name, "load")
        inputs = rng.uniform(-np.sqrt(3), np.sqrt(3), (num_rows, self.config.degree, 1)).astype(np.float32)
        parts = np.split(inputs, np.cumsum(list(sizes.values()))[:-1])
        return DatasetDict({split: self._split(part) for split, part in zip(sizes, parts, strict=True)})

    def _split(self, inputs: np.ndarray) -> Dataset:
        return to_dataset(self.config, inputs, self.label(inputs))
