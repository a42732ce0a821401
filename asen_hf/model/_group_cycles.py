"""Generators as people write them: SymPy's, GAP's and Sage's cycles, and the lists of a config.

Points count from 0, as in Python. GAP and Sage count from 1 and write commas within a cycle. So does Python's tuple
``(0, 1, 2)``, therefore the points decide:

========================  ===============================  =======================================================
point 0 is named          commas                           points count from
========================  ===============================  =======================================================
yes                       either                           0
no                        within cycles                    1, said in a warning; refused if the degree that was
                                                           given is larger than the largest point
no                        not within cycles, degree given  0
no                        not within cycles, no degree     refused, with both readings as suggestions
========================  ===============================  =======================================================

Cycles within ``PermutationGroup([…])`` or after ``Permutation`` without commas are SymPy's: points count from 0.
"""

from typing import NamedTuple, TypeAlias

from ._group_text import Token, Tokens
from ._messages import shown

Cycle: TypeAlias = list[Token]
_BRACKETS = {"[": "]", "{": "}", "<": ">", "⟨": "⟩"}
_SYMPY = ("permutationgroup", "permutation")


class Generators(NamedTuple):
    """Generators that have been read, with points from 0 on."""

    cycles: list[list[list[int]]]
    degree: int
    counted_from_1: bool


def sees_generators(tokens: Tokens) -> bool:
    """Whether generators follow: a cycle, a bracketed list, ``Group(`` or ``Permutation(``."""
    first, second = tokens.next, tokens.ahead(1)
    if first.text == "(":
        return second.kind == "number" or second.text == ")"
    return first.text in ("[", "{", "<", "⟨", "group", *_SYMPY)


def read_generators(tokens: Tokens, degree: int | None) -> Generators:
    """``generators := cycles | "[" cycles "]" | "Group(" cycles ")" | lists``; cycles as at the top of this module."""
    start = tokens.next
    is_sympy = tokens.next.text == "permutationgroup"
    closing = []
    if tokens.takes("group", "permutationgroup"):
        if not tokens.takes("("):
            tokens.expect("( and generators")
        closing.append(")")
    is_list = tokens.next.text == "[" and (tokens.ahead(1).kind == "number" or tokens.ahead(1).text in ("[", "]"))
    if tokens.next.text in _BRACKETS and not is_list:
        closing.append(_BRACKETS[tokens.take().text])
    reader = _CycleReader(tokens)
    generators = _read_lists(tokens) if is_list else reader.generators()
    for mark in reversed(closing):
        if not tokens.takes(mark):
            tokens.expect(f"(, a comma or {mark}")
    is_sympy |= reader.is_sympy
    if not reader.has_commas or _names_0(generators):
        return _counted_from_0(tokens, start, generators, degree, is_sympy)
    if reader.is_sympy:
        readings = _instead(tokens, start, written(generators), written(generators, 1))
        tokens.fail("point 0 is in no cycle, and SymPy counts points from 0, Sage from 1", start, readings)
    return _counted_from_1(tokens, start, generators, degree)


def written(generators: list[list[Cycle]], shift: int = 0) -> str:
    """The generators with points lowered by ``shift``; without it, point 0 is named as a cycle if no other does."""
    texts = [
        "".join(f"({' '.join(str(int(point.text) - shift) for point in cycle)})" for cycle in generator) or "()"
        for generator in generators
    ]
    return ("" if shift or _names_0(generators) else "(0)") + ", ".join(texts)


def _instead(tokens: Tokens, start: Token, *readings: str) -> list[str]:
    """The text with the generators, which begin at ``start`` and have been read, replaced by each reading."""
    opening, closing = (start.text, tokens.previous.text) if start.text in ("<", "⟨") else ("", "")
    before, after = tokens.text[: start.start], tokens.text[tokens.previous.end :]
    return [f"{before}{opening}{reading}{closing}{after}" for reading in readings]


def _names_0(generators: list[list[Cycle]]) -> bool:
    return any(not point.text.strip("0") for generator in generators for cycle in generator for point in cycle)


def _largest(tokens: Tokens, generators: list[list[Cycle]]) -> Token | None:
    points = [point for generator in generators for cycle in generator for point in cycle]
    return max(points, key=tokens.value, default=None)


def _counted_from_0(
    tokens: Tokens, start: Token, generators: list[list[Cycle]], degree: int | None, is_certain: bool = False
) -> Generators:
    largest = _largest(tokens, generators)
    looks_1_based = largest is not None and not _names_0(generators)
    if degree is None and largest is None:
        problem = f"the group {shown(tokens.text)} names no point, so its degree must be given"
        tokens.fail(f"{problem}; E5 is the identity on 5 points", start)
    if degree is None and looks_1_based and not is_certain:
        tokens.fail(
            "point 0 is in no cycle, so this looks 1-based, but points count from 0: lower all points by 1, or name "
            "point 0 or give the degree if it is fixed",
            start,
            _instead(tokens, start, written(generators, 1), written(generators)),
        )
    if degree is not None and largest is not None and tokens.value(largest) >= degree:
        fits_1_based = looks_1_based and tokens.value(largest) == degree
        shifted = _instead(tokens, start, written(generators, 1)) if fits_1_based else []
        tokens.fail(
            f"point {tokens.value(largest)} is outside 0 … {degree - 1} (degree {degree})"
            + ("; this looks 1-based" if shifted else ""),
            largest,
            shifted,
        )
    if degree is None:
        assert largest is not None
        degree = tokens.value(largest) + 1
    return Generators(_numbers(tokens, generators), degree, False)


