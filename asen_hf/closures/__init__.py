"""Analysis of groups: exact k-closures, the closure report, group orders and automorphisms of graphs."""

from .automorphisms import MAX_CLOSURE_POINTS, from_networkx, graph_automorphisms
from .k_closures import group_order, is_k_closed, two_closure
from .report import MAX_CHECKED_POINTS, ClosureReport, closure_report, order_text, warn_if_not_closed

__all__ = [
    "MAX_CHECKED_POINTS",
    "MAX_CLOSURE_POINTS",
    "ClosureReport",
    "closure_report",
    "from_networkx",
    "graph_automorphisms",
    "group_order",
    "is_k_closed",
    "order_text",
    "two_closure",
    "warn_if_not_closed",
]
