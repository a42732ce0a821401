"""Closures, orders and automorphism groups agree with theory, with brute force and with networkx."""

import dataclasses
import decimal
import itertools
import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy.combinatorics import PermutationGroup

from asen_hf import TaskConfig
from asen_hf.closures import (
    closure_report,
    from_networkx,
    graph_automorphisms,
    group_order,
    is_k_closed,
    stabilizer_chain,
    two_closure,
)
from asen_hf.model.group_notation import parse_group
from asen_hf.model.groups import (
    alternating,
    array_forms,
    cyclic,
    dihedral,
    direct_product,
    from_array_form,
    from_cycles,
    grid_symmetries,
    reversal,
    symmetric,
    trivial,
    wreath_product,
    young_subgroup,
)
from asen_hf.model.orbits import orbit_labels
from tests.conftest import task_of


def task(group: PermutationGroup, edges=None, **fields) -> TaskConfig:
    edges = None if edges is None else np.asarray(edges).tolist()
    return task_of(group, vocab_size=2, edges=edges, **fields)


def acting_on(group: PermutationGroup, things: list, image) -> PermutationGroup:
    """The action on ``things`` of which ``image(form, thing)`` says where a permutation sends a thing."""
    number = {thing: index for index, thing in enumerate(things)}
    return from_array_form([[number[image(form, thing)] for thing in things] for form in array_forms(group).tolist()])


def on_pairs(n):
    pairs = list(itertools.combinations(range(n), 2))
    return acting_on(symmetric(n), pairs, lambda form, pair: tuple(sorted(form[point] for point in pair)))


def hamming(d, q):
    """S_q wr S_d on the words of length d: letters change in one place, places are permuted."""
    words = list(itertools.product(range(q), repeat=d))
    letters = acting_on(symmetric(q), words, lambda form, word: (form[word[0]], *word[1:]))
    places = acting_on(symmetric(d), words, lambda form, word: tuple(word[place] for place in form))
    return PermutationGroup(letters.generators + places.generators)


def affine(p, factor):
    """x → x + 1 and x → factor · x modulo p."""
    return from_array_form([[(x + 1) % p for x in range(p)], [factor * x % p for x in range(p)]])


def a5_on_5_and_6():
    """A_5 on its 5 points and on its 6 Sylow 5-subgroups."""

    def conjugate(form, elements):
        inverse = np.argsort(form).tolist()
        return frozenset(tuple(form[element[inverse[point]]] for point in range(5)) for element in elements)

    sylow = frozenset(tuple((point + shift) % 5 for point in range(5)) for shift in range(5))
    subgroups = [sylow]
    for subgroup in subgroups:
        images = [conjugate(form, subgroup) for form in array_forms(alternating(5)).tolist()]
        subgroups += [image for image in images if image not in subgroups]
    assert len(subgroups) == 6
    on_six = acting_on(alternating(5), subgroups, conjugate)
    return from_array_form(np.hstack([array_forms(alternating(5)), array_forms(on_six) + 5]))


PSL_2_7 = from_cycles([[[*range(7)]], [[1, 2, 4], [3, 6, 5]], [[0, 7], [1, 6], [2, 3], [4, 5]]], 8)
EVEN_SWAPS = from_cycles([[[0, 1], [2, 3]], [[2, 3], [4, 5]]], 6)
M11 = from_cycles([[[*range(11)]], [[2, 6, 10, 7], [3, 9, 4, 5]]], 11)
M12 = from_cycles(
    [[[*range(11)]], [[2, 6, 10, 7], [3, 9, 4, 5]], [[0, 11], [1, 10], [2, 5], [3, 7], [4, 8], [6, 9]]], 12
)
M24 = from_cycles(
    [
        [[*range(23)]],
        [[2, 16, 9, 6, 8], [3, 12, 13, 18, 4], [7, 17, 10, 11, 22], [14, 19, 21, 20, 15]],
        [[0, 23], [1, 22], [2, 11], [3, 15], [4, 17], [5, 9], [6, 19], [7, 13], [8, 20], [10, 16], [12, 21], [14, 18]],
    ],
    24,
)


