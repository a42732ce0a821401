"""The text notation means the groups it says, survives the way back, and points at what it cannot read."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asen_hf.model.group_notation import NotationError, format_cycles, parse_group
from asen_hf.model.groups import (
    alternating,
    array_forms,
    cyclic,
    dihedral,
    direct_product,
    from_array_form,
    from_cycles,
    grid_symmetries,
    product_action,
    reversal,
    symmetric,
    trivial,
    wreath_product,
)

S2, S3, C4, C5 = symmetric(2), symmetric(3), cyclic(4), cyclic(5)


def assert_same(group, other):
    np.testing.assert_array_equal(array_forms(group), array_forms(other))


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("S5", symmetric(5)),
        ("S_5", symmetric(5)),
        ("S1", trivial(1)),
        ("A8", alternating(8)),
        ("C10", cyclic(10)),
        ("D4", dihedral(4)),
        ("R10", reversal(10)),
        ("E5", trivial(5)),
        ("S5 wr S2", wreath_product(symmetric(5), S2)),
        ("S_5 wr S_2", wreath_product(symmetric(5), S2)),
        ("S1 x S7", direct_product(symmetric(1), symmetric(7))),
        ("S1 × S7", direct_product(symmetric(1), symmetric(7))),
        ("S1xS7", direct_product(symmetric(1), symmetric(7))),
        ("(S3 x S2) wr C4", wreath_product(direct_product(S3, S2), C4)),
        ("S3 x S2 wr C4", direct_product(S3, wreath_product(S2, C4))),
        ("S2 wr C4 x S3", direct_product(wreath_product(S2, C4), S3)),
        ("S2 wr S3 wr C4", wreath_product(wreath_product(S2, S3), C4)),
        ("S2 wr (S3 wr C4)", wreath_product(S2, wreath_product(S3, C4))),
        ("S2 x S3 wr C4 wr C5", direct_product(S2, wreath_product(wreath_product(S3, C4), C5))),
        ("A3 x C4 x D5", direct_product(alternating(3), C4, dihedral(5))),
        ("  ((  S2 )) ", S2),
        ("grid 3x4 translations", grid_symmetries(3, 4, "translations")),
        ("grid 3 × 3 dihedral", grid_symmetries(3, 3, "dihedral")),
        ("grid 2x3 flips x S2", direct_product(grid_symmetries(2, 3, "flips"), S2)),
        ("S2 wr grid 2x2 rotations", wreath_product(S2, grid_symmetries(2, 2, "rotations"))),
        ("(0 1 2)(3 4)", from_cycles([[[0, 1, 2], [3, 4]]], 5)),
        ("(0)(3 1)", from_cycles([[[1, 3]]], 4)),
        ("(0 1 2)(3 4), (0 3)", from_cycles([[[0, 1, 2], [3, 4]], [[0, 3]]], 5)),
        ("(0 1),(1 2) , ( 2 3 )", from_cycles([[[0, 1]], [[1, 2]], [[2, 3]]], 4)),
        ("(0 1)(4)", from_cycles([[[0, 1]]], 5)),
        ("(), (0 1)", from_cycles([[[0, 1]]], 2)),
    ],
)
def test_notation_means_the_group_it_says(text, group):
    assert_same(parse_group(text), group)
    assert_same(parse_group(text, group.degree), group)


def test_cycles_take_the_degree_that_is_given():
    assert_same(parse_group("(0 1)", 4), from_cycles([[[0, 1]]], 4))
    assert_same(parse_group("()", 3), trivial(3))


def test_cycles_of_no_point_need_a_degree():
    with pytest.raises(ValueError, match=r"'\(\)' names no point, so its degree must be given"):
        parse_group("()")


@pytest.mark.parametrize(
    ("text", "character", "problem"),
    [
        ("", 0, "expected a group such as S5"),
        ("   ", 3, "found the end"),
        ("S", 1, "expected a number, found the end"),
        ("T5", 0, "found T"),
        ("5", 0, "found 5"),
        ("t5", 0, "families: S, A, C or Z, D, R, E"),
        ("S-5", 1, "found -"),
        ("S5 wr", 5, "expected a group such as S5"),
        ("S5 wr x", 6, "found x"),
        ("x S5", 0, "found x"),
        ("S5 S2", 3, "expected x, wr or the end, found S"),
        ("S5 ∘ S2", 3, "found ∘"),
        ("S5 wr S2)", 8, "expected x, wr or the end, found )"),
        ("(S3 x S2 wr C4", 14, "expected x, wr or ), found the end"),
        ("S2 x S0", 5, "the degree must be an integer of at least 1, not 0"),
        ("S2 x grid 2x3 dihedral", 5, 'kind "dihedral" needs a square grid, not 2 by 3'),
        ("grid 3x3 spin", 0, "kind must be"),
        ("grid 3x3", 8, "expected flips, rotations, dihedral or translations, found the end"),
        ("grid 3", 6, "expected x between the grid's sides"),
        ("grid x3", 5, "expected the grid's height, found x"),
        ("grid 3x flips", 8, "expected the grid's width, found flips"),
        ("(0 1", 4, "expected a point or ), found the end"),
        ("(0 1),", 6, "expected a cycle such as (0 1 2), found the end"),
        ("(0 1), S3", 7, "expected a cycle such as (0 1 2), found S"),
        ("(0 1, 2)", 4, "expected a point or ), found ,"),
        ("(0, 1 2)", 6, "expected a comma or ), found 2"),
        ("(0, 1,)", 6, "expected a point, found )"),
        ("(0 -1)", 3, "found -"),
        ("(0 1)(1 2)", 6, "point 1 appears twice in one generator"),
        ("(0 1), (2 3 2)", 12, "point 2 appears twice in one generator"),
        ("(0 1) x S3", 6, "cycles cannot be part of a product"),
        ("S3 x (0 1)", 6, "cycles cannot be part of a product"),
        ("((0 1) x S3)", 2, "cycles cannot be part of a product"),
        ("S2 x S9999999", 5, "at most 1,048,576 points"),
        ("S2 x S2000 wr C2000", 5, "at most 1,048,576 points"),
        ("S2 wr (E900000 x E900000)", 7, "at most 1,048,576 points"),
        ("(0 1), (0 99999999)", 0, "at most 1,048,576 points"),
        ("S2 x S" + "9" * 100, 6, "the number has 100 digits"),
        ("(0 " + "9" * 100 + ")", 3, "the number has 100 digits"),
    ],
)
def test_ill_formed_text_is_refused_with_a_caret_at_the_character(text, character, problem):
    with pytest.raises(ValueError) as error:
        parse_group(text)
    message, line, caret = str(error.value).split("\n")
    assert message.startswith(f"group {text!r}, character {character}: ")
    assert problem in message
    assert (line, caret) == ("  " + text, "  " + " " * character + "^")


@pytest.mark.parametrize(
    ("text", "character", "problem"),
    [
        ("S3^0", 3, "a power needs at least one copy"),
        ("S3^2^2", 4, "a power of a power needs parentheses"),
        ("S3^S2", 3, "expected a number of copies, found S"),
        ("S2^9999999", 0, "at most 1,048,576 points"),
        ("C1000^2 on 1000 x 1000 x 2", 0, "but no side of 1000 x 1000 x 2 has as many"),
        ("C1000 on 1000 x 2000", 0, "at most 1,048,576 points"),
        ("product_action(S3, S2", 21, "expected x, wr, a comma or ), found the end"),
        ("product_action(C2000, C2000)", 0, "at most 1,048,576 points"),
        ("wr(S5)", 0, "takes the inner and the outer group, not 1 groups"),
        ("S5 on 6-subsets", 6, "k must be an integer in 1 … 5"),
        ("S5000 on 2-subsets", 9, "at most 1,048,576 points"),
        ("S5 on 8", 7, "expected -subsets, or x and another side, found the end"),
        ("S5 on 2-spheres", 8, "expected subsets, found spheres"),
        ("S5 on", 5, "expected k-subsets, or sides such as 8 x 3, found the end"),
        ("C8 on 5 x 3", 0, "acts on 8 points, but no side of 5 x 3 has as many"),
        ("Young()", 6, "expected a number"),
        ("Young(3,0)", 0, "a block's size must be an integer of at least 1, not 0"),
        ("PSL(2)", 0, "PSL takes 2 numbers, not 1, the dimension and the number of field elements: PSL(2, 7)"),
        ("PSL(2,6)", 0, "a finite field has a prime power of elements, here at most 4,096, not 6"),
        ("PSL(99,2)", 0, "at most 1,048,576 points"),
        ("PSL(2,7", 7, "expected a comma or )"),
        ("M10", 0, "Mathieu groups of degree 11, 12, 22, 23 and 24, not of degree 10"),
        ("Q10", 0, "a quaternion group's order must be 8, 12, 16, …"),
        ("V5", 0, "there is no V5"),
        ("F5", 0, "there is no Frobenius group of order 5"),
        ("Aut(petersen", 12, "expected ), found the end"),
        ("Aut(J(5))", 4, "j takes 2 numbers, not 1"),
        ("Aut(J(30,15))", 4, "at most"),
        ("Aut(S5)", 4, "asen_hf.from_networkx takes any graph"),
        ("S2 wr <(0 1)", 12, "expected (, a comma or >, found the end"),
        ("S2 wr <()>", 6, "names no point, so its degree must be given"),
        ("[[[0, 1], [1, 2]]]", 11, "point 1 appears twice in one generator"),
        ("[[[[0]]]]", 0, "nested too deeply"),
        ("[[[[[0]]]]]", 4, "nested too deeply"),
        ("[[[0, 1], 2]]", 0, "expected generators as lists of cycles"),
        ("[[[0, 1]", 8, "expected a comma or ], found the end"),
        ("Group((0 1)", 11, "expected (, a comma or ), found the end"),
        ("Group", 5, "expected ( and generators, found the end"),
        ("Permutation", 11, "expected a cycle such as (0 1 2), found the end"),
        ("S2 wr <(0 1" + "1" * 99 + ")>", 10, "the number has 100 digits"),
    ],
)
def test_ill_formed_text_of_the_newer_forms_is_refused_alike(text, character, problem):
    test_ill_formed_text_is_refused_with_a_caret_at_the_character(text, character, problem)


def test_the_caret_stands_below_the_character_beside_wide_and_invisible_ones():
    for text, line, before in [("日本?", "日本?", 0), ("S3 x\x1b", "S3 x�", 4), ("S5 e\u0301 S2", "S5 e\u0301 S2", 3)]:
        with pytest.raises(NotationError) as error:
            parse_group(text)
        assert error.value.excerpt == f"  {line}\n  {' ' * before}^"
    with pytest.raises(NotationError) as error:
        parse_group("S2 x grid 日本 x 3")
    assert error.value.excerpt.endswith("\n" + " " * 12 + "^")
    with pytest.raises(NotationError) as error:
        parse_group("S5 日 S2")  # two columns each, so a caret further right stands further right
    assert error.value.excerpt.endswith("\n" + " " * 5 + "^")


def test_parentheses_nested_too_deeply_are_refused():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_group("(" * 10_000 + "S2" + ")" * 10_000)


@pytest.mark.parametrize("start", [0, 5, 3000, 4940])
def test_of_a_long_text_the_surroundings_of_the_fault_are_shown(start):
    text = f"{'S1 x ' * 990}S2"
    text = f"{text[:start]}?{text[start + 1 :]}"
    with pytest.raises(ValueError, match=f"character {start}: .*found \\?") as error:
        parse_group(text)
    _, line, caret = str(error.value).split("\n")
    assert line[caret.index("^")] == "?"
    assert len(str(error.value)) < 1000


def test_a_text_of_several_lines_is_shown_in_one():
    with pytest.raises(ValueError) as error:
        parse_group("S3 x\n\t?")
    assert str(error.value).split("\n")[1:] == ["  S3 x  ?", "        ^"]


@pytest.mark.parametrize(
    ("text", "degree", "message"),
    [
        ("S5 wr S2", 9, "the group 'S5 wr S2' acts on 10 points, not on 9"),
        ("E5", 4, "acts on 5 points, not on 4"),
        ("(0 1)(4 7)", 7, r"character 8: point 7 is outside 0 … 6 \(degree 7\)"),
        ("()", 0, "degree must be an integer of at least 1"),
    ],
)
def test_a_degree_that_disagrees_is_refused(text, degree, message):
    with pytest.raises(ValueError, match=message):
        parse_group(text, degree)


@pytest.mark.parametrize("text", ["S1", "(0 1)", "()"])
@pytest.mark.parametrize("degree", [0, -1, 1.0, True, "1"])
def test_a_degree_that_is_no_positive_integer_is_refused(text, degree):
    with pytest.raises(ValueError, match="the degree must be an integer of at least 1"):
        parse_group(text, degree)


@pytest.mark.parametrize("notation", [5, None, [[[0, 1]]], symmetric(3)])
def test_anything_but_text_is_refused(notation):
    with pytest.raises(ValueError, match="must be text"):
        parse_group(notation)


@pytest.mark.parametrize(
    ("group", "text"),
    [
        (trivial(4), "()"),
        (from_cycles([[[0, 1, 2], [3, 4]], [[0, 3]]], 6), "(0 1 2)(3 4), (0 3)"),
        (cyclic(12), "(0 1 2 3 4 5 6 7 8 9 10 11)"),
    ],
)
def test_generators_are_written_as_cycles(group, text):
    assert format_cycles(group) == text


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.permutations(range(n)), min_size=1, max_size=4)))
@settings(max_examples=150, deadline=None)
def test_cycles_survive_the_way_to_text_and_back(forms):
    group = from_array_form(forms)
    text = format_cycles(group)
    assert_same(parse_group(text, group.degree), group)
    assert format_cycles(parse_group(text, group.degree)) == text


FAMILIES = {"S": symmetric, "A": alternating, "C": cyclic, "D": dihedral, "R": reversal, "E": trivial}
singles = st.tuples(st.sampled_from(sorted(FAMILIES)), st.integers(1, 3)).map(
    lambda family: (f"{family[0]}{family[1]}", FAMILIES[family[0]](family[1]))
)


def compounds(parts):
    """Products, wreath products, powers and product actions of parts, each part in parentheses or between commas."""
    makes = {
        "({}) x ({})": direct_product,
        "({}) wr ({})": wreath_product,
        "product_action({}, {})": product_action,
        "(({}) x ({}))^2": lambda left, right: direct_product(left, right, left, right),
    }
    return st.tuples(parts, st.sampled_from(sorted(makes)), parts).map(
        lambda both: (both[1].format(both[0][0], both[2][0]), makes[both[1]](both[0][1], both[2][1]))
    )


@given(st.recursive(singles, compounds, max_leaves=4))
@settings(max_examples=100, deadline=None)
def test_expressions_mean_what_their_parts_mean(case):
    text, group = case
    assert_same(parse_group(text, group.degree), group)


@given(st.text(alphabet="SACDREQMFVYJxXwronutgip_×≀^*²[]{}<>0123456789(),;- \n", max_size=12))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore:.*points count from 1")
def test_any_text_is_a_group_or_a_value_error(text):
    numbers = [int(number) for number in "".join(str(unicodedata.digit(c, " ")) for c in text).split()]
    if np.prod([max(number, 1) for number in numbers], dtype=float) > 1000:
        return  # a huge group takes too long
    try:
        group = parse_group(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert group.degree >= 1
