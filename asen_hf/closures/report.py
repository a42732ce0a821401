"""The closure report: the group that a network with the orbits of a given group is equivariant to.

The network sees a group G only as colours of points, pairs or triples, one colour per orbit. It is therefore
equivariant to *all* permutations that keep these colours: the k-closure G^(k), which contains G and may be larger
(paper, Section 3.2). Running a model does not need this module.

With value symmetries, G is what such a network sees, and :mod:`.value_report` says what becomes of it.
"""

import dataclasses
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sympy.combinatorics import PermutationGroup

from ..model._html import html_table, orbit_svg, side_by_side
from ..model._messages import shown
from ..model.configuration_points import MOST_POINTS_FOR_TRIPLES
from ..model.configuration_symmetries import seen_symmetry
from ..model.configuration_task import TaskConfig
from ..model.groups import symmetric
from ..model.orbits import check_edges, is_invariant_support, orbit_labels, refine_by_support
from ._texts import known_order, order_text
from .automorphisms import ColoredTuples, Undecided
from .k_closures import orbit_coloring
from .stabilizer_chain import prove_order
from .three_orders import check_value_symmetries, refuse_contradictions, value_orders
from .value_report import ValueReport, value_report

MAX_CHECKED_POINTS = 256
_LISTED_ORBITS = 12  # sizes of more orbits are not listed
_MAX_FACTORS = 4  # a direct product of more symmetric groups is described by its order only


