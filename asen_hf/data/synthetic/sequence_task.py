"""A synthetic sequence task: a sampler, a label rule and the group under which the rule is symmetric.

Options are the dataclass fields. A concrete task says how a sequence is drawn (``propose``), what its label is
(``rule``), the label's type (``output``) and its group (``default_group``); this base class does the rest. The samplers
and rules are those of the paper's Tables 3, 5 and C.2–C.5, except that every task draws its own inputs and that no
input is in two splits.
"""

import dataclasses
import functools
import numbers
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from datasets import DatasetDict

from ...model._messages import naming, shown
from ...model.configuration_asen import TaskConfig
from ...model.configuration_rows import MISSING_TOKEN
from ...model.groups import PointOrder, to_cycles
from ..group_option import GroupOption, NamedGroup, resolve_group
from ..seeding import random_generator
from ..splits import split_sizes
from .cache import cached_splits
from .sampling import collect_rows

# Part of the cache's key: raise it when a sampler or a label rule changes its output.
DATA_VERSION = "1.0.0"


def node_classes(*names: str) -> dict[str, Any]:
    """Output of an equivariant task: one class per position, labels int64 ``(N, n)``."""
    return {"output_level": "node", "problem_type": "single_label_classification", "label_names": list(names)}


def pair_classes(*names: str) -> dict[str, Any]:
    """Output of an equivariant task: one class per ordered pair of positions, labels int64 ``(N, n, n)``."""
    return {"output_level": "pair", "problem_type": "single_label_classification", "label_names": list(names)}


def graph_classes(*names: str) -> dict[str, Any]:
    """Output of an invariant task: one class per sequence, labels int64 ``(N,)``."""
    return {"output_level": "graph", "problem_type": "single_label_classification", "label_names": list(names)}


def graph_number(name: str, label_scale: float) -> dict[str, Any]:
    """Output of an invariant task: one number per sequence, labels float32 ``(N,)``; L1 loss on labels / scale."""
    return {
        "output_level": "graph",
        "problem_type": "regression",
        "num_labels": 1,
        "label_names": [name],
        "label_scale": float(label_scale),
        "loss": "l1",
    }


