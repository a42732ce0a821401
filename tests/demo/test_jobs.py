"""Commands in processes of their own: their output, their errors, and their end."""

import contextlib

import psutil
import pytest

from asen_hf.demo import jobs


@pytest.fixture(autouse=True)
def forking():
    """The process that forks into jobs is there before they are counted."""
    jobs.warm_up()


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_the_output_of_a_command_is_yielded(tmp_path):
    *_, text = jobs.run(["inspect", "D4"], tmp_path)
    assert "exactly this group" in text


def test_the_next_command_of_a_folder_starts_without_the_output_of_the_last(tmp_path):
    *_, text = jobs.run(["inspect", "D4"], tmp_path)
    job = jobs.run(["inspect", "S2^100"], tmp_path)
    assert text and next(job) == ""
    job.close()


def test_the_error_of_a_command_is_raised_with_its_caret(tmp_path):
    with pytest.raises(ValueError, match=r"^group 'S5 wr S'.*\n  S5 wr S\n +\^$"):
        list(jobs.run(["inspect", "S5 wr S"], tmp_path))


def test_a_process_ends_when_nobody_waits_for_it(tmp_path):
    before = children()
    job = jobs.run(["inspect", "S2^100"], tmp_path)  # takes many seconds
    next(job)
    started = children() - before
    assert started
    job.close()
    assert not started & children()


def test_no_process_outlives_the_server(tmp_path):
    before = children()
    job = jobs.run(["inspect", "S2^100"], tmp_path)
    next(job)
    assert children() - before
    jobs.end_all()
    with pytest.raises(ValueError, match="unexpectedly"):
        list(job)
    assert not children() - before
    *_, text = jobs.run(["inspect", "D4"], tmp_path)
    assert "exactly this group" in text


@pytest.mark.parametrize("bound", ["MAX_SECONDS", "MAX_BYTES"])
def test_a_process_that_takes_too_much_is_stopped(tmp_path, monkeypatch, bound):
    monkeypatch.setattr(jobs, bound, 0)
    before = children()
    with pytest.raises(ValueError, match="stopped: a training may take 0 "):
        list(jobs.run(["inspect", "S2^100"], tmp_path))
    assert children() == before


def test_a_process_that_dies_says_its_status(tmp_path):
    job = jobs.run(["inspect", "S2^100"], tmp_path)
    before = children()
    with contextlib.suppress(StopIteration):
        next(job)
    [pid] = children() - before
    psutil.Process(pid).kill()
    with pytest.raises(ValueError, match="unexpectedly, with status -9"):
        list(job)
