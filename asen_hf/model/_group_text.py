"""Tokens of a group's notation, and errors that point at a character and suggest what to write instead."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, NoReturn

_MAX_DIGITS = 18
_MAX_SHOWN = 200  # characters; of a longer text, an error shows the surroundings of the fault
_TOKEN = re.compile(
    r"""(?P<number>[0-9]+|[₀-₉]+)
    |(?P<superscript>[⁰¹²³⁴-⁹]+)
    |(?P<word>(?:wr|x)(?=[a-z]{1,3}_?[0-9]) # S5wrS2
        |[a-z]+(?:_[a-z]+)*)_?
    |(?P<mark>\*\*|\\[a-z]+|[][(){}<>⟨⟩,;^*×⊕⊗≀⋊:-])
    |(?P<wrong>\S)""",
    re.IGNORECASE | re.VERBOSE,
)
_ASCII_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹", "01234567890123456789")


class NotationError(ValueError):
    """A text that is no group's notation.

    Attributes:
        excerpt: two lines, the text or the surroundings of the fault and a caret below the character. They end the
            message too, but not always the message of an error that was raised from this one.
        suggestions: texts that can be read and may be meant; the message holds them.
    """

    def __init__(self, message: str, excerpt: str, suggestions: Sequence[str] = ()):
        super().__init__(f"{message}\n{excerpt}")
        self.excerpt = excerpt
        self.suggestions = tuple(suggestions)


class Token(NamedTuple):
    kind: str
    text: str
    """Small letters and ASCII digits; the first character is ``Tokens.text[start]``."""
    start: int
    end: int


class Tokens:
    """The tokens of a text, one after the other.

    Args:
        text: any text.
        is_readable: tells which suggestions may be shown; ``None`` shows none.
    """

    def __init__(self, text: str, is_readable: Callable[[str], bool] | None = None):
        self.text = text
        self._is_readable = is_readable
        self._tokens = [
            Token(str(match.lastgroup), match[str(match.lastgroup)].lower().translate(_ASCII_DIGITS), *match.span())
            for match in _TOKEN.finditer(text)
        ]
        self._tokens.append(Token("end", "", len(text), len(text)))
        self.position = 0

    @property
    def next(self) -> Token:
        return self._tokens[self.position]

    @property
    def previous(self) -> Token:
        return self._tokens[self.position - 1]

    def ahead(self, distance: int) -> Token:
        """The token that follows in so many places, or the end."""
        return self._tokens[min(self.position + distance, len(self._tokens) - 1)]

    def take(self) -> Token:
        self.position += 1
        return self.previous

    def takes(self, *texts: str) -> bool:
        """Whether the next token is one of ``texts``; if so, it is taken."""
        found = self.next.text in texts
        self.position += found
        return found

    def number(self, expected: str) -> int:
        token = self.next
        if token.kind != "number":
            self.expect(expected)
        return self.value(self.take())

    def value(self, token: Token) -> int:
        if len(token.text) > _MAX_DIGITS:
            self.fail(f"the number has {len(token.text)} digits, but at most {_MAX_DIGITS} are read", token)
        return int(token.text)

    def source(self, start: Token | int, end: Token | int | None = None) -> str:
        """The text from ``start`` up to ``end``, without spaces around it."""
        first, last = (place.start if isinstance(place, Token) else place for place in (start, end))
        return self.text[first:last].strip()

    def expect(self, expected: str, suggestions: Iterable[str] = ()) -> NoReturn:
        found = self.source(self.next.start, self.next.end)[:_MAX_SHOWN] or "the end"
        self.fail(f"expected {expected}, found {found}", suggestions=suggestions)

    def fail(self, problem: str, token: Token | None = None, suggestions: Iterable[str] = ()) -> NoReturn:
        raise self.error(problem, token, suggestions)

    def error(self, problem: str, token: Token | None = None, suggestions: Iterable[str] = ()) -> NotationError:
        """An error at ``token`` or at the next one; of the suggestions, it keeps the readable ones."""
        token = token or self.next
        # A suggestion for a long text would repeat it.
        may_suggest = self._is_readable is not None and len(self.text) <= _MAX_SHOWN
        kept = list(filter(self._is_readable, dict.fromkeys(suggestions))) if may_suggest else []
        if kept:
            problem += f"; did you mean {' or '.join(f'{text!r}' for text in kept)}?"
        first = max(0, token.start - _MAX_SHOWN // 2) if len(self.text) > _MAX_SHOWN else 0
        excerpt = self.text[first : first + _MAX_SHOWN]
        line = "".join(map(_printable, excerpt))
        width = sum(map(_columns, line[: token.start - first]))
        return NotationError(
            f"group {excerpt!r}, character {token.start}: {problem}", f"  {line}\n  {' ' * width}^", kept
        )

    def with_word(self, token: Token, words: Iterable[str], cutoff: float = 0.6) -> list[str]:
        """The text with ``token`` replaced by each of the words that it resembles."""
        spelled = {word.lower(): word for word in words}
        similar = difflib.get_close_matches(token.text[:50], list(spelled), n=3, cutoff=cutoff)
        return [self.text[: token.start] + spelled[word] + self.text[token.end :] for word in similar]


def _printable(character: str) -> str:
    if character.isspace():
        return " "
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _columns(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
