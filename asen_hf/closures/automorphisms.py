"""Automorphism groups of coloured graphs, computed with igraph's BLISS.

BLISS handles undirected graphs with coloured vertices (for directed graphs it may not terminate). ``ColoredTuples``
therefore encodes points with coloured k-tuples as an undirected graph:

- k copies of every point: copy 0 has the colour of the point, copies 1 … k-1 are coloured by their number and joined to
  copy 0;
- one vertex per tuple, with the colour of the tuple, joined to copy t of its t-th point.

An automorphism of this graph moves all copies of a point together, so it is a permutation of the points that keeps all
colours.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy.combinatorics import PermutationGroup

from ..model._messages import shown
from ..model._points import positive_integer
from ..model.groups import from_array_form
from ..model.orbits import read_array

if TYPE_CHECKING:
    import igraph
    import networkx

__all__ = ["MAX_CLOSURE_POINTS", "ColoredTuples", "Undecided", "from_networkx", "graph_automorphisms"]

MAX_CLOSURE_POINTS = 1024
"""Largest degree of a group whose closures are computed, and largest graph whose automorphisms are.

BLISS takes seconds for 1,024 points without any colour, and a minute for 5,000. An order of more than 4,300 digits
could not be read from igraph, and 1024! has 2,640.
"""
_MAX_VERTICES = 2**18  # enough for all triples of 64 points
_MAX_IMAGES = 2**25  # entries of all generators, which igraph returns as Python lists: about 1.3 GB


class Undecided(ValueError):
    """A question about a group that is too large to be answered within seconds and a gigabyte."""


_NAN = object()  # stands for all values that differ from themselves


class ColoredTuples:
    """Points 0 … n-1 with colours, and k-tuples of them with colours.

    Args:
        point_colors: non-negative integers ``(n,)``.
        tuples: points, ``(k, M)``, one tuple per column.
        colors: non-negative integers ``(M,)``, the colours of the tuples.

    Raises:
        Undecided: too many points and tuples.
    """

    def __init__(
        self, point_colors: NDArray[np.integer], tuples: NDArray[np.integer], colors: NDArray[np.integer]
    ) -> None:
        import igraph  # here, not above: it takes 0.8 CPU seconds, which importing the closures need not cost

        (length, num_tuples), self.degree = tuples.shape, len(point_colors)
        copies = np.arange(length * self.degree).reshape(length, self.degree)
        if copies.size + num_tuples > _MAX_VERTICES:
            raise Undecided(
                f"automorphisms are computed up to {_MAX_VERTICES:,} vertices, but {self.degree:,} points and "
                f"{num_tuples:,} coloured {length}-tuples make {copies.size + num_tuples:,}"
            )
        vertices = np.arange(num_tuples) + copies.size
        edges = [(copies[0], copy) for copy in copies[1:]]
        edges += [(copy[points], vertices) for copy, points in zip(copies, tuples, strict=True)]
        copy_colors = np.arange(1, length).repeat(self.degree) + point_colors.max()
        vertex_colors = [point_colors, copy_colors, colors + point_colors.max() + length]
        self._colors = np.concatenate(vertex_colors).tolist()
        self._graph: igraph.Graph = igraph.Graph(
            len(self._colors), np.concatenate([np.stack(ends, axis=1) for ends in edges])
        )

    def automorphisms(self) -> PermutationGroup:
        """All permutations of the points that keep every colour; ``Undecided`` if they need too many generators."""
        # BLISS reports a permutation only if it at least doubles the group generated so far.
        most = min(self.degree, self.num_automorphisms.bit_length()) * len(self._colors)
        if most > _MAX_IMAGES:
            raise Undecided(
                f"the automorphisms of {self.degree:,} points are listed up to {_MAX_IMAGES:,} images, but their "
                f"generators may have {most:,}"
            )
        generators = self._graph.automorphism_group(color=self._colors)
        return from_array_form([range(self.degree), *(generator[: self.degree] for generator in generators)])

    @functools.cached_property
    def num_automorphisms(self) -> int:
        """The number of automorphisms, an exact integer of any size; correct only if all tuples are distinct."""
        return self._graph.count_automorphisms(color=self._colors)


def graph_automorphisms(
    edge_index: ArrayLike,
    num_nodes: int,
    node_colors: ArrayLike | None = None,
    edge_colors: ArrayLike | None = None,
) -> PermutationGroup:
    """The automorphism group of a directed graph: the permutations of nodes that keep edges and colours.

    Args:
        edge_index: integer array ``(2, E)`` of arcs (source, target), as in PyG; an undirected edge is two arcs. Loops
            and repeated arcs are allowed; automorphisms keep the multiplicity of arcs.
        num_nodes: number of nodes n.
        node_colors: ``(n,)`` or ``(n, F)``; nodes with equal numbers, strings or rows have the same colour;
            NaN equals NaN.
        edge_colors: ``(E,)`` or ``(E, F)``, in the order of ``edge_index``.

    Returns:
        The group, of degree n.

    Raises:
        ValueError: arcs have the wrong shape or dtype or a node outside 0 … n-1, the number of colours is wrong, or the
            graph or its group is too large.
    """
    num_nodes = positive_integer(num_nodes, "num_nodes")
    if num_nodes > MAX_CLOSURE_POINTS:
        raise Undecided(f"automorphisms are computed for at most {MAX_CLOSURE_POINTS:,} nodes, not {shown(num_nodes)}")
    arcs = read_array(edge_index, "edge_index")
    if arcs.size == 0:  # NumPy makes empty lists float arrays
        arcs = arcs.astype(np.int64)
    if arcs.ndim != 2 or arcs.shape[0] != 2 or arcs.dtype.kind not in "iu":
        raise ValueError(f"edge_index must be an integer array of shape (2, E), not {arcs.dtype} of shape {arcs.shape}")
    outside = ((arcs < 0) | (arcs >= num_nodes)).any(axis=0)
    if outside.any():
        index = int(outside.argmax())
        raise ValueError(f"arc {index}, {arcs[:, index].tolist()}, has a node outside 0 … {num_nodes - 1}")
    nodes = _color_numbers(node_colors, num_nodes, "node_colors")
    return ColoredTuples(nodes, arcs, _color_numbers(edge_colors, arcs.shape[1], "edge_colors")).automorphisms()


def from_networkx(
    graph: networkx.Graph, node_color: str | None = None, edge_color: str | None = None
) -> PermutationGroup:
    """The automorphism group of a networkx graph: directed, undirected or a multigraph.

    Args:
        graph: its nodes become the points 0 … n-1 in the order of ``graph.nodes``.
        node_color: name of a node attribute that automorphisms keep; its values must be hashable;
            NaN equals NaN.
        edge_color: name of an edge attribute that automorphisms keep, likewise.

    Raises:
        ValueError: the graph has no nodes, or a node or an edge lacks the attribute or has one that is not hashable.
    """
    if not all(hasattr(graph, name) for name in ("nodes", "edges", "to_directed")):
        raise ValueError(f"from_networkx takes a networkx graph, not {shown(graph)}")
    number = {node: index for index, node in enumerate(graph)}
    edges = list(graph.to_directed(as_view=True).edges(data=True))
    arcs = np.array([(number[source], number[target]) for source, target, _ in edges], dtype=np.int64)
    edge_colors = _attribute_numbers([((source, target), data) for source, target, data in edges], "edge", edge_color)
    node_colors = _attribute_numbers(graph.nodes.items(), "node", node_color)
    return graph_automorphisms(arcs.reshape(-1, 2).T, len(number), node_colors, edge_colors)


def _color_numbers(colors: ArrayLike | None, size: int, name: str) -> NDArray[np.int64]:
    if colors is None:
        return np.zeros(size, dtype=np.int64)
    array = read_array(colors, name)
    if array.dtype.kind in "US" and not isinstance(colors, np.ndarray):
        array = np.asarray(colors, dtype=object)  # NumPy makes [1, "1"] two equal strings
    if array.shape[:1] != (size,):
        raise ValueError(f"{name} must hold {size} colours, not an array of shape {array.shape}")
    rows = array.reshape(size, math.prod(array.shape[1:])).tolist()
    return _numbers((f"{name}[{index}]", tuple(row)) for index, row in enumerate(rows))


def _attribute_numbers(items: Iterable[tuple[Any, dict]], kind: str, name: str | None) -> NDArray[np.int64] | None:
    """The values of an attribute of nodes or edges, numbered."""
    if name is None:
        return None
    if not isinstance(name, Hashable):
        raise ValueError(f"{kind}_color must be the name of an attribute, not {shown(name)}")

    def values() -> Iterator[tuple[str, Any]]:
        for item, attributes in items:
            if name not in attributes:
                raise ValueError(f"{kind} {item!r} has no attribute {name!r}")
            yield f"attribute {name!r} of {kind} {item!r}", attributes[name]

    return _numbers(values())


def _numbers(values: Iterable[tuple[str, Any]]) -> NDArray[np.int64]:
    """Equal values get equal numbers; NaN equals NaN. Each value comes with its name for errors."""
    number_of: dict[Hashable, int] = {}
    colors = []
    for where, value in values:
        try:
            colors.append(number_of.setdefault(_comparable(value), len(number_of)))
        except TypeError as error:
            raise ValueError(f"{where} must be hashable to be a colour, got a {type(value).__name__}") from error
    return np.array(colors, dtype=np.int64)


def _comparable(value: Any) -> Any:
    if type(value) in (tuple, frozenset):
        return type(value)(map(_comparable, value))
    is_nan = isinstance(value, numbers.Number | np.generic) and value != value
    return _NAN if is_nan else value
