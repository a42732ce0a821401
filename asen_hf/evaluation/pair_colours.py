"""A task's colouring of nodes and pairs, split by node orbit: where equivariant maps have their coefficients."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..model.configuration_task import TaskConfig
from ..model.orbits import number_by_first_appearance, orbit_labels
from ..model.symmetry import SymmetryBreaker

Integers = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class NodeOrbit:
    """The pairs whose targets are the nodes of one orbit.

    Attributes:
        nodes: int64 ``(m,)``, ascending.
        targets: int64 ``(E,)``, positions in ``nodes``.
        sources: int64 ``(E,)``, nodes.
        slots: int64 ``(E,)``: the orbitals that start at the orbit, numbered 0 … ``num_slots`` - 1 by first appearance
            in the order of (target, source).
        num_slots: number of orbitals that start at the orbit.
    """

    nodes: Integers
    targets: Integers
    sources: Integers
    slots: Integers
    num_slots: int

    def sums(self, degree: int) -> csr_array:
        """The matrix ``(m · num_slots, n)`` that adds up, for each node and orbital, the sources of its pairs."""
        rows = self.targets * self.num_slots + self.slots
        shape = (len(self.nodes) * self.num_slots, degree)
        return csr_array((np.ones(len(rows)), (rows, self.sources)), shape=shape)

    @property
    def places(self) -> Integers:
        """Numbers of the orbit's outputs among the n outputs of a row: its nodes."""
        return self.nodes

    @property
    def key(self) -> bytes:
        """Equal for orbits of which each node sees the same groups of sources, such as all fixed points of a group."""
        return np.concatenate([self.targets, self.sources, self.slots]).tobytes()


@dataclasses.dataclass(frozen=True)
class Orbital:
    """The pairs of one orbital, as outputs of pairs.

    Attributes:
        targets, sources: int64 ``(m,)``, nodes, row-major.
        degree: number of nodes n.
    """

    targets: Integers
    sources: Integers
    degree: int

    @property
    def places(self) -> Integers:
        """Numbers of the orbital's outputs among the n² outputs of a row."""
        return self.targets * self.degree + self.sources

    @property
    def key(self) -> bytes:
        return self.places.tobytes()


@dataclasses.dataclass(frozen=True)
class PairColours:
    """The colours of nodes and pairs that the task's network sees; on a sparse support also loops.

    Attributes:
        node_labels: int64 ``(n,)``, the node orbits.
        targets, sources, labels: int64 ``(E,)``, the pairs with their orbitals, row-major.
        orbits: one entry per node orbit.
    """

    node_labels: Integers
    targets: Integers
    sources: Integers
    labels: Integers
    orbits: list[NodeOrbit]

    @property
    def num_node_orbits(self) -> int:
        return len(self.orbits)

    @property
    def num_orbitals(self) -> int:
        return int(self.labels.max()) + 1

    def orbitals(self) -> list[Orbital]:
        """The pairs of every orbital."""
        order = np.argsort(self.labels, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(self.labels))[:-1])
        return [Orbital(self.targets[part], self.sources[part], len(self.node_labels)) for part in parts]

    def transposes(self) -> Integers:
        """For each orbital, the orbital of its reversed pairs, or -1 if they are not in the support; ``(rank,)``."""
        degree = len(self.node_labels)
        codes, reverse = self.targets * degree + self.sources, self.sources * degree + self.targets
        places = np.searchsorted(codes, reverse).clip(max=len(codes) - 1)
        images = np.where(codes[places] == reverse, self.labels[places], -1)
        found = np.full(self.num_orbitals, -1)
        found[self.labels] = images
        return found


def pair_colours(task: TaskConfig) -> PairColours:
    """The colouring of a task's nodes and pairs.

    Args:
        task: gives the group, the support and ``symmetry_breaking``. With ``"nodes"``, pairs get the orbitals of the
            group's 1-closure: those of their nodes' orbits. Triples are not coloured.

    Raises:
        ValueError: the complete support has more pairs than can be labelled.
    """
    task = task.without_value_symmetries()  # a reference sees moves only, and learns from moved rows
    breaker = SymmetryBreaker(task)
    targets, sources, labels = (tensor.numpy() for tensor in breaker().to_edges())
    degree = task.degree
    nodes = np.arange(degree)
    if breaker.node_labels is not None:
        node_labels = breaker.node_labels.numpy()
        labels = (labels * degree + node_labels[targets]) * degree + node_labels[sources]
        labels = np.unique(labels, return_inverse=True)[1]
    else:
        node_labels = orbit_labels(task.permutation_group(), order=1).astype(np.int64)
    missing = np.setdiff1d(nodes, targets[targets == sources])  # a node always sees itself
    labels = np.concatenate([labels, labels.max(initial=-1) + 1 + node_labels[missing]])
    targets, sources = np.concatenate([targets, missing]), np.concatenate([sources, missing])
    order = np.lexsort([sources, targets])
    targets, sources, labels = targets[order], sources[order], np.unique(labels[order], return_inverse=True)[1]
    orbits = []
    for label in range(int(node_labels.max()) + 1):
        members = np.flatnonzero(node_labels == label)
        seen = node_labels[targets] == label
        numbers = np.unique(labels[seen], return_inverse=True)[1]
        slots = number_by_first_appearance(numbers.astype(np.int32)).astype(np.int64)
        positions = np.searchsorted(members, targets[seen])
        orbits.append(NodeOrbit(members, positions, sources[seen], slots, int(slots.max()) + 1))
    return PairColours(node_labels, targets, sources, labels, orbits)
