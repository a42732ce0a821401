"""From the group of a task to features: orbit labels as buffers, and their embedding tables.

Paper Section 3.2: nodes, or node pairs, get the same feature if and only if they lie in the same orbit of the group.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ._neighbours import Neighbours, edge_lists, list_neighbours
from .configuration_asen import TaskConfig
from .configuration_symmetries import seen_symmetry
from .groups import from_cycles, symmetric
from .orbital_classes import classes_by_name, line_classes, orbital_classes, pair_offsets
from .orbits import check_num_tuples, orbit_labels, refine_by_support


@dataclasses.dataclass(frozen=True)
class OrbitGraph:
    """The pairs that carry messages, with one orbital label per pair.

    Attributes:
        num_nodes: number of nodes n.
        given_labels: int64, ``(n, n)`` on the complete support (row = target i, column = source j), or ``(B, n, n)`` if
            every row of a batch has its own graph; ``(E,)`` or ``(B, E)`` on a sparse support. ``None`` for 0 at loops
            and 1 at all other pairs, which are only made when :attr:`labels` is read: then ``nodes`` is given.
        edge_index: int64 ``(2, E)``, targets then sources; ``None`` on the complete support.
        triple_labels: int64 ``(n, n, n)``, target first; ``None`` if triples carry no messages.
        node_mask: bool ``(B, n)``, the nodes that a row has; ``None`` if every row has all. Others send no messages.
        in_edges, out_edges: int64 ``(k, n)`` and ``(r, n)``, the numbers of the edges into and out of every node, E
            where there are no more; ``None`` on the complete support, and where they would be nearly all padding.
        nodes: int64 ``(n,)``, the numbers of the nodes, of a graph whose labels are not given.
    """

    num_nodes: int
    given_labels: Tensor | None
    edge_index: Tensor | None = None
    triple_labels: Tensor | None = None
    node_mask: Tensor | None = None
    in_edges: Tensor | None = None
    out_edges: Tensor | None = None
    nodes: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """The label of every pair, in the shape of ``given_labels``, or ``(n, n)`` if they are not given."""
        return self._made_labels if self.given_labels is None else self.given_labels

    @functools.cached_property
    def _made_labels(self) -> Tensor:
        return self.labels_into(slice(None))

    @property
    def num_pairs(self) -> int:
        """Number of pairs that carry messages."""
        return self.num_nodes**2 if self.edge_index is None else self.edge_index.shape[1]

    def labels_into(self, targets: slice, rows: slice = slice(None)) -> Tensor:
        """Labels of the pairs into some targets of the complete support, ``(m, n)``, or ``(b, m, n)`` of some rows."""
        if self.given_labels is None:
            return _loops_and_others(cast(Tensor, self.nodes), targets)
        return self.given_labels[targets] if self.given_labels.dim() == 2 else self.given_labels[rows, targets]

    @functools.cached_property
    def neighbours(self) -> Neighbours | None:
        """The lists of edges by node, computed once for all layers; ``None`` if there are none."""
        if self.edge_index is None or self.in_edges is None or self.out_edges is None:
            return None
        return list_neighbours(self.in_edges, self.out_edges, self.edge_index, self.labels, self.node_mask)

    def to_edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Targets, sources and labels of all pairs as int64 ``(E,)``, row-major on the complete support.

        If every row has its own graph, labels are ``(B, E)``.
        """
        if self.edge_index is not None:
            return self.edge_index[0], self.edge_index[1], self.labels
        nodes = torch.arange(self.num_nodes, device=self.labels.device)
        targets, sources = nodes.repeat_interleave(self.num_nodes), nodes.repeat(self.num_nodes)
        return targets, sources, self.labels.flatten(-2)


class ComputedBuffers(nn.Module):
    """Non-persistent buffers: computed from a task's config, never saved, and computed again when a model is loaded.

    Args:
        task: what they are computed from.
    """

    def __init__(self, task: TaskConfig):
        super().__init__()
        self.task = task

    def compute_buffers(self) -> dict[str, Tensor]:
        """The values of the buffers by name, on the CPU."""
        raise NotImplementedError


