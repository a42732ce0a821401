"""Names of tasks: parts of the names of tensors, which transformers and peft rename or read as patterns.

A task's modules are found by its name in a checkpoint's tensors, such as ``heads.NAME.weight``. The loader
reads these names as regular expressions, so only characters without a meaning there are allowed; and names that a
library would change are refused, where they are given.
"""

import re
from collections.abc import Collection
from typing import Any

from transformers.utils import is_torch_available

from .configuration_values import require

MAX_NAME = 200
"""Largest number of characters in a task's name."""

_MIDDLE = "_-/.:"

# What libraries rename or insert on loading (a dot in these patterns is any character). transformers 5.23: the "legacy"
# renamings of conversion_mapping.py; load_adapter inserts the adapter's name behind "lora_…". peft 0.21: an adapter is
# called "default" unless it gets a name, which is removed from the names of tensors.
_RENAMED = re.compile(r"LayerNorm.(gamma|beta)(?!\w)|weight_[gv](?!\w)|lora_|^default$")

_OF_ANOTHER = re.compile(r".(weight|bias)(?!\w)")

_DOT = ","  # in place of a dot, which separates modules; names cannot hold it

PRIOR = "prior"  # init_from: rows computed from structure, so no task has this name


def check_task_name(name: Any) -> None:
    """Check that models with a task of this name can be saved and loaded.

    Raises:
        ValueError: not a text of letters, digits and, in the middle, ``_ - / . :``; longer than ``MAX_NAME``;
            or kept by a library for itself.
    """
    require(isinstance(name, str) and name != "", f"a task's name must be a non-empty string, got {name!r:.80}")
    require(len(name) <= MAX_NAME, f"a task's name may have {MAX_NAME} characters, got {len(name):,}: {name[:40]!r}…")
    require(
        _is_alphanumeric(name[0])
        and _is_alphanumeric(name[-1])
        and all(_is_alphanumeric(character) or character in _MIDDLE for character in name),
        f"a task's name consists of letters, digits and, in the middle, _ - / . :, got {name!r}: other characters "
        "do not survive in the names of tensors and files",
    )
    found = _RENAMED.search(name)
    require(
        found is None,
        f"a task cannot be named {name!r}: transformers or peft would rename tensors with "
        f"{found and found.group()!r} in their names on loading; choose another name",
    )
    require(name != PRIOR, f'a task cannot be named {name!r}: init_from="prior" means rows computed from structure')
    # transformers 5.23: dict_dtype_to_str writes what it finds under this key, in any part of a config, as text.
    require(name != "dtype", "a task cannot be named 'dtype': transformers would take its config for a dtype")
    if is_torch_available():
        from torch.nn import ModuleDict

        taken = hasattr(ModuleDict(), module_key(name))
        require(not taken, f"a task cannot be named {name!r}: torch.nn.ModuleDict keeps that name for itself")


def check_pairs_of_names(names: Collection[str]) -> None:
    """Check that no name is read as another one: load_adapter matches ``a.weight`` with any character for the dot.

    Raises:
        ValueError: a name is another one, a character, and "weight" or "bias".
    """
    for name in names:
        for match in _OF_ANOTHER.finditer(name):
            require(
                name[: match.start()] not in names,
                f"tasks {name[: match.start()]!r} and {name!r} cannot be in one model: transformers would take tensors "
                "of one for the other's when it loads an adapter; rename one of them",
            )


def module_key(name: str) -> str:
    """The part of a task's tensor names that stands for the task: its name, with commas for dots."""
    return name.replace(".", _DOT)


def task_of_key(key: str) -> str:
    """The task of a :func:`module_key`."""
    return key.replace(_DOT, ".")


def _is_alphanumeric(character: str) -> bool:
    """Any letter, but only ASCII digits: transformers sorts tensors by ``int()``, which fails for ``"²"``."""
    return character.isalpha() or (character.isascii() and character.isdigit())
