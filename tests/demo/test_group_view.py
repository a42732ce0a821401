"""The tab Group: every example can be shown, and bad input is refused with the place of the fault."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from asen_hf.demo.group_view import MAX_POINTS, number_of_parameters, read_group, view_group
from asen_hf.demo.offers import EXAMPLES, MAX_CHARACTERS
from asen_hf.model.groups import dihedral, symmetric, trivial


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_example_is_shown_whole(text):
    view = view_group(text)
    assert "exactly this group" in view.sentence
    assert {"points", "order", "orbitals", "parameters"} <= view.facts.keys()
    [matrix] = [axes for axes in view.picture.axes if axes.get_xlabel() == "source j"]
    assert matrix.get_title().startswith("orbitals on pairs")


def test_a_group_that_the_network_widens_is_named_with_what_it_becomes():
    assert "S_4 (order 24)" in view_group("A4").sentence


def test_a_warning_of_the_parser_is_shown():
    assert "points count from 1" in view_group("(1,2,3)(4,5)").sentence


def test_visitors_at_the_same_time_see_their_own_remarks():
    texts = ["(1,2,3)(4,5)", "(0,1,2)(3,4)"] * 200
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as visitors:
        remarks = [note for _, note in visitors.map(read_group, texts)]
    assert [bool(note) for note in remarks] == [True, False] * 200
    assert warnings.filters == before


def test_parameters_grow_with_the_number_of_orbitals():
    counts = [number_of_parameters(group) for group in (symmetric(8), dihedral(8), trivial(8))]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize(
    "text, message",
    [
        ("S5 wr S", "\n  S5 wr S\n         ^"),
        (f"S{MAX_POINTS + 1}", f"at most {MAX_POINTS} points"),
        ("S1000000", f"at most {MAX_POINTS} points"),
        ("S2 x " * MAX_CHARACTERS, f"{MAX_CHARACTERS:,} characters"),
        ("", "group"),
    ],
)
def test_a_bad_group_is_refused(text, message):
    with pytest.raises(ValueError) as raised:
        view_group(text)
    assert message in str(raised.value)