class SymmetryBreaker(ComputedBuffers):
    """The orbit labels of a task.

    Args:
        task: gives the group, the support and ``symmetry_breaking``.

    Attributes:
        labels: int64 ``(n, n)`` or ``(E,)``; ``None`` with ``"nodes"`` on the complete support: its graph tells loops
            and other pairs apart when its labels are read.
        degree: number of points n; with value symmetries that are lifted, of the lift.
        num_pair_orbits: number of pair labels (the rank of the group, on the complete support with ``"pairs"``).
        node_labels: int64 ``(n,)``, the node orbits, with ``"nodes"``.
        node_rows: int64 ``(n, k)``, the rows of the node table whose sum is a node's vector: that of its orbit or, on a
            grid whose lines share rows, those of the orbit's columns and rows.
        num_node_rows, num_triple_orbits: number of rows of the node table and of triple labels; 0 if the task has none.
        orbits: int64 ``(n,)``, the node orbits of the group, of a task that tells them apart outside the backbone.
        members: the nodes of each of them, as lists.
        row_classes: int64 ``(rank,)``, the class of each pair label, of a task whose classes share a row.
        num_classes: their number; 0 if the task has none.

    Raises:
        ValueError: the number of ``orbital_names`` differs from the number of pair labels, or two node orbits lie in
            the same columns and rows of a grid whose lines share rows.
    """

    # The buffers, all of them: these annotations are the list of their names.
    labels: Tensor | None
    nodes: Tensor | None
    edge_index: Tensor | None
    in_edges: Tensor | None
    out_edges: Tensor | None
    node_labels: Tensor | None
    node_rows: Tensor | None
    triple_labels: Tensor | None
    orbits: Tensor | None
    row_classes: Tensor | None

    def __init__(self, task: TaskConfig):
        super().__init__(task)
        self.degree = seen_symmetry(task).degree
        buffers = self.compute_buffers()
        for name in SymmetryBreaker.__annotations__:
            self.register_buffer(name, buffers.get(name), persistent=False)
        # From the computed tensors, because from_pretrained may place the buffers on the meta device.
        self.num_pair_orbits, self.num_node_rows, self.num_triple_orbits, num_orbits, self.num_classes = (
            int(buffers[name].max()) + 1 if name in buffers else 0
            for name in ("labels", "node_rows", "triple_labels", "orbits", "row_classes")
        )
        if "nodes" in buffers:
            self.num_pair_orbits = min(2, self.degree)  # loops and other pairs
        self.members: list[list[int]] = [[] for _ in range(num_orbits)]
        for node, orbit in enumerate(buffers["orbits"].tolist() if num_orbits else []):
            self.members[orbit].append(node)
        names = task.orbital_names
        if names is not None and len(names) != self.num_pair_orbits:
            raise ValueError(
                f"orbital_names must hold one name for each of the {self.num_pair_orbits} pair orbitals of "
                f"{task.group_name or 'the group'}, in the order of their labels, got {len(names)}: {names}"
            )

    def compute_buffers(self) -> dict[str, Tensor]:
        """The values of the buffers by name, on the CPU; cached by the content of the task's symmetry."""
        task = self.task
        has_orbits = task.pool_by_orbit or task.linear_skip
        seen = dataclasses.astuple(seen_symmetry(task))
        key = json.dumps([*seen, task.support, task.symmetry_breaking, has_orbits])
        arrays = {name: torch.from_numpy(array.copy()) for name, array in _compute_arrays(key).items()}
        shares_rows = task.shared_rows and seen_symmetry(task).degree == task.degree  # points of a lift have no order
        if "node_labels" in arrays:
            arrays["node_rows"] = torch.from_numpy(_node_rows(task, arrays["node_labels"].numpy(), shares_rows))
        elif shares_rows:
            arrays["row_classes"] = torch.from_numpy(_row_classes(task, arrays["labels"].numpy()))
        return arrays

    def compute_graph(self) -> OrbitGraph:
        """The graph that :meth:`forward` returns, computed anew on the CPU."""
        return _graph(self.degree, self.compute_buffers())

    def forward(self) -> OrbitGraph:
        return _graph(self.degree, {name: getattr(self, name) for name in ("labels", *_OF_GRAPH)})


_OF_GRAPH = ("edge_index", "triple_labels", "in_edges", "out_edges", "nodes")


