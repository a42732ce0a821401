"""A text notation for permutation groups, for recipes and the command line.

=========================  =====================================================================================
``S5``, ``A8``             symmetric and alternating group of degree 5, 8
``C10``, ``D4``            rotations of 10 points in a circle; symmetries of the square, degree 4
``R10``                    the reversal i → 9 - i of 10 points, and the identity
``E5``                     the trivial group of degree 5
``grid 3x4 translations``  symmetries of a 3 by 4 grid, row by row: flips, rotations, dihedral or translations
``S1 x S7``                direct product; the points of the second group follow the points of the first
``S5 wr S2``               wreath product: 2 blocks of 5 points, S5 in each, S2 permutes the blocks
``(S3 x S2) wr C4``        parentheses
``(0 1 2)(3 4), (0 3)``    generators, separated by commas, each a product of disjoint cycles; ``()`` is the identity
=========================  =====================================================================================

``wr`` binds tighter than ``x``, and both group from the left: ``S2 x S3 wr C4 wr C5`` is ``S2 x ((S3 wr C4) wr C5)``.
``S_5`` is ``S5`` and ``×`` is ``x``; spaces matter only between points. Cycles stand alone, outside products.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from sympy.combinatorics import PermutationGroup

from . import groups
from ._messages import shown
from ._points import MAX_DEGREE, check_size, positive_integer

__all__ = ["format_cycles", "parse_group"]

_FAMILIES: dict[str, Callable[[int], PermutationGroup]] = {
    "S": groups.symmetric,
    "A": groups.alternating,
    "C": groups.cyclic,
    "D": groups.dihedral,
    "R": groups.reversal,
    "E": groups.trivial,
}
_GROUP = f"a group such as S5 (families: {', '.join(_FAMILIES)}), grid 3x3 flips or (S2 x S3)"
_MAX_CHARACTERS = 2**18
_MAX_DIGITS = 18
_MAX_DEPTH = 50  # of open parentheses, and of products within products
_MAX_PARTS = 1000  # groups, products and wreath products
_MAX_POINTS = 4 * MAX_DEGREE  # of all parts of an expression together: building them takes at most a few seconds
_MAX_SHOWN = 200  # characters; of a longer text, an error shows the surroundings of the fault
_TOKEN = re.compile(r"(?P<family>[A-Z]_?(?=\d))|(?P<number>\d+)|(?P<word>[a-z]+|×)|(?P<mark>[(),])|(?P<wrong>\S)")


def parse_group(text: str, degree: int | None = None) -> PermutationGroup:
    """The group that ``text`` means, in the notation at the top of this module.

    Args:
        text: such as ``"S5 wr S2"`` or ``"(0 1 2)(3 4), (0 3)"``.
        degree: number of points n. Optional: a structure such as ``S5 wr S2`` has its own degree, and the degree of
            cycles is by default their largest point plus one.

    Raises:
        ValueError: if the text is ill-formed or names a group beyond ``groups.MAX_DEGREE`` (the message points at the
            character), if ``degree`` is not an integer of at least 1, or if the group has another degree.
    """
    if not isinstance(text, str):
        raise ValueError(f"a group's notation must be text such as 'S5 wr S2', not {shown(text)}")
    if degree is not None:
        degree = positive_integer(degree, "the degree")
        check_size(degree)
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(
            f"a group's notation may have at most {_MAX_CHARACTERS:,} characters, not {len(text):,}: give generators "
            "as lists of cycles"
        )
    parser = _Parser(text)
    if parser.sees_cycle():
        return parser.cycles(degree)
    found = parser.product()
    parser.end("x, wr or the end")
    if degree not in (None, found.degree):
        raise ValueError(f"the group {shown(text)} acts on {found.degree} points, not on {degree}")
    return found.build()


def format_cycles(group: PermutationGroup) -> str:
    """The generators of ``group`` as cycles; ``parse_group(format_cycles(group), group.degree)`` has the same."""
    generators = groups.to_cycles(group)
    return ", ".join("".join(f"({' '.join(map(str, cycle))})" for cycle in cycles) for cycles in generators) or "()"


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


class _Part(NamedTuple):
    """A part of an expression that has been read, but not built: its degree is checked before anything is allocated."""

    degree: int
    depth: int
    build: Callable[[], PermutationGroup]


class _Parser:
    """Recursive descent, one method per rule; a method reads its own tokens and returns what they mean."""

    def __init__(self, text: str):
        self.text = text
        self.tokens = [_Token(str(match.lastgroup), match[0], match.start()) for match in _TOKEN.finditer(text)]
        self.tokens.append(_Token("end", "", len(text)))
        self.position = self.num_open = self.num_parts = self.num_points = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        self.position += 1
        return self.tokens[self.position - 1]

    def takes(self, *texts: str) -> bool:
        """Whether the next token is one of ``texts``; if so, it is taken."""
        found = self.next.text in texts
        self.position += found
        return found

    def number(self, expected: str) -> int:
        token = self.next
        if token.kind != "number":
            self.expect(expected)
        if len(token.text) > _MAX_DIGITS:
            self.fail(f"the number has {len(token.text)} digits, but at most {_MAX_DIGITS} are read")
        return int(self.take().text)

    def sees_cycle(self) -> bool:
        opening, inside = (self.tokens + self.tokens[-1:])[:2]
        return opening.text == "(" and (inside.kind == "number" or inside.text == ")")

    def end(self, expected: str) -> None:
        if self.next.kind != "end":
            self.expect(expected)

    def product(self) -> _Part:
        """``product := wreath ("x" wreath)*``"""
        start = self.next
        factors = [self.wreath()]
        while self.takes("x", "×"):
            factors.append(self.wreath())
        if len(factors) == 1:
            return factors[0]
        degree = sum(factor.degree for factor in factors)
        return self.part(start, degree, groups.direct_product, *factors)

    def wreath(self) -> _Part:
        """``wreath := single ("wr" single)*``"""
        start = self.next
        found = self.single()
        while self.takes("wr"):
            outer = self.single()
            found = self.part(start, found.degree * outer.degree, groups.wreath_product, found, outer)
        return found

    def single(self) -> _Part:
        """``single := FAMILY NUMBER | "grid" NUMBER "x" NUMBER KIND | "(" product ")"``"""
        token = self.next
        if self.takes("("):
            if self.next.kind == "number":
                self.fail("cycles cannot be part of a product")
            self.num_open += 1
            if self.num_open > _MAX_DEPTH:
                self.fail(f"parentheses are nested too deeply: more than {_MAX_DEPTH} are open")
            found = self.product()
            self.num_open -= 1
            return found if self.takes(")") else self.expect("x, wr or )")
        if self.takes("grid"):
            height = self.number("the grid's height")
            if not self.takes("x", "×"):
                self.expect("x between the grid's sides")
            width = self.number("the grid's width")
            kind = (
                self.take().text
                if self.next.kind == "word"
                else self.expect("flips, rotations, dihedral or translations")
            )
            return self.part(token, height * width, groups.grid_symmetries, height, width, kind)
        if token.text[:1] not in _FAMILIES or token.kind != "family":
            self.expect(_GROUP)
        self.take()
        size = self.number("a number")
        return self.part(token, size, _FAMILIES[token.text[0]], size)

    def part(self, token: _Token, degree: int, make: Callable[..., PermutationGroup], *arguments: Any) -> _Part:
        """A part that starts at ``token``, where its errors point; parts among the arguments are built first."""

        def build() -> PermutationGroup:
            built = [argument.build() if isinstance(argument, _Part) else argument for argument in arguments]
            try:
                return make(*built)
            except ValueError as error:
                raise self.error(str(error), token) from error

        try:
            check_size(degree)
        except ValueError as error:
            raise self.error(str(error), token) from error
        self.num_parts += 1
        if self.num_parts > _MAX_PARTS:
            self.fail(f"up to here, there are over {_MAX_PARTS:,} groups and products", token)
        self.num_points += degree
        if self.num_points > _MAX_POINTS:
            self.fail(f"up to here, the groups have over {_MAX_POINTS:,} points together", token)
        depth = 1 + max((argument.depth for argument in arguments if isinstance(argument, _Part)), default=0)
        if depth > _MAX_DEPTH:
            self.fail(f"products are nested too deeply: more than {_MAX_DEPTH} within each other", token)
        return _Part(degree, depth, build)

    def cycles(self, degree: int | None) -> PermutationGroup:
        """``cycles := generator ("," generator)*``"""
        start = self.next
        generators = [self.generator(degree)]
        while self.takes(","):
            generators.append(self.generator(degree))
        self.end("(, a comma or the end")
        largest = max((point for generator in generators for cycle in generator for point in cycle), default=-1)
        if degree is None and largest < 0:
            raise ValueError(f"the group {shown(self.text)} names no point, so its degree must be given")
        cycles = [[cycle for cycle in generator if cycle] for generator in generators]
        num_points = largest + 1 if degree is None else degree
        return self.part(start, num_points, groups.from_cycles, cycles, num_points).build()

    def generator(self, degree: int | None) -> list[list[int]]:
        """``generator := ("(" NUMBER* ")")+``, with no number twice"""
        seen: set[int] = set()
        generator: list[list[int]] = []
        while self.takes("("):
            generator.append([])
            while not self.takes(")"):
                token = self.next
                point = self.number("a point or )")
                if point in seen:
                    self.fail(f"point {point} appears twice in one generator", token)
                if degree is not None and point >= degree:
                    self.fail(f"point {point} is outside 0 … {degree - 1} (degree {degree})", token)
                seen.add(point)
                generator[-1].append(point)
        return generator or self.expect("a cycle such as (0 1 2)")

    def expect(self, expected: str) -> NoReturn:
        self.fail(f"expected {expected}, found {self.next.text[:_MAX_SHOWN] or 'the end'}")

    def fail(self, problem: str, token: _Token | None = None) -> NoReturn:
        raise self.error(problem, token or self.next)

    def error(self, problem: str, token: _Token) -> ValueError:
        first = max(0, token.start - _MAX_SHOWN // 2) if len(self.text) > _MAX_SHOWN else 0
        text = self.text[first : first + _MAX_SHOWN]
        line = re.sub(r"\s", " ", text)
        caret = " " * (token.start - first) + "^"
        return ValueError(f"group {text!r}, character {token.start}: {problem}\n  {line}\n  {caret}")