def _counted_from_1(tokens: Tokens, start: Token, generators: list[list[Cycle]], degree: int | None) -> Generators:
    largest = _largest(tokens, generators)
    assert largest is not None
    num_points = tokens.value(largest)
    if degree is not None and num_points > degree:
        tokens.fail(f"point {num_points} is outside 1 … {degree} (degree {degree})", largest)
    if degree is not None and num_points < degree:
        tokens.fail(
            f"commas and no point 0 look like GAP's points 1 … {num_points}, but the degree is {degree}: write cycles "
            "with spaces, whose points count from 0",
            start,
            _instead(tokens, start, written(generators, 1), written(generators)),
        )
    return Generators(_numbers(tokens, generators, shift=1), num_points, True)


def _numbers(tokens: Tokens, generators: list[list[Cycle]], shift: int = 0) -> list[list[list[int]]]:
    return [
        [[tokens.value(point) - shift for point in cycle] for cycle in generator if cycle] for generator in generators
    ]


class _CycleReader:
    """Reads cycles in parentheses and notes how they are written."""

    def __init__(self, tokens: Tokens):
        self.tokens = tokens
        self.has_commas = self.is_sympy = False

    def generators(self) -> list[list[Cycle]]:
        """``generators := generator (("," | ";") generator)*``"""
        found = [self.generator()]
        while self.tokens.takes(",", ";"):
            found.append(self.generator())
        return found

    def generator(self) -> list[Cycle]:
        """``generator := "Permutation"? cycle+``, with no point twice."""
        tokens = self.tokens
        self.is_sympy |= tokens.takes("permutation")
        seen: set[int] = set()
        cycles = []
        while tokens.next.text == "(":
            cycles.append(self.cycle(seen))
        return cycles or tokens.expect("a cycle such as (0 1 2)")

    def cycle(self, seen: set[int]) -> Cycle:
        """``cycle := "(" (NUMBER ((",")? NUMBER)*)? ")"``"""
        tokens = self.tokens
        tokens.take()
        cycle: Cycle = []
        has_commas: bool | None = None
        while not tokens.takes(")"):
            if cycle and has_commas is None:
                has_commas = tokens.next.text == ","
                self.has_commas |= has_commas
            if cycle and has_commas and not tokens.takes(","):
                tokens.expect("a comma or )")
            token = tokens.next
            point = tokens.number("a point or )" if not has_commas else "a point")
            if point in seen:
                tokens.fail(
                    f"point {point} appears twice in one generator: its cycles must be disjoint, and generators are "
                    "separated by commas",
                    token,
                )
            seen.add(point)
            cycle.append(token)
        return cycle


def _read_lists(tokens: Tokens) -> list[list[Cycle]]:
    """Generators as a config holds them, lists of cycles of points; other lists have several readings."""
    start = tokens.next
    tree = _tree(tokens)
    if all(isinstance(generator, list) and all(isinstance(cycle, list) for cycle in generator) for generator in tree):
        for generator in tree:
            _check_distinct(tokens, generator)
        if all(not isinstance(point, list) for generator in tree for cycle in generator for point in cycle):
            return tree
        tokens.fail("lists are nested too deeply: expected generators as lists of cycles", start)
    rows = tree if all(isinstance(row, list) for row in tree) else [tree]
    if not all(isinstance(point, Token) for row in rows for point in row):
        tokens.fail("expected generators as lists of cycles, such as [[[0, 1], [2, 3]], [[0, 2]]]", start)
    tokens.fail(
        "a list of lists of points can mean several generators, the cycles of one, or images of the points: write "
        "cycles, such as (0 1)(2 3), (0 2)",
        start,
        _readings(rows),
    )


def _tree(tokens: Tokens, depth: int = 1) -> list:
    """Nested lists of number tokens."""
    if depth > 4:
        tokens.fail("lists are nested too deeply: expected generators as lists of cycles")
    tokens.take()
    items: list = []
    while not tokens.takes("]"):
        if items and not tokens.takes(","):
            tokens.expect("a comma or ]")
        if tokens.next.text == "[":
            items.append(_tree(tokens, depth + 1))
        else:
            tokens.number("a point or [")
            items.append(tokens.previous)
    return items


def _check_distinct(tokens: Tokens, generator: list) -> None:
    seen: set[int] = set()
    for point in (point for cycle in generator for point in cycle if isinstance(point, Token)):
        if tokens.value(point) in seen:
            tokens.fail(f"point {tokens.value(point)} appears twice in one generator", point)
        seen.add(tokens.value(point))


def _readings(rows: list[Cycle]) -> list[str]:
    """A cycle per generator; all cycles of one; images of 0 … n-1. Which of them can be read, the caller finds out."""
    readings = [written([[row] for row in rows]), written([rows])]
    images = [[int(point.text) for point in row] for row in rows]
    if all(sorted(form) == list(range(len(rows[0]))) for form in images):
        readings.append(", ".join(map(_cycles_of_images, images)))
    return readings


def _cycles_of_images(form: list[int]) -> str:
    text, seen = "", set()
    for start in range(len(form)):
        cycle, point = [], start
        while point not in seen:
            seen.add(point)
            cycle.append(point)
            point = form[point]
        if cycle:
            text += f"({' '.join(map(str, cycle))})"
    return text
