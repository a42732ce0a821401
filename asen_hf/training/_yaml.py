"""YAML by the rules of YAML 1.2: ``no`` and ``on`` are words, ``2e-3`` is a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

_MAX_VALUES = 100_000

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
    """PyYAML's loader follows YAML 1.1, where ``no``, ``on`` and ``yes`` are booleans and ``2e-3`` is text.

    It also keeps the last of equal keys, and lets aliases of aliases stand for more values than fit into memory.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def get_single_node(self) -> yaml.Node | None:
        root = super().get_single_node()
        if root is not None and _size(root, {}) > _MAX_VALUES:
            raise yaml.YAMLError(f"it has over {_MAX_VALUES:,} values, counting aliases as often as they are used")
        return root

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if (key.tag, key.value) in seen if isinstance(key, yaml.ScalarNode) else False:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} appears twice", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add((key.tag, key.value))
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """PyYAML's own would read 010 as octal, as YAML 1.1 does."""
        if len(node.value) > 19:
            raise yaml.constructor.ConstructorError(None, None, "an integer has over 19 digits", node.start_mark)
        return int(node.value)


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """The number of values in a node, counting an alias as often as it is used."""
    if id(node) not in sizes:
        sizes[id(node)] = _MAX_VALUES + 1  # until it is known: what holds itself has no end
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        inner = parts if isinstance(node, yaml.CollectionNode) else []
        sizes[id(node)] = min(_MAX_VALUES + 1, 1 + sum(_size(part, sizes) for part in inner))
    return sizes[id(node)]


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or YAML 1.2 would read as another type."""


for _tag, (_pattern, _first) in _TYPES.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


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
    except RecursionError:
        raise ValueError("not YAML: lists or mappings are nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"not YAML: {error}") from error


def to_yaml(content: Any, **layout: Any) -> str:
    """Plain values as YAML text, keys in their order.

    Args:
        content: mappings, lists, text, numbers, booleans and ``None``.
        layout: keyword arguments of ``yaml.dump``, such as ``width``.
    """
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, **layout)
