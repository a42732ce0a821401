"""Molecules: the potential energy of one molecule from where its atoms are (QM-22, Bowman et al., J. Chem. Phys. 2022).

Nodes are the pairs of atoms, with the feature exp(-r / 2 Å), so that turning and moving the molecule change nothing.
Exchanging equal atoms changes no energy; the group permutes atoms, and through them their pairs.
"""

import os
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from datasets import Dataset, DatasetDict
from scipy.spatial.distance import pdist, squareform
from sympy.combinatorics import PermutationGroup

from ...model.configuration_asen import TaskConfig
from ...model.groups import action_on_subsets, to_cycles, young_subgroup
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
_LENGTH = 2.0  # ångström, of the feature's decay
_TEST, _VALIDATION = 0.3, 0.1  # 1,500 and 500 of the 5,000 rows, as in published figures
GEOMETRIES = (
    Array(key="positions", shape=("rows", "atoms", 3), low=-100, high=100, unit="ångström"),
    Array(key="energy", shape=("rows",), low=0, high=10_000),
)


@register("molecule/qm22")
@dataclass(kw_only=True)
class Qm22:
    """Graph regression: the energy of a geometry in kcal/mol above the lowest, scored by mean absolute error.

    The node of atoms i < j is number ``i, j`` in lexicographic order. Means and scales are not stated: training
    computes them from its own rows, per orbit of pairs.

    Args:
        data_path: an ``.npz`` with ``symbols`` ``(atoms,)`` (chemical symbols), ``positions`` ``(N, atoms, 3)`` in
            ångström and ``energy`` ``(N,)`` in kcal/mol, at least 0.
        group: ``"bonds"`` (atoms that the bonds of the row of lowest energy cannot tell apart, such as the hydrogens of
            one methyl group), ``"like_atoms"`` (all atoms of an element: exact too, but most of its exchanges lead to
            geometries that no row comes near), ``"trivial"`` or any other group on the atoms.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values, such as positions
            in another unit or two atoms at one place; an unknown group.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "bonds"
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arrays = read_arrays(self.data_path)
        symbols = _symbols(arrays, self.data_path)
        sizes = {"atoms": (len(symbols), "symbols")}
        checked = check_arrays(arrays, GEOMETRIES, self.data_path, sizes)
        self._energies = checked["energy"]
        distances = _distances(checked["positions"], f"{self.data_path}: positions")  # (N, pairs)
        self._features = np.exp(-distances / _LENGTH)[..., None]
        elements = np.unique(symbols, return_inverse=True)[1]
        like_atoms = [np.flatnonzero(elements == element).tolist() for element in np.unique(elements)]
        bonds = _bonds(symbols, distances[self._energies.argmin()])
        offered = {
            "bonds": (_automorphisms(bonds, elements), "Aut(bonds)"),
            "like_atoms": (young_subgroup(like_atoms), _product_name(like_atoms)),
        }
        try:
            group, group_name = resolve_group(self.group, len(symbols), offered)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        on_pairs = action_on_subsets(group, 2)
        self.config = TaskConfig(
            degree=on_pairs.degree,
            generators=to_cycles(on_pairs),
            group_name=f"{group_name} on pairs of atoms" if group_name else "",
            num_features=1,
            output_level="graph",
            problem_type="regression",
            label_names=["energy (kcal/mol)"],
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """The rows shuffled by ``np.random.default_rng(0)``: the last 30 % for testing, the 10 % before for validation.

        ``num_rows`` takes the first of every split, in proportion; ``seed`` has no effect, so that figures of different
        seeds share their test rows.

        Returns:
            Splits with the columns ``inputs``, float32 ``(pairs, 1)``, and ``labels``, float64 numbers in kcal/mol.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        shuffled = np.random.default_rng(0).permutation(len(self._energies))
        num_test, num_validation = (round(share * len(shuffled)) for share in (_TEST, _VALIDATION))
        end = len(shuffled) - num_test
        parts = np.split(shuffled, [end - num_validation, end])
        rows = dict(zip(("train", "validation", "test"), parts, strict=True))
        sizes = proportional_sizes(self.name, {split: len(chosen) for split, chosen in rows.items()}, num_rows)
        return DatasetDict({split: self._split(rows[split][:size]) for split, size in sizes.items()})

    def _split(self, rows: np.ndarray) -> Dataset:
        return to_dataset(self.config, self._features[rows].astype(np.float32), self._energies[rows])


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
