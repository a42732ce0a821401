"""What the tab Group shows: a group's orbitals as a picture, the closure sentence and the numbers behind it."""

from __future__ import annotations

import dataclasses

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from sympy.combinatorics import PermutationGroup

from ..closures import closure_report
from ..model.configuration_asen import AsenConfig, TaskConfig
from ..model.group_notation import noted_group
from ..model.groups import trivial
from ..model.modeling_asen import AsenForMultitask
from ..plots._axes import STYLE
from ..plots.orbitals import plot_orbitals
from .offers import MAX_CHARACTERS

MAX_POINTS = 100


@dataclasses.dataclass(frozen=True)
class GroupView:
    """A group in words, numbers and a picture."""

    sentence: str
    facts: dict[str, str]
    picture: Figure


def read_group(text: str) -> tuple[PermutationGroup, str]:
    """The group that the text means, and the parser's remark on it, if any.

    Raises:
        ValueError: an ill-formed text, whose last two lines point at the character, or a group of over 100 points.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a group's text may have {MAX_CHARACTERS:,} characters here, got {len(text):,}")
    group, note = noted_group(text)
    if group.degree > MAX_POINTS:
        raise ValueError(
            f"this page takes groups of at most {MAX_POINTS} points, got {group.degree:,}: use asen inspect"
        )
    return group, note


def view_group(text: str) -> GroupView:
    """Everything that the tab shows of a group; ``ValueError`` as from :func:`read_group`."""
    group, note = read_group(text)
    report = closure_report(group)
    parameters = {
        "parameters": f"{number_of_parameters(group):,} in a network of the default size on 3 tokens "
        f"({number_of_parameters(trivial(group.degree)):,} without symmetry)"
    }
    return GroupView(f"{report.sentence} {note}".strip(), {**report.facts, **parameters}, picture(group))


def number_of_parameters(group: PermutationGroup) -> int:
    """Number of parameters of a network of the default size with this group, on three tokens."""
    task = TaskConfig(group=group, vocab_size=3)
    with torch.device("meta"):
        return AsenForMultitask(AsenConfig(tasks={"task": task})).num_parameters()


def picture(group: PermutationGroup) -> Figure:
    """The orbitals as a coloured matrix, with the node orbits beside it."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5, 5), layout="compressed")
        plot_orbitals(group, figure.subplots())
    return figure
