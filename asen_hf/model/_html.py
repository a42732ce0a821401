"""What notebooks show instead of a ``repr``: tables, and the orbits of pairs as a picture. All text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_POINTS = 48  # of a picture; its size grows with their square
_SIDE = 168  # pixels
_GOLDEN_ANGLE = 137.508  # degrees: hues of consecutive numbers lie far apart, however many there are


def html_table(rows: Iterable[Sequence[object]], head: Sequence[object] = (), caption: str = "") -> str:
    """Rows of texts as an HTML table; the first cell of a row is its heading."""
    lines = ["<table>"]
    if caption:
        lines.append(f"<caption style='text-align:left'>{html.escape(caption)}</caption>")
    if head:
        lines.append(f"<thead><tr>{''.join(_cell('th', text) for text in head)}</tr></thead>")
    for first, *others in rows:
        lines.append(f"<tr>{_cell('th', first)}{''.join(_cell('td', text) for text in others)}</tr>")
    return "\n".join([*lines, "</table>"])


def orbit_svg(labels: NDArray[np.integer]) -> str:
    """Orbits of pairs ``(n, n)`` as coloured squares, row = target; nothing over 48 points."""
    size = len(labels)
    if size > _MOST_POINTS:
        return ""
    squares = []
    for row, line in enumerate(labels):
        starts = np.flatnonzero(np.diff(line, prepend=line[0] - 1))  # equal neighbours share a rectangle
        for start, end in zip(starts, [*starts[1:], size], strict=True):
            hue = line[start] * _GOLDEN_ANGLE % 360
            lightness = (45, 60, 72)[line[start] % 3]
            squares.append(
                f"<rect x='{start}' y='{row}' width='{end - start}' height='1' fill='hsl({hue:.0f},60%,{lightness}%)'/>"
            )
    return (
        f"<svg width='{_SIDE}' height='{_SIDE}' viewBox='0 0 {size} {size}' role='img' shape-rendering='crispEdges'>"
        f"<title>orbits of pairs (row: target, column: source)</title>{''.join(squares)}</svg>"
    )


def side_by_side(*parts: str) -> str:
    """Pieces of HTML beside each other, where there is room."""
    items = "".join(f"<div>{part}</div>" for part in parts if part)
    return f"<div style='display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start'>{items}</div>"


def _cell(tag: str, text: object) -> str:
    return f"<{tag} style='text-align:left'>{html.escape(str(text))}</{tag}>"
