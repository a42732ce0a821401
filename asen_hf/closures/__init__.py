"""Analysis of groups: exact k-closures, the closure report, group orders and automorphisms of graphs."""

from ._texts import order_text
from .automorphisms import MAX_CLOSURE_POINTS, from_networkx, graph_automorphisms
from .k_closures import group_order, is_k_closed, two_closure
from .report import MAX_CHECKED_POINTS, ClosureReport, closure_report, warn_if_not_closed
from .three_orders import ValueOrders, value_orders
from .value_report import ValueReport

__all__ = [
    "MAX_CHECKED_POINTS",
    "MAX_CLOSURE_POINTS",
    "ClosureReport",
    "ValueOrders",
    "ValueReport",
    "closure_report",
    "from_networkx",
    "graph_automorphisms",
    "group_order",
    "is_k_closed",
    "order_text",
    "two_closure",
    "value_orders",
    "warn_if_not_closed",
]
