"""The result of a training, and the test scores in its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from accelerate.utils import broadcast_object_list

from ..evaluation.scores import Score
from ..model._messages import shown
from ..model.modeling_asen import AsenForMultitask
from ._processes import process_state
from .loop import train
from .recipe import Recipe
from .stream import StreamWork
from .work import MultitaskWork


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


def train_and_score(model: AsenForMultitask, work: MultitaskWork | StreamWork, recipe: Recipe) -> dict[str, Score]:
    """Train (see :func:`~asen_hf.training.loop.train`) and score the best checkpoint on test rows.

    Every process scores and returns the same values; the model is left in evaluation mode.
    """
    scores = train(model, work, recipe, work.test)["test"].scores
    model.eval()
    model.requires_grad_(True)  # train has frozen the tasks that are not trained
    return scores


@contextlib.contextmanager
def run_folder(output_dir: str | Path | None) -> Iterator[str]:
    """The folder of a run; without one, a temporary folder, common to all processes and removed at the end."""
    if not isinstance(output_dir, str | os.PathLike | None):
        raise ValueError(f"output_dir: expected a folder, got {shown(output_dir)}")
    if output_dir is not None:
        yield str(output_dir)
        return
    with contextlib.ExitStack() as stack:
        path: list[str | None] = [None]
        if process_state().is_main_process:
            path = [stack.enter_context(tempfile.TemporaryDirectory(prefix="asen_hf_"))]
        yield str(broadcast_object_list(path)[0])
