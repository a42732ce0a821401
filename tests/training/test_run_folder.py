"""A run's folder: locked, never overwritten unasked, whole at every moment, and safe to take from a stranger."""

import contextlib
import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asen_hf import AsenForMultitask, TaskConfig, finetune
from tests.training.small_runs import Death, checkpoints, copy_of, make_data, make_model, run, run_and_die

RESULT = {"config.json", "model.safetensors", "recipe.yaml", "scores.json"}


def contents(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def finished(folder):
    run(folder)


def unfinished(folder):
    run_and_die(folder, 3, eval_steps=2)


def foreign(folder):
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "cat.png").write_bytes(b"meow")


def only_similar_names(folder):
    for name in ("checkpoint-best", "checkpoint-foo", "checkpoint-", "checkpoint-1a", "checkpoint--3"):
        (folder / name).mkdir(parents=True)
        (folder / name / "keep").write_text("me")


MESSAGES = {
    finished: r"holds a finished run: .*--overwrite",
    unfinished: r"holds an unfinished run: .*--resume_from_checkpoint latest.*--overwrite",
    foreign: r"holds files that are not a run's, such as photos.*--overwrite",
    only_similar_names: r"holds files that are not a run's, such as checkpoint-",
}


@pytest.mark.parametrize("fill", MESSAGES, ids=lambda fill: fill.__name__)
def test_a_folder_in_use_is_refused_and_stays_as_it_was(tmp_path, fill):
    fill(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(ValueError, match=MESSAGES[fill]):
        run(tmp_path / "run", seed=1)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("fill", MESSAGES, ids=lambda fill: fill.__name__)
def test_overwriting_replaces_the_run_and_nothing_else(tmp_path, fill):
    run(tmp_path / "expected", seed=1)
    fill(tmp_path / "run")
    others = {
        path: content for path, content in contents(tmp_path / "run").items() if fill not in (finished, unfinished)
    }
    run(tmp_path / "run", seed=1, overwrite=True)
    expected, found = contents(tmp_path / "expected"), contents(tmp_path / "run")
    assert found.keys() - others.keys() == expected.keys() - others.keys()
    assert {path: found.get(path) for path in others} == others
    assert found[Path("model.safetensors")] == expected[Path("model.safetensors")]


def test_a_refused_overwriting_removes_nothing(tmp_path):
    finished(tmp_path)
    before = contents(tmp_path)
    data = make_data()
    del data["mark"]["validation"]
    with pytest.raises((ValueError, KeyError)):
        run(tmp_path, data=data, overwrite=True)
    assert contents(tmp_path) == before


def test_overwriting_and_resuming_contradict_each_other(tmp_path):
    with pytest.raises(ValueError, match="overwrite removes the run that resume_from_checkpoint continues"):
        run(tmp_path, overwrite=True, resume_from_checkpoint="latest")


def test_folders_of_similar_names_are_no_checkpoints(tmp_path):
    run_and_die(tmp_path, 3, eval_steps=2)
    only_similar_names(tmp_path)
    (tmp_path / "checkpoint-99").write_text("a file")
    run(tmp_path, eval_steps=2, resume_from_checkpoint="latest")
    assert (tmp_path / "checkpoint-best" / "keep").exists() and (tmp_path / "checkpoint-99").exists()


def test_a_checkpoint_from_elsewhere_does_not_open_another_runs_folder(tmp_path):
    unfinished(tmp_path / "first")
    finished(tmp_path / "second")
    before = contents(tmp_path / "second")
    with pytest.raises(ValueError, match="holds a finished run"):
        run(tmp_path / "second", eval_steps=2, resume_from_checkpoint=str(tmp_path / "first" / "checkpoint-2"))
    assert contents(tmp_path / "second") == before


HOLDER = """
import sys
from asen_hf.training._run_folder import claimed
from asen_hf.training.recipe import TrainingRecipe

first, second = (claimed(TrainingRecipe(output_dir=folder)) for folder in sys.argv[1:])
with second:
    with first:
        print("both are claimed", flush=True)
        sys.stdin.readline()
    print("the first is free", flush=True)
    sys.stdin.read()
"""


def test_a_folder_belongs_to_one_run_until_it_ends_or_is_killed(tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, *map(str, folders)], **pipes)
    assert holder.stdout.readline() == "both are claimed\n"
    for folder in folders:
        for arguments in ({}, {"overwrite": True}, {"resume_from_checkpoint": "latest"}):
            with pytest.raises(ValueError, match="another run is writing to it"):
                run(folder, **arguments)
    print(file=holder.stdin, flush=True)
    assert holder.stdout.readline() == "the first is free\n"
    run(folders[0])
    with pytest.raises(ValueError, match="another run is writing to it"):
        run(folders[1])
    holder.kill()
    holder.communicate("")
    run(folders[1])


def test_finetune_claims_its_folder_before_it_reads_the_rows(tmp_path):
    finished(tmp_path)
    with pytest.raises(ValueError, match="holds a finished run"):
        finetune(make_model(), TaskConfig(group="C4", vocab_size=3), "no_such_table.csv", output_dir=tmp_path)


