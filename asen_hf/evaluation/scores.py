"""Scores: one dataclass, and one JSON shape for ``scores.json``, ``test_scores.json`` and ``asen evaluate``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from ..data import collate
from ..model._html import html_table
from ..model._messages import naming
from ..model.configuration_task import TaskConfig
from ..model.heads import is_known
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import to_device
from ..model.pretrained_asen import evaluating
from .metrics import METRICS, details, guesses
from .provenance import provenance
from .row_outcomes import RowOutcomes, rows_digest

TEST_SCORES_NAME = "test_scores.json"  # of a finished run's folder, beside scores.json, its validation scores


@dataclasses.dataclass(frozen=True)
class Score:
    """Scores of one task on one split.

    Attributes:
        rows: number of rows of the split.
        loss: mean loss in normalised units, as in training.
        metric: name of the task's metric (see ``TaskConfig``).
        value: value of the metric, in raw units.
        details: further numbers in raw units, by name (see :func:`asen_hf.evaluation.metrics.details`).
        references: the same metric of predictors without a network, by name.
        equivariance_error: the largest over random elements of the group; ``None`` where it was not measured.
        outside_error: the same for a random permutation that is not a symmetry of the network; ``None`` where it was
            not measured, or every permutation is a symmetry.
    """

    rows: int
    loss: float
    metric: str
    value: float
    details: dict[str, float] = dataclasses.field(default_factory=dict)
    references: dict[str, float] = dataclasses.field(default_factory=dict)
    equivariance_error: float | None = None
    outside_error: float | None = None

    def _repr_html_(self) -> str:
        return html_table([*zip(_HEAD, _cells("", self), strict=True)][1:])


class ScoreTable(dict[str, Score]):
    """Scores by task, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return html_table([_cells(name, score) for name, score in self.items()], _HEAD)


