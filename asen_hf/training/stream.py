"""Pretraining on an endless stream of random tasks, none of which the model keeps."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor, nn

from ..data.registry import get_stream, is_stream
from ..evaluation.scores import Score
from ..model._messages import naming
from ..model.modeling_asen import AsenForMultitask
from ..model.pretrained_asen import evaluating
from .recipe import Recipe
from .stream_objective import StreamObjective, to_tensors
from .task_recipe import TaskRecipe

_SCORED_BATCHES = 12
# Added to a run's seed: streams of validation and test share no task with that of training.
_VALIDATION, _TEST = 10**6, 2 * 10**6


def stream_of(recipe: Recipe) -> TaskRecipe | None:
    """The recipe's only task if its source is a stream of tasks.

    Raises:
        ValueError: a stream beside other tasks, with fields of a single task, with options that it does not take, or
            without a number of steps.
    """
    streams = [task for task in recipe.tasks if task.dataset is None and is_stream(task.source or task.name)]
    if not streams:
        return None
    if len(recipe.tasks) > 1:
        raise ValueError(f"task {streams[0].name!r}: a stream of tasks is pretrained on alone, without other tasks")
    if unused := sorted(streams[0].changed_fields().keys() - {"name", "source", "options"}):
        raise ValueError(f"task {streams[0].name!r}: {', '.join(unused)} is not for a stream of tasks")
    with naming(f"task {streams[0].name!r}"):
        get_stream(streams[0].source or streams[0].name, **streams[0].options)
    if recipe.training.max_steps < 1:
        raise ValueError(f"task {streams[0].name!r}: a stream of tasks has no end: say max_steps")
    return streams[0]


def stream_model(recipe: Recipe) -> AsenForMultitask:
    """A model without tasks, from random weights, with the embedder that the stream trains."""
    return AsenForMultitask(
        recipe.model.config(attn_implementation=recipe.training.attn_implementation, structure_embedder=True)
    )


class StreamWork:
    """Batches of a stream; validation and test are on tasks of the same prior that training never sees.

    Args:
        recipe: with a stream as its only task.
    """

    hashes: dict[str, dict[str, str]]

    def __init__(self, recipe: Recipe):
        task = stream_of(recipe)
        assert task is not None
        self.stream = get_stream(task.source or task.name, **task.options)
        self.name, self.training = task.name, recipe.training
        self.hashes = {}  # rows follow from the recipe
        self.num_rows = 1

    def fit(self, model: AsenForMultitask) -> bool:
        return False

    def prepare(self, model: AsenForMultitask) -> None:
        for name in model.config.tasks:
            for module in model.task_modules(name).values():
                module.requires_grad_(False)

    def objective(self, model: AsenForMultitask) -> nn.Module:
        return StreamObjective(model, self.name)

    def batch(self, index: int) -> Any:
        return self._batch(index, self.training.seed)

    def label_counts(self, accelerator: Accelerator, batches: list[Any]) -> dict[str, Tensor]:
        return {}

    def validate(self, model: AsenForMultitask) -> dict[str, Score]:
        return self._score(model, self.training.seed + _VALIDATION)

    def test(self, model: AsenForMultitask) -> dict[str, Score]:
        """Scores on tasks that neither training nor validation has seen."""
        return self._score(model, self.training.seed + _TEST)

    def _batch(self, index: int, seed: int) -> list[dict[str, Any]]:
        return [to_tensors(episode) for episode in self.stream.batch(index, self.training.rows_per_task, seed)]

    def _score(self, model: AsenForMultitask, seed: int) -> dict[str, Score]:
        """The mean over tasks; accuracy over tasks with classes, beside the share of their commonest class."""
        objective = StreamObjective(model, self.name)
        answers, sizes, rows = [], [], 0
        with evaluating(model):
            for index in range(_SCORED_BATCHES):
                batch = self._batch(index, seed)
                answers += objective.answers(send_to_device(batch, model.device))
                sizes += [episode["num_context"] for episode in batch]
                rows += sum(len(episode["labels"]) - episode["num_context"] for episode in batch)
        losses = torch.stack([answer.loss for answer in answers])
        right = [(size, float(a.accuracy)) for size, a in zip(sizes, answers, strict=True) if a.accuracy is not None]
        majority = [float(answer.majority) for answer in answers if answer.majority is not None]
        by_size = {
            f"accuracy from {size} rows": _mean([value for own, value in right if own == size])
            for size in sorted({size for size, _ in right})
        }
        score = Score(
            rows=rows,
            loss=float(losses.mean()),
            metric="accuracy",
            value=_mean([value for _, value in right]),
            details=by_size,
            references={"majority": _mean(majority)},
        )
        return {self.name: score}


def _mean(values: list[float]) -> float:
    return sum(values) / max(len(values), 1)