@pytest.mark.parametrize("kind", ["a file", "under a file"])
def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path, kind):
    (tmp_path / "file").write_text("")
    output = tmp_path / "file" if kind == "a file" else tmp_path / "file" / "run"
    with pytest.raises(ValueError, match=f"output_dir .*{output.name} cannot be written to"):
        run(output)


def test_a_death_while_an_old_checkpoint_is_removed_leaves_no_half_of_it(tmp_path, monkeypatch):
    remove = shutil.rmtree

    def mortal(path, *arguments, **keywords):
        if Path(path).exists() and (files := [file for file in Path(path).rglob("*") if file.is_file()]):
            files[0].unlink()
            raise Death
        remove(path, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", mortal)
        with pytest.raises(Death):
            run(tmp_path, max_steps=6, eval_steps=2)
    for name in checkpoints(tmp_path):
        AsenForMultitask.from_pretrained(tmp_path / name)
    run(tmp_path, max_steps=6, eval_steps=2, resume_from_checkpoint="latest")
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize("dies_after", range(9))
def test_a_death_while_publishing_never_mixes_two_results(tmp_path, dies_after, monkeypatch):
    """A finished run is trained on; the second result's files replace the first's one by one."""
    run(tmp_path, eval_steps=2, max_steps=4)
    first = {name: (tmp_path / name).read_bytes() for name in RESULT}
    count = 0

    def mortal(function):
        def counted(self, *arguments, **keywords):
            nonlocal count
            if (self.parent == tmp_path and self.name in RESULT) or self.parent.name == ".result.tmp":
                if count == dies_after:
                    raise Death
                count += 1
            return function(self, *arguments, **keywords)

        return counted

    with monkeypatch.context() as patch:
        for name in ("unlink", "replace", "rename"):
            patch.setattr(Path, name, mortal(getattr(Path, name)))
        more = {"eval_steps": 2, "max_steps": 6, "resume_from_checkpoint": "latest"}
        if dies_after < 8:  # four files are removed and four are moved
            with pytest.raises(Death):
                run(tmp_path, **more)
        else:
            run(tmp_path, **more)
    is_loadable = (tmp_path / "config.json").exists()
    found = {name: (tmp_path / name).read_bytes() for name in RESULT if (tmp_path / name).exists()}
    assert not is_loadable or dies_after in (0, 8)
    if dies_after == 0:
        assert found == first
    run(tmp_path, **more)  # finishes it
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["step"] == 6
    best = load_file(tmp_path / "checkpoint-6" / "model.safetensors")
    assert all(torch.equal(x, best[name]) for name, x in load_file(tmp_path / "model.safetensors").items())


@contextlib.contextmanager
def size_of_files_is_at_most(limit):
    """Within it, writing more bytes to a file fails with an OSError, as where the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [0, 200, 4000, 15000])  # the config, the weights and the optimiser's state
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(tmp_path, limit):
    with pytest.raises(ValueError, match=r"cannot write.*once there is room"), size_of_files_is_at_most(limit):
        run(tmp_path / "run", max_steps=4, eval_steps=2)
    assert not (tmp_path / "run").exists()


class Payload:
    """What a pickle from a stranger does when it is loaded."""

    def __reduce__(self):
        return (Path.touch, (Path(os.environ["PAYLOAD_RAN"]),))


def test_no_file_of_a_folder_can_execute_code(tmp_path, monkeypatch):
    """Every file of an unfinished run is replaced by a pickle, in each of pickle's and torch's formats."""
    monkeypatch.setenv("PAYLOAD_RAN", str(tmp_path / "ran"))
    run_and_die(tmp_path / "run", 3, eval_steps=2)
    checkpoint = tmp_path / "run" / "checkpoint-2"
    names = [path.relative_to(checkpoint) for path in checkpoint.rglob("*") if path.is_file()]
    assert len(names) == 6
    for name in names:
        for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
            content = (checkpoint / name).read_bytes()
            save(Payload(), checkpoint / name)
            with pytest.raises(ValueError, match="cannot resume"):
                run(tmp_path / "run", eval_steps=2, resume_from_checkpoint="latest")
            (checkpoint / name).write_bytes(content)
    for name in ("random_states_0.pkl", "custom_checkpoint_0.pkl", "optimizer.bin", "scheduler.bin"):
        torch.save(Payload(), checkpoint / "state" / name)  # what Accelerate would load
    torch.save(Payload(), checkpoint / "pytorch_model.bin")
    run(tmp_path / "run", eval_steps=2, resume_from_checkpoint="latest")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Payload()))
    assert (tmp_path / "ran").exists()  # the payload does work


def test_nothing_is_written_with_pickle(tmp_path, monkeypatch):
    for owner, name in ((pickle, "dump"), (pickle, "dumps"), (torch, "save")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("pickled"))
    run(tmp_path, eval_steps=2)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert suffixes == {".json", ".safetensors", ".yaml"}


def test_the_result_loads_from_a_folder_whose_checkpoints_are_gone(tmp_path):
    model = run(tmp_path)
    for checkpoint in checkpoints(tmp_path):
        shutil.rmtree(tmp_path / checkpoint)
    loaded = AsenForMultitask.from_pretrained(tmp_path)
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in copy_of(model).items())