@st.composite
def permutations_of(draw, degree):
    """A permutation that moves only some points, since two that move all nearly always generate S_n or A_n."""
    moved = draw(st.lists(st.integers(0, degree - 1), unique=True))
    form = np.arange(degree)
    form[moved] = draw(st.permutations(moved))
    return form


@st.composite
def random_groups(draw, min_degree=1, max_degree=6):
    degree = draw(st.integers(min_degree, max_degree))
    return from_array_form(draw(st.lists(permutations_of(degree), min_size=1, max_size=3)))


def brute_force(labels: np.ndarray) -> set:
    """All permutations that keep an array of order-k labels."""
    forms = itertools.permutations(range(len(labels)))
    return {form for form in forms if np.array_equal(labels[np.ix_(*[form] * labels.ndim)], labels)}


def elements(group: PermutationGroup) -> set:
    return {tuple(element.array_form) for element in group.elements}


@given(random_groups())
@settings(max_examples=80, deadline=None)
def test_two_closure_is_all_permutations_that_keep_the_orbitals(group):
    assert elements(two_closure(group)) == brute_force(orbit_labels(group))


@given(random_groups(), st.sampled_from([1, 2, 3]))
@settings(max_examples=120, deadline=None)
def test_a_group_is_k_closed_if_no_other_permutation_keeps_its_order_k_orbits(group, k):
    assert is_k_closed(group, k) == (len(brute_force(orbit_labels(group, k))) == group.order())


CYCLE_TYPES = [[[0, 1]], [[0, 1], [2, 3]], [[0, 1, 2]], [[0, 1, 2], [3, 4]], [[0, 1, 2, 3]], [[0, 1, 2, 3, 4]]]


@pytest.mark.parametrize("first", CYCLE_TYPES)
def test_closures_of_all_groups_of_degree_five_with_two_generators(first):
    seen = set()
    for second in itertools.permutations(range(5)):
        group = from_array_form([*array_forms(from_cycles([first], 5)), second])
        labels = [orbit_labels(group, k) for k in (1, 2, 3)]
        if labels[2].tobytes() in seen:  # at degree 5 a group with the same triples has the same closures
            continue
        seen.add(labels[2].tobytes())
        orders = [len(brute_force(array)) for array in labels]
        report = closure_report(group)
        assert (report.order, report.closure_order) == (group.order(), orders[1])
        assert report.three_closure_order == (None if report.is_two_closed else orders[2])
        assert [is_k_closed(group, k) for k in (1, 2, 3)] == [order == report.order for order in orders]


@given(random_groups(max_degree=12))
@settings(max_examples=80, deadline=None)
def test_the_closure_contains_the_group_has_its_orbitals_and_is_closed(group):
    closure = two_closure(group)
    assert closure.degree == group.degree
    np.testing.assert_array_equal(orbit_labels(closure), orbit_labels(group))
    assert group.is_subgroup(closure, strict=False)
    assert is_k_closed(closure, 2)
    assert group_order(two_closure(closure)) == group_order(closure)


@given(random_groups(max_degree=12))
@settings(max_examples=80, deadline=None)
def test_order_and_primitivity_equal_those_of_sympy(group):
    report = closure_report(group)
    assert report.order == group_order(group) == group.order()
    assert report.closure_order == report.order * report.index
    assert report.is_transitive == group.is_transitive()
    assert report.is_primitive == (group.is_primitive() if group.is_transitive() else None)
    assert report.node_orbits == sorted(sorted(orbit) for orbit in group.orbits())


