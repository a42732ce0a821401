"""The demo: four tabs in Gradio, of which each calls one module beside this one.

Nothing is shared, published or kept: uploads are deleted once they are read, trainings run one at a time in processes
that end with the visit, and downloads are removed within the hour.
"""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ..model._html import html_table
from . import jobs, token_view, trainings, uploads
from .group_view import EXAMPLES, MAX_CHARACTERS, read_group, view_group
from .trainings import Fit
from .uploads import Upload

TITLE = "Any-Subgroup Equivariant Networks"
_INTRODUCTION = (
    f"# {TITLE}\nOne network, any permutation group: **the symmetry is data.** "
    "Look at a group, watch a trained network obey it, then declare the symmetry of your own table."
)
_FIRST_SOURCE, _FIRST_LENGTH = "equivariant/intersect", 10
_FIRST_GROUP = EXAMPLES["Board: turns and mirrors"]
_STYLE = Path(__file__).with_name("style.css")
_HIDDEN: Any = {"api_visibility": "private"}  # no event is offered to programs
_TRAINS: Any = {"concurrency_limit": 1, "concurrency_id": "training", "show_progress": "hidden", **_HIDDEN}
_TABLE_SECONDS = 3600
_CACHE_SECONDS = (600, 3000)  # how often downloads are looked at, and how old the oldest may be: gone within the hour
# The visitor's own: nothing is loaded from elsewhere.
_FONTS, _MONOSPACED = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")


def launch(host: str = "127.0.0.1", port: int | None = None) -> None:
    """Serve the demo until it is interrupted; ``ValueError`` if the port is taken."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped by a service manager, as by Ctrl+C
    blocks = page()
    try:
        try:
            blocks.launch(**launch_options(host, port), prevent_thread_lock=True)
        except OSError as error:
            taken = "no port from 7860 on" if port is None else f"port {port}"
            raise ValueError(f"cannot listen on {taken} of {host}: give another --port") from error
        token_view.model_of(token_view.CHECKPOINTS[0])  # while the visitor looks at the first tab
        blocks.block_thread()
    finally:
        jobs.end_all()


def launch_options(host: str, port: int | None) -> dict[str, Any]:
    """Arguments of ``Blocks.launch`` that keep the demo to itself."""
    return {
        "server_name": host,
        "server_port": port,
        "share": False,
        "show_error": True,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "max_file_size": uploads.MAX_BYTES,
        "state_session_capacity": 100,
        "theme": gr.themes.Default(primary_hue="indigo", neutral_hue="slate", font=_FONTS, font_mono=_MONOSPACED),
        "css_paths": _STYLE,
    }


def page() -> gr.Blocks:
    """The whole page."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_CACHE_SECONDS) as blocks:
        gr.Markdown(_INTRODUCTION)
        boards = uploads.boards()
        # Not the example as initial value: Gradio gives it back where a visitor's own table has been forgotten.
        table = gr.State(None, time_to_live=_TABLE_SECONDS)
        blocks.load(lambda: boards, None, table, **_HIDDEN)
        with gr.Tab("Group"):
            _add_group_tab(blocks)
        with gr.Tab("Try"):
            _add_try_tab(blocks)
        with gr.Tab("Your data"):
            group, inputs_are, labels_are = _add_data_tab(boards, table)
        with gr.Tab("Which symmetry?"):
            _add_select_tab(table, group, inputs_are, labels_are)
    return blocks.queue(max_size=32, api_open=False, default_concurrency_limit=2)


def _add_group_tab(blocks: gr.Blocks) -> None:
    with gr.Row():
        with gr.Column():
            text = gr.Textbox(
                next(iter(EXAMPLES.values())),
                label="Group",
                info="In notation, or generators as cycles; points count from 0.",
                max_length=MAX_CHARACTERS,
                elem_id="group-text",
            )
            examples = gr.Radio([*EXAMPLES.items()], label="Or pick one", value=next(iter(EXAMPLES.values())))
            show = gr.Button("Show", variant="primary", elem_id="group-show")
            words = gr.HTML(elem_id="group-words")
        with gr.Column():
            picture = gr.Plot(show_label=False, elem_id="group-picture")
    examples.input(lambda chosen: chosen, examples, text, **_HIDDEN)
    gr.on([blocks.load, show.click, text.submit, examples.input], _group, text, [words, picture], **_HIDDEN)


