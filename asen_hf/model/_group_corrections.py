"""What people write for a group that can mean several, or no group: refused with what they may mean."""

import re

from sympy import isprime

from ._group_graphs import ALIASES, SMALL_GRAPHS
from ._group_text import Token, Tokens

_NUMBER = r"\s*([0-9]{1,9})\s*"
_NUMBERS = re.compile(rf"[a-z]+[\s_]*(?:\({_NUMBER}(?:,{_NUMBER})?\)|\{{{_NUMBER}\}}|([0-9]{{1,9}}))", re.IGNORECASE)
_CYCLES = re.compile(r"(\([0-9\s,]*\)\s*)+")
_NAMES = (
    *("Sym", "Symmetric", "SymmetricGroup", "Alt", "Alternating", "AlternatingGroup", "Cyclic", "CyclicGroup", "Dih"),
    *(
        "Dihedral",
        "Trivial",
        "Reversal",
        "Young",
        "Mathieu",
        "Quaternion",
        "Frobenius",
        "PSL",
        "PGL",
        "GL",
        "SL",
        "AGL",
    ),
    *("Aut", "grid", "wr", "wreath_product", "direct_product", "product_action"),
)
_TENSOR = ("⊗", "\\otimes", "product", "tensor")
_SEMIDIRECT = ("⋊", ":", "\\rtimes", "semidirect")


def refuse_noun(tokens: Tokens, degree: int | None) -> None:
    """Raise if what stands in a group's place is known to be no group, or several."""
    token = tokens.next
    match = _NUMBERS.match(tokens.text, token.start)
    n, k = ([int(number) for number in match.groups() if number] + [0, 0])[:2] if match else (0, 0)
    end = match.end() if match else token.end
    if token.text == "1":
        problem = "1 is the trivial group of any degree: write E and the number of points"
        found = [f"E{degree or 5}"]
    elif token.text == "dihedralgroup" and n and n % 2 == 0:
        problem = f"DihedralGroup({n}) acts on {n} points in SymPy and Sage, but has order {n} in GAP"
        found = [f"D{n}", f"D{n // 2}"]
    elif token.text == "b" and n:
        problem = f"B{n} can be the hyperoctahedral group, which moves {n} points and their signs, or a braid group"
        found = [f"S2 wr S{n}"]
    elif token.text == "j" and n and k:
        problem = f"J({n},{k}) is the Johnson graph: write the group of its automorphisms"
        found = [f"Aut(J({n},{k}))", *[f"S{n} on {k}-subsets"] * (n != 2 * k)]  # else, complements are exchanged too
    elif token.text == "h" and n and k:
        problem = f"H({n},{k}) is the Hamming graph: write the group of its automorphisms"
        found = [f"Aut(H({n},{k}))"]
    elif token.text == "cube":
        problem = "a cube's symmetries act on its 8 corners or its 6 faces"
        found = ["Aut(cube)", "S2 wr S3"]
    elif token.text in {*SMALL_GRAPHS, *ALIASES}:
        problem, found = f"{token.text} is a graph: write the group of its automorphisms", [f"Aut({token.text})"]
    elif token.text == "torus":
        sides = re.compile(r"torus\s*([0-9]+)\s*[x×]\s*([0-9]+)", re.IGNORECASE).match(tokens.text, token.start)
        problem, found = "a torus has translations, and more symmetries", []
        if sides:
            end, found = sides.end(), [f"grid {sides[1]}x{sides[2]} translations"]
    elif token.text in ("hol", "holomorph"):
        inside = re.compile(r"hol\w*\s*\(\s*[cz]_?([0-9]{1,9})\s*\)", re.IGNORECASE).match(tokens.text, token.start)
        problem, found = "holomorphs are read for no group; that of C_p is AGL(1, p) for a prime p", []
        if inside and isprime(int(inside[1])):
            end, found = inside.end(), [f"AGL(1,{inside[1]})"]
    else:
        return
    before, after = tokens.text[: token.start], tokens.text[end:]
    if (before + after).strip():
        found = [f"({text})" if " " in text else text for text in found]
    tokens.fail(problem, token, [before + text + after for text in found])


def refuse_operator(tokens: Tokens) -> None:
    """Raise if the next token stands between two groups in a way that has several meanings."""
    token = tokens.next
    is_tensor = [tokens.ahead(place).text for place in range(3)] == ["(", "x", ")"]
    if not is_tensor and token.text not in (*_TENSOR, *_SEMIDIRECT):
        return
    last = tokens.ahead(2) if is_tensor else token
    before, after = tokens.text[: token.start].strip(), tokens.text[last.end :].strip()
    if token.text not in _SEMIDIRECT:
        problem = "this product can act on the points side by side (degrees add up) or on pairs of them (they multiply)"
        tokens.fail(problem, token, [f"{before} x {after}", f"product_action({before}, {after})"])
    found = []
    pair = re.fullmatch(r"[cz]_?([0-9]{1,6})\s+[cz]_?([0-9]{1,6})", f"{before} {after}", re.IGNORECASE)
    if pair:
        inner, outer = int(pair[1]), int(pair[2])
        found = [f"D{inner}"] if outer == 2 else [f"F{inner * outer}"] if isprime(inner) else []
    tokens.fail("a semidirect product needs an action: write generators, or a group with a name", token, found)


def refuse_cycles(tokens: Tokens, start: int, token: Token) -> None:
    """Raise because cycles that begin at the character ``start`` are part of a product."""
    match = _CYCLES.match(tokens.text, start)
    found = []
    if match:
        rest = tokens.text[match.end() :]
        found = [f"{tokens.text[:start]}<{match[0].strip()}>{' ' if rest else ''}{rest.strip()}"]
    tokens.fail("cycles cannot be part of a product, unless in angle brackets", token, found)


def similar_words(tokens: Tokens) -> list[str]:
    """The text with the next word, if it is unknown in a group's place, replaced by similar names of groups."""
    return tokens.with_word(tokens.next, _NAMES) if tokens.next.kind == "word" else []
