"""YAML by the rules of YAML 1.2: ``no`` and ``on`` are words, ``2e-3`` is a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

# By tag: the pattern of plain words that are of this type, and the characters that such a word can begin with.
_TYPES = {
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"^[-+]?[0-9]+$", "-+0123456789"),  # before float: the first pattern that matches wins
    "float": (
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    ),
    "null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "merge": (r"^<<$", "<"),
}


class _Loader(yaml.SafeLoader):
    """PyYAML's loader follows YAML 1.1, where ``no``, ``on`` and ``yes`` are booleans and ``2e-3`` is text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or YAML 1.2 would read as another type."""


for _tag, (_pattern, _first) in _TYPES.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
# PyYAML's own constructor would read 010 as octal, as YAML 1.1 does.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises:
        ValueError: the file cannot be read, or is not YAML; the message does not name the file.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not text: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"not YAML: {error}") from error


def to_yaml(content: Any, **layout: Any) -> str:
    """Plain values as YAML text, keys in their order.

    Args:
        content: mappings, lists, text, numbers, booleans and ``None``.
        layout: keyword arguments of ``yaml.dump``, such as ``width``.
    """
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, **layout)
