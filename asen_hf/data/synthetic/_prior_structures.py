"""Groups for random tasks: a family, its degree and parameters, and the orbitals that rules are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup

from ...model.group_notation import parse_group
from ...model.groups import to_cycles
from ...model.orbits import orbit_labels

MAX_DEGREE = 16
_GRAPHS = 64  # random graphs, whose automorphisms take milliseconds to find

_Drawn = tuple[str, str | None]  # a group's notation, or the name of a random graph, and the order of its points


@dataclass(frozen=True, eq=False)  # one object per group, so that it is a key of caches
class Structure:
    """A permutation group and what rules and configs need of it.

    Attributes:
        name: its notation.
        degree: number n of points.
        generators: as cycles.
        labels: int32 ``(n, n)``, the orbital of every pair.
        partners: bool ``(r, n, n)``, the pairs of each orbital that is not diagonal.
        order: the config's ``point_order`` and ``node_coordinates``; empty where points have no order.
    """

    name: str
    degree: int
    generators: list
    labels: NDArray[np.int32]
    partners: NDArray[np.bool_]
    order: dict[str, Any]


def draw_structure(rng: np.random.Generator) -> Structure:
    """A group of a random family, of degree 2 … 16."""
    family = FAMILIES[_NAMES[rng.integers(len(_NAMES))]]
    return _build(*family(rng))


def _blocks(rng: np.random.Generator) -> _Drawn:
    size = int(rng.integers(2, 7))
    number = int(rng.integers(2, MAX_DEGREE // size + 1))
    inner, outer = (_kind(rng, "SCD") for _ in range(2))
    return f"{inner}{size} wr {outer}{number}", None


def _parts(rng: np.random.Generator) -> _Drawn:
    sizes = rng.integers(1, 6, size=int(rng.integers(2, 4)))
    return f"Young({','.join(map(str, sizes))})", None


def _product(rng: np.random.Generator) -> _Drawn:
    first, second = (f"{_kind(rng, 'SCDR')}{rng.integers(2, 9)}" for _ in range(2))
    return f"{first} x {second}", None


def _table(rng: np.random.Generator) -> _Drawn:
    first, second = (f"{_kind(rng, 'SCE')}{rng.integers(2, 5)}" for _ in range(2))
    return f"product_action({first}, {second})", None


def _grid(rng: np.random.Generator) -> _Drawn:
    height, width = rng.integers(2, 5, size=2).tolist()
    kinds = ["flips", "rotations", "translations", "dihedral"][: 3 + (height == width)]
    kind = kinds[rng.integers(len(kinds))]
    return f"grid {height}x{width} {kind}", None if kind == "translations" else f"{height}x{width}"


def _kind(rng: np.random.Generator, kinds: str) -> str:
    return kinds[rng.integers(len(kinds))]


FAMILIES: dict[str, Callable[[np.random.Generator], _Drawn]] = {
    "cyclic": lambda rng: (f"C{rng.integers(3, MAX_DEGREE + 1)}", "ring"),
    "dihedral": lambda rng: (f"D{rng.integers(3, MAX_DEGREE + 1)}", "ring"),
    "reversal": lambda rng: (f"R{rng.integers(3, MAX_DEGREE + 1)}", "line"),
    "symmetric": lambda rng: (f"S{rng.integers(3, MAX_DEGREE + 1)}", None),
    "wreath": _blocks,
    "young": _parts,
    "product": _product,
    "table": _table,
    "grid": _grid,
    "graph": lambda rng: (f"random graph {rng.integers(_GRAPHS)}", None),
}
"""By name: how a group of the family is drawn."""
_NAMES = list(FAMILIES)


@functools.cache  # of some thousand groups
def _build(name: str, order: str | None) -> Structure:
    group = _graph_group(int(name.split()[-1])) if name.startswith("random graph") else parse_group(name)
    return structure_of(group, name, _order(order))


def structure_of(group: PermutationGroup, name: str, order: dict[str, Any]) -> Structure:
    """The structure of a group. Arguments as of :class:`Structure`."""
    labels = orbit_labels(group)
    orbitals = labels == np.arange(labels.max() + 1)[:, None, None]
    partners = orbitals[~orbitals.diagonal(axis1=1, axis2=2).any(axis=1)]
    return Structure(name, len(labels), to_cycles(group), labels, partners, order)


def _graph_group(seed: int) -> PermutationGroup:
    import networkx  # only here, as all that finds automorphisms: they take long to import

    from ...closures.automorphisms import from_networkx

    graph = networkx.gnp_random_graph(5 + seed % 8, 0.25, seed=seed)  # sparse: dense ones have no automorphisms
    return from_networkx(graph)


def _order(order: str | None) -> dict[str, Any]:
    if order is None or order in ("ring", "line"):
        return {} if order is None else {"point_order": order}
    height, width = map(int, order.split("x"))
    coordinates = [[float(column), float(row)] for row in range(height) for column in range(width)]
    return {"point_order": "grid", "node_coordinates": coordinates}
