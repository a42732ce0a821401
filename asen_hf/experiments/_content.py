"""Hashes of what a run depends on, so that a run is recognised by its content and not by its names."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from ..data.registry import is_stream
from ..data.synthetic.prior import PRIOR_VERSION
from ..data.synthetic.sequence_task import DATA_VERSION
from ..model.checkpoints import find_checkpoint

_FILE_FIELDS = ("dataset", "task_config")  # of a TaskRecipe; data_path is an option


def fingerprint(content: Any) -> str:
    """A short hash of JSON values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def data_fingerprint(tasks: Iterable[dict[str, Any]]) -> str | None:
    """A short hash of the rules of the registered tasks and of all files that tasks name.

    Args:
        tasks: fields of TaskRecipe.

    Returns:
        The hash; ``None`` if a file is missing. A table or a config on the Hub counts by its name only.
    """
    tasks = list(tasks)
    named = [task[field] for task in tasks for field in _FILE_FIELDS if isinstance(task.get(field), str)]
    named += [path for task in tasks if (path := (task.get("options") or {}).get("data_path")) is not None]
    digests = {}
    for name in map(str, named):
        path = Path(name)
        if path.exists():
            digests[name] = [_file_digest(file, *_version(file)) for file in _files(path)]
        elif path.suffix and not name.startswith("hf://"):
            return None
    if any(is_stream(task.get("source") or task.get("name", "")) for task in tasks):
        digests["stream"] = [PRIOR_VERSION]
    return fingerprint([DATA_VERSION, digests])


def weights_fingerprint(checkpoint: str) -> str:
    """A short hash of a checkpoint's weights, where it lies on this machine; else of its name."""
    try:
        path = Path(str(cached_file(str(find_checkpoint(checkpoint)), "model.safetensors", local_files_only=True)))
    except OSError:
        return fingerprint(checkpoint)
    return fingerprint(_file_digest(path, *_version(path)))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=256)
def _file_digest(path: Path, _modified: int, _size: int) -> str:
    """The hash of a file's name and bytes, read once per version of the file."""
    with path.open("rb") as file:
        return f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}"
