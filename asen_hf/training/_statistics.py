"""The statistics that a run's tasks are trained with."""

from __future__ import annotations

from collections.abc import Mapping

from datasets import DatasetDict

from ..data.statistics import with_statistics
from ..model.configuration_task import TaskConfig
from .recipe import TrainingRecipe
from .work import subsample


def with_training_statistics(
    configs: Mapping[str, TaskConfig], data: Mapping[str, DatasetDict], training: TrainingRecipe, is_logged: bool
) -> dict[str, TaskConfig]:
    """Tasks by name, with statistics of the rows that the run trains on where they state none.

    Args:
        configs, data: the tasks and their rows.
        training: its ``train_rows`` may leave rows out, whose labels must then have no influence.
        is_logged: whether to log what was computed.
    """
    return {
        name: with_statistics(task, subsample(data[name]["train"], training), name if is_logged else None)
        for name, task in configs.items()
    }
