"""The cache of drawn rows: whatever happens to its files, the rows are the same, and nobody notices."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
import pytest

from asen_hf.data import get_task
from asen_hf.data.synthetic.sequence_task import SequenceTask

TASK = "equivariant/palindrome"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def draws(monkeypatch):
    """Counts how often rows are drawn."""
    drawn, draw = [], SequenceTask._draw
    monkeypatch.setattr(SequenceTask, "_draw", lambda *args, **kwargs: (drawn.append(1), draw(*args, **kwargs))[1])
    return drawn


def load():
    return {split: rows[:] for split, rows in get_task(TASK).load(60, seed=1).items()}


def files(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file())


def flip(content):
    rng = np.random.default_rng(len(content))
    changed = bytearray(content)
    for place in rng.integers(len(content), size=5):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "flipped": flip,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damaged_file_is_noticed_and_drawn_anew(cache, draws, damage):
    expected = load()
    written = files(cache)
    assert len(written) == 3
    for path in written:
        whole = path.read_bytes()
        path.unlink()  # memory maps of the old file stay as they are
        path.write_bytes(DAMAGES[damage](whole))
        before = len(draws)
        assert load() == expected
        assert len(draws) == before + 1 and path.read_bytes() == whole
        assert load() == expected and len(draws) == before + 1
    assert files(cache) == written


def test_a_missing_file_is_drawn_anew(cache, draws):
    expected = load()
    for path in files(cache):
        path.unlink()
        assert load() == expected
    assert len(draws) == 4


def test_rows_of_another_draw_are_not_taken_under_this_ones_name(cache, draws):
    expected = load()
    names = files(cache)
    get_task(TASK).load(60, seed=2)
    others = sorted(set(files(cache)) - set(names))
    for path, other in zip(names, others, strict=True):
        path.unlink()
        path.write_bytes(other.read_bytes())
    assert load() == expected and len(draws) == 3


@pytest.mark.parametrize("place", ["a folder in a file's place", "a file in the cache's place"])
def test_what_cannot_be_written_is_drawn_each_time(cache, draws, place):
    expected = load()
    if place == "a file in the cache's place":
        for path in files(cache):
            path.unlink()
        for folder in sorted((path for path in cache.rglob("*") if path.is_dir()), reverse=True):
            folder.rmdir()
        cache.rmdir()
        cache.write_text("no folder")
    else:
        path = files(cache)[0]
        path.unlink()
        path.mkdir()
        (path / "inside").touch()
    assert load() == expected and load() == expected and len(draws) == 3


def test_a_write_that_fails_leaves_nothing_behind(cache, draws, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    expected = load()
    assert files(cache) == []
    monkeypatch.undo()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    assert load() == expected


def test_loads_at_the_same_time_agree(cache):
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: load(), range(16)))
    assert all(splits == loaded[0] for splits in loaded)
    assert len(files(cache)) == 3


def test_the_cache_path_may_be_text(cache, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
    assert load() == load()
    assert all(Path(path).is_relative_to(cache) for path in files(cache))
