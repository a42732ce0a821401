"""The result of a training, and the test scores in its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from accelerate.utils import broadcast_object_list
from datasets import DatasetDict

from ..evaluation.scoreboard import scoreboard
from ..evaluation.scores import Score
from ..model.modeling_asen import AsenForMultitask
from ._processes import process_state
from .judging import judged
from .loop import train
from .recipe import Recipe
from .work import subsample


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


def train_and_score(model: AsenForMultitask, data: Mapping[str, DatasetDict], recipe: Recipe) -> dict[str, Score]:
    """Train (see :func:`~asen_hf.training.loop.train`) and score the best checkpoint on the test rows.

    Every process scores and returns the same values.
    """

    def score(best: AsenForMultitask) -> dict[str, Score]:
        best.eval()
        best.requires_grad_(True)  # train has frozen the tasks that are not in data
        # Reference predictions see the rows that the model was trained on, and no more.
        fitted = {
            name: DatasetDict({**splits, "train": subsample(splits["train"], recipe.training)})
            for name, splits in data.items()
        }
        board = scoreboard(best, fitted, batch_size=recipe.training.eval_batch_size)
        return judged(board, best, recipe.tasks, batch_size=recipe.training.eval_batch_size)

    return train(model, data, recipe, score)["test"].scores


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
