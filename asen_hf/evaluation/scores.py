"""Scores: one dataclass, and one JSON shape for ``scores.json``, ``test_scores.json`` and ``asen evaluate``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from ..data import collate
from ..model.heads import is_known, predictions
from ..model.modeling_asen import AsenForMultitask
from ..model.pretrained_asen import evaluating
from .metrics import METRICS, details
from .provenance import provenance


@dataclasses.dataclass(frozen=True)
class Score:
    """One task on one split.

    Attributes:
        rows: number of rows of the split.
        loss: mean loss in normalised units, as in training.
        metric: the task's (see ``TaskConfig``).
        value: the metric, in raw units.
        details: further numbers in raw units, by name (see :func:`asen_hf.evaluation.metrics.details`).
        references: the same metric of predictors without a network, by name.
        equivariance_error: over random elements of the group; ``None`` where it was not measured.
        outside_error: the same for a random permutation that is no symmetry of the network; ``None`` where it was not
            measured, or every permutation is a symmetry.
    """

    rows: int
    loss: float
    metric: str
    value: float
    details: dict[str, float] = dataclasses.field(default_factory=dict)
    references: dict[str, float] = dataclasses.field(default_factory=dict)
    equivariance_error: float | None = None
    outside_error: float | None = None


@dataclasses.dataclass(frozen=True)
class ScoreRecord:
    """Scores as a file keeps them, with what they were measured on.

    Attributes:
        split: the rows scored: train, validation or test.
        seed: of the rows, and of the run.
        scores: by task.
        step: the training step of the checkpoint; ``None`` where it is not known.
        provenance: code, libraries and machine (see :func:`asen_hf.evaluation.provenance.provenance`).
    """

    split: str
    seed: int
    scores: dict[str, Score]
    step: int | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=provenance)

    @classmethod
    def read(cls, path: str | Path) -> ScoreRecord:
        """Read what :meth:`write` wrote. ``ValueError`` names the file and what in it is wrong."""
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
            scores = {task: Score(**score) for task, score in fields.pop("scores").items()}
            return cls(scores=scores, **fields)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: expected scores as asen evaluate --output writes them: {error!r}") from error

    def write(self, path: str | Path) -> None:
        """Write the record as JSON."""
        Path(path).write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


def score_splits(model: AsenForMultitask, splits: Mapping[str, Dataset], batch_size: int = 256) -> dict[str, Score]:
    """Loss and metric of each task on a split, without reference predictions and equivariance errors.

    Args:
        model: left in the mode, training or not, that it was in.
        splits: ``{task: Dataset}`` with columns ``inputs`` and ``labels``.
        batch_size: rows per forward pass.

    Returns:
        ``{task: Score}``, in the order of ``splits``; means over all labels that are not ignored.
    """
    return {name: _score(model, name, split, batch_size) for name, split in splits.items()}


def _score(model: AsenForMultitask, name: str, split: Dataset, batch_size: int) -> Score:
    task = model.config.tasks[name]
    metric = METRICS[str(task.metric)]
    columns = collate(task, split)
    total = torch.zeros(2, dtype=torch.float64)  # sum of the losses, and the number of labels
    predicted = []
    for batch in _batches(columns, batch_size):
        batch = {key: column.to(model.device) for key, column in batch.items()}
        with evaluating(model):
            output = model(**batch, task=name)
        count = int(is_known(task, batch["labels"]).sum())
        total += torch.tensor([float(output.loss) * count, count])
        logits = output.logits
        guess = logits[..., 1] - logits[..., 0] if metric.uses_scores else predictions(task, logits, batch["inputs"])
        predicted.append(guess.cpu())
    compared = torch.cat(predicted), columns["labels"], is_known(task, columns["labels"])
    return Score(
        rows=len(split),
        loss=float(total[0] / total[1]),
        metric=str(task.metric),
        value=metric.compute(*compared),
        details=details(task, *compared),
    )


def _batches(columns: Mapping[str, Tensor], batch_size: int) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(columns["inputs"]), batch_size):
        yield {name: column[start : start + batch_size] for name, column in columns.items()}
