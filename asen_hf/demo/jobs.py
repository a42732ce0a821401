"""A command of ``asen`` in a process of its own, bounded in time and memory, which ends when nobody waits for it.

The process is a fork of one that has imported what commands need (multiprocessing's fork server), since these imports
take as long as a small training.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

MAX_SECONDS, MAX_BYTES = 900, 4 * 2**30
_POLL_SECONDS = 0.5
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"  # as on Windows
_context: Any = multiprocessing.get_context(_METHOD)
_context.set_forkserver_preload([f"{__package__}._preloaded"])


def warm_up() -> None:
    """Start the imports of the jobs to come, without waiting for them."""
    if _METHOD == "forkserver":
        multiprocessing.forkserver.ensure_running()


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
    for file in (output, errors):  # here already: the folder may hold those of another command
        file.write_bytes(b"")
    process = _context.Process(target=_execute, args=(list(arguments), folder))
    process.start()
    deadline = deadline or time.monotonic() + MAX_SECONDS
    try:
        while process.is_alive():
            if time.monotonic() > deadline:
                raise ValueError(f"stopped: a training may take {MAX_SECONDS} seconds here; take fewer rows or points")
            if _memory(process) > MAX_BYTES:
                raise ValueError(f"stopped: a training may take {MAX_BYTES / 2**30:g} GB here; take fewer points")
            yield output.read_text(encoding="utf-8", errors="replace")
            time.sleep(_POLL_SECONDS)
    finally:
        _end(process)
    if process.exitcode:
        raise ValueError(_error(errors.read_text(encoding="utf-8", errors="replace"), process.exitcode))
    yield output.read_text(encoding="utf-8", errors="replace")


def _execute(arguments: list[str], folder: Path) -> None:
    """In the process: run the command in the folder, with its output in files."""
    from . import _preloaded  # noqa: F401  # nothing to do in a fork; a spawned process gets its settings here

    os.chdir(folder)
    for stream, name in ((sys.stdout, "stdout.txt"), (sys.stderr, "stderr.txt")):
        with open(name, "wb") as file:
            os.dup2(file.fileno(), stream.fileno())
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(encoding="utf-8", line_buffering=True)
    sys.argv = ["asen", *arguments]
    runpy.run_module("asen_hf", run_name="__main__", alter_sys=True)


def end_all() -> None:
    """Kill the processes of all visitors, so that none outlives the server."""
    for process in multiprocessing.active_children():
        _end(process)


def _memory(process: BaseProcess) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in _members(process):
            total += member.memory_info().rss
    return total


def _end(process: BaseProcess) -> None:
    """Kill a process and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in _members(process):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.join()


def _members(process: BaseProcess) -> list[psutil.Process]:
    """A process and its children; none once it has ended, when its number may be another's."""
    if not process.is_alive():
        return []
    first = psutil.Process(process.pid)
    return [*first.children(recursive=True), first]


def _error(text: str, status: int) -> str:
    """The error that the command printed last, with the lines below it."""
    _, found, error = text.rpartition("error: ")
    return error.strip() if found else f"the training ended unexpectedly, with status {status}"
