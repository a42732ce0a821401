"""Dataclasses from plain mappings, every value checked against its field's type; no value is converted from text."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

import numpy as np

from ..model._messages import check_nesting, one_line, shortened, shown

Class = TypeVar("Class")

_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}


def described(help_text: str, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field with the help text of its command-line flag."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def from_mapping(cls: type[Class], values: Any, where: str) -> Class:
    """An instance of a dataclass from a mapping of its fields.

    Args:
        cls: the dataclass.
        values: ``{field: value}``; a field that is left out, or is ``None``, keeps its default.
        where: origin of the values, for error messages.

    Raises:
        ValueError: an unknown field, a value of the wrong type, or one that the dataclass itself refuses; names the
            origin, the field, the expected and the found value.
    """
    check_nesting(values, where)
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    refuse_unknown(values, names, where)
    checked = {
        name: typed(value, hints[name], f"{where}: {name}") for name, value in values.items() if value is not None
    }
    try:
        return cls(**checked)
    except (TypeError, ValueError) as error:  # TypeError: a field without a default is missing
        raise ValueError(f"{where}: {error}") from error


def typed(value: Any, hint: Any, where: str) -> Any:
    """The value, checked against the annotated type; NumPy's scalars become Python's, and integers the floats expected.

    Raises:
        ValueError: the value has another type; names the expected type and the found value.
    """
    value = value.item() if isinstance(value, np.generic) else value  # YAML writes Python's only
    if not _fits(value, hint):
        raise ValueError(f"{where}: expected {_expected(hint)}, found {shown(value)}")
    return (
        float(value)
        if type(value) is int and float in _alternatives(hint) and int not in _alternatives(hint)
        else value
    )


def check_types(instance: Any, where: str) -> None:
    """Check every field of a dataclass as :func:`typed` does; for a dataclass that is not only made of a mapping."""
    hints = typing.get_type_hints(type(instance))
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if value is not None:
            typed(value, hints[field.name], f"{where}: {field.name}")


def refuse_unknown(values: Any, known: Sequence[str], where: str) -> None:
    """Raise ``ValueError`` unless ``values`` is a mapping whose keys are all known."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: expected a mapping, found {shown(values)}")
    unknown = [one_line(key, 100) if isinstance(key, str) else shown(key) for key in values if key not in known]
    if unknown:
        raise ValueError(f"{where}: unknown key {shortened(unknown)}; known: {', '.join(known)}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    if len(alternatives := _alternatives(hint)) > 1:
        return any(_fits(value, alternative) for alternative in alternatives)
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin is Any:
        return True
    if origin in (int, float):
        is_number = isinstance(value, (int, origin)) and not isinstance(value, bool)
        return is_number and not (isinstance(value, int) and abs(value) >= 2**63)
    if not isinstance(value, origin):
        return False
    if origin is list and arguments:
        return all(_fits(item, arguments[0]) for item in value)
    if origin is dict and arguments:
        return all(_fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in value.items())
    return True


def _expected(hint: Any) -> str:
    words = []
    for alternative in _alternatives(hint):
        origin, arguments = typing.get_origin(alternative) or alternative, typing.get_args(alternative)
        if origin is Literal:
            words.append(f"one of {', '.join(map(str, arguments))}")
        elif origin is list and arguments:
            words.append("a list of text" if arguments[0] is str else "a list")
        elif origin is not type(None):
            words.append(_WORDS.get(origin, str(origin)))
    return " or ".join(words)
