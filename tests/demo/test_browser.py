"""The demo in headless Chromium: every tab, a bad upload, two visitors, a training that is cancelled or left.

Needs Gradio, Playwright and Chromium (Debian: ``apt install chromium``); skipped without.
"""

import os
import shutil
import socket
import sys
import time
import urllib.request
import zipfile

import psutil
import pytest

from asen_hf.demo.uploads import boards

pytestmark = pytest.mark.slow
pytest.importorskip("gradio", reason="needs Gradio: pip install 'asen-hf[space]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 600  # seconds; a shared machine may be slow

if CHROMIUM is None:
    pytest.skip("needs Chromium: apt install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where Gradio keeps uploads and downloads."""
    return tmp_path_factory.mktemp("gradio")


@pytest.fixture(scope="module")
def server(cache):
    """The process of ``asen demo``, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = psutil.Popen([sys.executable, "-m", "asen_hf", "demo", "--port", str(port)], env=environment)
    address = f"http://127.0.0.1:{port}"
    wait_for(lambda: process.poll() is not None or answers(address))
    yield process, address
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(server, browser):
    """Opens the page for one more visitor; no page may ask another host for anything."""
    pages, foreign = [], []

    def open_page(width=1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(1000 * PATIENCE)
        page.on("request", lambda request: foreign.append(request.url) if not is_local(request.url) else None)
        page.goto(server[1])
        page.wait_for_selector("#group-words table")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not foreign


def is_local(url):
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def answers(address):
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def trainings(server):
    forking = [child for child in server[0].children() if any("forkserver" in word for word in child.cmdline())]
    return [child for process in forking for child in process.children()]


def open_tab(page, name):
    tab = page.get_by_role("tab", name=name, exact=True)
    if tab.count():
        tab.click()
    else:  # in a narrow window the last tabs are in a menu
        page.click(".overflow-menu > button")
        page.click(f".overflow-dropdown button:has-text('{name}')")


def start_fit(page, server):
    open_tab(page, "Your data")
    page.click("#data-fit")
    page.wait_for_selector("#data-output progress")
    wait_for(lambda: trainings(server))


def upload(page, path):
    page.set_input_files("#data-upload input[type=file], input[type=file]", path)


def test_a_group_is_shown_and_an_error_points_at_its_character(visit):
    page = visit()
    page.wait_for_selector("#group-picture img")
    page.fill("#group-text textarea, #group-text input", "A4")
    page.click("#group-show")
    page.wait_for_selector("text=S_4 (order 24)")
    page.fill("#group-text textarea, #group-text input", "S5 wr S")
    page.click("#group-show")
    page.wait_for_selector("#group-words .asen-error")
    assert page.inner_text("#group-words .asen-error").endswith("\n  S5 wr S\n         ^")


def test_a_prediction_moves_with_a_symmetry_and_not_otherwise(visit):
    page = visit()
    open_tab(page, "Try")
    page.fill("#try-text textarea, #try-text input", "0 1 2 3 4 0 1 5 6 6")
    page.click("#try-predict")
    page.wait_for_selector("text=Right at 10 of 10 points")
    page.click("#try-inside")
    page.wait_for_selector("text=The output moved with the input")
    page.click("#try-outside")
    page.wait_for_selector("#try-output .asen-verdict:not(:text('The output moved'))")
    page.fill("#try-text textarea, #try-text input", "0 1")
    page.click("#try-predict")
    page.wait_for_selector("text=expected 10 tokens, got 2")


def test_a_bad_upload_is_refused_in_a_sentence_and_leaves_no_file(visit, cache, tmp_path):
    page = visit()
    open_tab(page, "Your data")
    path = tmp_path / "mine.csv"
    path.write_text("a,labels\n" + "1,2\n" * 20 + "x,2\n")
    upload(page, path)
    page.wait_for_selector("text=mine.csv, column a, row 21: expected numbers, got 'x'")
    assert "boards.csv" in page.inner_text("#data-about")
    assert not list(cache.rglob("*.csv"))


def test_an_uploaded_table_is_fitted_and_the_checkpoint_downloaded(visit, cache, tmp_path):
    page = visit()
    open_tab(page, "Your data")
    path = tmp_path / "mine.csv"
    path.write_bytes(boards().content)
    upload(page, path)
    page.wait_for_selector("text=mine.csv: 100 rows of 9 inputs")
    assert not list(cache.rglob("*.csv"))
    page.click("#data-fit")
    page.wait_for_selector("#data-output table")
    assert "network, no symmetry" in page.inner_text("#data-output")
    with page.expect_download() as found:
        page.click("#data-download")
    names = zipfile.ZipFile(found.value.path()).namelist()
    assert {"README.md", "model.safetensors"} <= set(names)


def test_two_visitors_do_not_wait_for_each_other_but_for_trainings(visit, server):
    first, second = visit(), visit()
    start_fit(first, server)
    second.fill("#group-text textarea, #group-text input", "D7")
    second.click("#group-show")
    second.wait_for_selector("text=order 14")
    open_tab(second, "Your data")
    second.click("#data-fit")
    time.sleep(3)
    assert len(trainings(server)) == 1 and first.is_visible("#data-output progress")
    first.click("#data-cancel")
    first.wait_for_selector("#data-output :text('Cancelled.')")
    assert not first.is_visible("#data-output .error")
    second.wait_for_selector("#data-output progress")
    second.click("#data-cancel")
    wait_for(lambda: not trainings(server))


def test_a_training_ends_when_its_page_is_reloaded(visit, server):
    page = visit()
    start_fit(page, server)
    [left] = trainings(server)
    page.reload()
    page.wait_for_selector("#group-words table")
    wait_for(lambda: not left.is_running())
    start_fit(page, server)  # the place is free
    page.click("#data-cancel")
    wait_for(lambda: not trainings(server))


def test_a_ranking_grows_and_ends_with_a_verdict(visit):
    page = visit()
    open_tab(page, "Which symmetry?")
    page.click("#select-rank")
    page.wait_for_selector("#select-picture img")
    assert page.is_visible("#select-output progress")
    page.wait_for_selector("text=Best by validation accuracy")


@pytest.mark.parametrize("width", [400, 1280])
def test_no_tab_is_wider_than_the_window(visit, width):
    page = visit(width)
    for tab in ("Group", "Try", "Your data", "Which symmetry?"):
        open_tab(page, tab)
        time.sleep(1)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
