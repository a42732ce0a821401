"""Synthetic tasks: rows are drawn from a seed and labelled by a rule with a known symmetry group."""

from . import counting, cyclic, graphs, sets, token_runs

__all__ = ["counting", "cyclic", "graphs", "sets", "token_runs"]
