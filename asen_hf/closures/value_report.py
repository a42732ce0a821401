"""What a network with value symmetries is equivariant to: the average over cosets, or the read-out of the lift.

Both are made from a network that sees points only, and is equivariant to the automorphisms K' of its colours, which may
be more than the task asked for.

average: f(x) is the mean of t · f_K(t⁻¹ x) over the cosets t of K. An element h is a symmetry of f if it permutes the
sets tK'. If the whole group G and K' do, their product is a group of order |K'| · (number of different sets tK').

lift: an automorphism of the points (i, v) stands for an element that moves nodes and changes values if it moves all
points of a node alike: it keeps v⁻¹w of any two points (i, v) and (i, w) of one node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sympy.combinatorics import PermutationGroup

from ..model.configuration_symmetries import seen_symmetry, value_group
from ..model.configuration_task import TaskConfig
from ..model.groups import array_forms
from ..model.orbits import orbit_labels
from ..model.value_groups import ValueGroup, coset_key
from ..model.value_maps import Element
from ._texts import known_order, order_text
from .automorphisms import ColoredTuples, Undecided
from .k_closures import orbit_coloring
from .three_orders import ValueOrders, value_orders


@dataclass(frozen=True)
class ValueReport:
    """The part of a closure report that is about the value symmetries of a task.

    Attributes:
        symmetrization: ``"average"`` or ``"lift"``.
        num_seen_points: number of points that the network sees in one row: n, or that of the lift.
        num_cosets: number of rows that the network averages over; 1 for the lift.
        num_value_maps: number of ways in which the values at a node can change, the identity included.
        orders: the three orders of the whole group G; the last one is |G|.
        contains_group: whether the network is equivariant to G; not if what it sees of G does not keep the support.
        network_order: order of the group of elements, with their value maps, that the network is equivariant to;
            ``None`` if unknown.
        is_exact: whether this group equals G; ``None`` if unknown.
        has_moves: whether some value symmetry only moves points, which is averaged over and not seen.
        closure_order: if all do, the order of the 2-closure of G: what pairs would give without averaging; else
            ``None``.
    """

    symmetrization: str
    num_seen_points: int
    num_cosets: int
    num_value_maps: int
    orders: ValueOrders
    contains_group: bool
    network_order: int | None
    is_exact: bool | None
    has_moves: bool = False
    closure_order: int | None = None

    @property
    def facts(self) -> dict[str, str]:
        """The properties in words, by name."""
        seen = f"{self._seen_text} on {self.num_seen_points:,} points"
        if self.symmetrization == "lift":
            seen += " (node, value map)"
        elif self.num_cosets > 1:
            seen += f", averaged over {self.num_cosets:,} cosets"
        return {
            "whole group": f"order {self.orders.text}",
            "value maps": f"{self.num_value_maps:,}, the identity included",
            "seen by network": seen,
        }

    def sentence(self, is_invariant: bool, seen_instead: str, reason: str, undecided: str) -> str:
        """The group that the network will be equivariant to.

        Args:
            is_invariant: whether the group that the network sees maps the support to itself.
            seen_instead: the group that the network cannot tell from the one that it should see.
            reason: why it cannot, and a remedy.
            undecided: why closures were not computed, or empty.
        """
        group = f"this group (order {known_order(self.orders.outputs)})"
        seen = self._seen_text
        if not self.contains_group:
            fault = f"{seen} does not map the support to itself"
            if is_invariant:
                fault = f"what it sees instead of {seen} is not permuted by the whole group"
            return f"The network will not be equivariant to {group}: {fault}."
        if self.is_exact:
            return f"The network will be equivariant to exactly {group}{self._averaged_text}."
        if self.network_order is None:
            why = undecided or f"it sees {seen_instead} instead of {seen}"
            return (
                f"The network will be equivariant to {group}; whether to a larger one as well was not decided: {why}."
            )
        instead = f"The network will be equivariant to a group of order {order_text(self.network_order)}"
        if self.is_exact is None:
            return f"{instead}, which contains this group; whether it is larger could not be proved."
        return f"{instead} rather than to {group}: it sees {seen_instead} instead of {seen}, because {reason}."

    @property
    def _seen_text(self) -> str:
        if self.symmetrization == "lift":
            return "the lift of the whole group"
        return f"{'a' if self.has_moves else 'the'} subgroup that changes no value"

    @property
    def _averaged_text(self) -> str:
        """What averaging achieves for a group of moves."""
        if self.symmetrization == "lift" or not self.has_moves or self.num_cosets == 1:
            return ""
        if self.closure_order is None or self.closure_order == self.orders.outputs:
            return f", by averaging over the {self.num_cosets:,} cosets of a subgroup"
        return (
            f" with pairs of points only, by averaging over the {self.num_cosets:,} cosets of a subgroup; without, "
            f"pairs could not tell it from a group of order {order_text(self.closure_order)}"
        )


def value_report(
    task: TaskConfig,
    network_group: PermutationGroup | None,
    network_order: int | None,
    is_seen_exactly: bool | None,
    is_invariant: bool,
) -> ValueReport:
    """The report on a task with value symmetries.

    Args:
        task: with value symmetries.
        network_group: the automorphisms of the colours that the network sees, on the seen points; ``None`` if unknown.
        network_order: its order.
        is_seen_exactly: whether it equals the seen group, K or the lift.
        is_invariant: whether the seen group maps the support to itself.
    """
    group = value_group(task)
    orders = value_orders(task)
    order, contains_group = None, is_invariant
    if is_invariant and network_group is not None and network_order is not None:
        if task.symmetrization == "average":
            num_sets, contains_group = _coset_sets(task, group, network_group)
            order = None if num_sets is None else num_sets * network_order
        else:
            order = _read_out_order(group, network_group, network_order)
    is_exact = None if order is None or orders.outputs is None else order == orders.outputs
    if not contains_group:
        is_exact = False
    elif is_exact is None and is_seen_exactly:
        is_exact = True
    changes_values = [bool(element.maps.any()) for element in group.symmetries]
    return ValueReport(
        symmetrization=str(task.symmetrization),
        num_seen_points=seen_symmetry(task).degree,
        num_cosets=len(group.cosets) if task.symmetrization == "average" else 1,
        num_value_maps=len(np.unique(group.lift.maps)),
        orders=orders,
        contains_group=contains_group,
        network_order=order,
        is_exact=is_exact,
        has_moves=not all(changes_values),
        closure_order=None if any(changes_values) else _closure_order(task.point_group()),
    )


def _coset_sets(task: TaskConfig, group: ValueGroup, network_group: PermutationGroup) -> tuple[int | None, bool]:
    """The number of different sets tK', ``None`` unless K' permutes them; and whether the whole group does."""
    labels = orbit_labels(network_group, 3 if task.symmetry_breaking == "triples" else 2)
    keys = {coset_key(coset, labels) for coset in group.cosets}

    def permute(generators: list[Element]) -> bool:
        products = (generator.after(coset, group.maps) for generator in generators for coset in group.cosets)
        return all(coset_key(product, labels) in keys for product in products)

    seen = [Element.move(form) for form in array_forms(network_group)]
    contains_group = permute(group.generators)
    return len(keys) if contains_group and permute(seen) else None, contains_group


def _read_out_order(group: ValueGroup, network_group: PermutationGroup, network_order: int) -> int | None:
    """Number of automorphisms of the lift's colours that move all points of a node alike."""
    nodes, maps = group.lift.nodes, group.lift.maps
    is_same_node = nodes[:, None] == nodes
    targets, sources = np.nonzero(is_same_node)
    quotients = np.zeros(is_same_node.shape, dtype=np.int64)
    quotients[targets, sources] = 1 + group.maps.product(group.maps.inverse(maps[targets]), maps[sources])
    labels = orbit_labels(network_group).astype(np.int64)
    colors = np.unique(labels * (1 + quotients.max()) + quotients, return_inverse=True)[1].reshape(labels.shape)
    if colors.max() == labels.max():  # the orbitals tell the quotients already
        return network_order
    try:
        points = orbit_labels(network_group, 1)
        return ColoredTuples(points, np.indices(colors.shape).reshape(2, -1), colors.ravel()).num_automorphisms
    except Undecided:
        return None


def _closure_order(group: PermutationGroup) -> int | None:
    try:
        return orbit_coloring(group, 2).num_automorphisms
    except Undecided:
        return None