@dataclass(frozen=True)
class ClosureReport:
    """Properties of a group and of a network with its orbits; the result of ``closure_report``.

    For a task with value symmetries, G is the group that the network sees: the elements that change no value, or the
    lift (see :mod:`asen_hf.model.value_symmetries`). ``values``, ``is_exact`` and ``sentence`` are about the whole
    group.

    Attributes:
        degree: number of points n.
        node_orbits: the orbits on points as sorted lists, in the order of their first points.
        rank: number of orbitals.
        num_self_paired: number of orbitals that equal their converse.
        is_primitive: whether a transitive group keeps no partition into blocks; ``None`` for an intransitive group,
            or if undecided.
        transitivity: the largest t such that G maps any t distinct points to any t distinct points (0: intransitive); a
            lower bound if the order is unknown.
        support_is_invariant: whether G maps the support to itself; true for the complete support.
        symmetry_breaking: which tuples are coloured, ``"nodes"``, ``"pairs"`` or ``"triples"``.
        order: |G|, or ``None`` if it could not be proved.
        closure_order: order of the 2-closure of G; ``None`` if undecided.
        is_two_closed: whether G equals its 2-closure; ``None`` if unknown.
        three_closure_order: order of the 3-closure, if triples are an option: G is not 2-closed and has at most 64
            points, and the support is complete; else ``None``.
        network_group: all permutations that the network is equivariant to: on the complete support the 1-, 2- or
            3-closure, else the automorphisms of the coloured support.
            ``None`` if undecided.
        network_order: order of ``network_group``; ``None`` if undecided.
        is_exact: whether ``network_group`` equals G, or with value symmetries, whether the network is equivariant to
            exactly the whole group; ``None`` if unknown.
        undecided: why the closures were not computed, for a large group; else empty.
        confuses_ties: whether inputs with equal values at several points might look the same to a network on all pairs
            although G does not map them onto each other; false only if that is proved impossible.
        values: what value symmetries make of it; ``None`` without.
    """

    degree: int
    node_orbits: list[list[int]]
    rank: int
    num_self_paired: int
    transitivity: int
    support_is_invariant: bool
    symmetry_breaking: str
    is_primitive: bool | None = None
    order: int | None = None
    closure_order: int | None = None
    is_two_closed: bool | None = None
    three_closure_order: int | None = None
    network_group: PermutationGroup | None = field(default=None, repr=False, compare=False)
    network_order: int | None = None
    is_exact: bool | None = None
    undecided: str = ""
    confuses_ties: bool = True
    values: ValueReport | None = None

    @property
    def is_transitive(self) -> bool:
        """Whether all points are in one orbit."""
        return len(self.node_orbits) == 1

    @property
    def index(self) -> int | None:
        """Index of the group in its 2-closure; ``None`` if its order is unknown."""
        return None if self.order is None or self.closure_order is None else self.closure_order // self.order

    @property
    def sentence(self) -> str:
        """The group that the network will be equivariant to; if it differs from G, the reason and a remedy.

        An equivariant network need not be universal: the sentence says so unless ``confuses_ties`` is false.
        """
        return self._equivariance_text() + (self._ties_text() if self.is_exact and self.confuses_ties else "")

    def _equivariance_text(self) -> str:
        if self.values is not None:
            text = "" if self.network_group is None else self._network_text()
            return self.values.sentence(self.support_is_invariant, text, self._reason(), self.undecided)
        if self.network_order is None or self.closure_order is None:
            if not self.support_is_invariant:
                return "The network will not be equivariant to this group, which does not map the support to itself."
            return (
                "The network will be equivariant to this group; whether to a larger one as well was not decided: "
                f"{self.undecided}."
            )
        group = f"this group (order {known_order(self.order)})"
        if self.is_exact:
            return f"The network will be equivariant to exactly {group}."
        instead = f"The network will be equivariant to {self._network_text()}"
        if self.is_exact is None:
            return f"{instead}, which contains this group; whether it is larger could not be proved."
        if not self.support_is_invariant:
            return f"{instead} rather than to {group}, which does not map the support to itself."
        return f"{instead} rather than to {group}: {self._reason()}."

    def _ties_text(self) -> str:
        wants_triples = self.symmetry_breaking == "pairs" and self.degree <= MOST_POINTS_FOR_TRIPLES
        remedy = '; symmetry_breaking="triples" tells more of them apart' if wants_triples else ""
        return f" It need not be universal: inputs with ties may look the same to it{remedy}."

    def _reason(self) -> str:
        """Why the network cannot tell the group from a larger one, and a remedy."""
        if self.symmetry_breaking == "nodes":
            return f"points cannot tell them apart{self._pairs_text()}"
        if self.symmetry_breaking == "triples":
            return "not even triples of points can tell them apart"
        if self.network_order and self.closure_order and self.network_order > self.closure_order:
            return "the support lacks pairs that would tell them apart"
        return f"pairs of points cannot tell them apart{self._triples_text()}"

    @property
    def facts(self) -> dict[str, str]:
        """The properties in words, by name."""
        sizes = sorted((len(orbit) for orbit in self.node_orbits), reverse=True)
        orbits = ", ".join(map(str, sizes)) if len(sizes) <= _LISTED_ORBITS else f"{sizes[0]} at most"
        primitive = {None: "", True: ", primitive", False: ", imprimitive (it keeps blocks)"}[self.is_primitive]
        return {
            **({} if self.values is None else self.values.facts),
            "points": f"{self.degree:,}",
            "orbits on points": f"{len(sizes):,} (sizes {orbits}){primitive}",
            "orbitals": f"{self.rank:,} on pairs, {self.num_self_paired:,} of them equal to their converse",
            "transitivity": f"{self.transitivity}",
            "order": known_order(self.order),
            "order of 2-closure": f"{known_order(self.closure_order)}, index {known_order(self.index)}",
            "2-closed": {None: "could not be proved", True: "yes", False: "no"}[self.is_two_closed],
        }

    def _repr_html_(self) -> str:
        picture = "" if self.network_group is None else orbit_svg(orbit_labels(self.network_group))
        table = html_table([*self.facts.items(), ("network", self.sentence)], caption="ClosureReport")
        return side_by_side(table, picture)

    def _network_text(self) -> str:
        assert self.network_group is not None and self.network_order is not None
        sizes = np.bincount(orbit_labels(self.network_group, 1)).tolist()
        order = order_text(self.network_order)
        if math.prod(map(math.factorial, sizes)) != self.network_order or len(sizes) > _MAX_FACTORS:
            return f"a group of order {order}"
        return f"{' × '.join(f'S_{size}' for size in sizes)} (order {order})"

    def _pairs_text(self) -> str:
        return "" if self.closure_order == self.network_order else '; symmetry_breaking="pairs" tells more'

    def _triples_text(self) -> str:
        if self.three_closure_order is None:
            return ""
        if self.three_closure_order == self.order:
            return '; symmetry_breaking="triples" could'
        if self.three_closure_order == self.closure_order:
            return "; nor could triples"
        return f'; symmetry_breaking="triples" would come closer (order {order_text(self.three_closure_order)})'


