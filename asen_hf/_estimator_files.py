"""An estimator on disk: checkpoints as ``save_pretrained`` writes them, and one JSON file. Nothing is pickled.

::

    PATH/
      config.json, model.safetensors   the network: from_pretrained loads the folder
      member-0/, member-1/, …          instead, the networks of an ensemble, each a checkpoint
      estimator.json                   the class, its parameters, and what else it has learnt
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sympy.combinatorics import PermutationGroup
from transformers.utils import logging

from ._version import __version__
from .data._json import parse_json
from .model._messages import one_line, shown
from .model.groups import from_cycles, to_cycles
from .model.modeling_asen import AsenForMultitask

_NAME = "estimator.json"


def write_estimator(
    path: str | Path, kind: str, params: Mapping[str, Any], learnt: Mapping[str, Any], models: list[AsenForMultitask]
) -> None:
    """Write an estimator to a folder.

    Args:
        path: a folder that is new or empty.
        kind: name of the class.
        params: its parameters. Objects that JSON cannot hold, such as a model or a ``RandomState``, become ``null``.
        learnt: numbers, ``None`` and arrays of numbers or texts, by attribute.
        models: the networks.

    Raises:
        ValueError: the folder is not empty, or classes are neither numbers nor texts.
    """
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder: choose another one, or remove it")
    content = {
        "class": kind,
        "version": __version__,
        "members": len(models),
        "params": {name: _plain_param(value) for name, value in params.items()},
        "learnt": {name: _plain_array(value, name) for name, value in learnt.items()},
    }
    text = json.dumps(content, indent=2, allow_nan=False)
    with without_progress_bars():
        for model, member in zip(models, _members(folder, len(models)), strict=True):
            model.save_pretrained(member)
    (folder / _NAME).write_text(text + "\n", encoding="utf-8")


def read_estimator(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Any], list[AsenForMultitask]]:
    """Parameters, what was learnt, and the networks, as :func:`write_estimator` was given them.

    Raises:
        ValueError: no such file, not JSON, or an estimator of another class.
    """
    file = Path(path) / _NAME
    try:
        content = parse_json(file.read_text(encoding="utf-8"), str(file))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no estimator that save() wrote: {one_line(error)}") from error
    if not isinstance(content, dict) or content.get("class") != kind:
        found = content.get("class") if isinstance(content, dict) else content
        raise ValueError(f"{file}: expected an {kind}, found {shown(found)}")
    try:
        params = {name: _param(value) for name, value in content["params"].items()}
        learnt = {name: _array(value) for name, value in content["learnt"].items()}
        members = _members(Path(path), content["members"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected what save() writes, but {one_line(repr(error))}") from error
    with without_progress_bars():
        models = [AsenForMultitask.from_pretrained(member).eval() for member in members]
    return params, learnt, models


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Hide transformers' progress bars, which show the saving and loading of every checkpoint."""
    were_shown = logging.is_progress_bar_enabled()
    if were_shown:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_shown:
            logging.enable_progress_bar()


def _members(folder: Path, number: int) -> list[Path]:
    """An ensemble has no network in the folder itself, which ``from_pretrained`` would take for the whole."""
    return [folder] if number == 1 else [folder / f"member-{index}" for index in range(number)]


def _plain_param(value: Any) -> Any:
    if isinstance(value, PermutationGroup):
        return {"degree": value.degree, "generators": to_cycles(value)}
    value = value.tolist() if hasattr(value, "tolist") else str(value) if isinstance(value, Path) else value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return value


def _param(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"degree", "generators"}:
        return from_cycles(value["generators"], value["degree"])
    return value


def _plain_array(value: Any, name: str) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    entries = value.tolist()
    if not all(isinstance(entry, str | int | float | bool | list) for entry in entries):
        raise ValueError(
            f"{name} holds {type(entries[0]).__name__} objects, which JSON cannot hold: use texts or numbers"
        )
    return {"dtype": "object" if value.dtype.kind in "OT" else value.dtype.str, "values": entries}


def _array(value: Any) -> Any:
    return np.array(value["values"], dtype=value["dtype"]) if isinstance(value, dict) else value
