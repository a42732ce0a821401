"""Quantum error correction: which qubits are flipped, from the outcomes of parity checks.

The bivariate bicycle code [[72, 12, 6]] of Bravyi et al. (Nature 627, 778, 2024): 72 qubits, 36 checks of six qubits
each, 12 logical qubits. The code lies on a torus, so the translations Z_6 × Z_6 permute qubits and checks.
"""

import os
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from datasets import Dataset, DatasetDict
from numpy.typing import NDArray

from ...model._messages import naming
from ...model.configuration_asen import TaskConfig
from ...model.configuration_rows import IGNORED_CLASS
from ...model.groups import from_array_form, to_cycles
from .._array_table import Array
from .._npz_files import read_npz
from ..features import to_dataset
from ..group_option import GroupOption, NamedGroup, resolve_group
from ..registry import Predictor, register
from ..seeding import random_generator
from ..splits import proportional_sizes
from .decoding import is_logical_failure, ordered_statistics, repeated_decisions

QUBITS, CHECKS = 72, 36
NODES = QUBITS + CHECKS
_PERCENTS = (3, 5, 7)
_PARTS = ("train{}", "valid{}", *(f"test{{}}_{percent:02d}" for percent in _PERCENTS))
_GROUPS = {"translations": "generators", "automorphisms": "automorphism_generators"}
SHOTS = (
    *(Array(key=key, shape=(CHECKS, QUBITS), kind="flag") for key in ("Hx", "Hz")),
    Array(key="Lz", shape=("operators", QUBITS), kind="flag"),
    *(Array(key=key, shape=(key, NODES), kind="integer", low=0, high=NODES - 1) for key in _GROUPS.values()),
    *(
        Array(key=part.format(name), shape=(part.format(" shots"), -(-size // 8)), kind="integer", low=0, high=255)
        for part in _PARTS
        for name, size in (("_error", QUBITS), ("_syndrome", CHECKS))
    ),
)


class CodeFile(NamedTuple):
    """What the file holds, checked.

    Attributes:
        parity_checks: bool ``(36, 72)``.
        logical_operators: bool ``(k, 72)``.
        groups: ``translations`` and ``automorphisms`` on the 108 nodes, with their names.
        shots: by part of the file, such as ``train{}`` or ``test{}_05``, flips ``(N, 72)`` and outcomes ``(N, 36)``,
            zeros and ones.
    """

    parity_checks: np.ndarray
    logical_operators: np.ndarray
    groups: dict[str, NamedGroup]
    shots: dict[str, tuple[np.ndarray, np.ndarray]]


@register("code/bb72")
@dataclass(kw_only=True)
class BivariateBicycle72:
    """Node classification: whether each of 72 qubits is flipped. Nodes are the qubits, then the 36 checks.

    A check exchanges messages with its qubits; qubits of one check, and checks of one qubit, with each other.

    Args:
        data_path: an ``.npz`` with the parity checks ``Hx`` and ``Hz`` ``(36, 72)``, of which ``Hz`` see the flips, the
            logical operators ``Lz`` ``(12, 72)``, ``generators`` and ``automorphism_generators`` (permutations of the
            108 nodes, one per row), and shots ``train_error`` ``(N, 9)``, ``train_syndrome`` ``(N, 5)``, ``valid_…``,
            and ``test_error_03``, ``test_syndrome_03``, ``…_05``, ``…_07``: flips and outcomes, eight to a byte as by
            ``np.packbits``.
        group: ``"translations"`` (``generators``, Z_6 × Z_6), ``"automorphisms"`` (``automorphism_generators``),
            ``"trivial"`` or any other group on the 108 nodes.
        test_percent: how many of 100 qubits are flipped in the test shots: 3, 5 or 7.

    Attributes:
        parity_checks: bool ``(36, 72)``, ``Hz``.
        logical_operators: bool ``(12, 72)``, ``Lz``. A decoder fails on a shot whose correction has the right outcomes,
            but whose difference from the flips anticommutes with one of them.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values, such as outcomes
            that are not those of the flips, or a generator that does not map ``Hz`` to itself; an unknown option.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "translations"
    test_percent: Literal[3, 5, 7] = 5
    config: TaskConfig = field(init=False, repr=False)
    parity_checks: np.ndarray = field(init=False, repr=False)
    logical_operators: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.test_percent not in _PERCENTS:
            raise ValueError(f"{self.name}: test_percent must be 3, 5 or 7, got {self.test_percent!r}")
        content = read_code(self.data_path)
        self.parity_checks, self.logical_operators = content.parity_checks, content.logical_operators
        with naming(self.name):
            group, group_name = resolve_group(self.group, NODES, content.groups)
        parts = {"train": _PARTS[0], "validation": _PARTS[1], "test": f"test{{}}_{self.test_percent:02d}"}
        self._test_parts = {percent: content.shots[f"test{{}}_{percent:02d}"] for percent in _PERCENTS}
        self._shots = {split: content.shots[part] for split, part in parts.items()}
        self.config = TaskConfig(
            degree=NODES,
            generators=to_cycles(group),
            group_name=group_name,
            edges=_edges(self.parity_checks),
            vocab_size=3,
            label_names=["not flipped", "flipped"],
            metric="auc",  # nineteen of twenty qubits are not flipped
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """The file's splits, or ``num_rows`` of their shots at random, from every split in proportion.

        Returns:
            Splits with the columns ``inputs``, tokens ``(108,)`` (0 for a qubit, 1 + outcome for a check), and
            ``labels``, classes ``(108,)``, -100 (ignored) for checks.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        sizes = proportional_sizes(
            self.name, {split: len(errors) for split, (errors, _) in self._shots.items()}, num_rows
        )
        return DatasetDict({split: self._split(split, size, seed) for split, size in sizes.items()})

    def judge(self, predict: Predictor) -> dict[str, float]:
        """Logical error rates on the file's three test parts: of hard decisions, of repeated ones, and after OSD-0.

        Args:
            predict: tokens ``(N, 108)`` to probabilities ``(N, 108, 2)``.

        Returns:
            ``{"LER at 5 %": …, "LER at 5 %, in rounds": …, "LER at 5 %, OSD-0": …, …}`` (see
            :mod:`asen_hf.data.real.decoding`), for 3, 5 and 7 %.
        """
        return {
            name: float(failures.mean())
            for percent in _PERCENTS
            for name, failures in self.logical_failures(predict, percent).items()
        }

    def logical_failures(self, predict: Predictor, percent: int) -> dict[str, NDArray[np.bool_]]:
        """By name as in :meth:`judge`: on which shots of a test part a decoder fails, ``(N,)``."""

        def probabilities_of(outcomes: np.ndarray) -> np.ndarray:
            return np.asarray(predict(_tokens(outcomes)))[:, :QUBITS, 1]

        errors, syndromes = self._test_parts[percent]
        probabilities = probabilities_of(syndromes)
        corrections = {
            f"LER at {percent} %": probabilities > 0.5,
            f"LER at {percent} %, in rounds": repeated_decisions(
                self.parity_checks, syndromes, probabilities, probabilities_of
            ),
            f"LER at {percent} %, OSD-0": ordered_statistics(self.parity_checks, syndromes, probabilities),
        }
        return {
            name: is_logical_failure(self.parity_checks, self.logical_operators, errors, correction)
            for name, correction in corrections.items()
        }

    def _split(self, split: str, size: int, seed: int) -> Dataset:
        errors, syndromes = self._shots[split]
        chosen = np.sort(random_generator(seed, self.name, split).permutation(len(errors))[:size])
        labels = np.pad(errors[chosen].astype(np.int64), ((0, 0), (0, CHECKS)), constant_values=IGNORED_CLASS)
        return to_dataset(self.config, _tokens(syndromes[chosen]), labels)


def _tokens(syndromes: np.ndarray) -> np.ndarray:
    """Outcomes ``(N, 36)`` as tokens ``(N, 108)``: 0 for a qubit, 1 + outcome for a check."""
    return np.pad(1 + syndromes.astype(np.int64), ((0, 0), (QUBITS, 0)))


def read_code(path: str | os.PathLike[str]) -> CodeFile:
    """Read and check a file as :class:`BivariateBicycle72` takes it; ``ValueError`` as there."""
    arrays = read_npz(path, SHOTS)
    for key in ("Hz", "Lz"):
        odd = (arrays[key].astype(np.int64) @ arrays["Hx"].T.astype(np.int64) % 2).any(axis=1)
        if odd.any():
            raise ValueError(
                f"{path}: {key}, row {int(odd.argmax())}: it must share an even number of qubits with every row of Hx"
            )
    groups = {option: _group(arrays, key, path, option) for option, key in _GROUPS.items()}
    return CodeFile(arrays["Hz"], arrays["Lz"], groups, {part: _shots(arrays, part, path) for part in _PARTS})


def _group(arrays: dict[str, np.ndarray], key: str, path: str | os.PathLike[str], option: str) -> NamedGroup:
    for row, image in enumerate(arrays[key]):
        qubits, checks = np.split(image, [QUBITS])
        is_permutation = np.array_equal(np.sort(image), np.arange(NODES)) and qubits.max() < QUBITS
        if not is_permutation or not np.array_equal(arrays["Hz"][np.ix_(checks - QUBITS, qubits)], arrays["Hz"]):
            raise ValueError(
                f"{path}: {key}, row {row}: expected a permutation of {QUBITS} qubits and {CHECKS} checks that maps Hz "
                "to itself"
            )
    return from_array_form(arrays[key].tolist()), option


def _shots(arrays: dict[str, np.ndarray], part: str, path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Flips ``(N, 72)`` and outcomes ``(N, 36)``, zeros and ones."""
    errors, syndromes = (arrays[part.format(name)].astype(np.uint8) for name in ("_error", "_syndrome"))
    flips = np.unpackbits(errors, axis=1)[:, :QUBITS]
    outcomes = flips.astype(np.int64) @ arrays["Hz"].T.astype(np.int64) % 2
    wrong = (np.packbits(outcomes.astype(np.uint8), axis=1) != syndromes).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"{path}: {part.format('_syndrome')}, row {int(wrong.argmax())}: these are not the outcomes of the checks "
            f"Hz on {part.format('_error')}"
        )
    return flips, outcomes


def _edges(parity_checks: np.ndarray) -> list[list[int]]:
    """Pairs of nodes at most two steps apart in the Tanner graph, and every node with itself."""
    tanner = np.zeros((NODES, NODES), dtype=np.int64)
    tanner[QUBITS:, :QUBITS] = parity_checks
    tanner += tanner.T + np.eye(NODES, dtype=np.int64)
    return np.argwhere(tanner @ tanner > 0).tolist()
