"""What newcomers type for a group is accepted, corrected by a suggestion that can be read, or rightly refused."""

import json
import re
import sys
import warnings
from pathlib import Path

import networkx
import numpy as np
import pytest

from asen_hf.closures import from_networkx, group_order
from asen_hf.data.group_option import resolve_group
from asen_hf.model import _group_graphs, groups, named_groups
from asen_hf.model.configuration_task import TaskConfig
from asen_hf.model.group_notation import NotationError, parse_group
from asen_hf.model.groups import array_forms, cyclic, dihedral, from_cycles, symmetric, trivial, wreath_product

SHARED = Path(__file__).resolve().parents[3] / "shared" / "cases" / "group_notations.txt"
S2, S3, S5 = symmetric(2), symmetric(3), symmetric(5)
S5_WR_S2 = wreath_product(S5, S2)
THREES = groups.direct_product(S3, S3)

# Text, or text and degree, and the group with these very generators.
ACCEPTED = {
    **dict.fromkeys(["S_5", "Sym(5)", "S(5)", "SymmetricGroup(5)"], S5),
    **dict.fromkeys(["Alt(5)", "A5"], groups.alternating(5)),
    **dict.fromkeys(["Z5", "Z_5", "C_5"], cyclic(5)),
    **dict.fromkeys(["D5", "D_5", "Dih(5)"], dihedral(5)),
    **dict.fromkeys(["S5 wr S2", "S5 ≀ S2", "S5wrS2", "S5 wreath S2", "Wr(S5,S2)", "wr(S5,S2)"], S5_WR_S2),
    **dict.fromkeys(["S5 WR S2", "s5 wr s2"], S5_WR_S2),
    **dict.fromkeys(["S3^2", "S3 × S3", "S3*S3", "S3xS3", "S3 ⊕ S3"], THREES),
    **dict.fromkeys(["S3^3", "S3**3"], groups.direct_product(S3, S3, S3)),
    "S5 X S2": groups.direct_product(S5, S2),
    **dict.fromkeys(["Young(3,2,1)", "S3 x S2 x S1"], groups.young_subgroup([[0, 1, 2], [3, 4], [5]])),
    **dict.fromkeys(["grid 3x3 dihedral", "grid 3x3 D4"], groups.grid_symmetries(3, 3, "dihedral")),
    "grid 3 x 3 rotations": groups.grid_symmetries(3, 3, "rotations"),
    "S5 on 2-subsets": groups.action_on_subsets(S5, 2),
    **{f"M{n}": named_groups.mathieu(n) for n in (11, 12, 24)},
    "PSL(2,7)": named_groups.linear("PSL", 2, 7),
    "PGL(2,7)": named_groups.linear("PGL", 2, 7),
    "GL(3,2)": named_groups.linear("GL", 3, 2),
    "AGL(1,8)": named_groups.linear("AGL", 1, 8),
    "AGL(3,2)": named_groups.linear("AGL", 3, 2),
    "Q8": named_groups.quaternion(8),
    "V4": named_groups.klein_four(),
    "F20": named_groups.frobenius(20),
    "Aut(Petersen)": from_networkx(networkx.petersen_graph()),
    **dict.fromkeys(["E5", "trivial 5", ("()", 5)], trivial(5)),
    ("(0 1 2 3 4)", 8): from_cycles([[[0, 1, 2, 3, 4]]], 8),
    **dict.fromkeys(["(0,1,2)", "[(0,1,2)]"], cyclic(3)),
    **dict.fromkeys(["<(0 1 2), (0 1)>", "⟨(0 1 2), (0 1)⟩", "(0 1 2);(0 1)"], from_cycles([[[0, 1, 2]], [[0, 1]]], 3)),
    "(1,2,3)(4,5)": from_cycles([[[0, 1, 2], [3, 4]]], 5),
    "(1,2,3,4),(1,3)": from_cycles([[[0, 1, 2, 3]], [[0, 2]]], 4),
    "Group((1,2,3),(1,2))": from_cycles([[[0, 1, 2]], [[0, 1]]], 3),
    "S4 wr C3": wreath_product(symmetric(4), cyclic(3)),
    "E3 x S4": groups.direct_product(trivial(3), symmetric(4)),
    "R10": groups.reversal(10),
    **dict.fromkeys(["C1", "D1"], trivial(1)),
    **dict.fromkeys(["C2", "D2"], S2),
    "A2": trivial(2),
    "S100 wr S100": wreath_product(symmetric(100), symmetric(100)),
    "S3 x C2 wr C4": groups.direct_product(S3, wreath_product(cyclic(2), cyclic(4))),
    "(S3 x C2) wr C4": wreath_product(groups.direct_product(S3, cyclic(2)), cyclic(4)),
}
COUNTED_FROM_1 = ["(1,2,3)(4,5)", "(1,2,3,4),(1,3)", "Group((1,2,3),(1,2))"]
CORRECTED = {
    "DihedralGroup(10)": ("D10", "D5"),
    "(1 2 3)(4 5)": ("(0 1 2)(3 4)", "(0)(1 2 3)(4 5)"),
    "[[0,1,2],[0,1]]": ("(0 1 2), (0 1)",),
    "S[3,2,1]": ("Young(3,2,1)",),
    "S{3,2,1}": ("Young(3,2,1)",),
    "grid 3x4 dihedral": ("grid 3x4 flips",),
    "grid 8x8": ("grid 8x8 flips", "grid 8x8 rotations", "grid 8x8 dihedral", "grid 8x8 translations"),
    "torus 3x3": ("grid 3x3 translations",),
    "S4 on pairs": ("S4 on 2-subsets",),
    "S4 on edges": ("S4 on 2-subsets",),
    "B3": ("S2 wr S3",),
    "cube": ("Aut(cube)", "S2 wr S3"),
    "J(5,2)": ("Aut(J(5,2))", "S5 on 2-subsets"),
    "H(3,2)": ("Aut(H(3,2))",),
    "1": ("E5",),
    ("S5", 8): ("S5 x E3",),
    "C8 semidirect C2": ("D8",),
    "Hol(C5)": ("AGL(1,5)",),
    "S3 (x) S3": ("S3 x S3", "product_action(S3, S3)"),
    "S3 ⊗ S3": ("S3 x S3", "product_action(S3, S3)"),
    "S3 product S3": ("S3 x S3", "product_action(S3, S3)"),
    "S5 wr (0 1 2)": ("S5 wr <(0 1 2)>",),
}
REFUSED = {
    "grid 3x3x3 rotations": "a grid has two sides",  # of a cube, several groups are the rotations
    "()": "its degree must be given",
    "": "expected a group",
    "(0 1 2 0)": "point 0 appears twice",
    ("(0 5)", 3): "point 5 is outside 0 … 2",
    "(1 2 3": r"expected a point or \)",
    "S0": "the degree must be an integer of at least 1",
}
# Other spellings, each with one that is written as the notation's own documentation does.
SAME = {
    "S₅ ≀ S₂": "S5 wr S2",
    "S_{5} \\wr S_{2}": "S5 wr S2",
    "S5 \\times S2": "S5 x S2",
    "S₃²": "S3 x S3",
    "WreathProduct(S5, S2)": "S5 wr S2",
    "DirectProduct(S5, S2, C3)": "S5 x S2 x C3",
    "S2 wr S3^2": "S2 wr (S3 x S3)",
    "S2 x S3^2 wr C2": "S2 x ((S3 x S3) wr C2)",
    "(S2 wr S2)^2": "S2 wr S2 x S2 wr S2",
    "(S2^2 wr C2)^2 wr C2": "(((S2 x S2) wr C2) x ((S2 x S2) wr C2)) wr C2",
    "DihedralGroup(5)": "D5",
    "CyclicGroup(6)": "C6",
    "alternating(6)": "A6",
    "MathieuGroup(11)": "M11",
    "M_{11}": "M11",
    "PSL_2(7)": "PSL(2,7)",
    "psl(2, 7)": "PSL(2,7)",
    "Young([3, 2, 1])": "S3 x S2 x S1",
    "C8 on 8 x 3": "product_action(C8, E3)",
    "C8 on 3 × 8 x 2": "product_action(E3, C8, E2)",
    "C8 x C3 on 8 x 3": "product_action(C8, C3)",
    "(S2 wr C4) on 8 x 3": "product_action(S2 wr C4, E3)",
    "C3^2 on 3 x 3": "product_action(C3, C3)",
    "(S5 on 2-subsets) wr C2": "wr(S5 on 2-subsets, C2)",
    "(S5 on 2-subsets) on 2 sets": "(S5 on 2-subsets) on 2-subsets",
    "Aut(petersen_graph)": "Aut(petersen)",
    "aut( moebius-kantor graph )": "Aut(moebius_kantor)",
    "Aut(H(3,2)) x C2": "Aut(hamming(3,2)) x C2",
    "PermutationGroup([\n    (4)(0 1 2),\n    (4)(0 1)])": "(0 1 2)(4), (0 1)",
    "PermutationGroup([(3)(1 2)])": "(0)(1 2)(3)",
    "Permutation(4)(0, 1, 2)": "(0 1 2)(4)",
    "Group([ (0,1,2), (0,1) ])": "(0 1 2), (0 1)",
    "{(0 1 2), (0 1)}": "(0 1 2), (0 1)",
    "[[[0, 1], [2, 3]], [[0, 2]]]": "(0 1)(2 3), (0 2)",
    "<(0 1 2)> wr S2": "wr(<(0 1 2)>, S2)",
}
MORE_CORRECTED = {
    "Symetric(5)": "Symmetric(5)",
    "S5 rw S2": "S5 wr S2",
    "Aut(petersn)": "Aut(petersen)",
    "petersen": "Aut(petersen)",
    "grid 3x3 flip": "grid 3x3 flips",
    "S3 x S2 on 2-subsets": "(S3 x S2) on 2-subsets",
    "S5 on 2-subsets x C3": "(S5 on 2-subsets) x C3",
    "S3 wr C2 on 2-subsets": "(S3 wr C2) on 2-subsets",
    "C3 on 3 x 3": "product_action(C3, E3)",
    "B3 wr S2": "(S2 wr S3) wr S2",
    "(0 1 2) x S3": "<(0 1 2)> x S3",
    "S2 wr <(1 2 3)>": "S2 wr <(0 1 2)>",
    "C7 : C3": "F21",
    "[[0,1],[2,3]]": "(0 1)(2 3)",
    "[[1,0,2],[0,2,1]]": "(0 1)(2), (0)(1 2)",
    "Permutation(1,2)": "(0)(1 2)",
    "(3 1)": "(2 0)",
    ("(1 2 3)(4 5)", 5): "(0 1 2)(3 4)",
    ("(1,2,3)(4,5)", 6): "(0)(1 2 3)(4 5)",
    ("1", 7): "E7",
}


