"""Values in error messages: of any type, size and nesting, in a few hundred characters."""

import contextlib
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


class _Short(reprlib.Repr):
    """Texts, lists and numbers of any size, nested to any depth or in a circle, in at most a few hundred characters."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100
        self.maxlevel = 4

    def repr_int(self, value: int, level: int) -> str:
        if abs(value) < 10**18:
            return repr(value)
        return f"{'-' * (value < 0)}2^{abs(value).bit_length() - 1} or more"  # Python refuses to print 4,301 digits

    def repr_ndarray(self, array: np.ndarray, level: int) -> str:
        return f"an array of shape {array.shape} and type {array.dtype}"


_short = _Short()


def shown(value: object) -> str:
    """``repr(value)`` for an error message: of bounded length, and without an error of its own."""
    return _short.repr(value)


@contextlib.contextmanager
def naming(subject: object) -> Iterator[None]:
    """Begin the message of any ``ValueError`` from within with its subject, such as the task or file at fault."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{subject}: {error}") from error


def one_line(error: object, most: int = 1000) -> str:
    """The message of a library's error on one line; of a long one, the beginning and the end."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def shortened(items: Iterable[str], separator: str = ", ", most: int = 20) -> str:
    """The items as one text; of many, the first."""
    items = list(items)
    return separator.join([*items[:most], *([f"… ({len(items)} in all)"] if len(items) > most else [])])


def check_nesting(value: object, where: str, most: int = 12) -> None:
    """Refuse lists and mappings within each other by the dozen, or within themselves: writing them would not end."""
    level: list[Any] = [[value]]
    for _ in range(most + 1):
        parts = (part for whole in level for part in (whole.values() if isinstance(whole, dict) else whole))
        level = list({id(part): part for part in parts if isinstance(part, list | tuple | dict)}.values())
        if not level:
            return
    raise ValueError(f"{where}: lists or mappings are nested too deeply: more than {most} within each other")