@pytest.mark.parametrize(
    ("group", "rank"),
    [
        *((cyclic(n), n) for n in (1, 2, 7, 12)),
        *((dihedral(n), n // 2 + 1) for n in (3, 4, 7, 12)),
        *((on_pairs(n), 3) for n in (5, 6, 7)),
        *((hamming(d, q), d + 1) for d, q in [(2, 3), (3, 2), (3, 3), (4, 2)]),
        (affine(13, 4), 3),
        (affine(17, 2), 3),
    ],
)
def test_named_groups_have_the_rank_known_from_theory(group, rank):
    report = closure_report(group)
    assert report.rank == rank
    assert report.is_two_closed


def test_s_4_on_pairs_is_not_closed_though_s_n_on_pairs_is_for_larger_n():
    report = closure_report(on_pairs(4))
    assert (report.rank, report.order, report.closure_order) == (3, 24, 48)
    assert elements(two_closure(on_pairs(4))) == brute_force(orbit_labels(on_pairs(4)))


@pytest.mark.parametrize(
    ("group", "order", "closure_order", "network"),
    [
        (alternating(3), 3, 3, "this group"),
        (alternating(4), 12, 24, "S_4"),
        (alternating(9), 181_440, 362_880, "S_9"),
        (affine(5, 2), 20, 120, "S_5"),
        (PSL_2_7, 168, 40_320, "S_8"),
        (EVEN_SWAPS, 4, 8, "S_2 × S_2 × S_2"),
        (a5_on_5_and_6(), 60, 86_400, "S_5 × S_6"),
        (M11, 7_920, math.factorial(11), "S_11"),
        (M12, 95_040, math.factorial(12), "S_12"),
        (M24, 244_823_040, math.factorial(24), "S_24"),
    ],
)
def test_groups_that_pairs_cannot_tell_apart_have_the_closure_known_from_theory(group, order, closure_order, network):
    report = closure_report(group)
    assert (report.order, report.closure_order, report.index) == (order, closure_order, closure_order // order)
    assert report.is_two_closed is report.is_exact is is_k_closed(group, 2) is (order == closure_order)
    assert f"equivariant to {'exactly ' if report.is_exact else ''}{network} (order" in report.sentence


@pytest.mark.parametrize(
    "group",
    [
        trivial(1),
        trivial(7),
        symmetric(2),
        symmetric(9),
        cyclic(10),
        cyclic(60),
        dihedral(9),
        dihedral(60),
        reversal(9),
        reversal(60),
        young_subgroup([[0, 4], [1, 2, 5], [3]]),
        direct_product(symmetric(1), symmetric(7)),
        direct_product(cyclic(3), dihedral(4), symmetric(3)),
        direct_product(*[cyclic(3)] * 20),
        wreath_product(symmetric(5), symmetric(2)),
        wreath_product(symmetric(3), symmetric(4)),
        wreath_product(cyclic(4), cyclic(5)),
        wreath_product(wreath_product(symmetric(2), cyclic(3)), dihedral(5)),
        grid_symmetries(4, 4, "dihedral"),
        grid_symmetries(6, 10, "translations"),
        grid_symmetries(5, 12, "flips"),
    ],
)
def test_closed_families_are_closed(group):
    report = closure_report(group)
    assert report.is_two_closed and report.is_exact and report.index == 1
    assert is_k_closed(group, 2) and is_k_closed(group, 3)
    assert report.three_closure_order is None
    assert report.sentence.startswith("The network will be equivariant to exactly this group (order ")


@pytest.mark.parametrize(
    ("group", "is_closed"),
    [
        (alternating(4), True),
        (affine(5, 2), True),
        (PSL_2_7, True),
        (EVEN_SWAPS, True),
        (alternating(3), True),
        (alternating(5), False),
        (alternating(8), False),
        (M11, False),
    ],
)
def test_which_groups_triples_tell_apart(group, is_closed):
    assert is_k_closed(group, 3) is is_closed
    assert not is_k_closed(group, 2) or group.degree == 3


def test_one_closed_groups_are_the_young_subgroups():
    assert is_k_closed(young_subgroup([[0, 4], [1, 2, 5], [3]]), 1)
    assert is_k_closed(trivial(5), 1)
    assert not is_k_closed(wreath_product(symmetric(2), symmetric(2)), 1)


@pytest.mark.parametrize("k", [0, 4, "2"])
def test_other_orders_of_closure_are_refused(k):
    with pytest.raises(ValueError, match="k must be 1, 2 or 3"):
        is_k_closed(symmetric(3), k)


HALVES = [*range(130)], [*range(130, 207)]


DEGREE_207 = {
    "S_207": (symmetric(207), math.factorial(207)),
    "S_130 x S_77": (young_subgroup(HALVES), math.factorial(130) * math.factorial(77)),
    "S_130 x S_77 by adjacent swaps": (
        from_cycles([[[i, i + 1]] for i in range(206) if i != 129], 207),
        math.factorial(130) * math.factorial(77),
    ),
    "A_130 x A_77": (
        direct_product(alternating(130), alternating(77)),
        math.factorial(130) * math.factorial(77) // 4,
    ),
    "S_23 wr D_9": (wreath_product(symmetric(23), dihedral(9)), math.factorial(23) ** 9 * 18),
    "C_69 wr C_3": (wreath_product(cyclic(69), cyclic(3)), 69**3 * 3),
    "D_207": (dihedral(207), 414),
    "trivial": (trivial(207), 1),
}


@pytest.mark.parametrize(("group", "order"), DEGREE_207.values(), ids=DEGREE_207.keys())
def test_orders_at_degree_207_are_exact(group, order):
    assert group_order(group) == order


def test_two_closures_at_degree_207_are_exact():
    assert group_order(two_closure(alternating(207))) == math.factorial(207)
    assert group_order(two_closure(direct_product(*[alternating(3)] * 69))) == 3**69


@pytest.mark.parametrize(
    ("group", "transitivity"),
    [
        (trivial(1), 1),
        (trivial(3), 0),
        (young_subgroup([[0, 1], [2]]), 0),
        (cyclic(2), 2),
        (cyclic(5), 1),
        (alternating(3), 1),
        (affine(5, 2), 2),
        (PSL_2_7, 2),
        (alternating(8), 6),
        (symmetric(8), 8),
        (M11, 4),
        (M12, 5),
        (M24, 5),
    ],
)
def test_transitivity_is_the_one_known_from_theory(group, transitivity):
    assert closure_report(group).transitivity == transitivity


def has_self_paired_only(report):
    return report.num_self_paired == report.rank


def test_self_paired_orbitals_are_counted():
    for n in (4, 7, 10):
        assert closure_report(cyclic(n)).num_self_paired == 2 - n % 2
        assert has_self_paired_only(closure_report(dihedral(n)))
    assert not has_self_paired_only(closure_report(direct_product(symmetric(2), symmetric(3))))


def test_the_report_of_an_alternating_group_says_that_triples_do_not_help():
    assert closure_report(alternating(8)).sentence == (
        "The network will be equivariant to S_8 (order 40,320) rather than to this group (order 20,160): "
        "pairs of points cannot tell them apart; nor could triples."
    )


def test_the_report_of_a_three_closed_group_says_that_triples_help():
    assert closure_report(PSL_2_7).sentence == (
        "The network will be equivariant to S_8 (order 40,320) rather than to this group (order 168): "
        'pairs of points cannot tell them apart; symmetry_breaking="triples" could.'
    )


def test_the_report_says_that_triples_help_in_part():
    report = closure_report(direct_product(alternating(5), alternating(4)))
    assert (report.order, report.three_closure_order, report.closure_order) == (720, 1_440, 2_880)
    assert report.sentence.endswith('apart; symmetry_breaking="triples" would come closer (order 1,440).')


def test_the_report_of_an_exact_group_is_short():
    report = closure_report(wreath_product(symmetric(5), symmetric(2)))
    assert report.sentence == "The network will be equivariant to exactly this group (order 28,800)."
    assert (report.degree, report.rank, report.is_primitive, report.transitivity) == (10, 3, False, 1)


def test_huge_orders_are_written_with_a_power_of_ten():
    report = closure_report(alternating(100))
    assert report.order == math.factorial(100) // 2
    assert report.sentence == (
        "The network will be equivariant to S_100 (order about 9.33 × 10^157) rather than to this group "
        "(order about 4.66 × 10^157): pairs of points cannot tell them apart."
    )


def test_products_of_many_symmetric_groups_go_without_a_name():
    swaps = from_cycles([[[2 * i, 2 * i + 1], [2 * i + 2, 2 * i + 3]] for i in range(4)], 10)
    assert "equivariant to a group of order 32 rather than to this group (order 16)" in closure_report(swaps).sentence


def test_an_order_that_would_cost_too_much_to_prove_is_unknown_but_the_answer_may_be_known():
    group = wreath_product(alternating(100), symmetric(2))
    report = closure_report(group)
    assert report.order is None and report.index is None
    assert report.is_two_closed is report.is_exact is False  # for its closure has odd elements
    assert "a group of order about 1.74 × 10^316 rather than to this group (order unknown)" in report.sentence


def test_an_order_whose_proof_takes_too_much_work_is_unknown(monkeypatch):
    monkeypatch.setattr(stabilizer_chain, "_MAX_WORK", 1000)
    assert group_order(M11) is None
    assert group_order(affine(5, 2)) == 20
    assert group_order(alternating(50)) == math.factorial(50) // 2  # its signs prove it


def test_an_answer_that_takes_too_much_memory_is_unknown(monkeypatch):
    monkeypatch.setattr(stabilizer_chain, "_MAX_ENTRIES", 100)
    report = closure_report(symmetric(8))
    assert report.order is report.index is report.is_two_closed is report.is_exact is None
    assert is_k_closed(symmetric(8), 2) is None
    assert report.sentence == (
        "The network will be equivariant to S_8 (order 40,320), which contains this group; "
        "whether it is larger could not be proved."
    )


@pytest.mark.parametrize(
    "group", [M11, M12, PSL_2_7, alternating(7), hamming(2, 4), dihedral(9), wreath_product(cyclic(3), symmetric(4))]
)
def test_schreiers_lemma_completes_a_chain_without_random_elements(monkeypatch, group):
    monkeypatch.setattr(stabilizer_chain, "_MAX_MISSES", 0)
    chain = stabilizer_chain.StabilizerChain(group)
    assert chain.order <= group.order()
    assert chain.verify(10**9)
    assert chain.order == group.order()


@st.composite
def colored_digraphs(draw, max_nodes=5):
    """Nodes, arcs (loops and repetitions too), colours of both."""
    num_nodes = draw(st.integers(1, max_nodes))
    node = st.integers(0, num_nodes - 1)
    arcs = draw(st.lists(st.tuples(node, node), max_size=12))
    color = st.integers(0, 1)
    node_colors = draw(st.lists(color, min_size=num_nodes, max_size=num_nodes))
    return num_nodes, arcs, node_colors, draw(st.lists(color, min_size=len(arcs), max_size=len(arcs)))


@given(colored_digraphs())
@settings(max_examples=100, deadline=None)
def test_automorphisms_keep_arcs_and_colours_and_are_all_that_do(case):
    num_nodes, arcs, node_colors, edge_colors = case
    colored = sorted(zip(arcs, edge_colors, strict=True))
    expected = {
        form
        for form in itertools.permutations(range(num_nodes))
        if [node_colors[image] for image in form] == node_colors
        and sorted(((form[source], form[target]), color) for (source, target), color in colored) == colored
    }
    edge_index = np.array(arcs, dtype=np.int64).reshape(-1, 2).T
    group = graph_automorphisms(edge_index, num_nodes, node_colors, edge_colors)
    assert group.degree == num_nodes
    assert elements(group) == expected


@given(st.integers(1, 6), st.integers(0, 2**15 - 1), st.integers(0, 2**15 - 1))
@settings(max_examples=60, deadline=None)
def test_automorphisms_of_a_networkx_graph_are_those_networkx_finds(num_nodes, present, red):
    graph = nx.Graph()
    graph.add_nodes_from(range(num_nodes))
    for bit, pair in enumerate(itertools.combinations(range(num_nodes), 2)):
        if present >> bit & 1:
            graph.add_edge(*pair, color="red" if red >> bit & 1 else "blue")
    matcher = nx.isomorphism.GraphMatcher(graph, graph, edge_match=lambda one, other: one["color"] == other["color"])
    found = {tuple(mapping[node] for node in range(num_nodes)) for mapping in matcher.isomorphisms_iter()}
    assert elements(from_networkx(graph, edge_color="color")) == found


@pytest.mark.parametrize(
    ("graph", "order"),
    [
        (nx.petersen_graph(), 120),
        (nx.hypercube_graph(4), 384),
        (nx.cycle_graph(12), 24),
        (nx.DiGraph([(i, (i + 1) % 12) for i in range(12)]), 12),
        (nx.path_graph(5), 2),
        (nx.star_graph(5), 120),
        (nx.complete_bipartite_graph(3, 3), 72),
        (nx.empty_graph(4), 24),
        (nx.MultiGraph([(0, 1), (0, 1), (1, 2)]), 1),
        (nx.MultiGraph([(0, 1), (1, 2), (1, 2), (0, 1)]), 2),
        (nx.Graph([(0, 0), (0, 1), (1, 2)]), 1),
        (nx.frucht_graph(), 1),
    ],
)
def test_known_graphs_have_as_many_automorphisms_as_known(graph, order):
    assert group_order(from_networkx(graph)) == order


def test_points_are_numbered_in_the_order_of_the_graphs_nodes():
    graph = nx.Graph([("b", "a"), ("b", "c")])
    assert elements(from_networkx(graph)) == {(0, 1, 2), (0, 2, 1)}


def test_attributes_of_nodes_and_edges_are_kept():
    graph = nx.cycle_graph(4)
    nx.set_node_attributes(graph, {0: "N", 1: "C", 2: ("C", 1), 3: "C"}, "element")
    assert elements(from_networkx(graph, node_color="element")) == {(0, 1, 2, 3), (0, 3, 2, 1)}
    nx.set_edge_attributes(graph, {(0, 1): 1, (1, 2): 2, (2, 3): 1, (0, 3): 2}, "bond")
    assert group_order(from_networkx(graph, edge_color="bond")) == 4
    assert group_order(from_networkx(graph, node_color="element", edge_color="bond")) == 1


NOT_EQUAL_TO_THEMSELVES = {
    "float": lambda: float("nan"),
    "NumPy float": lambda: np.float32("nan"),
    "complex": lambda: complex("nan"),
    "decimal": lambda: decimal.Decimal("nan"),
    "time": lambda: np.datetime64("NaT"),
    "tuple": lambda: ("C", (float("nan"), 1)),
    "set": lambda: frozenset([float("nan"), 1]),
}


@pytest.mark.parametrize("value", NOT_EQUAL_TO_THEMSELVES.values(), ids=NOT_EQUAL_TO_THEMSELVES)
def test_an_attribute_that_is_nan_is_a_colour_like_others(value):
    triangle = nx.complete_graph(3)
    nx.set_node_attributes(triangle, {node: value() for node in triangle}, "charge")
    nx.set_edge_attributes(triangle, {edge: value() for edge in triangle.edges}, "bond")
    assert group_order(from_networkx(triangle, node_color="charge", edge_color="bond")) == 6
    triangle.nodes[0]["charge"] = 1.0
    assert group_order(from_networkx(triangle, node_color="charge")) == 2


@pytest.mark.parametrize("dtype", [float, np.float32, complex, object])
def test_colours_that_are_nan_are_equal(dtype):
    ring = np.array([[0, 1, 2, 3], [1, 2, 3, 0]])
    for colors in ([np.nan] * 4, [[np.nan, 1]] * 4):
        assert group_order(graph_automorphisms(ring, 4, node_colors=np.array(colors, dtype=dtype))) == 4
        assert group_order(graph_automorphisms(ring, 4, edge_colors=np.array(colors, dtype=dtype))) == 4
    assert group_order(graph_automorphisms(ring, 4, node_colors=np.array([np.nan, 1] * 2, dtype=dtype))) == 2


def test_colours_of_several_types_keep_them():
    ring = np.array([[0, 1, 2, 3], [1, 2, 3, 0]])
    assert group_order(graph_automorphisms(ring, 4, node_colors=[1, "1", 1, "1"])) == 2


def test_an_attribute_that_cannot_be_compared_is_named():
    graph = nx.path_graph(2)
    nx.set_node_attributes(graph, {0: 1, 1: [1]}, "element")
    with pytest.raises(ValueError, match="attribute 'element' of node 1 must be hashable to be a colour, got a list"):
        from_networkx(graph, node_color="element")


def test_a_missing_attribute_is_refused():
    graph = nx.path_graph(3)
    graph.nodes[0]["element"] = graph.nodes[2]["element"] = "C"
    with pytest.raises(ValueError, match="node 1 has no attribute 'element'"):
        from_networkx(graph, node_color="element")
    with pytest.raises(ValueError, match=r"edge \(0, 1\) has no attribute 'bond'"):
        from_networkx(graph, edge_color="bond")


def test_colours_may_be_numbers_strings_or_rows():
    ring = np.array([[0, 1, 2, 3], [1, 2, 3, 0]])
    for colors in ([0, 1, 0, 1], [0.5, 7.0, 0.5, 7.0], ["a", "b", "a", "b"], [[0, 1], [1, 1], [0, 1], [1, 1]]):
        assert group_order(graph_automorphisms(ring, 4, node_colors=colors)) == 2
        assert group_order(graph_automorphisms(ring, 4, edge_colors=colors)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 1, 2]], 3), r"shape \(2, E\)"),
        (([[0.0], [1.0]], 3), "integer array"),
        (([[0, 1], [1, 3]], 3), r"arc 1, \[1, 3\], has a node outside 0 … 2"),
        (([[0], [-1]], 3), "outside"),
        (([[0], [1]], 0), "num_nodes must be an integer of at least 1"),
        (([[0], [1]], 3, [0, 1]), "node_colors must hold 3 colours"),
        (([[0], [1]], 3, [0, [1], 2]), "node_colors must be an array, or lists of equal length"),
        (([[0], [1]], 2, [{}, {}]), r"node_colors\[0\] must be hashable to be a colour"),
        (([[0], [1]], 3, None, [0, 1]), "edge_colors must hold 1 colours"),
    ],
)
def test_bad_graphs_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        graph_automorphisms(*arguments)


