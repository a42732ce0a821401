"""Synthetic tasks: rows are drawn from a seed and labelled by a rule, and the group of the rule is known."""

from . import counting, cyclic, sets, token_runs

__all__ = ["counting", "cyclic", "sets", "token_runs"]
