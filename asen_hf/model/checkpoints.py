"""The committed checkpoints by name: folders that the installed package holds, so that they load offline."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "hub_configs", _PACKAGE.parent / "hub_configs")  # of an installed package, of a checkout


def checkpoint_path(name: str) -> Path:
    """The folder of a committed checkpoint, such as ``"asen-sequence-base"``.

    Raises:
        ValueError: there is none of this name; lists those there are.
    """
    found = {path.parent.name: path.parent for folder in _FOLDERS for path in sorted(folder.glob("*/config.json"))}
    if name not in found:
        raise ValueError(f"no committed checkpoint is called {name!r}; there are {', '.join(found) or 'none'}")
    return found[name]
