"""Checkpoints are found by name, and what is no checkpoint is refused at once."""

import time

import pytest

from asen_hf import AsenConfig, AsenForMultitask
from asen_hf.model.checkpoints import checkpoint_path


def test_a_committed_checkpoint_loads_by_name():
    folder = checkpoint_path("asen-sequence-tiny")
    assert (folder / "model.safetensors").is_file()
    assert AsenConfig.from_pretrained("asen-sequence-tiny").to_dict() == AsenConfig.from_pretrained(folder).to_dict()
    model = AsenForMultitask.from_pretrained("asen-sequence-tiny")
    name = next(iter(model.config.tasks))
    assert model.task_modules(name)["head"] is model.heads[name]


def test_an_unknown_committed_name_lists_those_known():
    with pytest.raises(ValueError, match=r"'nothing'; known: .*asen-sequence-tiny"):
        checkpoint_path("nothing")


def test_a_local_folder_wins(tmp_path, monkeypatch):
    AsenConfig(hidden_size=16).save_pretrained(tmp_path / "asen-sequence-tiny")
    monkeypatch.chdir(tmp_path)
    assert AsenConfig.from_pretrained("asen-sequence-tiny").hidden_size == 16


@pytest.mark.parametrize("loaded", [AsenConfig, AsenForMultitask])
@pytest.mark.parametrize("name", ["tests/nowhere", "./nowhere", "/tmp/nowhere", "a/b/c"])
def test_what_cannot_be_a_checkpoint_is_refused_without_a_request(loaded, name, tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    with pytest.raises(OSError, match=f"checkpoint {name}: there is no such folder"):
        loaded.from_pretrained(name)
    assert time.monotonic() - started < 1
