"""Automorphism groups of graphs: networkx graphs, and named ones such as Petersen's.

The search itself is in ``asen_hf.closures``, which does not travel with a checkpoint (a saved config holds generators).
It is imported by string, because transformers' loader requires all that uploaded code imports.
"""

import importlib
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy.combinatorics import PermutationGroup

from ._points import subsets_degree

_MOST_NODES = 1024  # as the search takes
SMALL_GRAPHS = (
    *("bull", "chvatal", "cubical", "desargues", "diamond", "dodecahedral", "frucht", "heawood", "hoffman_singleton"),
    *("house", "house_x", "icosahedral", "krackhardt_kite", "moebius_kantor", "octahedral", "pappus", "petersen"),
    *("sedgewick_maze", "tetrahedral", "truncated_cube", "truncated_tetrahedron", "tutte"),
)
"""Graphs that networkx names; ``petersen`` is ``networkx.petersen_graph()``. Their nodes keep networkx's order."""

ALIASES = {"cube": "cubical", "dodecahedron": "dodecahedral", "icosahedron": "icosahedral"} | {
    "octahedron": "octahedral",
    "tetrahedron": "tetrahedral",
}
PARAMETRIC_GRAPHS = {"hamming": "hamming", "h": "hamming", "johnson": "johnson", "j": "johnson", "kneser": "kneser"}


def is_graph(value: object) -> bool:
    """Whether the value looks like a networkx graph."""
    names = ("nodes", "edges", "to_directed")
    return not isinstance(value, type) and all(hasattr(value, name) for name in names)


def automorphisms(graph: Any) -> PermutationGroup:
    """The automorphism group of a networkx graph, on its nodes in the order of ``graph.nodes``.

    Raises:
        ValueError: the graph has no nodes or is too large, or asen_hf is not installed.
    """
    return _closures().from_networkx(graph)


def small_graph(name: str) -> tuple[int, Callable[[], PermutationGroup]]:
    """Number of nodes of a graph in :data:`SMALL_GRAPHS`, and a function that finds its automorphism group."""
    try:
        networkx = importlib.import_module("networkx")
    except ImportError as error:
        raise ValueError(f"the {name} graph is networkx's, so networkx must be installed") from error
    graph = getattr(networkx, f"{name}_graph", None) or getattr(networkx, name)
    graph = graph()
    return len(graph), lambda: automorphisms(graph)


def graph_family(name: str, first: int, second: int) -> tuple[int, Callable[[], PermutationGroup]]:
    """Number of nodes of a graph with two parameters, and a function that finds its automorphism group.

    Args:
        name: ``"hamming"``: words of ``first`` letters from an alphabet of ``second``, joined if they differ in one
            letter, in alphabetical order. ``"johnson"`` and ``"kneser"``: subsets of size ``second`` of ``first``
            points in lexicographic order, joined if they differ in one point, or have none in common.

    Raises:
        ValueError: a parameter is out of range, or there are more than 1,024 nodes.
    """
    if name == "hamming":
        if first < 1 or second < 1:
            raise ValueError(
                f"a Hamming graph needs a word length and an alphabet of at least 1, not {first} and {second}"
            )
        degree = 1
        for _ in range(first if second > 1 else 0):
            degree *= second
            _check_nodes(degree)
        return degree, lambda: _of_adjacency(_hamming(first, second))
    degree = subsets_degree(first, second)
    _check_nodes(degree)
    common = second - 1 if name == "johnson" else 0
    return degree, lambda: _of_adjacency(_common_points(first, second) == common)


def _check_nodes(degree: int) -> None:
    if degree > _MOST_NODES:
        raise ValueError(f"automorphisms are computed for at most {_MOST_NODES:,} nodes")


def _hamming(length: int, alphabet: int) -> NDArray[np.bool_]:
    length = length if alphabet > 1 else 1
    words = np.arange(alphabet**length)[:, None] // alphabet ** np.arange(length - 1, -1, -1) % alphabet
    return sum((column[:, None] != column for column in words.T), np.zeros(1, dtype=np.int64)) == 1


def _common_points(n: int, k: int) -> NDArray[np.int64]:
    """How many points each two k-subsets of n points have in common."""
    contains = np.array([np.isin(np.arange(n), subset) for subset in combinations(range(n), k)], dtype=np.int64)
    return contains @ contains.T


def _of_adjacency(adjacency: NDArray[np.bool_]) -> PermutationGroup:
    np.fill_diagonal(adjacency, val=False)
    return _closures().graph_automorphisms(np.array(np.nonzero(adjacency)), len(adjacency))


def _closures() -> Any:
    try:
        return importlib.import_module("asen_hf.closures")
    except ImportError as error:
        raise ValueError(
            "automorphisms of graphs need asen_hf to be installed (pip install asen-hf); a saved config holds their "
            "generators and needs nothing"
        ) from error
