"""Text from files and configs as Markdown that shows it and nothing else: no markup, HTML, link or line break."""

import re
import shlex
from typing import Any

_ENTITIES = {ord(character): f"&#{ord(character)};" for character in "&<>`*[]\\~$@"}
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # an underscore between letters or digits is none
_LINKS = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", flags=re.IGNORECASE)  # GitHub turns bare addresses into links
_CODE = re.compile(r"[\w\-/.: ]+")


def one_line(value: Any) -> str:
    """The value as text without line breaks and control characters."""
    text = "".join(character if character.isprintable() else " " for character in str(value))
    return " ".join(text.split())


def shown(value: Any) -> str:
    """Markdown that shows the value as it is written, on one line."""
    text = one_line(value).translate(_ENTITIES)
    for pattern in (_EMPHASIS, _LINKS):
        text = pattern.sub(lambda match: f"&#{ord(match.group())};", text)
    return text.replace("|", r"\|")  # also where a table is read before entities are


def code(value: Any) -> str:
    """The value as a code span, or :func:`shown` where a code span could not show it."""
    text = one_line(value)
    return f"`{text}`" if _CODE.fullmatch(text) else shown(text)


def shell_word(value: Any) -> str:
    """The value as one word of a shell command, for a fenced block."""
    return shlex.quote(one_line(value))