def split(case):
    return case if isinstance(case, tuple) else (case, None)


def read(case):
    """The group and what was said of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        group = parse_group(*split(case))
    return group, [str(warning.message) for warning in caught]


def refusal(case):
    with pytest.raises(NotationError) as error:
        parse_group(*split(case))
    return error.value


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_what_has_one_meaning_is_accepted(case):
    group, said = read(case)
    np.testing.assert_array_equal(array_forms(group), array_forms(ACCEPTED[case]))
    assert bool(said) == (case in COUNTED_FROM_1)


@pytest.mark.parametrize("case", CORRECTED, ids=str)
def test_what_has_several_meanings_is_corrected(case):
    assert refusal(case).suggestions == CORRECTED[case]


@pytest.mark.parametrize("case", [*CORRECTED, *MORE_CORRECTED], ids=str)
def test_suggestions_can_be_read_and_are_shown(case):
    error = refusal(case)
    assert error.suggestions
    for suggestion in error.suggestions:
        assert repr(suggestion) in str(error)
        assert read((suggestion, split(case)[1]))[1] == []


@pytest.mark.parametrize("case", MORE_CORRECTED, ids=str)
def test_slips_are_corrected(case):
    assert MORE_CORRECTED[case] in refusal(case).suggestions


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_has_no_meaning_is_refused(case):
    error = refusal(case)
    assert error.suggestions == ()
    assert re.search(REFUSED[case], str(error))


def test_most_of_the_strings_are_accepted_or_corrected():
    assert len(ACCEPTED) + len(CORRECTED) >= 80


@pytest.mark.skipif(not SHARED.is_file(), reason=f"needs {SHARED}")
def test_the_table_holds_every_string_of_the_file():
    _, *lines = SHARED.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    fields = (line.split("\t") for line in lines)
    cases = {(text, json.loads(degree[0])["degree"]) if degree else text for text, *degree in fields}
    assert cases == ACCEPTED.keys() | CORRECTED.keys() | REFUSED.keys()


@pytest.mark.parametrize("text", SAME)
def test_other_spellings_mean_the_same(text):
    group, said = read(text)
    np.testing.assert_array_equal(array_forms(group), array_forms(read(SAME[text])[0]))
    assert said == []


# The orders of the automorphism groups, as in the literature (House of Graphs, Wolfram MathWorld).
GRAPHS = {
    **{"bull": 2, "chvatal": 8, "cubical": 48, "cube": 48, "desargues": 240, "diamond": 4, "dodecahedral": 120},
    **{"frucht": 1, "heawood": 336, "hoffman_singleton": 252000, "house": 2, "house_x": 4, "icosahedral": 120},
    **{"krackhardt_kite": 2, "moebius_kantor": 96, "octahedral": 48, "pappus": 216, "petersen": 120, "tutte": 3},
    **{"sedgewick_maze": 1, "tetrahedral": 24, "truncated_cube": 48, "truncated_tetrahedron": 24},
    **{"J(5,2)": 120, "J(4,2)": 48, "johnson(6,3)": 1440, "kneser(5,2)": 120, "kneser(7,3)": 5040, "H(3,2)": 48},
    **{"hamming(2,3)": 72, "hamming(1,5)": 120, "hamming(4,1)": 1, "H(2,4)": 1152, "J(5,1)": 120, "J(5,5)": 1},
}


def test_every_named_graph_has_an_order():
    assert GRAPHS.keys() >= set(_group_graphs.SMALL_GRAPHS)


@pytest.mark.parametrize("name", GRAPHS)
def test_automorphisms_of_named_graphs_have_their_order(name):
    assert group_order(parse_group(f"Aut({name})")) == GRAPHS[name]


def test_automorphisms_act_on_subsets_in_the_order_of_action_on_subsets():
    for text, group in {"Aut(J(5,2))": "S5 on 2-subsets", "Aut(H(2,3))": "product_action(S3, S3)"}.items():
        whole, part = parse_group(text), parse_group(group)
        assert all(whole.contains(generator) for generator in part.generators)


def test_a_graph_is_a_group():
    graph = networkx.petersen_graph()
    task = TaskConfig(group=graph, vocab_size=2)
    assert (task.group_name, task.degree, task.support, task.edges) == ("Aut(graph)", 10, "complete", None)
    assert group_order(task.permutation_group()) == 120
    for form in array_forms(task.permutation_group()):
        assert all(graph.has_edge(form[node], form[other]) for node, other in graph.edges)
    assert TaskConfig(group=graph, group_name="Petersen", vocab_size=2).group_name == "Petersen"
    ring = networkx.cycle_graph(4, create_using=networkx.DiGraph)  # directed
    assert group_order(TaskConfig(group=ring, vocab_size=2).permutation_group()) == 4
    labelled = networkx.path_graph(["left", "middle", "right"])
    assert TaskConfig(group=labelled, vocab_size=2).generators == [[[0, 2]]]


@pytest.mark.parametrize(
    ("missing", "read", "message"),
    [
        ("networkx", lambda: parse_group("Aut(petersen)"), "networkx must be installed"),
        ("asen_hf.closures", lambda: parse_group("Aut(petersen)"), "character 4: .* need asen_hf to be installed"),
        (
            "asen_hf.closures",
            lambda: TaskConfig(group=networkx.path_graph(3), vocab_size=2),
            "need asen_hf to be installed",
        ),
    ],
)
def test_graphs_need_what_does_not_travel_with_a_checkpoint(missing, read, message, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=message):
        read()
    assert parse_group("M11").degree == 11


@pytest.mark.parametrize("text", COUNTED_FROM_1)
def test_points_from_1_are_said_wherever_the_text_enters(text):
    with pytest.warns(UserWarning, match="points count from 1; in points from 0, .*0 1"):
        task = TaskConfig(group=text, vocab_size=2)
    assert task.group_name == f"{text} (points from 1)"
    with pytest.warns(UserWarning, match="points count from 1"):
        assert resolve_group(text, task.degree)[1] == task.group_name
    assert TaskConfig.from_dict(json.loads(json.dumps({**vars(task)}))) == task  # nothing is read again


def test_cycles_with_spaces_count_from_0_where_the_degree_allows_it():
    assert groups.to_cycles(parse_group("(1 2 3)(4 5)", 6)) == [[[1, 2, 3], [4, 5]]]
    assert groups.to_cycles(parse_group("(0,2,1)", 4)) == [[[0, 2, 1]]]


def test_a_suggestion_is_left_out_of_a_long_text():
    assert refusal("S1 x " * 100 + "Symetric(5)").suggestions == ()
