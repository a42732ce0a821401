"""The folder of a run: locked by one run at a time, its checkpoints, and its result, published in one step.

::

    OUTPUT_DIR/
      .lock                     held while a run writes to the folder
      checkpoint-STEP/          the latest and the best by validation: a model, recipe.yaml, and state/ to resume from
      config.json               the result: a folder with this file holds a finished run
      model.safetensors, recipe.yaml, scores.json, test_scores.json
      README.md                 the model card, if a command made it
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub.constants import CONFIG_NAME
from safetensors import SafetensorError

from ..evaluation.scores import TEST_SCORES_NAME
from ._processes import process_state
from .recipe import TrainingRecipe

RECIPE_NAME, SCORES_NAME, STATE = "recipe.yaml", "scores.json", "state"
_LOCK = ".lock"
_RESULT = (CONFIG_NAME, "model.safetensors", RECIPE_NAME, SCORES_NAME, TEST_SCORES_NAME, "README.md")
_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")


@contextlib.contextmanager
def claimed(training: TrainingRecipe) -> Iterator[None]:
    """Create, test and lock a run's folder, for the main process of a run; all processes wait for it.

    A folder that was made here, and in which nothing was written, is removed at the end. Nested calls for one folder in
    one process share the lock.

    Raises:
        ValueError: the folder cannot be written, another run is writing to it, or it is not empty and the run neither
            resumes there nor overwrites.
    """
    state = process_state()
    with contextlib.ExitStack() as stack:
        with state.main_process_first():
            if state.is_main_process:
                stack.enter_context(_locked(Path(training.output_dir)))
                _check_may_write(Path(training.output_dir), training)
        yield


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    # The operating system releases the lock when the process dies, however it dies.
    is_new = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = FileLock(output / _LOCK, timeout=0, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"output_dir {output}: another run is writing to it; wait for its end, or choose another folder"
        ) from None
    except OSError as error:
        raise ValueError(f"output_dir {output} cannot be written to: {error.strerror or error}") from error
    try:
        yield
    finally:
        if is_new and [path.name for path in output.iterdir()] == [_LOCK]:  # refused, or failed before it wrote
            (output / _LOCK).unlink()
            output.rmdir()
        lock.release()


def _check_may_write(output: Path, training: TrainingRecipe) -> None:
    source = training.resume_from_checkpoint
    if source is not None and training.overwrite:
        raise ValueError("overwrite removes the run that resume_from_checkpoint continues: give one of the two")
    is_same_folder = source == "latest" or (source is not None and Path(source).resolve().parent == output.resolve())
    if training.overwrite or is_same_folder:
        return
    found = sorted(path.name for path in output.iterdir() if path.name != _LOCK and not _is_unfinished_write(path))
    if CONFIG_NAME in found:
        raise ValueError(
            f"output_dir {output} holds a finished run: choose another folder, or overwrite the run (--overwrite)"
        )
    if checkpoints(output):
        raise ValueError(
            f"output_dir {output} holds an unfinished run: continue it (--resume_from_checkpoint latest), overwrite it "
            "(--overwrite), or choose another folder"
        )
    if found:
        raise ValueError(
            f"output_dir {output} holds files that are not a run's, such as {found[0]}: choose an empty or new folder, "
            "or write beside them (--overwrite)"
        )


def checkpoints(output: Path) -> list[Path]:
    """The folders ``checkpoint-STEP`` by step; other folders of similar names are not the run's."""
    found = [path for path in output.glob("checkpoint-*") if _CHECKPOINT.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The training step that a checkpoint's folder is named after."""
    match = _CHECKPOINT.fullmatch(checkpoint.name)
    assert match is not None
    return int(match[1])


def remove_run(output: Path) -> None:
    """Remove a run's result and checkpoints, and nothing else."""
    for name in _RESULT:  # config.json first: without it, what is left is not taken for a result
        (output / name).unlink(missing_ok=True)
    for checkpoint in checkpoints(output):
        remove_checkpoint(checkpoint)


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove a checkpoint's folder; a death in between leaves nothing that looks like a checkpoint."""
    leaving = checkpoint.with_name(f".{checkpoint.name}.old.tmp")
    shutil.rmtree(leaving, ignore_errors=True)
    checkpoint.rename(leaving)
    shutil.rmtree(leaving)


def remove_unfinished_writes(output: Path) -> None:
    """Remove what an earlier run left behind when it died while it saved."""
    for path in output.iterdir():
        if _is_unfinished_write(path):
            shutil.rmtree(path)


def save_checkpoint(output: Path, step: int, fill: Callable[[Path], None]) -> Path:
    """Let ``fill`` write ``checkpoint-STEP`` under another name, and rename it when it is complete."""
    final = output / f"checkpoint-{step}"
    with _written_aside(final) as aside:
        fill(aside)
        if final.exists():  # of a run that resumed from an earlier step
            remove_checkpoint(final)
        aside.rename(final)
    return final


def unfinished_checkpoint(output: Path, step: int) -> Path:
    """Where ``checkpoint-STEP`` is written until it is complete."""
    return _aside(output / f"checkpoint-{step}")


def publish(output: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` write the result's files aside, and move them to the folder's top, config.json last.

    Without a config.json, the folder is no checkpoint. So moving this file is the one step that publishes the result,
    and a death before it leaves no mixture of an older result and this one.
    """
    with _written_aside(output / "result") as aside:
        fill(aside)
        for name in _RESULT:
            (output / name).unlink(missing_ok=True)
        for file in sorted(aside.iterdir(), key=lambda file: (file.name == CONFIG_NAME, file.name)):
            file.replace(output / file.name)
        aside.rmdir()


@contextlib.contextmanager
def _written_aside(final: Path) -> Iterator[Path]:
    """A folder to write into under a name that no reader takes for a checkpoint; removed if writing fails."""
    aside = _aside(final)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        reason = " ".join(str(error).split())
        raise ValueError(
            f"cannot write {final}: {reason}. Earlier checkpoints are whole: once there is room, continue with "
            "--resume_from_checkpoint latest"
        ) from error


def _aside(final: Path) -> Path:
    return final.with_name(f".{final.name}.tmp")


def _is_unfinished_write(path: Path) -> bool:
    return path.is_dir() and re.fullmatch(rf"\.({_CHECKPOINT.pattern}|result)(\.old)?\.tmp", path.name) is not None
