"""What an expression for a group is made of: families with numbers, grids, and automorphisms of graphs."""

from . import groups
from ._group_families import FAMILIES
from ._group_graphs import ALIASES, PARAMETRIC_GRAPHS, SMALL_GRAPHS, graph_family, small_graph
from ._group_parts import DIRECT, Part, PartReader
from ._group_text import NotationError
from ._messages import shown

_GRID_KINDS = ("flips", "rotations", "dihedral", "translations")
_KINDS = "flips, rotations, dihedral or translations"


def read_family(reader: PartReader) -> Part:
    """``family := NAME NUMBER | NAME "(" NUMBER ("," NUMBER)* ")"``, also in brackets or braces"""
    token = reader.take()
    family = FAMILIES[token.text]
    numbers = reader.numbers(is_indexed=family.arity == 2)
    if family.arity not in (None, len(numbers)):
        name, given = reader.source(token.start, token.end), ",".join(map(str, numbers))
        problem = f"{name} takes {family.arity} number{'s' * (family.arity != 1)}, not {len(numbers)}{family.hint}"
        young = f"{reader.text[: token.start]}Young({given}){reader.text[reader.previous.end :]}"
        reader.fail(problem, token, [young] if family is FAMILIES["s"] else [])
    try:
        degree = family.degree(*numbers)
    except ValueError as error:
        raise reader.error(str(error), token) from error
    return reader.part(token, degree, family.make, *numbers)


def read_grid(reader: PartReader) -> Part:
    """``grid := "grid" NUMBER "x" NUMBER KIND``; on a square, D4 and C4 are dihedral and rotations"""
    token = reader.take()
    height = reader.number("the grid's height")
    if not reader.takes(*DIRECT):
        reader.expect("x between the grid's sides")
    width = reader.number("the grid's width")
    if reader.next.text in DIRECT and reader.ahead(1).kind == "number":
        reader.fail("a grid has two sides; for translations along more axes, write product_action(C3, C3, C3)")
    turns = {"d": "dihedral", "c": "rotations"}.get(reader.next.text)
    if turns and reader.ahead(1).text == "4" and height == width:
        reader.take()
        reader.take()
        kind = turns
    elif reader.next.kind == "word" and reader.next.text not in DIRECT:
        kind = reader.take().text
    else:
        before, after = reader.text[: reader.previous.end], reader.text[reader.previous.end :]
        reader.expect(_KINDS, [f"{before} {kind}{after}" for kind in _GRID_KINDS])
    if kind not in _GRID_KINDS:
        reader.fail(f"kind must be {_KINDS}, not {shown(kind)}", token, reader.with_word(reader.previous, _GRID_KINDS))
    if kind == "dihedral" and height != width:
        problem = (
            f'kind "dihedral" needs a square grid, not {height} by {width}; "flips" are all symmetries of this one'
        )
        before, after = reader.text[: reader.previous.start], reader.text[reader.previous.end :]
        reader.fail(problem, token, [f"{before}flips{after}"])
    return reader.part(token, height * width, groups.grid_symmetries, height, width, kind)


def read_graph(reader: PartReader) -> Part:
    """``graph := WORD ("-"? WORD)* | WORD "(" NUMBER "," NUMBER ")"``, the group of its automorphisms"""
    token = reader.next
    words = []
    while reader.next.kind == "word" or reader.next.text == "-":
        words.append(reader.take().text)
    name = "_".join(word for word in words if word != "-").removesuffix("_graph")
    name = ALIASES.get(name, name)
    try:
        if name in PARAMETRIC_GRAPHS and reader.next.text == "(":
            numbers = reader.numbers(is_indexed=False)
            if len(numbers) != 2:
                reader.fail(f"{token.text} takes 2 numbers, not {len(numbers)}", token)
            return reader.part(token, *graph_family(PARAMETRIC_GRAPHS[name], *numbers))
        if name in SMALL_GRAPHS:
            return reader.part(token, *small_graph(name))
    except NotationError:
        raise
    except ValueError as error:
        raise reader.error(str(error), token) from error
    known = ", ".join([*SMALL_GRAPHS, "J(5,2), H(3,2), kneser(5,2)"])
    similar = reader.with_word(token, SMALL_GRAPHS) if token.kind == "word" else []
    reader.fail(f"expected a graph's name ({known}); asen_hf.from_networkx takes any graph", token, similar)