def closure_report(group_or_task: PermutationGroup | TaskConfig) -> ClosureReport:
    """Analyse a group and the equivariance of a network that sees its orbits.

    A group without a task is treated as a task that colours all pairs. Degree 500 takes seconds. Above
    ``MAX_CLOSURE_POINTS`` (1,024) points, and for a few smaller groups, closures are not computed: the report holds
    what the orbitals say, and says that the rest is undecided. Loading a model never calls this function.

    Args:
        group_or_task: a permutation group of degree n, or a task with its support and ``symmetry_breaking``.

    Raises:
        ValueError: the argument is neither, or the group has more than ``MAX_PAIRS`` pairs of points.
    """
    if isinstance(group_or_task, TaskConfig):
        task = group_or_task
        seen = seen_symmetry(task)
        report = _report(seen.permutation_group(), seen.edges, task.symmetry_breaking, task.support == "weak")
        return _with_values(report, task) if task.value_symmetries else report
    if not isinstance(group_or_task, PermutationGroup):
        raise ValueError(
            "closure_report takes a PermutationGroup (asen_hf.parse_group makes one of text) or a TaskConfig, not "
            f"{shown(group_or_task)}"
        )
    return _report(group_or_task, None, "pairs", False)


def _report(group: PermutationGroup, edges: list | None, symmetry_breaking: str, is_weak: bool) -> ClosureReport:
    labels, points = orbit_labels(group), orbit_labels(group, 1)
    ends = np.cumsum(np.bincount(points))
    rank, is_transitive = int(labels.max()) + 1, not points.any()
    is_invariant = edges is None or is_invariant_support(group, edges)
    try:
        closures = _closures(group, edges, symmetry_breaking, is_weak)
        closures["is_primitive"] = _is_primitive(labels) if is_transitive else None
    except Undecided as reason:
        transitivity = 0 if not is_transitive else 2 if rank == 2 else 1
        closures = {"transitivity": transitivity, "undecided": str(reason)}
    return ClosureReport(
        degree=group.degree,
        node_orbits=[orbit.tolist() for orbit in np.split(np.argsort(points, kind="stable"), ends[:-1])],
        rank=rank,
        num_self_paired=len(np.unique(labels[labels == labels.T])),
        support_is_invariant=is_invariant,
        symmetry_breaking=symmetry_breaking,
        confuses_ties=not _a_point_sees_all(labels, points, closures.get("order")),
        **closures | ({} if is_invariant else {"is_exact": False}),
    )


def _with_values(report: ClosureReport, task: TaskConfig) -> ClosureReport:
    network = report.network_group, report.network_order, report.is_exact
    values = value_report(task, *network, is_invariant=report.support_is_invariant)
    return dataclasses.replace(report, values=values, is_exact=values.is_exact)


