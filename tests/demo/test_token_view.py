"""The tab Try: committed checkpoints, whose outputs move with the input under their symmetry and not otherwise."""

import re

import numpy as np
import pytest

from asen_hf import AsenConfig, checkpoint_path
from asen_hf.demo import token_view
from asen_hf.demo.offers import LENGTHS, QUESTIONS
from asen_hf.demo.token_view import (
    CHECKPOINTS,
    example,
    parts,
    read_tokens,
    served,
    show_moved,
    show_prediction,
)

WIDENED = {"invariant/permutation_sign", "invariant/longest_palindrome"}  # to S_n, or S_n themselves
every_task = pytest.mark.parametrize("source", QUESTIONS)


def error_of(page: str) -> float:
    return float(re.search(r"equivariance error (\S+?)\.<", page)[1])


def test_the_tasks_are_those_of_the_checkpoints():
    configs = {name: AsenConfig.from_pretrained(checkpoint_path(name)).tasks for name in CHECKPOINTS}
    assert served().keys() == {(source, length) for source in QUESTIONS for length in LENGTHS}
    for task in served().values():
        known = configs[task.checkpoint][task.name]
        assert (known.generators, known.label_names) == (task.config.generators, task.config.label_names)


@every_task
def test_an_output_obeys_symmetries_and_no_other_permutations(source):
    text = example(source, 8)
    assert error_of(show_moved(source, 8, text, is_symmetry=True)) < 1e-5
    if source in WIDENED:
        assert "Every permutation is a symmetry" in show_moved(source, 8, text, is_symmetry=False)
    else:  # one row of one label may move little, or not at all
        assert any(error_of(show_moved(source, 8, example(source, 8), is_symmetry=False)) > 1e-2 for _ in range(100))


@pytest.mark.parametrize("is_symmetry", [True, False])
def test_the_picture_moves_the_tokens_and_marks_what_differs(is_symmetry, monkeypatch):
    permutation = np.array([1, 0, 2, 3, 4, 5, 6, 7]) if is_symmetry else np.array([0, 1, 4, 3, 2, 5, 6, 7])
    monkeypatch.setattr(token_view, "some_permutation", lambda task, is_symmetry: permutation)
    page = show_moved("equivariant/intersect", 8, "0 1 2 3 | 0 5 6 1", is_symmetry)
    before, after = re.findall(r"<figure.*?</figure>", page)
    chips = [re.findall(r"<span class='(asen-chip[^']*)'>(\d)", card) for card in (before, after)]
    tokens = [[token for _, token in card] for card in chips]
    assert tokens[0] == [*"01230561"] and [tokens[1][point] for point in permutation] == tokens[0]
    assert [kinds for kinds, _ in chips[0]].count("asen-chip asen-on") == 4  # 0 and 1 in both halves
    assert is_symmetry == ("asen-differs" not in after) == (error_of(page) < 1e-5)
    assert ("(0 1)" if is_symmetry else "(2 4)") in after


def test_what_is_right_is_judged_by_the_rule():
    assert "Right at 8 of 8 points" in show_prediction("equivariant/intersect", 8, "0 1 2 3 0 5 6 1")


@pytest.mark.parametrize(
    "source, expected",
    [
        ("equivariant/intersect", [0, 0, 0, 0, 1, 1, 1, 1]),
        ("equivariant/palindrome", [0] * 8),
        ("equivariant/cyclic_sum", [0] * 8),
        ("invariant/longest_palindrome", [0] * 8),
    ],
)
def test_a_row_is_shown_in_the_parts_that_its_group_exchanges(source, expected):
    assert parts(served()[source, 8].config).tolist() == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 2", "expected 8 tokens, got 2"),
        ("1 2 3 x 5 6 7 8", "got 'x'"),
        ("1 2 3 -4 5 6 7 8", "got '-4'"),
        ("1 2 3 4 5 6 1 7", "expected tokens in 0 … 6, got 7"),
        ("", "expected 8 whole numbers"),
        ("<script>", "got '<script>'"),
    ],
)
def test_bad_tokens_are_refused(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_tokens(text, served()["equivariant/intersect", 8].config)