@dataclasses.dataclass(kw_only=True)
class SequenceTask(ABC):
    """A synthetic task on sequences of tokens.

    Args:
        length: number n of tokens in a sequence, the degree of the group.
        vocabulary: number v of tokens; they are 0 … v-1.
        group: the symmetry given to the model, by default the label rule's own: a family's name, a SymPy
            ``PermutationGroup`` or a list of generators as cycles. It does not affect the rows.
        symmetry_breaking: as in ``TaskConfig``. It does not affect the rows.

    Raises:
        ValueError: for an option of the wrong type or range.
    """

    name: ClassVar[str]
    point_order: ClassVar[PointOrder | None] = None  # as in TaskConfig
    relations: ClassVar[tuple[str, ...]] = ()
    length: int
    vocabulary: int
    group: GroupOption | None = None
    symmetry_breaking: Literal["nodes", "pairs", "triples"] = "pairs"
    config: TaskConfig = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        for option in self._data_options():
            value = getattr(self, option)
            if not isinstance(value, numbers.Integral) or not -(2**63) <= int(value) < 2**63:
                raise ValueError(f"{self.name}: {option} must be an integer of at most 64 bits, got {shown(value)}")
            setattr(self, option, int(value))
        self.check_options()
        with naming(self.name):
            group, group_name = self.default_group() if self.group is None else resolve_group(self.group, self.length)
        self.config = TaskConfig(
            degree=self.length,
            generators=to_cycles(group),
            group_name=group_name,
            symmetry_breaking=self.symmetry_breaking,
            point_order=self.point_order,
            relations=list(self.relations),
            vocab_size=self.vocabulary,
            **self.output(),
        )

    @abstractmethod
    def default_group(self) -> NamedGroup:
        """The group under which the label rule is symmetric."""

    @abstractmethod
    def output(self) -> dict[str, Any]:
        """Type of the labels: keyword arguments of ``TaskConfig``."""

    @abstractmethod
    def propose(self, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        """Draw ``num_rows`` sequences and return the accepted ones, int64 ``(≤ num_rows, n)``."""

    @abstractmethod
    def rule(self, sequences: np.ndarray) -> np.ndarray:
        """Labels of valid int64 sequences ``(N, n)``: ``(N, n, n)``, ``(N, n)`` or ``(N,)``, numbers or booleans."""

    def check_options(self) -> None:
        """Raise ``ValueError`` if an option is out of range or contradicts another option."""
        for option in ("length", "vocabulary"):
            self._require(getattr(self, option) >= 1, f"{option} must be at least 1, got {getattr(self, option)}")

    def balanced_labels(self) -> Sequence[int]:
        """The labels that must be equally frequent; empty if rows are used as they are drawn."""
        return ()

    def label(self, sequences: np.ndarray) -> np.ndarray:
        """The label rule alone.

        Args:
            sequences: integers ``(N, n)`` in 0 … v-1, including sequences that the sampler never draws.

        Returns:
            int64 classes or float32 values in raw units, ``(N,) + config.label_shape()``.

        Raises:
            ValueError: wrong shape or type, or a token outside the vocabulary.
        """
        sequences = np.asarray(sequences)
        self.config.check_inputs(sequences, where=f"{self.name}: ")
        if (sequences == MISSING_TOKEN).any():
            raise ValueError(f"{self.name}: inputs: a sequence with missing tokens has no label")
        return self._labels(sequences.astype(np.int64, copy=False))

    def sample(self, num_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Independent draws (repeats are possible) from a random stream that no ``load`` uses.

        Returns:
            ``(inputs, labels)``: inputs are int64 ``(num_rows, n)``, labels as from :meth:`label`.

        Raises:
            ValueError: if ``num_rows`` is negative, or one of the balanced labels is too rare.
        """
        self._require(num_rows >= 0, f"num_rows must be at least 0, got {shown(num_rows)}")
        return self._draw(num_rows, random_generator(seed, self.name, "sample"), distinct=False)

    def load(self, num_rows: int = 2500, seed: int = 0) -> DatasetDict:
        """``num_rows`` different sequences, split 70/15/15 into train, validation and test; cached by ``datasets``.

        They depend on the seed, the task's name and its options other than ``group`` and ``symmetry_breaking``.

        Returns:
            Splits with the columns ``inputs`` (int64, length n) and ``labels`` (``ClassLabel`` or float32).

        Raises:
            ValueError: too few rows to split, or fewer different inputs than ``num_rows``.
        """
        sizes = split_sizes(num_rows)
        key = {"task": self.name, "num_rows": int(num_rows), "seed": int(seed)}
        key |= {option: getattr(self, option) for option in self._data_options()}
        rng = random_generator(seed, self.name, "load")
        draw = functools.partial(self._draw, int(num_rows), rng, distinct=True)
        return cached_splits(self.name, self.config, key, DATA_VERSION, sizes, draw)

    def _data_options(self) -> list[str]:
        return [
            field.name
            for field in dataclasses.fields(self)
            if field.init and field.name not in ("group", "symmetry_breaking")
        ]

    def _draw(self, num_rows: int, rng: np.random.Generator, distinct: bool) -> tuple[np.ndarray, np.ndarray]:
        classes = self.balanced_labels()
        with naming(self.name):
            inputs = collect_rows(
                lambda batch: self.propose(rng, batch),
                num_rows,
                classify=self.rule if classes else None,
                classes=classes,
                distinct=distinct,
            )
        if classes:  # collect_rows returns them class by class
            inputs = rng.permutation(inputs)
        return inputs, self._labels(inputs)

    def _labels(self, sequences: np.ndarray) -> np.ndarray:
        return self.rule(sequences).astype(np.float32 if self.config.is_regression else np.int64)

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise ValueError(f"{self.name}: {message}")
