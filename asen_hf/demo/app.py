"""The demo: four tabs in Gradio. What they do stands in handlers.py, which is imported once the page is there.

Nothing is shared, published or kept: uploads are deleted once they are read, trainings run one at a time in processes
that end with the visit, and downloads are removed within the hour.
"""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr

from . import jobs
from .fragments import WAITING, note
from .offers import EXAMPLES, LENGTHS, MAX_CHARACTERS, MAX_UPLOAD_BYTES, QUESTIONS

TITLE = "Any-Subgroup Equivariant Networks"
_INTRODUCTION = (
    f"# {TITLE}\nOne network, any permutation group: **the symmetry is data.** "
    "Look at a group, watch a trained network obey it, then declare the symmetry of your own table."
)
_FIRST_SOURCE, _FIRST_LENGTH = "equivariant/intersect", 10
_FIRST_GROUP = EXAMPLES["Board: turns and mirrors"]
_STYLE = Path(__file__).with_name("style.css")
_HIDDEN: Any = {"api_visibility": "private"}  # no event is offered to programs
_QUIET: Any = {"show_progress": "hidden", **_HIDDEN}
_TRAINS: Any = {"concurrency_limit": 1, "concurrency_id": "training", **_QUIET}
_TABLE_SECONDS = 3600
_CACHE_SECONDS = (600, 3000)  # how often downloads are looked at, and how old the oldest may be: gone within the hour
# The visitor's own: nothing is loaded from elsewhere.
_FONTS, _MONOSPACED = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")
_importing = threading.Lock()  # by one thread at a time: the modules behind the handlers import each other


def launch(host: str = "127.0.0.1", port: int | None = None) -> None:
    """Serve the demo until it is interrupted; ``ValueError`` if the port is taken."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped by a service manager, as by Ctrl+C
    blocks = page()
    try:
        blocks.launch(**launch_options(host, port), prevent_thread_lock=True)
    except OSError as error:
        taken = "no port from 7860 on" if port is None else f"port {port}"
        raise ValueError(f"cannot listen on {taken} of {host}: give another --port") from error
    try:
        _handlers().warm_up()  # while the visitor reads
        jobs.warm_up()
        blocks.block_thread()
    finally:
        jobs.end_all()


def _handlers() -> ModuleType:
    """The handlers of events; torch and transformers take longer to import than the page to build."""
    with _importing:
        return importlib.import_module(".handlers", __package__)


def _late(name: str) -> Callable[..., Any]:
    """The handler of this name, imported when it is called."""
    return lambda *values: getattr(_handlers(), name)(*values)


def _late_steps(name: str) -> Callable[..., Iterator[Any]]:
    """The handler of this name that yields, imported when it is called."""

    def steps(*values: Any) -> Iterator[Any]:
        yield from getattr(_handlers(), name)(*values)

    return steps


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
        "max_file_size": MAX_UPLOAD_BYTES,
        "state_session_capacity": 100,
        "theme": gr.themes.Default(primary_hue="indigo", neutral_hue="slate", font=_FONTS, font_mono=_MONOSPACED),
        "css_paths": _STYLE,
    }


def page() -> gr.Blocks:
    """The whole page."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=_CACHE_SECONDS) as blocks:
        gr.Markdown(_INTRODUCTION)
        # Not the example as initial value: Gradio gives it back where a visitor's own table has been forgotten.
        table = gr.State(None, time_to_live=_TABLE_SECONDS)
        with gr.Tab("Group"):
            _add_group_tab(blocks)
        with gr.Tab("Try"):
            _add_try_tab(blocks)
        with gr.Tab("Your data"):
            group, inputs_are, labels_are = _add_data_tab(blocks, table)
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
    gr.on([blocks.load, show.click, text.submit, examples.input], _late("group"), text, [words, picture], **_HIDDEN)


def _add_try_tab(blocks: gr.Blocks) -> None:
    with gr.Row():
        with gr.Column():
            choices = [(question, source) for source, question in QUESTIONS.items()]
            source = gr.Dropdown(choices, value=_FIRST_SOURCE, label="Task", elem_id="try-task")
            length = gr.Radio([*LENGTHS], value=_FIRST_LENGTH, label="Points")
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
    predicts: Any = {"fn": _late("prediction"), "inputs": given, "outputs": output, **_QUIET}
    chosen = gr.on(
        [blocks.load, source.change, length.change, example.click], _late("example_row"), given[:2], text, **_QUIET
    )
    chosen.then(**predicts)
    gr.on([predict.click, text.submit], **predicts)
    inside.click(_late("moved_inside"), given, output, **_QUIET)
    outside.click(_late("moved_outside"), given, output, **_QUIET)


def _add_data_tab(blocks: gr.Blocks, table: gr.State) -> tuple[gr.Textbox, gr.Radio, gr.Radio]:
    with gr.Row():
        with gr.Column():
            upload = gr.UploadButton("Upload a CSV", file_types=[".csv"], elem_id="data-upload")
            about = gr.HTML(elem_id="data-about")
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
                note("A network is trained twice: with the declared group, and without symmetry."),
                elem_id="data-output",
            )
            download = gr.DownloadButton("Download the checkpoint and its card", visible=False, elem_id="data-download")
    blocks.load(_late("example_table"), None, [table, about], **_HIDDEN)
    upload.upload(_late("read"), upload, [table, about, inputs_are, labels_are, output], **_HIDDEN)
    waiting = start.click(lambda: WAITING, None, output, queue=False, **_HIDDEN)
    fitting = waiting.then(_late_steps("fit"), [table, group, inputs_are, labels_are], [output, download], **_TRAINS)
    _on_cancel(cancel, fitting, output)
    return group, inputs_are, labels_are


def _on_cancel(cancel: gr.Button, event: Any, output: gr.HTML) -> None:
    """End the training, then say so: what an event that cancels returns is not shown."""
    cancel.click(None, cancels=[event], **_HIDDEN).then(_late("cancelled"), output, output, **_QUIET)


def _add_select_tab(table: gr.State, group: gr.Textbox, inputs_are: gr.Radio, labels_are: gr.Radio) -> None:
    with gr.Row():
        with gr.Column():
            gr.HTML(
                note(
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
    waiting = start.click(lambda: WAITING, None, output, queue=False, **_HIDDEN)
    ranking = waiting.then(_late_steps("select"), given, [output, picture], **_TRAINS)
    _on_cancel(cancel, ranking, output)
