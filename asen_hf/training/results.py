"""The result of a training, and its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

from accelerate.utils import broadcast_object_list

from ..evaluation.scores import Score
from ..model.modeling_asen import AsenForMultitask
from ._processes import process_state


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        model: with the weights of the best checkpoint by validation, in evaluation mode.
        scores: each trained task's scores on its test rows, with reference predictions and equivariance errors.
        output_dir: the run's folder; ``None`` if it was temporary.
    """

    model: AsenForMultitask
    scores: dict[str, Score]
    output_dir: Path | None


@contextlib.contextmanager
def run_folder(output_dir: str | Path | None) -> Iterator[str]:
    """The folder of a run; without one, a temporary folder, common to all processes and removed at the end."""
    if output_dir is not None:
        yield str(output_dir)
        return
    with contextlib.ExitStack() as stack:
        path: list[str | None] = [None]
        if process_state().is_main_process:
            path = [stack.enter_context(tempfile.TemporaryDirectory(prefix="asen_hf_"))]
        yield str(broadcast_object_list(path)[0])
