"""Molecules: the potential energy of one molecule from where its atoms are (QM-22, Bowman et al., J. Chem. Phys. 2022).

A row is the distances between atoms, so that turning, moving and reflecting the molecule change nothing. Exchanging
equal atoms changes no energy; the group permutes atoms, and through them their distances.
"""

import os
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from datasets import Dataset, DatasetDict
from scipy.spatial.distance import pdist, squareform
from sympy.combinatorics import PermutationGroup

from ...model._messages import naming
from ...model.configuration_asen import TaskConfig
from ...model.groups import action_on_subsets, to_cycles, young_subgroup
from ...model.orbits import orbit_labels
from .._array_table import Array, check_arrays
from .._npz_files import read_arrays
from ..features import to_dataset
from ..group_option import GroupOption, resolve_group
from ..registry import register
from ..splits import proportional_sizes

_RADII = {  # covalent radii in ångström (Cordero et al., Dalton Trans. 2008)
    **{"H": 0.31, "B": 0.84, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57},
    **{"Si": 1.11, "P": 1.07, "S": 1.05, "Cl": 1.02, "Br": 1.20, "I": 1.39},
}
_BOND = 1.3  # longest bond, as a multiple of the sum of both radii; the next distances of a molecule are 1.6 and more
_NEAREST = 0.7, 1.8  # ångström, range of the median distance between the two nearest atoms; in bohr it is 1.9 times it
_TOO_NEAR = 0.3  # ångström
_LENGTH, _POWERS = 2.0, 3  # ångström, of the first feature's decay; number of its powers
_SCALE = 3.0  # of features, in standard deviations: with 15, a network of 36 pairs did not leave the pair potential
_BUCKETS = 8  # wide bumps, because energies are smooth
_TEST, _VALIDATION = 0.3, 0.1  # 1,500 and 500 of the 5,000 rows, as in published figures
GEOMETRIES = (
    Array(key="positions", shape=("rows", "atoms", 3), low=-100, high=100, unit="ångström"),
    Array(key="energy", shape=("rows",), low=0, high=10_000),
)


@register("molecule/qm22")
@dataclass(kw_only=True)
class Qm22:
    """Graph regression: the energy of a geometry in kcal/mol above the lowest, scored by mean absolute error.

    Nodes are atoms, their elements are tokens (in alphabetic order of the symbols), and pair inputs are distances in
    ångström. Or nodes are pairs of atoms i < j in lexicographic order, with the features exp(-k r / 2 Å), k = 1, 2, 3,
    and training starts from the pair potential that is linear in them (``linear_skip``); their scales are three times
    their standard deviations, so that the network starts nearly linear, too. Statistics of energies and quantiles of
    distances are not stated: training computes them from its own rows.

    Args:
        data_path: an ``.npz`` with ``symbols`` ``(atoms,)`` (chemical symbols), ``positions`` ``(N, atoms, 3)`` in
            ångström and ``energy`` ``(N,)`` in kcal/mol, at least 0.
        group: ``"bonds"`` (atoms that the bonds of the row of lowest energy cannot tell apart, such as the hydrogens of
            one methyl group), ``"like_atoms"`` (all atoms of an element: exact too, but most of its exchanges lead to
            geometries that no row comes near), ``"trivial"`` or any other group on the atoms.
        nodes: ``"atoms"`` or ``"pairs"``. Pairs cost more, and predict energies better (docs/results/real.md).
        train_rows: keep the first so many training rows, as published figures do; by default all.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values, such as positions
            in another unit or two atoms at one place; an unknown group.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "bonds"
    nodes: Literal["atoms", "pairs"] = "atoms"
    train_rows: int | None = None
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.nodes not in ("atoms", "pairs"):
            raise ValueError(f"{self.name}: nodes must be atoms or pairs, got {self.nodes!r}")
        arrays = read_arrays(self.data_path)
        symbols = _symbols(arrays, self.data_path)
        sizes = {"atoms": (len(symbols), "symbols")}
        checked = check_arrays(arrays, GEOMETRIES, self.data_path, sizes)
        self._energies = checked["energy"]
        self._rows = self._split_rows()
        self._distances = _distances(checked["positions"], f"{self.data_path}: positions")  # (N, pairs)
        self._elements = np.unique(symbols, return_inverse=True)[1]
        like_atoms = [np.flatnonzero(self._elements == element).tolist() for element in np.unique(self._elements)]
        bonds = _bonds(symbols, self._distances[self._energies.argmin()])
        offered = {
            "bonds": (_automorphisms(bonds, self._elements), "Aut(bonds)"),
            "like_atoms": (young_subgroup(like_atoms), _product_name(like_atoms)),
        }
        with naming(self.name):
            group, group_name = resolve_group(self.group, len(symbols), offered)
        self.config = TaskConfig(
            **(self._of_atoms(group, group_name) if self.nodes == "atoms" else self._of_pairs(group, group_name)),
            output_level="graph",
            pooling="sum",
            problem_type="regression",
            loss="mse",
            label_names=["energy (kcal/mol)"],
        )

    def _of_atoms(self, group: PermutationGroup, name: str) -> dict[str, Any]:
        num_elements = int(self._elements.max()) + 1
        fields = {"degree": group.degree, "generators": to_cycles(group), "group_name": name}
        return {**fields, "vocab_size": num_elements, "pair_features": 1, "pair_buckets": _BUCKETS}

    def _of_pairs(self, group: PermutationGroup, name: str) -> dict[str, Any]:
        on_pairs = action_on_subsets(group, 2)
        orbits = orbit_labels(on_pairs, order=1)
        features = _decays(self._distances[self._rows["train"]])
        parts = [features[:, orbits == orbit].reshape(-1, _POWERS) for orbit in range(orbits.max() + 1)]
        return {
            **{"degree": on_pairs.degree, "generators": to_cycles(on_pairs), "num_features": _POWERS},
            "group_name": f"{name} on pairs of atoms" if name else "",
            "input_mean": [parts[orbit].mean(axis=0).tolist() for orbit in orbits],
            "input_scale": [(_SCALE * parts[orbit].std(axis=0)).tolist() for orbit in orbits],
            "linear_skip": True,
        }

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """The rows shuffled by ``np.random.default_rng(0)``: the last 30 % for testing, the 10 % before for validation.

        ``num_rows`` takes the first of every split, in proportion; ``seed`` has no effect, so that figures of different
        seeds share their test rows.

        Returns:
            Splits with the columns ``inputs``, int64 ``(atoms,)`` elements, ``pairs``, float64 ``(atoms, atoms)``, and
            ``labels``, float64 numbers in kcal/mol; or of pairs of atoms, ``inputs``, float64 ``(pairs, 3)``.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        sizes = proportional_sizes(self.name, {split: len(rows) for split, rows in self._rows.items()}, num_rows)
        return DatasetDict({split: self._split(self._rows[split][:size]) for split, size in sizes.items()})

    def _split_rows(self) -> dict[str, np.ndarray]:
        """The numbers of the rows of each split."""
        shuffled = np.random.default_rng(0).permutation(len(self._energies))
        num_test, num_validation = (round(share * len(shuffled)) for share in (_TEST, _VALIDATION))
        end = len(shuffled) - num_test
        train, validation, test = np.split(shuffled, [end - num_validation, end])
        if self.train_rows is not None and not 1 <= self.train_rows <= len(train):
            raise ValueError(f"{self.name}: train_rows must be in 1 … {len(train)}, got {self.train_rows}")
        return {"train": train[: self.train_rows], "validation": validation, "test": test}

    def _split(self, rows: np.ndarray) -> Dataset:
        distances, energies = self._distances[rows], self._energies[rows]
        if self.nodes == "pairs":
            return to_dataset(self.config, _decays(distances), energies)
        first, second = np.triu_indices(len(self._elements), 1)
        pairs = np.zeros((len(rows), *self.config.pair_shape()))
        pairs[:, first, second] = pairs[:, second, first] = distances
        atoms = np.broadcast_to(self._elements, (len(rows), len(self._elements)))
        return to_dataset(self.config, atoms, energies, pairs=pairs)


