"""Scores for transformers' Trainer: the task's loss and metric over all rows of an evaluation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import EvalPrediction

from ..model.configuration_task import TaskConfig
from ..model.heads import is_known, task_loss
from .metrics import METRICS, guesses


def trainer_metrics(task: TaskConfig) -> Callable[[EvalPrediction], dict[str, float]]:
    """A ``compute_metrics`` for ``transformers.Trainer``.

    Its ``loss`` becomes the Trainer's ``eval_loss``: the mean over all labels of the split, as in training. Trainer's
    own ``eval_loss`` is a mean of the batches' means, and depends on the batch size where labels are missing. Trainer
    does not show the mask of rows of fewer nodes here: their labels must be -100 or NaN at padding, as ``load_table``
    and ``collate`` make them.

    Args:
        task: the task that is evaluated. One with ``residual_feature`` needs
            ``TrainingArguments(include_for_metrics=["inputs"])``.

    Returns:
        A function of the evaluation's logits and labels to ``{"loss": …, metric: …}``, the metric in raw units.
    """
    metric = METRICS[str(task.metric)]

    def compute(evaluation: EvalPrediction) -> dict[str, float]:
        if task.residual_feature is not None and evaluation.inputs is None:
            raise ValueError(
                "a task with residual_feature is scored with its inputs: set "
                'TrainingArguments(include_for_metrics=["inputs"])'
            )
        logits, labels = torch.as_tensor(evaluation.predictions), torch.as_tensor(evaluation.label_ids)
        inputs = logits if evaluation.inputs is None else torch.as_tensor(evaluation.inputs)
        value = metric.compute(guesses(task, logits, inputs), labels, is_known(task, labels))
        return {"loss": float(task_loss(task, logits, labels, inputs)), str(task.metric): value}

    return compute
