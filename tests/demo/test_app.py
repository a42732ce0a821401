"""The page as Gradio builds it, without a browser: closed to programs, offline, and errors shown in place."""

import asyncio
import inspect
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

gradio = pytest.importorskip("gradio", reason="needs Gradio: pip install 'asen-hf[space]'")

from asen_hf.commands.main import main  # noqa: E402
from asen_hf.demo import app, handlers, uploads  # noqa: E402
from asen_hf.demo.fragments import WAITING, note, progress, table  # noqa: E402
from asen_hf.demo.trainings import Fit  # noqa: E402

BOARDS = uploads.boards()


@pytest.fixture(scope="module")
def page():
    async def build():  # without a running event loop, Gradio 6 makes one per lock, and closes none
        return app.page()

    return asyncio.run(build())


def test_the_page_has_its_tabs_and_offers_programs_nothing(page):
    assert [block.label for block in page.blocks.values() if isinstance(block, gradio.Tab)] == [
        *("Group", "Try", "Your data", "Which symmetry?")
    ]
    assert page.fns and {fn.api_visibility for fn in page.fns.values()} == {"private"}
    assert not page.analytics_enabled and not page.api_open
    assert app.launch_options("127.0.0.1", None).items() >= {"share": False, "run_history": False}.items()


def test_trainings_share_one_place_in_the_queue(page):
    trainings = [fn for fn in page.fns.values() if fn.concurrency_id == "training"]
    assert len(trainings) == 2 and {fn.concurrency_limit for fn in trainings} == {1}


def test_an_upload_is_read_and_its_file_deleted(tmp_path):
    path = tmp_path / "hash" / "mine.csv"
    path.parent.mkdir()
    path.write_bytes(BOARDS.content)
    upload, about, inputs_are, labels_are, _ = handlers.read(str(path))
    assert upload.name == "mine.csv" and "100 rows" in about and (inputs_are, labels_are) == ("tokens", "classes")
    assert os.listdir(tmp_path) == []


def test_a_table_that_is_forgotten_is_not_replaced_by_the_example(page):
    """Gradio gives an entry that has expired, or was displaced by other visitors', its initial value."""
    [state] = [block for block in page.blocks.values() if isinstance(block, gradio.State)]
    assert state.value is None and state.time_to_live == 3600
    [load] = [fn for fn in page.fns.values() if state in fn.outputs and not fn.inputs]
    upload, about = load.fn()
    assert upload.name == "boards.csv" and "100 rows" in about


def test_of_equal_uploads_at_the_same_time_the_second_is_asked_for_again(tmp_path):
    path = tmp_path / "hash" / "mine.csv"
    *_, words = handlers.read(str(path))
    assert "mine.csv was deleted before it could be read: upload it again" in words and str(tmp_path) not in words


def test_the_empty_file_that_gradio_makes_per_upload_is_deleted(tmp_path):
    path = tmp_path / "hash" / "mine.csv"
    path.parent.mkdir()
    path.write_bytes(BOARDS.content)
    (tmp_path / "tmpabc").touch()
    (tmp_path / "tmpdef").write_text("not empty")
    handlers.read(str(path))
    assert os.listdir(tmp_path) == ["tmpdef"]


def test_cancelling_takes_nothing_away_when_nothing_runs():
    assert "Cancelled" in handlers.cancelled(WAITING) and "Cancelled" in handlers.cancelled(progress(0.5, "Training"))
    for shown in ("", note("Best by validation"), table([("a", "b")])):
        assert handlers.cancelled(shown) == gradio.skip()


def test_how_a_group_was_read_stands_above_the_result(monkeypatch):
    found = Fit("accuracy", 15, {"network": 0.9}, 0.0, 1.0, Path("checkpoint.zip"))
    monkeypatch.setattr(handlers.trainings, "fit", lambda *arguments: iter([0.5, found]))
    for group, is_said in {"(1,2,3)(4,5,6)(7,8,9)": True, "(0,1,2)(3,4,5)(6,7,8)": False}.items():
        *_, (words, _) = handlers.fit(BOARDS, group, "tokens", "classes")
        assert ("points count from 1" in words) == is_said and "0.900" in words


def test_a_bad_upload_is_refused_in_words_and_its_file_deleted(tmp_path):
    path = tmp_path / "<b>.csv"
    path.write_text("a,b\n1,2\n")
    *_, words = handlers.read(str(path))
    assert "&lt;b&gt;.csv: no column labels" in words and not path.exists()


@pytest.mark.parametrize(
    "event, message",
    [
        (lambda: handlers.group("S5 wr S")[0], "S5 wr S\n         ^"),
        (lambda: next(handlers.fit(BOARDS, "D8", "tokens", "classes"))[0], "acts on 8 points"),
        (lambda: next(handlers.fit(None, "D9", "tokens", "classes"))[0], "upload it again"),
        (lambda: next(handlers.select(BOARDS, "D9", "tokens", "classes", "S8"))[0], "acts on 8 points"),
    ],
)
def test_an_error_is_shown_where_the_result_would_be(event, message):
    shown = event()
    assert shown.startswith("<pre class='asen-error'") and message in shown


def test_the_command_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "asen_hf.demo.app")
    assert main(["demo"]) == 2
    assert "pip install 'asen-hf[space]'" in capsys.readouterr().err


def test_a_wrong_flag_is_one_line_and_status_2(capsys):
    for port in ("x", "0", "-1", "65536"):
        assert main(["demo", f"--port={port}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_port_that_is_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "asen_hf", "demo", "--port", str(port)]
        found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr.splitlines()[-1].endswith(f"cannot listen on port {port} of 127.0.0.1: give another --port")


def test_the_page_is_built_without_what_takes_long_to_import():
    code = "import sys; from asen_hf.demo import app; app.page(); print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"gradio", "asen_hf.demo.offers"} <= set(imported)
    assert not {"torch", "transformers", "datasets", "sympy", "matplotlib.pyplot"} & set(imported)


def test_every_handler_that_an_event_names_exists():
    source = Path(app.__file__).read_text(encoding="utf-8")
    names = re.findall(r'_late(?:_steps)?\("(\w+)"\)', source)
    assert len(names) >= 10 and all(callable(getattr(handlers, name)) for name in names)
    generators = re.findall(r'_late_steps\("(\w+)"\)', source)
    assert {name for name in names if inspect.isgeneratorfunction(getattr(handlers, name))} == set(generators)
