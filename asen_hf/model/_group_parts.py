"""Parts of a group's notation: read and bounded first, built when all of the text has been read."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sympy.combinatorics import PermutationGroup

from . import groups
from ._group_text import Token, Tokens
from ._points import MAX_DEGREE, check_size

DIRECT = ("x", "×", "*", "⊕", "\\times", "\\oplus")
WREATH = ("wr", "wreath", "≀", "\\wr")
_MAX_DEPTH = 50  # of open parentheses, and of products within products
_MAX_PARTS = 1000  # groups, products and wreath products
_MAX_POINTS = 4 * MAX_DEGREE  # of all parts of an expression together: building them takes at most a few seconds


class Part(NamedTuple):
    """A part of an expression that has been read, but not built: its degree is checked before anything is allocated."""

    degree: int
    depth: int
    build: Callable[[], PermutationGroup]
    factors: tuple["Part", ...] = ()
    """Of a direct product, the parts."""
    operator: str = ""
    """``x`` or ``wr``, if it joins parts without parentheses around them."""


class PartReader(Tokens):
    """Tokens, and what has been read of them, within bounds."""

    def __init__(self, text: str, is_readable: Callable[[str], bool] | None = None):
        super().__init__(text, is_readable)
        self.num_open = self.num_parts = self.num_points = 0

    def inside(self, rule: Callable[[], Part], expected: str) -> Part:
        """What the rule reads between parentheses; ``expected`` says what else than ) may follow."""
        self.take()
        self.num_open += 1
        if self.num_open > _MAX_DEPTH:
            self.fail(f"parentheses are nested too deeply: more than {_MAX_DEPTH} are open", self.previous)
        found = rule()
        self.num_open -= 1
        return found._replace(operator="") if self.takes(")") else self.expect(expected)

    def numbers(self, is_indexed: bool) -> list[int]:
        """The numbers after a name; indexed ones may be written ``PSL_2(7)``."""
        found = [self.number("a number")] if self.next.kind == "number" else []
        if found and not (is_indexed and self.next.text == "("):
            return found
        closing: list[str] = []
        while self.next.text in ("(", "[", "{") and len(closing) < 2:
            closing.append({"(": ")", "[": "]", "{": "}"}[self.take().text])
        found.append(self.number("a number"))
        while closing and self.takes(","):
            found.append(self.number("a number"))
        for mark in reversed(closing):
            if not self.takes(mark):
                self.expect(f"a comma or {mark}")
        return found

    def part(self, token: Token, degree: int, make: Callable[..., PermutationGroup], *arguments: Any) -> Part:
        """A part that starts at ``token``, where its errors point; parts among the arguments are built first."""

        def build() -> PermutationGroup:
            built = [argument.build() if isinstance(argument, Part) else argument for argument in arguments]
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
        depth = 1 + max((argument.depth for argument in arguments if isinstance(argument, Part)), default=0)
        if depth > _MAX_DEPTH:
            self.fail(f"products are nested too deeply: more than {_MAX_DEPTH} within each other", token)
        return Part(degree, depth, build)

    def product_action(self, token: Token, parts: Sequence[Part]) -> Part:
        return self.part(token, math.prod(part.degree for part in parts), groups.product_action, *parts)
