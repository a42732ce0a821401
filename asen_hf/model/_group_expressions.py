"""The grammar of expressions for groups: products, powers and wreath products of parts."""

from collections.abc import Callable

from sympy.combinatorics import PermutationGroup

from . import groups
from ._group_actions import read_action
from ._group_corrections import refuse_cycles, refuse_noun, refuse_operator, similar_words
from ._group_cycles import read_generators, sees_generators
from ._group_families import FAMILIES, LETTERS, PRODUCTS
from ._group_leaves import read_family, read_graph, read_grid
from ._group_parts import DIRECT, WREATH, Part, PartReader
from ._messages import shown

_GROUP = f"a group such as S5 (families: {LETTERS}), grid 3x3 flips, Aut(petersen) or (S2 x S3)"
_MOST_FACTORS = 64  # of a power that are kept for "on"


class GroupReader(PartReader):
    """Recursive descent, one method per rule; a method reads its own tokens and returns what they mean.

    Args:
        text: the notation.
        degree: number of points that the whole group must have, if known.
        is_readable: tells which suggestions errors may show.
    """

    def __init__(self, text: str, degree: int | None = None, is_readable: Callable[[str], bool] | None = None):
        super().__init__(text, is_readable)
        self.degree = degree
        self.counts_from_1 = False

    def whole(self) -> Part:
        """``whole := generators | product``, and the end"""
        start = self.next
        if sees_generators(self) and (start.text not in ("<", "⟨") or self._is_one_bracket()):
            found = self.generators(self.degree)
            if start.text == "(" and self.next.text in (*DIRECT, *WREATH, "^", "**", "on"):
                refuse_cycles(self, start.start, self.next)
            self.end("(, a comma or the end")
            return found
        found = self.product()
        self.end("x, wr or the end")
        if self.degree not in (None, found.degree):
            missing = (self.degree or 0) - found.degree
            remedy = "; E fixes points" if missing > 0 else ""
            self.fail(
                f"the group {shown(self.text)} acts on {found.degree} points, not on {self.degree}{remedy}",
                start,
                [f"{self.text.strip()} x E{missing}"] if missing > 0 else [],
            )
        return found

    def end(self, expected: str) -> None:
        if self.next.kind != "end":
            self.expect(expected, self.with_word(self.next, ["wr", "x", "on"], cutoff=0.5))

    def product(self) -> Part:
        """``product := wreath ("x" wreath)* action?``"""
        start = last = self.next
        factors = [self.wreath()]
        while self.takes(*DIRECT):
            last = self.next
            factors.append(self.wreath())
        refuse_operator(self)
        found = factors[0]
        if len(factors) > 1:
            degree = sum(factor.degree for factor in factors)
            found = self.part(start, degree, groups.direct_product, *factors)
            found = found._replace(factors=tuple(factors), operator="x")
        return read_action(self, start, last, found) if self.next.text == "on" else found

    def wreath(self) -> Part:
        """``wreath := power ("wr" power)*``"""
        start = self.next
        found = self.power()
        while self.takes(*WREATH):
            outer = self.power()
            found = self.part(start, found.degree * outer.degree, groups.wreath_product, found, outer)
            found = found._replace(operator="wr")
        return found

    def power(self) -> Part:
        """``power := single (("^" | "**") NUMBER)?``, or a superscript"""
        start = self.next
        found = self.single()
        if self.next.kind == "superscript":
            copies = self.value(self.take())
        elif self.takes("^", "**"):
            copies = self.number("a number of copies")
        else:
            return found
        if copies < 1:
            self.fail("a power needs at least one copy", self.previous)
        if self.next.kind == "superscript" or self.next.text in ("^", "**"):
            self.fail("a power of a power needs parentheses")
        power = self.part(start, found.degree * copies, lambda group: groups.direct_product(*[group] * copies), found)
        return power._replace(factors=(found,) * copies if copies <= _MOST_FACTORS else ())

    def single(self) -> Part:
        """``single := family | grid | "Aut(" graph ")" | call | "<" generators ">" | "(" product ")"``"""
        token, following = self.next, self.ahead(1)
        if token.text == "(":
            if following.kind == "number" or following.text == ")":
                refuse_cycles(self, token.start, following)
            return self.inside(self.product, "x, wr or )")
        if token.text in ("<", "⟨"):
            return self.generators(None)
        if token.text in PRODUCTS and following.text == "(":
            return self.call(PRODUCTS[self.take().text])
        if token.text == "aut" and following.text == "(":
            self.take()
            return self.inside(lambda: read_graph(self), ")")
        if token.text == "grid":
            return read_grid(self)
        refuse_noun(self, self.degree)
        if token.text not in FAMILIES:
            self.expect(_GROUP, similar_words(self))
        return read_family(self)

    def call(self, make: Callable[..., PermutationGroup]) -> Part:
        """``call := NAME "(" product ("," product)* ")"``"""
        token = self.previous
        parts: list[Part] = []

        def arguments() -> Part:
            parts.append(self.product())
            while self.takes(","):
                parts.append(self.product())
            return parts[0]

        self.inside(arguments, "x, wr, a comma or )")
        if make is groups.direct_product:
            found = self.part(token, sum(part.degree for part in parts), make, *parts)
            return found._replace(factors=tuple(parts))
        if make is groups.product_action:
            return self.product_action(token, parts)
        if len(parts) != 2:
            self.fail(f"a wreath product takes the inner and the outer group, not {len(parts)} groups", token)
        return self.part(token, parts[0].degree * parts[1].degree, make, *parts)

    def generators(self, degree: int | None) -> Part:
        """Generators in any form of :mod:`._group_cycles`; their degree is by default their largest point plus one."""
        start = self.next
        found = read_generators(self, degree)
        self.counts_from_1 |= found.counted_from_1
        return self.part(start, found.degree, groups.from_cycles, found.cycles, found.degree)

    def _is_one_bracket(self) -> bool:
        """Whether the first closing angle bracket ends the text, or there is none."""
        following = (self.ahead(distance) for distance in range(len(self.text) + 1))
        closing = next(token for token in following if token.text in (">", "⟩") or token.kind == "end")
        return not self.text[closing.end :].strip()
