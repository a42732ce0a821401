"""The values of a config: plain JSON of bounded size that belongs to one config only; errors are ``ValueError``."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence, Set
from typing import Any, TypeVar

import numpy as np
from huggingface_hub.errors import StrictDataclassError

from ._messages import one_line

MAX_TEXT = 1_000
"""Largest number of characters in a text, such as a label's name."""

MAX_NESTING = 8
"""Largest number of lists inside one another; generators, the deepest field, have three."""

MAX_VALUES = 2**22
"""Largest number of values in a field, counting every list; a list that occurs twice counts twice."""

_MAX_INTEGER = 2**63  # beyond it, NumPy and torch overflow, and Python refuses to print integers of 4,300 digits

Class = TypeVar("Class", bound=type)


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def plain(value: Any, name: str) -> Any:
    """A copy of a field's value as JSON holds it: NumPy scalars, arrays and tensors become numbers and lists.

    Objects other than lists, dicts, numbers and texts are returned unchanged.

    Raises:
        ValueError: lists nested too deep, too many values, an integer beyond 64 bits, or a text that is too long; names
            the field.
    """
    return _plain(value, name, 0, itertools.count(1))


def _plain(value: Any, name: str, depth: int, counter: Iterator[int]) -> Any:
    require(next(counter) <= MAX_VALUES, f"{name} holds over {MAX_VALUES:,} values (MAX_VALUES)")
    if hasattr(value, "tolist"):
        try:
            value = value.tolist()
        except (RuntimeError, TypeError) as error:  # a tensor without values, or a class
            raise ValueError(
                f"{name} must be a plain value, got a {type(value).__name__}: {one_line(error)}"
            ) from error
    if isinstance(value, list | tuple | dict):
        require(depth < MAX_NESTING, f"{name} is nested more than {MAX_NESTING} lists deep")
        if isinstance(value, dict):
            return {
                _plain(key, name, MAX_NESTING, counter) if hasattr(key, "tolist") else key: _plain(
                    item, name, depth + 1, counter
                )
                for key, item in value.items()
            }
        return [_plain(item, name, depth + 1, counter) for item in value]
    # JSON has lists only, and a range can stand for more numbers than fit into memory.
    is_foreign = isinstance(value, Sequence | Set | Iterator) and not isinstance(value, str | bytes)
    require(not is_foreign, f"{name} must hold lists, not a {type(value).__name__}")
    if isinstance(value, np.floating):  # a long double, whose tolist returns itself
        return float(value)
    if isinstance(value, int):
        require(-_MAX_INTEGER <= value < _MAX_INTEGER, f"{name} holds an integer beyond 64 bits")
    elif isinstance(value, str):
        require(len(value) <= MAX_TEXT, f"{name} holds a text of {len(value):,} characters, of at most {MAX_TEXT:,}")
    return value


def with_value_errors(cls: Class) -> Class:
    """Make the fields of a strict dataclass :func:`plain`, and raise ``ValueError`` for its errors and unknown keys."""
    fields = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    original_init: Any = cls.__init__  # type: ignore[misc]
    original_setattr: Any = cls.__setattr__

    @functools.wraps(original_init)
    def __init__(self, **kwargs: Any) -> None:
        try:
            original_init(self, **kwargs)
        except (StrictDataclassError, TypeError) as error:
            raise ValueError(f"{cls.__name__}: {one_line(error)}") from error

    @functools.wraps(original_setattr)
    def __setattr__(self, name: str, value: Any) -> None:
        try:
            original_setattr(self, name, plain(value, name) if name in fields else value)
        except StrictDataclassError as error:
            raise ValueError(f"{cls.__name__}: {one_line(error)}") from error

    cls.__init__ = __init__  # type: ignore[misc]
    cls.__setattr__ = __setattr__  # type: ignore[method-assign, assignment]
    return cls