def _group(text: str) -> tuple[str, Any]:
    try:
        view = view_group(text)
    except ValueError as error:
        return _error(error), None
    return f"<p class='asen-sentence'>{escape(view.sentence)}</p>{_table(view.facts.items())}", view.picture


def _add_try_tab(blocks: gr.Blocks) -> None:
    with gr.Row():
        with gr.Column():
            choices = [(question, source) for source, question in token_view.QUESTIONS.items()]
            source = gr.Dropdown(choices, value=_FIRST_SOURCE, label="Task", elem_id="try-task")
            length = gr.Radio([*token_view.LENGTHS], value=_FIRST_LENGTH, label="Points")
            text = gr.Textbox(label="Input", info="One token per point.", max_length=200, elem_id="try-text")
            with gr.Row():
                predict = gr.Button("Predict", variant="primary", elem_id="try-predict")
                example = gr.Button("Another example", elem_id="try-example")
            with gr.Row():
                inside = gr.Button("Apply a random symmetry", elem_id="try-inside")
                outside = gr.Button("Apply a non-symmetry", elem_id="try-outside")
        with gr.Column():
            output = gr.HTML(elem_id="try-output")
    given = [source, length, text]
    fast: Any = {"show_progress": "hidden", **_HIDDEN}
    predicts: Any = {"fn": _shown(token_view.show_prediction), "inputs": given, "outputs": output, **fast}
    chosen = gr.on(
        [blocks.load, source.change, length.change, example.click], token_view.example, given[:2], text, **fast
    )
    chosen.then(**predicts)
    gr.on([predict.click, text.submit], **predicts)
    inside.click(_shown(functools.partial(token_view.show_moved, is_symmetry=True)), given, output, **fast)
    outside.click(_shown(functools.partial(token_view.show_moved, is_symmetry=False)), given, output, **fast)


def _add_data_tab(boards: Upload, table: gr.State) -> tuple[gr.Textbox, gr.Radio, gr.Radio]:
    with gr.Row():
        with gr.Column():
            upload = gr.UploadButton("Upload a CSV", file_types=[".csv"], elem_id="data-upload")
            about = gr.HTML(_about(boards), elem_id="data-about")
            group = gr.Textbox(
                _FIRST_GROUP,
                label="Declare its group",
                info="On the points of a row, counted from 0.",
                max_length=MAX_CHARACTERS,
                elem_id="data-group",
            )
            inputs_are = gr.Radio(["tokens", "amounts"], value="tokens", label="Inputs are")
            labels_are = gr.Radio(["classes", "amounts"], value="classes", label="Labels are")
        with gr.Column():
            with gr.Row():
                start = gr.Button("Fit", variant="primary", elem_id="data-fit")
                cancel = gr.Button("Cancel", elem_id="data-cancel")
            output = gr.HTML(
                _note("A network is trained twice: with the declared group, and without symmetry."),
                elem_id="data-output",
            )
            download = gr.DownloadButton("Download the checkpoint and its card", visible=False, elem_id="data-download")
    upload.upload(_read, upload, [table, about, inputs_are, labels_are, output], **_HIDDEN)
    waiting = start.click(lambda: _WAITING, None, output, queue=False, **_HIDDEN)
    fitting = waiting.then(_fit, [table, group, inputs_are, labels_are], [output, download], **_TRAINS)
    cancel.click(_cancelled, output, output, cancels=[fitting], **_HIDDEN)
    return group, inputs_are, labels_are


def _add_select_tab(table: gr.State, group: gr.Textbox, inputs_are: gr.Radio, labels_are: gr.Radio) -> None:
    with gr.Row():
        with gr.Column():
            gr.HTML(
                _note(
                    "Which group suits the table of the tab Your data? Its declared group competes with no symmetry, "
                    "reversal, rotations, rotations with reflections, all permutations, and ridge regression."
                )
            )
            more = gr.Textbox(
                "grid 3x3 rotations",
                label="More candidates",
                info="One per line.",
                lines=3,
                max_length=MAX_CHARACTERS,
                elem_id="select-more",
            )
            with gr.Row():
                start = gr.Button("Rank", variant="primary", elem_id="select-rank")
                cancel = gr.Button("Cancel", elem_id="select-cancel")
            output = gr.HTML(elem_id="select-output")
        with gr.Column():
            picture = gr.Plot(show_label=False, elem_id="select-picture")
    given = [table, group, inputs_are, labels_are, more]
    waiting = start.click(lambda: _WAITING, None, output, queue=False, **_HIDDEN)
    ranking = waiting.then(_select, given, [output, picture], **_TRAINS)
    cancel.click(_cancelled, output, output, cancels=[ranking], **_HIDDEN)


