"""A command of ``asen`` in a process of its own, bounded in time and memory, which ends when nobody waits for it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

MAX_SECONDS, MAX_BYTES = 900, 4 * 2**30
_POLL_SECONDS = 0.5
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def run(arguments: Sequence[str], folder: Path, deadline: float | None = None) -> Iterator[str]:
    """Run ``asen`` with these arguments in a folder.

    It may run until ``deadline``, by the monotonic clock; by default for 15 minutes. Closing the iterator, as Gradio
    does when the visitor cancels or leaves, ends the process and its children.

    Yields:
        What the command has printed so far, twice a second.

    Raises:
        ValueError: the command's own error, or that it took too much time or memory.
    """
    output, errors = folder / "stdout.txt", folder / "stderr.txt"
    with output.open("w") as stdout, errors.open("w") as stderr:
        process = psutil.Popen(
            [sys.executable, "-m", "asen_hf", *arguments],
            cwd=folder,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    deadline = deadline or time.monotonic() + MAX_SECONDS
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise ValueError(f"stopped: a training may take {MAX_SECONDS} seconds here; take fewer rows or points")
            if _memory(process) > MAX_BYTES:
                raise ValueError(f"stopped: a training may take {MAX_BYTES / 2**30:g} GB here; take fewer points")
            yield output.read_text(encoding="utf-8", errors="replace")
            time.sleep(_POLL_SECONDS)
    finally:
        _end(process)
    if process.returncode:
        raise ValueError(_error(errors.read_text(encoding="utf-8", errors="replace"), process.returncode))
    yield output.read_text(encoding="utf-8", errors="replace")


def end_all() -> None:
    """Kill the processes of all visitors, so that none outlives the server."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _memory(process: psutil.Process) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_info().rss
    return total


def _end(process: psutil.Popen) -> None:
    """Kill a process and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()


def _error(text: str, status: int) -> str:
    """The error that the command printed last, with the lines below it."""
    _, found, error = text.rpartition("error: ")
    return error.strip() if found else f"the training ended unexpectedly, with status {status}"
