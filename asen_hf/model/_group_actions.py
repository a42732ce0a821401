"""Groups that act on something else than their own points: ``S5 on 2-subsets``, ``C8 on 8 x 3``."""

from . import groups
from ._group_parts import DIRECT, WREATH, Part, PartReader
from ._group_text import Token
from ._points import subsets_degree

_MAX_SIDES = 64  # NumPy's largest number of axes
_SEVERAL = {"pairs": 2, "edges": 2, "ordered": 2, "unordered": 2, "triples": 3}


def read_action(reader: PartReader, start: Token, last: Token, acting: Part) -> Part:
    """``action := "on" NUMBER "-" "subsets" | "on" NUMBER ("x" NUMBER)+``

    Args:
        reader: at "on".
        start, last: first token of the acting group and of its last factor.
        acting: the group.
    """
    on = reader.take()
    token = reader.next
    if token.text in _SEVERAL:
        problem = f"{token.text} can be subsets, or tuples with repeats or without: write k-subsets"
        reader.fail(problem, token, [f"{reader.text[: token.start]}{_SEVERAL[token.text]}-subsets"])
    size = reader.number("k-subsets, or sides such as 8 x 3")
    if reader.next.text in ("-", "subsets", "sets"):
        reader.takes("-")
        if not reader.takes("subsets", "sets", "subset"):
            reader.expect("subsets")
        if acting.operator:
            _refuse_compound(reader, start, last, on)
        try:
            degree = subsets_degree(acting.degree, size)
        except ValueError as error:
            raise reader.error(str(error), token) from error
        found = reader.part(start, degree, groups.action_on_subsets, acting, size)
    else:
        sides = [size]
        while reader.next.text in DIRECT and reader.ahead(1).kind == "number":
            reader.take()
            sides.append(reader.number("a side"))
            if len(sides) > _MAX_SIDES:
                reader.fail(f"there are over {_MAX_SIDES} sides", token)
        if len(sides) < 2:
            reader.expect("-subsets, or x and another side")
        if [factor.degree for factor in acting.factors] == sides:
            found = reader.product_action(start, acting.factors)
        elif acting.operator:
            _refuse_compound(reader, start, last, on)
        else:
            found = _on_axis(reader, start, acting, sides, reader.source(start, on))
    if reader.next.text in (*DIRECT, *WREATH):
        whole = reader.text[start.start : reader.previous.end]
        before, after = reader.text[: start.start], reader.text[reader.previous.end :]
        reader.fail("a group that acts on other points is in parentheses", suggestions=[f"{before}({whole}){after}"])
    return found


def _on_axis(reader: PartReader, start: Token, acting: Part, sides: list[int], text: str) -> Part:
    """The group on the one axis whose side is its degree; it leaves the other coordinates alone."""
    axes = [axis for axis, side in enumerate(sides) if side == acting.degree]
    written = " x ".join(map(str, sides))
    if not axes:
        reader.fail(f"the group acts on {acting.degree} points, but no side of {written} has as many", start)
    if len(axes) > 1:
        options = [[text if axis == chosen else f"E{side}" for axis, side in enumerate(sides)] for chosen in axes[:3]]
        problem = f"{len(axes)} sides of {written} have as many points as the group: say on which it acts"
        reader.fail(problem, start, [f"product_action({', '.join(option)})" for option in options])
    fixed = [
        None if axis in axes else reader.part(start, side, groups.trivial, side) for axis, side in enumerate(sides)
    ]
    return reader.product_action(start, [part or acting for part in fixed])


def _refuse_compound(reader: PartReader, start: Token, last: Token, on: Token) -> None:
    """There are several groups before "on": all of them may act, or the last one only."""
    rest = reader.text[on.start :]
    readings = [f"{reader.text[: start.start]}({reader.source(start, on)}) {rest}"]
    if last is not start:
        readings.append(f"{reader.text[: last.start]}({reader.source(last)})")
    reader.fail("the group that acts on these points must be in parentheses", on, readings)