def _closures(group: PermutationGroup, edges: list | None, symmetry_breaking: str, is_weak: bool) -> dict[str, Any]:
    """The fields of a report that need the closures; ``Undecided`` for a group that is too large."""
    coloring = orbit_coloring(group, 2)
    closure_order = coloring.num_automorphisms
    order, is_two_closed, transitivity = prove_order(group, coloring.automorphisms(), closure_order)
    wants_triples = edges is None and is_two_closed is False and group.degree <= MOST_POINTS_FOR_TRIPLES
    triples = orbit_coloring(group, 3) if wants_triples else coloring
    if edges is not None:
        coloring = _support_coloring(group, check_edges(edges, group.degree), symmetry_breaking != "nodes", is_weak)
    elif symmetry_breaking == "nodes":
        coloring = orbit_coloring(group, 1)
    elif symmetry_breaking == "triples":
        coloring = triples
    network_order = coloring.num_automorphisms
    # All these closures contain the group, so it equals a closure iff the orders are equal.
    is_exact = is_two_closed if order is None and network_order == closure_order else network_order == order
    if order is None and symmetry_breaking == "triples":
        is_exact = is_two_closed or None
    return {
        "transitivity": transitivity,
        "order": order,
        "closure_order": closure_order,
        "is_two_closed": is_two_closed,
        "three_closure_order": triples.num_automorphisms if wants_triples else None,
        "network_group": coloring.automorphisms(),
        "network_order": network_order,
        "is_exact": is_exact,
    }


def _support_coloring(
    group: PermutationGroup, pairs: NDArray[np.int64], has_pairs: bool, is_weak: bool
) -> ColoredTuples:
    """The colours that a network on a support sees: of all pairs if it is weak, else of the support's pairs."""
    points = orbit_labels(group, 1)
    colors = np.zeros_like(points) if has_pairs else points
    seen = group if has_pairs else symmetric(group.degree)
    if not is_weak:
        return ColoredTuples(colors, pairs.T, orbit_labels(seen, edges=pairs))
    labels = refine_by_support(orbit_labels(seen), pairs)
    return ColoredTuples(colors, np.indices(labels.shape).reshape(2, -1), labels.ravel())


def warn_if_not_closed(name: str, task: TaskConfig) -> None:
    """Warn if the network of a task will be equivariant to a different group, because of the closure or the support.

    Does not warn for ``symmetry_breaking="nodes"``, where the larger group is intended, for groups whose order could
    not be proved, or above ``MAX_CHECKED_POINTS`` points, where the check takes longer than a few seconds. Of value
    symmetries it also warns of what is likely to be a mistake (see :mod:`.three_orders`), and refuses contradictions at
    every degree.

    Raises:
        ValueError: some elements of the group leave every input as it is and change outputs.
    """
    if task.value_symmetries:
        refuse_contradictions(name, task)
    if task.degree > MAX_CHECKED_POINTS:
        return
    asks_for_more = task.symmetry_breaking == "nodes"
    is_small = seen_symmetry(task).degree <= MAX_CHECKED_POINTS  # the lift may be larger
    report = closure_report(task) if is_small and not (asks_for_more and not task.value_symmetries) else None
    if task.value_symmetries:
        orders = value_orders(task) if report is None or report.values is None else report.values.orders
        check_value_symmetries(name, task, orders)
    if report is not None and report.is_exact is False and not asks_for_more:
        warnings.warn(f"task {name!r}: {report.sentence}", stacklevel=2)


def _a_point_sees_all(labels: NDArray[np.int32], points: NDArray[np.int32], order: int | None) -> bool:
    """Whether what one point sees, a multiset of values per orbital, determines an input up to the group.

    It does iff the stabilizer of the point is the product of the symmetric groups on the points that its orbitals
    hold. The other points learn it in the next layer.
    """
    sizes = np.bincount(points).tolist()  # Python's integers: the products below may be huge
    return any(
        math.prod(math.factorial(size) for size in np.bincount(labels[point]).tolist()) * sizes[points[point]] == order
        for point in np.unique(points, return_index=True)[1]
    )


def _is_primitive(labels: NDArray[np.int32]) -> bool:
    """Whether a transitive group is primitive: all orbitals except the diagonal are connected graphs (D. G. Higman)."""
    degree = len(labels)
    ends = np.cumsum(np.bincount(labels.ravel()))
    orbitals = np.split(np.argsort(labels, axis=None), ends[:-1])[1:]
    graphs = (coo_array((np.ones(len(codes)), np.divmod(codes, degree)), shape=(degree, degree)) for codes in orbitals)
    return all(connected_components(graph, directed=False)[0] == 1 for graph in graphs)
