"""What a task says of its nodes' inputs: tokens or features, and how features are normalised; and checks of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._messages import shown
from .configuration_outputs import check_size
from .configuration_statistics import checked_statistics
from .configuration_values import require

if TYPE_CHECKING:
    from .configuration_task import TaskConfig


def check_inputs_declared(task: TaskConfig) -> None:
    """Check ``vocab_size``, ``num_features``, ``input_names`` and the inputs' statistics, and fill their defaults.

    Raises:
        ValueError: not exactly one of tokens and features, a size out of range, names that are not one per column or
            not distinct, or invalid statistics.
    """
    require(
        (task.vocab_size is None) != (task.num_features is None),
        "exactly one of vocab_size (token inputs) and num_features (continuous inputs) is needed, got "
        f"vocab_size={task.vocab_size} and num_features={task.num_features}",
    )
    require(task.input_size >= 1, f"vocab_size or num_features must be at least 1, got {task.input_size}")
    check_size(task, "vocab_size" if task.num_features is None else "num_features")
    if task.input_names is not None:
        counts = sorted({task.degree, math.prod(task.input_shape())})
        require(
            len({name.strip() for name in task.input_names}) == len(task.input_names) in counts,
            f"input_names must be {' or '.join(map(str, counts))} different names, one per node"
            f"{' or one per node and feature' * (len(counts) > 1)}, got {len(task.input_names)}: "
            f"{shown(task.input_names)}",
        )
    names = ("input_mean", "input_scale")
    task.input_mean, task.input_scale = checked_statistics(
        task.input_mean, task.input_scale, task.num_features, names, "num_features", task.degree
    )
