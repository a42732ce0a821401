"""A text notation for permutation groups, for recipes and the command line.

=============================  =================================================================================
``S5``, ``A8``                 symmetric and alternating group of degree 5, 8
``C10``, ``Z10``               rotations of 10 points in a circle
``D5``                         symmetries of the pentagon: degree 5, order 10; ``D1`` and ``D2`` are S1 and S2
``R10``                        the reversal i → 9 - i of 10 points, and the identity
``E5``                         the trivial group of degree 5
``Young(3,2,1)``               S3 x S2 x S1
``grid 3x4 translations``      symmetries of a 3 by 4 grid, row by row: flips, rotations, dihedral or translations
``M11`` … ``M24``              Mathieu groups, on 11, 12, 22, 23 or 24 points
``PSL(2,7)``, ``PGL(2,7)``     projective linear groups, on the points of projective space: 8 for these
``GL(3,2)``, ``SL(3,2)``       linear groups, on the vectors other than zero: 7 for these
``AGL(1,8)``                   affine group, on all vectors: 8
``Q8``, ``V4``, ``F20``        quaternions on themselves; {1, (01)(23), (02)(13), (03)(12)}; AGL(1,5) by its order
``Aut(petersen)``              automorphisms of a small graph of networkx, or ``Aut(J(5,2))``, ``Aut(H(3,2))``
``S1 x S7``                    direct product; the points of the second group follow the points of the first
``S3^4``                       S3 x S3 x S3 x S3
``S5 wr S2``                   wreath product: 2 blocks of 5 points, S5 in each, S2 permutes the blocks
``product_action(C8, C3)``     direct product on the pairs (i, j) of points, numbered row by row
``C8 on 8 x 3``                the same as ``product_action(C8, E3)``: 8 sensors in a ring, 3 time steps
``S5 on 2-subsets``            on unordered pairs, in lexicographic order
``(S3 x S2) wr C4``            parentheses
``(0 1 2)(3 4), (0 3)``        generators, separated by commas, each a product of disjoint cycles; ``()``: identity
``S2 wr <(0 1 2)>``            generators as a part, in angle brackets
=============================  =================================================================================

``^`` binds tightest, then ``wr``, ``x`` and ``on``; ``wr`` and ``x`` group from the left: ``S2 x S3 wr C4 wr C5`` is
``S2 x ((S3 wr C4) wr C5)``. Other spellings: small letters; ``S_5``, ``S_{5}``, ``S₅``, ``S(5)``, ``Sym(5)`` and
``SymmetricGroup(5)``; ``×``, ``*`` and ``⊕`` for ``x``; ``≀``, ``wreath`` and ``wr(S5, S2)`` for ``wr``; ``S3**4`` and
``S₃⁴``. Spaces matter only between points.

The number in a family's name is its degree, but for ``Q8`` and ``F20`` the order. What the field uses in two ways is
refused with both: ``DihedralGroup(10)`` (degree 10 in SymPy and Sage, order 10 in GAP), ``S4 on pairs``, ``S3 ⊗ S3``.

Points count from 0. Cycles with commas that leave point 0 out, as in ``(1,2,3)(4,5)``, are GAP's and Sage's, whose
points count from 1: they are taken as ``(0 1 2)(3 4)``, and a warning says so. Cycles without commas that leave point 0
out need a degree. The table of cases is in :mod:`asen_hf.model._group_cycles`.
"""

import warnings

from sympy.combinatorics import PermutationGroup

from . import groups
from ._group_expressions import GroupReader
from ._messages import shown
from ._points import check_size, positive_integer

__all__ = ["format_cycles", "parse_group", "read_group"]

_MAX_CHARACTERS = 2**18


def parse_group(text: str, degree: int | None = None) -> PermutationGroup:
    """The group that ``text`` means, in the notation at the top of this module.

    Args:
        text: such as ``"S5 wr S2"`` or ``"(0 1 2)(3 4), (0 3)"``.
        degree: number of points n. Optional: a structure such as ``S5 wr S2`` has its own degree, and the degree of
            cycles is by default their largest point plus one.

    Warns:
        UserWarning: the text counts points from 1, as GAP does.

    Raises:
        ValueError: the text is ill-formed, can mean several groups or names a group beyond ``groups.MAX_DEGREE``, the
            group has another degree, or ``degree`` is not an integer of at least 1. If the text is at fault, the
            message suggests what may be meant, and its last two lines point at the character.
    """
    return read_group(text, degree)[0]


def read_group(text: str, degree: int | None = None) -> tuple[PermutationGroup, str]:
    """The group as from :func:`parse_group`, and its name: the text, with a remark if points in it count from 1."""
    group, note = noted_group(text, degree)
    if not note:
        return group, text
    warnings.warn(note, stacklevel=3)
    return group, f"{text} (points from 1)"


def noted_group(text: str, degree: int | None = None) -> tuple[PermutationGroup, str]:
    """The group as from :func:`parse_group`, and what it warns of: that points count from 1, or an empty text.

    For several threads at once, in which warnings cannot be caught.
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
    reader = GroupReader(text, degree, is_readable=lambda suggestion: _is_readable(suggestion, degree))
    group = reader.whole().build()
    if not reader.counts_from_1:
        return group, ""
    return group, (
        f"group {shown(text)}: commas and no point 0 are read as in GAP and Sage, where points count from 1; in points "
        f"from 0, the group is generated by {shown(format_cycles(group))}"
    )


def _is_readable(text: str, degree: int | None) -> bool:
    try:
        GroupReader(text, degree).whole()
    except ValueError:
        return False
    return True


def format_cycles(group: PermutationGroup) -> str:
    """The generators of ``group`` as cycles; ``parse_group(format_cycles(group), group.degree)`` has the same."""
    generators = groups.to_cycles(group)
    return ", ".join("".join(f"({' '.join(map(str, cycle))})" for cycle in cycles) for cycles in generators) or "()"