def _graph(degree: int, buffers: Mapping[str, Any]) -> OrbitGraph:
    labels, nodes = buffers.get("labels"), buffers.get("nodes")
    if nodes is not None and torch.compiler.is_compiling():  # Dynamo cannot trace Python 3.11's cached_property
        labels = _loops_and_others(nodes)
    return OrbitGraph(degree, labels, **{name: buffers.get(name) for name in _OF_GRAPH})


def _loops_and_others(nodes: Tensor, targets: slice = slice(None)) -> Tensor:
    """Labels ``(m, n)`` of the pairs into some targets: 0 for loops, 1 for other pairs."""
    return (nodes[targets, None] != nodes).long()


@functools.lru_cache(maxsize=256)
def _compute_arrays(key: str) -> dict[str, np.ndarray]:
    degree, generators, edges, support, symmetry_breaking, has_orbits = json.loads(key)
    group = from_cycles(generators, degree)
    arrays: dict[str, np.ndarray] = {}
    if has_orbits:
        arrays["orbits"] = orbit_labels(group, order=1)
    if symmetry_breaking == "triples":
        arrays["triple_labels"] = orbit_labels(group, order=3)
    if symmetry_breaking == "nodes":
        arrays["node_labels"] = orbit_labels(group, order=1)
        group = symmetric(degree)  # pair labels then only distinguish i = j from i ≠ j
    if symmetry_breaking == "nodes" and edges is None:
        check_num_tuples(degree, 2)
        arrays["nodes"] = np.arange(degree)
    elif support == "weak":
        arrays["labels"] = refine_by_support(orbit_labels(group, order=2), edges)
    else:
        arrays["labels"] = orbit_labels(group, order=2, edges=edges)
        if edges is not None:
            arrays["edge_index"] = np.array(edges, dtype=np.int64).reshape(-1, 2).T
            arrays |= edge_lists(arrays["edge_index"], degree)
    return {name: np.ascontiguousarray(array, dtype=np.int64) for name, array in arrays.items()}


def _row_classes(task: TaskConfig, labels: np.ndarray) -> np.ndarray:
    """The class of every pair label: by name, where names repeat, by soft orbital, or by offset in the order."""
    names = task.orbital_names
    if names is not None and len(set(names)) < len(names):
        return classes_by_name(names)
    if task.soft_group is not None:
        kinds = orbit_labels(from_cycles(task.soft_group, task.degree)).astype(np.int64)
    elif task.point_order is not None:
        kinds = pair_offsets(task.point_order, task.degree, task.node_coordinates)
    else:
        return np.arange(int(labels.max()) + 1)
    if task.seen_edges is not None:
        targets, sources = np.array(task.seen_edges, dtype=np.int64).reshape(-1, 2).T
        if task.support == "weak":
            kinds = 2 * (kinds - kinds.min())
            kinds[targets, sources] += 1
        else:
            kinds = kinds[targets, sources]
    if task.soft_group is not None and len(np.unique([labels.ravel(), kinds.ravel()], axis=1)[0]) > labels.max() + 1:
        raise ValueError("soft_group must be larger than the group: some of its orbitals split one of the group's")
    return orbital_classes(labels.ravel(), kinds.ravel())


def _node_rows(task: TaskConfig, labels: np.ndarray, shares_rows: bool | None) -> np.ndarray:
    """The rows of the node table whose sum is a node's vector, ``(n, k)``."""
    if not shares_rows or task.point_order != "grid":
        return labels[:, None]
    classes = line_classes(labels, np.asarray(task.node_coordinates))
    if len(np.unique(classes, axis=0)) < len(classes):
        raise ValueError(
            f"the columns and rows of the grid do not tell the {len(classes)} node orbits of "
            f"{task.group_name or 'the group'} apart: set shared_rows=False"
        )
    return classes[labels]


class EdgeEmbedder(nn.Embedding):
    """One learned d-vector per orbital, or per orbit on triples (paper Section 5, *EdgeEmbedder*).

    Args:
        num_orbits, hidden_size: the size of the table.
        is_correction: whether the vectors are added to others, and start at zero.
    """

    def __init__(self, num_orbits: int, hidden_size: int, is_correction: bool = False):
        super().__init__(num_orbits, hidden_size)
        self.is_correction = is_correction


class NodeEmbedder(nn.Embedding):
    """One learned d-vector per node orbit, added to the input features (paper Section 5.1.1, positional features).

    On a grid whose lines share rows, the sum of two (paper Section C.1, 2D-PE).
    """