def _decays(distances: np.ndarray) -> np.ndarray:
    """Distances ``(N, pairs)`` to features ``(N, pairs, powers)``."""
    return np.exp(-distances / _LENGTH)[..., None] ** np.arange(1, _POWERS + 1)


def _symbols(arrays: dict[str, np.ndarray], path: str | os.PathLike[str]) -> np.ndarray:
    if "symbols" not in arrays:
        raise ValueError(f"{path}: no key 'symbols'; there are {', '.join(arrays) or 'none'}")
    symbols, where = arrays["symbols"], f"{path}: symbols"
    if symbols.dtype.kind != "U" or symbols.ndim != 1 or len(symbols) < 2:
        raise ValueError(
            f"{where}: expected the symbols of at least two atoms, an array of text of shape (atoms,), got type "
            f"{symbols.dtype} and shape {symbols.shape}"
        )
    for row, symbol in enumerate(symbols.tolist()):
        if symbol not in _RADII:
            raise ValueError(f"{where}, row {row}: expected one of {', '.join(_RADII)}, got {symbol!r}")
    return symbols


def _automorphisms(bonds: np.ndarray, elements: np.ndarray) -> PermutationGroup:
    from ...closures import graph_automorphisms  # here, not above: loading a table need not import igraph

    return graph_automorphisms(bonds, len(elements), elements)


def _product_name(blocks: list[list[int]]) -> str:
    return " x ".join(f"S_{len(block)}" for block in blocks if len(block) > 1) or "trivial"


def _distances(positions: np.ndarray, where: str) -> np.ndarray:
    """Distances ``(N, pairs)`` between atoms in ångström; ``ValueError`` names a row whose atoms are at one place."""
    distances = np.stack([pdist(geometry) for geometry in positions])
    nearest = distances.min(axis=1)
    if not _NEAREST[0] <= (median := float(np.median(nearest))) <= _NEAREST[1]:
        raise ValueError(
            f"{where}: the two nearest atoms are {median:.3g} apart in the median, not {_NEAREST[0]} … {_NEAREST[1]}; "
            "the unit must be ångström"
        )
    if (nearest < _TOO_NEAR).any():
        row = int((nearest < _TOO_NEAR).argmax())
        raise ValueError(f"{where}, row {row}: two atoms are {nearest[row]:.3g} Å apart; leave such rows out")
    return distances


def _bonds(symbols: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The bonds of a geometry with distances ``(pairs,)``, as arcs ``(2, E)`` both ways."""
    radii = np.array([_RADII[symbol] for symbol in symbols.tolist()])
    return np.stack(
        np.nonzero((squareform(distances) < _BOND * (radii[:, None] + radii)) & ~np.eye(len(radii), dtype=bool))
    )