def test_a_graph_without_nodes_is_refused():
    with pytest.raises(ValueError, match="num_nodes"):
        from_networkx(nx.Graph())


@st.composite
def groups_with_supports(draw):
    group = draw(random_groups(min_degree=2, max_degree=5))
    pair = st.tuples(*[st.integers(0, group.degree - 1)] * 2)
    edges = draw(st.lists(pair, unique=True, min_size=1, max_size=12))
    if draw(st.booleans()):
        labels = orbit_labels(group)
        edges = np.argwhere(np.isin(labels, labels[tuple(np.transpose(edges))])).tolist()
    return group, edges


@given(groups_with_supports())
@settings(max_examples=100, deadline=None)
def test_on_a_support_the_network_is_equivariant_to_what_keeps_it_and_its_colours(case):
    group, edges = case
    colors = np.full((group.degree, group.degree), -1)
    colors[tuple(np.transpose(edges))] = orbit_labels(group, edges=edges)
    expected = brute_force(colors)
    report = closure_report(task(group, edges))
    assert elements(report.network_group) == expected
    assert report.network_order == len(expected)
    assert report.is_exact == (elements(group) == expected)
    assert report.support_is_invariant == (elements(group) <= expected)
    complete = closure_report(group)
    assert (report.closure_order, report.rank) == (complete.closure_order, complete.rank)


