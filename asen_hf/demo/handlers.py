"""What the page does: each function answers an event with values of components, and with its errors as HTML."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..training._quiet_libraries import quiet_libraries
from . import token_view, trainings, uploads
from .fragments import error, note, progress, table
from .group_view import read_group, view_group
from .trainings import Fit
from .uploads import Upload


def warm_up() -> None:
    """Load what the first prediction needs."""
    quiet_libraries()
    token_view.model_of(token_view.CHECKPOINTS[0])


def group(text: str) -> tuple[str, Any]:
    """A group in words and numbers, and its picture."""
    try:
        view = view_group(text)
    except ValueError as wrong:
        return error(wrong), None
    return f"<p class='asen-sentence'>{escape(view.sentence)}</p>{table(view.facts.items())}", view.picture


def example_row(source: str, length: int) -> str:
    """A random row of the task, as text."""
    return token_view.example(source, length)


def prediction(source: str, length: int, text: str) -> str:
    """The row with its prediction."""
    return _shown(token_view.show_prediction, source, length, text)


def moved_inside(source: str, length: int, text: str) -> str:
    """The row and its prediction before and after a random symmetry."""
    return _shown(token_view.show_moved, source, length, text, True)


def moved_outside(source: str, length: int, text: str) -> str:
    """The row and its prediction before and after a random permutation that is no symmetry."""
    return _shown(token_view.show_moved, source, length, text, False)


def _shown(show: Callable[..., str], *values: Any) -> str:
    try:
        return show(*values)
    except ValueError as wrong:
        return error(wrong)


@functools.cache  # not made anew for every visitor
def example_table() -> tuple[Upload, str]:
    """The table that a visitor finds, and its preview."""
    boards = uploads.boards()
    return boards, _about(boards)


def read(path: str) -> tuple[Any, ...]:
    """Read an upload, and delete its file."""
    file = Path(path)
    try:
        upload = uploads.read_upload(file, file.name)
    except ValueError as wrong:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip(), error(wrong)
    except OSError:  # equal files of two visitors have one path, and the first to be read deletes it
        words = ValueError(f"{file.name} was deleted before it could be read: upload it again")
        return gr.skip(), gr.skip(), gr.skip(), gr.skip(), error(words)
    finally:
        _delete(file)
    tokens = "amounts" if upload.vocab_size is None else "tokens"
    classes = "amounts" if upload.classes is None else "classes"
    return upload, _about(upload), tokens, classes, note("Declare the group that acts on the points of a row.")


def _delete(upload: Path) -> None:
    """Delete an upload with its folder, and the empty files that Gradio leaves above it."""
    with contextlib.suppress(OSError):
        upload.unlink(missing_ok=True)
        upload.parent.rmdir()
    for path in upload.parent.parent.glob("tmp*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.stat().st_size:
                path.unlink()


def fit(upload: Upload | None, group: str, inputs_are: str, labels_are: str) -> Iterator[tuple[str, Any]]:
    """Train on the table: a progress bar again and again, then the scores and the download."""
    no_download = gr.DownloadButton(visible=False)
    try:
        for state in trainings.fit(*_training(upload, group, inputs_are, labels_are)):
            if isinstance(state, Fit):
                yield _remarks(group) + _scores(state), gr.DownloadButton(value=str(state.archive), visible=True)
            else:
                yield progress(state, "Training"), no_download
    except ValueError as wrong:
        yield error(wrong), no_download


def select(upload: Upload | None, group: str, inputs_are: str, labels_are: str, more: str) -> Iterator[tuple[str, Any]]:
    """Rank candidate groups: a progress bar and the ranking so far again and again, then the verdict."""
    candidates = [line.strip() for line in more.splitlines() if line.strip()]
    try:
        for state in trainings.select(*_training(upload, group, inputs_are, labels_are), candidates):
            if state.verdict:
                words = _remarks(group, *candidates) + note(state.verdict.replace("**", ""))
            else:
                words = progress(state.done, "Training")
            yield words, state.picture
    except ValueError as wrong:
        yield error(wrong), gr.skip()


def _training(upload: Upload | None, group: str, inputs_are: str, labels_are: str) -> tuple[Upload, dict[str, Any]]:
    if upload is None:  # a session's table is forgotten after an hour
        raise ValueError("the table has been forgotten after an hour: upload it again, or reload the page")
    return upload, uploads.task_fields(upload, group, inputs_are, labels_are)


def _remarks(*groups: str) -> str:
    """How groups were read, where that needs a word."""
    return "".join(note(remark) for remark in (read_group(group)[1] for group in groups) if remark)


def cancelled(shown: str) -> Any:
    """The word for it, unless the training is over and its result is there."""
    return note("Cancelled.") if "<progress" in shown else gr.skip()


def _about(upload: Upload) -> str:
    head, *rows = upload.preview
    return f"<p>{escape(upload.summary)}</p>{table(rows, head)}"


def _scores(found: Fit) -> str:
    rows = [(name, f"{value:.3f}") for name, value in found.scores.items()]
    errors = {"inside": found.equivariance_error, "outside": found.outside_error}
    measured = ", ".join(f"{error:.1e} {place}" for place, error in errors.items() if error is not None)
    return table(rows, (f"{found.rows} test rows", found.metric)) + note(
        f"Equivariance error of the network with the declared group: {measured} the group."
    )
