"""Pieces of HTML that the tabs share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ..model._html import html_table


def table(rows: Iterable[Sequence[object]], head: Sequence[object] = ()) -> str:
    """Rows, with a head if there is one."""
    return f"<div class='asen-table'>{html_table(rows, head)}</div>"


def progress(share: float, words: str) -> str:
    """A bar, with words before and the share behind it."""
    return f"<label class='asen-progress'>{words} <progress value='{share:.3f}'></progress> {share:.0%}</label>"


WAITING = progress(0, "Waiting for a place: one training runs at a time")


def note(text: str) -> str:
    """A remark."""
    return f"<p class='asen-note'>{escape(text)}</p>"


def error(wrong: ValueError) -> str:
    """An expected error's words, spoken by screen readers."""
    return f"<pre class='asen-error' role='alert'>{escape(str(wrong))}</pre>"