def _read(path: str) -> tuple[Any, ...]:
    """Read an upload, and delete its file."""
    file = Path(path)
    try:
        upload = uploads.read_upload(file, file.name)
    except ValueError as error:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip(), _error(error)
    except OSError:  # equal files of two visitors have one path, and the first to be read deletes it
        words = ValueError(f"{file.name} was deleted before it could be read: upload it again")
        return gr.skip(), gr.skip(), gr.skip(), gr.skip(), _error(words)
    finally:
        _delete(file)
    tokens = "amounts" if upload.vocab_size is None else "tokens"
    classes = "amounts" if upload.classes is None else "classes"
    return upload, _about(upload), tokens, classes, _note("Declare the group that acts on the points of a row.")


def _delete(upload: Path) -> None:
    """Delete an upload with its folder, and the empty files that Gradio leaves above it."""
    with contextlib.suppress(OSError):
        upload.unlink(missing_ok=True)
        upload.parent.rmdir()
    for path in upload.parent.parent.glob("tmp*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.stat().st_size:
                path.unlink()


def _fit(upload: Upload | None, group: str, inputs_are: str, labels_are: str) -> Iterator[tuple[str, Any]]:
    no_download = gr.DownloadButton(visible=False)
    try:
        for state in trainings.fit(*_training(upload, group, inputs_are, labels_are)):
            if isinstance(state, Fit):
                yield _remarks(group) + _scores(state), gr.DownloadButton(value=str(state.archive), visible=True)
            else:
                yield _progress(state, "Training"), no_download
    except ValueError as error:
        yield _error(error), no_download


def _select(
    upload: Upload | None, group: str, inputs_are: str, labels_are: str, more: str
) -> Iterator[tuple[str, Any]]:
    candidates = [line.strip() for line in more.splitlines() if line.strip()]
    try:
        for state in trainings.select(*_training(upload, group, inputs_are, labels_are), candidates):
            if state.verdict:
                words = _remarks(group, *candidates) + _note(state.verdict.replace("**", ""))
            else:
                words = _progress(state.done, "Training")
            yield words, state.picture
    except ValueError as error:
        yield _error(error), gr.skip()


def _training(upload: Upload | None, group: str, inputs_are: str, labels_are: str) -> tuple[Upload, dict[str, Any]]:
    if upload is None:  # a session's table is forgotten after an hour
        raise ValueError("the table has been forgotten after an hour: upload it again, or reload the page")
    return upload, uploads.task_fields(upload, group, inputs_are, labels_are)


def _remarks(*groups: str) -> str:
    """How groups were read, where that needs a word."""
    return "".join(_note(remark) for remark in (read_group(group)[1] for group in groups) if remark)


def _cancelled(shown: str) -> Any:
    """The word for it, unless the training is over and its result is there."""
    return _note("Cancelled.") if "<progress" in shown else gr.skip()


def _shown(show: Callable[..., str]) -> Callable[..., str]:
    """The function with its expected errors as HTML."""

    def shown(*arguments: Any) -> str:
        try:
            return show(*arguments)
        except ValueError as error:
            return _error(error)

    return shown


def _about(upload: Upload) -> str:
    head, *rows = upload.preview
    return f"<p>{escape(upload.summary)}</p>{_table(rows, head)}"


def _scores(found: Fit) -> str:
    rows = [(name, f"{value:.3f}") for name, value in found.scores.items()]
    errors = {"inside": found.equivariance_error, "outside": found.outside_error}
    measured = ", ".join(f"{error:.1e} {place}" for place, error in errors.items() if error is not None)
    return _table(rows, (f"{found.rows} test rows", found.metric)) + _note(
        f"Equivariance error of the network with the declared group: {measured} the group."
    )


def _table(rows: Iterable[Sequence[object]], head: Sequence[object] = ()) -> str:
    return f"<div class='asen-table'>{html_table(rows, head)}</div>"


def _progress(share: float, words: str) -> str:
    return f"<label class='asen-progress'>{words} <progress value='{share:.3f}'></progress> {share:.0%}</label>"


_WAITING = _progress(0, "Waiting for a place: one training runs at a time")


def _note(text: str) -> str:
    return f"<p class='asen-note'>{escape(text)}</p>"


def _error(error: ValueError) -> str:
    return f"<pre class='asen-error' role='alert'>{escape(str(error))}</pre>"
