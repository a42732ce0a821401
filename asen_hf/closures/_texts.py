"""Orders of groups as text."""

from __future__ import annotations

import math


def order_text(order: int) -> str:
    """An order as text: exact below 10¹⁵, else rounded to three significant digits."""
    if order < 10**15:
        return f"{order:,}"
    exponent = int(math.log10(order))  # not str(), which raises for integers of more than 4,300 digits
    return f"about {order // 10 ** (exponent - 2) / 100:.2f} × 10^{exponent}"


def known_order(order: int | None) -> str:
    return "unknown" if order is None else order_text(order)