def test_a_support_of_two_orbitals_may_be_enough_or_too_little():
    forward = [[i, (i + 1) % 8] for i in range(8)]
    both = forward + [[j, i] for i, j in forward]
    assert closure_report(task(cyclic(8), both)).sentence == (
        "The network will be equivariant to exactly this group (order 8)."
    )
    assert closure_report(task(cyclic(8), [[i, (i + 4) % 8] for i in range(8)])).sentence == (
        "The network will be equivariant to a group of order 384 rather than to this group (order 8): "
        "the support lacks pairs that would tell them apart."
    )
    assert closure_report(task(cyclic(8), [[i, i] for i in range(8)])).sentence.startswith(
        "The network will be equivariant to S_8 (order 40,320) rather than"
    )


def test_a_support_that_the_group_does_not_keep_is_named_as_the_reason():
    report = closure_report(task(cyclic(4), [[0, 1], [1, 2], [2, 3]]))
    assert not report.support_is_invariant and report.is_two_closed and not report.is_exact
    assert report.sentence == (
        "The network will be equivariant to S_1 × S_1 × S_1 × S_1 (order 1) rather than to this group (order 4), "
        "which does not map the support to itself."
    )


def test_a_bad_support_is_refused():
    with pytest.raises(ValueError, match="outside 0 … 3"):
        closure_report(task(cyclic(4), [[0, 4]]))


