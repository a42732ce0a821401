"""A training that was cut off goes on from its last checkpoint, and its record names every attempt at it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..training._run_folder import checkpoints


@dataclass
class Attempts:
    """The attempts at one training, kept in a file beside its folder until it ends.

    Args:
        content: what is trained; another content begins anew.
        resumes: whether the present attempt goes on from a checkpoint.
        seconds: wall time of earlier attempts, up to the checkpoint that the present one goes on from.
        began: when the present attempt did, in seconds as :func:`time.time` counts them.
        made_with: of every attempt, ``{column: value}``: code, libraries and machine.
    """

    content: str
    resumes: bool = False
    seconds: float = 0.0
    began: float = 0.0
    made_with: list[dict[str, Any]] = field(default_factory=list)

    @property
    def resume_from_checkpoint(self) -> str | None:
        """For the recipe of the training."""
        return "latest" if self.resumes else None

    @property
    def provenance(self) -> dict[str, str]:
        """``{column: value}``; different values of several attempts are separated by commas."""
        columns = {column: [str(made[column]) for made in self.made_with] for column in self.made_with[-1]}
        return {column: ", ".join(dict.fromkeys(values)) for column, values in columns.items()}


@contextlib.contextmanager
def alone(output: Path, wait: bool = False) -> Iterator[None]:
    """Within it, no other process trains in ``output``.

    Raises:
        ValueError: another process does, unless its end is waited for.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_record(output).with_suffix(".lock"), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"another process is training in {output}: wait for its end") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def attempt(output: Path, content: str, made_with: dict[str, Any]) -> Iterator[Attempts]:
    """Continue the training in ``output`` if its last attempt died with the same content; otherwise empty the folder.

    The next attempt begins anew after this one ends, be it with an error: code that failed may have spoilt weights.
    """
    record = _record(output)
    record.parent.mkdir(parents=True, exist_ok=True)
    attempts = _next(_read(record), output, content, made_with)
    aside = record.with_suffix(".tmp")
    aside.write_text(json.dumps(asdict(attempts)), encoding="utf-8")
    os.replace(aside, record)
    try:
        yield attempts
    except Exception:
        record.unlink()
        raise
    record.unlink()


def _record(output: Path) -> Path:
    return output.parent / f".{output.name}.attempts.json"


def _read(record: Path) -> Attempts | None:
    try:
        return Attempts(**json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # there is none, or not one of this version
        return None


def _next(last: Attempts | None, output: Path, content: str, made_with: dict[str, Any]) -> Attempts:
    saved, now = checkpoints(output), time.time()
    if last is None or last.content != content or not saved:
        shutil.rmtree(output, ignore_errors=True)
        return Attempts(content, began=now, made_with=[made_with])
    trained = max(0.0, saved[-1].stat().st_mtime - last.began)  # 0 if the last attempt saved nothing new
    return Attempts(content, True, last.seconds + trained, now, [*last.made_with, made_with])
