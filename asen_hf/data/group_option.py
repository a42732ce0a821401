"""The ``group`` option of a task: a name, a SymPy group or generators as cycles, turned into a named group."""

from collections.abc import Mapping
from typing import TypeAlias

from sympy.combinatorics import PermutationGroup

from ..model import groups
from ..model.group_notation import parse_group, read_group

NamedGroup: TypeAlias = tuple[PermutationGroup, str]
"""A group and its name."""

GroupOption: TypeAlias = str | PermutationGroup | groups.Cycles
"""A family's name, a group in notation, a ``PermutationGroup``, or generators, each a list of disjoint cycles."""

# By name: the notation of a family and the name of its group, for n points.
_FAMILIES = {
    "trivial": ("E{n}", "trivial"),
    "symmetric": ("S{n}", "S_{n}"),
    "alternating": ("A{n}", "A_{n}"),
    "cyclic": ("C{n}", "C_{n}"),
    "dihedral": ("D{n}", "D_{n}"),
    "reversal": ("R{n}", "reversal"),
}


def named_group(family: str, degree: int) -> NamedGroup:
    """The group of this degree from a family such as "cyclic", and its name, such as "C_10"."""
    notation, name = _FAMILIES[family]
    return parse_group(notation.format(n=degree)), name.format(n=degree)


def resolve_group(option: GroupOption, degree: int, offered: Mapping[str, NamedGroup] | None = None) -> NamedGroup:
    """The group that an option means, and its name ("" for a ``PermutationGroup`` or generators).

    Args:
        option: the name of a family or of an ``offered`` group, the notation of
            :mod:`asen_hf.model.group_notation`, a group of this degree, or generators as cycles.
        degree: number of points n.
        offered: the task's own groups by name; they take precedence over the families.

    Raises:
        ValueError: unknown name (lists the known names), wrong degree, or generators that are not permutations of 0 …
            n-1.
    """
    offered = offered or {}
    if isinstance(option, str):
        if option in offered:
            return offered[option]
        if option in _FAMILIES:
            return named_group(option, degree)
        try:
            return read_group(option, degree)
        except ValueError as error:
            known = ", ".join([*offered, *_FAMILIES])
            raise ValueError(
                f"unknown group {option!r}; expected one of {known}, a notation such as S5 wr S2 ({error}), "
                "a PermutationGroup or a list of cycles"
            ) from error
    if not isinstance(option, PermutationGroup):
        return groups.from_cycles(option, degree), ""
    if option.degree != degree:
        raise ValueError(f"group acts on {option.degree} points, but the task has {degree}")
    return option, ""