def test_the_complete_support_as_edges_leads_to_the_same_network_but_not_to_triples():
    everything = np.argwhere(np.ones((8, 8)))
    for group in (PSL_2_7, cyclic(8), alternating(8)):
        report, expected = closure_report(task(group, everything)), closure_report(group)
        assert report == dataclasses.replace(expected, three_closure_order=None)
        assert "triples" not in report.sentence


@pytest.mark.parametrize(
    ("text", "symmetry_breaking", "order", "sentence"),
    [
        ("A4", "triples", 12, "exactly this group"),
        ("A4", "pairs", 24, "triples"),
        ("C5", "nodes", 120, 'symmetry_breaking="pairs" tells more'),
        ("A4 x A5", "triples", 12 * 120, "not even triples"),
        ("S3 x S2", "nodes", 12, "exactly this group"),
    ],
)
def test_the_report_speaks_of_the_network_that_the_task_asks_for(text, symmetry_breaking, order, sentence):
    report = closure_report(task(parse_group(text), symmetry_breaking=symmetry_breaking))
    assert report.network_order == report.network_group.order() == order
    assert report.is_exact == (report.order == order)
    assert sentence in report.sentence


def test_nodes_on_a_support_are_told_by_their_orbits_and_their_neighbours():
    ring = [[i, (i + 1) % 6] for i in range(6)]
    assert closure_report(task(parse_group("S6"), ring, symmetry_breaking="nodes")).network_order == 6
    assert closure_report(task(parse_group("S3 x S3"), ring, symmetry_breaking="nodes")).network_order == 1


def test_a_graph_without_edges_has_all_automorphisms():
    assert graph_automorphisms([[], []], 3).order() == 6


def test_a_weak_support_leaves_what_keeps_it_among_all_orbitals():
    path = [[0, 1], [1, 0], [1, 2], [2, 1], [2, 3], [3, 2]]
    sparse, weak = (closure_report(task(symmetric(4), path, support=support)) for support in ("sparse", "weak"))
    assert (sparse.network_order, weak.network_order) == (2, 2)  # the path's reversal
    # Of the ring's points 2 and 3 a sparse support of one edge shows nothing; a weak one shows how they lie.
    sparse, weak = (
        closure_report(task(cyclic(4), [[0, 1], [1, 0]], support=support)) for support in ("sparse", "weak")
    )
    assert (sparse.network_order, weak.network_order) == (2, 1)


@pytest.mark.parametrize("subject", ["C4", [[[0, 1]]], None])
def test_only_groups_and_tasks_have_reports(subject):
    with pytest.raises(ValueError, match=r"takes a PermutationGroup .* or a TaskConfig, not"):
        closure_report(subject)
