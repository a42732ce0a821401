"""Scores with the measures of a task's own field, such as a decoder's logical error rate, among their details."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from numpy.typing import NDArray

from ..data.registry import Predictor
from ..evaluation.scores import Score
from ..model.modeling_asen import AsenForMultitask
from .task_recipe import TaskRecipe


def judged(
    scores: Mapping[str, Score],
    model: AsenForMultitask,
    sources: Iterable[TaskRecipe],
    split: str = "test",
    batch_size: int = 256,
) -> dict[str, Score]:
    """The scores, to whose details the tasks among ``sources`` that judge predictors add their measures.

    Args:
        scores: by task.
        model: what was scored.
        sources: where the tasks' rows come from (see :class:`~asen_hf.data.registry.Judge`).
        split: what was scored on; nothing but the test split is judged.
        batch_size: rows per forward pass.
    """
    found = dict(scores)
    for source in sources:
        if split == "test" and source.name in found:
            measures = source.judge(predictor(model, source.name, batch_size))
            score = found[source.name]
            found[source.name] = dataclasses.replace(score, details=score.details | measures)
    return found


def predictor(model: AsenForMultitask, name: str, batch_size: int = 256) -> Predictor:
    """A model's task as a function from inputs to probabilities, or to regressed values in raw units."""
    read = model.predict if model.config.tasks[name].is_regression else model.predict_proba

    def predict(inputs: NDArray) -> NDArray:
        return read(inputs, name, batch_size).cpu().numpy()

    return predict