@dataclasses.dataclass(frozen=True)
class ScoreRecord:
    """The content of a score file: scores, and what they were measured on and with.

    Attributes:
        split: the split that was scored: train, validation or test.
        seed: the run's seed, which the split depends on.
        scores: ``{task: Score}``.
        step: the training step of the checkpoint; ``None`` where it is not known.
        provenance: code, libraries and machine (see :func:`asen_hf.evaluation.provenance.provenance`).
        rows: a hash of every split's rows, ``{task: {split: hash}}``; empty where it is not known.
    """

    split: str
    seed: int
    scores: dict[str, Score]
    step: int | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=provenance)
    rows: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def _repr_html_(self) -> str:
        step = "" if self.step is None else f", step {self.step:,}"
        caption = f"scores on the split {self.split}, seed {self.seed}{step}"
        return html_table([_cells(name, score) for name, score in self.scores.items()], _HEAD, caption)

    @classmethod
    def read(cls, path: str | Path) -> ScoreRecord:
        """Read what :meth:`write` wrote. ``ValueError`` names the file and what in it is wrong."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        with naming(f"{path}: expected scores as asen evaluate --output writes them"):
            _check_keys(cls, content, "the file")
            fields = {"step": None, "provenance": {}, "rows": {}, **content, "scores": _scores(content["scores"])}
            kinds = {"split": str, "seed": int, "step": int | None, "provenance": dict, "rows": dict}
            for name, kind in kinds.items():
                if not isinstance(fields[name], kind):
                    raise ValueError(f"{name}: got {fields[name]!r}")
            return cls(**fields)

    def write(self, path: str | Path) -> None:
        """Write the record as JSON, which has no NaN and no infinities: they become "NaN", "Infinity", "-Infinity"."""
        fields = _encoded(dataclasses.asdict(self))
        Path(path).write_text(json.dumps(fields, indent=2, allow_nan=False) + "\n", encoding="utf-8")


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


def score_predictions(task: TaskConfig, predicted: Tensor, labels: Tensor, loss: float = math.nan) -> Score:
    """The score of predictions.

    Args:
        task: its config.
        predicted: in raw units, in the labels' shape; *scores* of the second class where the metric compares scores.
        labels: in raw units.
        loss: their mean loss, in normalised units, where there is one.
    """
    compared = predicted, labels, is_known(task, labels)
    return Score(
        rows=len(labels),
        loss=loss,
        metric=str(task.metric),
        value=METRICS[str(task.metric)].compute(*compared),
        details=details(task, *compared),
    )


def row_outcomes(model: AsenForMultitask, name: str, split: Dataset, batch_size: int = 256) -> RowOutcomes:
    """What a task got right on each row of a split."""
    task = model.config.tasks[name]
    predicted, labels, _ = _predicted(model, name, split, batch_size)
    digest = rows_digest(collate(task, split))
    return RowOutcomes.of(str(task.metric), predicted, labels, is_known(task, labels), digest)


def _score(model: AsenForMultitask, name: str, split: Dataset, batch_size: int) -> Score:
    return score_predictions(model.config.tasks[name], *_predicted(model, name, split, batch_size))


def _predicted(model: AsenForMultitask, name: str, split: Dataset, batch_size: int) -> tuple[Tensor, Tensor, float]:
    """Predictions, labels and mean loss of a task on a split."""
    task = model.config.tasks[name]
    columns = collate(task, split)
    total = torch.zeros(2, dtype=torch.float64)  # sum of the losses, and the number of labels
    predicted = []
    for batch in _batches(columns, batch_size):
        batch = to_device(batch, model.device)
        with evaluating(model):
            output = model(**batch, task=name)
        count = int(is_known(task, batch["labels"]).sum())
        total += torch.tensor([float(output.loss) * count, count])
        predicted.append(guesses(task, output.logits, batch["inputs"]).cpu())
    return torch.cat(predicted), columns["labels"], float(total[0] / total[1])


def _batches(columns: Mapping[str, Tensor], batch_size: int) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(columns["inputs"]), batch_size):
        yield {name: column[start : start + batch_size] for name, column in columns.items()}


_HEAD = ("task", "rows", "loss", "score", "reference predictions", "equivariance error", "outside the group")


def _cells(name: str, score: Score) -> list[str]:
    details, references = (
        ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
        for numbers in (score.details, score.references)
    )
    errors = ("-" if error is None else f"{error:.1e}" for error in (score.equivariance_error, score.outside_error))
    value = f"{score.metric} {score.value:.4g}" + (f" ({details})" if details else "")
    return [name, f"{score.rows:,}", f"{score.loss:.4f}", value, references, *errors]


# As in protobuf's mapping to JSON.
_NON_FINITE = ("NaN", "Infinity", "-Infinity")


def _encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _encoded(entry) for key, entry in value.items()
        }  # JSON would hold 1 and "1" as one key, twice
    if isinstance(value, list | tuple):
        return [_encoded(entry) for entry in value]
    if isinstance(value, np.generic | Tensor):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f'the bare constant {constant}; expected the string "{constant}"')


def _scores(content: Any) -> dict[str, Score]:
    if not isinstance(content, dict):
        raise ValueError(f"scores: expected a mapping from tasks to scores, got a {type(content).__name__}")
    scores = {}
    for task, fields in content.items():
        where = f"scores of {task}"
        _check_keys(Score, fields, where)
        if not isinstance(fields["metric"], str):
            raise ValueError(f"{where}: metric: expected a name, got {fields['metric']!r}")
        if type(fields["rows"]) is not int:
            raise ValueError(f"{where}: rows: expected a number of rows, got {fields['rows']!r}")
        scores[task] = Score(
            rows=fields["rows"],
            loss=_number(fields["loss"], f"{where}: loss"),
            metric=fields["metric"],
            value=_number(fields["value"], f"{where}: value"),
            details=_numbers(fields.get("details", {}), f"{where}: details"),
            references=_numbers(fields.get("references", {}), f"{where}: references"),
            equivariance_error=_optional_number(fields.get("equivariance_error"), f"{where}: equivariance_error"),
            outside_error=_optional_number(fields.get("outside_error"), f"{where}: outside_error"),
        )
    return scores


def _numbers(values: Any, where: str) -> dict[str, float]:
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a mapping from names to numbers, got {values!r}")
    return {name: _number(value, f"{where}: {name}") for name, value in values.items()}


def _optional_number(value: Any, where: str) -> float | None:
    return None if value is None else _number(value, where)


def _number(value: Any, where: str) -> float:
    if value in _NON_FINITE or type(value) in (int, float):
        with contextlib.suppress(OverflowError):  # an integer of more than 308 digits
            return float(value)
    raise ValueError(f"{where}: expected a number, got {reprlib.repr(value)}")


def _check_keys(cls: type, content: Any, where: str) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected a mapping, got a {type(content).__name__}")
    known = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := content.keys() - known.keys():
        raise ValueError(f"{where}: unknown key {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    required = [
        name
        for name, field in known.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing := [name for name in required if name not in content]:
        raise ValueError(f"{where}: lacks {', '.join(missing)}")
