"""Synthetic tasks: rows are drawn from a seed and labelled by a rule with a known symmetry group."""

from . import (
    brackets,
    counting,
    cyclic,
    graphs,
    pathfinder,
    prior_stream,
    set_cards,
    set_intersection,
    sets,
    teachers,
    token_runs,
)

__all__ = [
    "brackets",
    "counting",
    "cyclic",
    "graphs",
    "pathfinder",
    "prior_stream",
    "set_cards",
    "set_intersection",
    "sets",
    "teachers",
    "token_runs",
]
