"""Checks of what a task's config says of its outputs, and the defaults that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._messages import shown
from .configuration_statistics import checked_statistics
from .configuration_values import require

if TYPE_CHECKING:
    from .configuration_task import TaskConfig

MAX_SIZE = 2**24
"""Largest vocabulary, number of features and number of labels."""

_LARGEST_WEIGHT = 1e6
_LOSSES = {  # the first is the default
    "single_label_classification": ("cross_entropy",),
    "multi_label_classification": ("binary_cross_entropy",),
    "regression": ("l1", "mse"),
}


def check_outputs_declared(task: TaskConfig) -> None:
    """Fill in what a task does not say of its outputs, and check what it says.

    Raises:
        ValueError: ``num_labels``, ``loss``, ``metric``, ``class_weights``, ``label_names``, ``label_mean``,
            ``label_scale``, ``residual_feature``, ``pooling``, ``pool_by_orbit``, ``linear_skip`` or
            ``partner_counts`` do not suit the rest of the config.
    """
    _fill_defaults(task)
    _check_labels(task)
    _check_residual(task)
    require(
        task.output_level == "graph" or (task.pooling is None and not task.pool_by_orbit),
        'pooling and pool_by_orbit need output_level="graph": outputs of nodes and of pairs pool nothing',
    )
    require(
        not task.linear_skip or (task.num_features is not None and task.is_regression and task.output_level != "pair"),
        "linear_skip needs a regression of nodes or graphs on continuous inputs",
    )
    require(
        not task.partner_counts or can_count_partners(task),
        "partner_counts needs outputs of nodes or graphs, and relations or pair_vocab_size; pair_features cannot be "
        "counted",
    )


def _fill_defaults(task: TaskConfig) -> None:
    """``num_labels``, ``loss`` and ``metric``: checked where they are stated, else the first that suits."""
    least = 2 if task.problem_type == "single_label_classification" else 1
    if task.num_labels is None:
        task.num_labels = len(task.label_names) if task.label_names is not None else least
    require(task.num_labels >= least, f"{task.problem_type} needs num_labels >= {least}, got {task.num_labels}")
    check_size(task, "num_labels")
    losses = _LOSSES[task.problem_type]
    if task.loss is None:
        task.loss = losses[0]  # type: ignore[assignment]
    require(task.loss in losses, f"loss must be {' or '.join(losses)} for {task.problem_type}, got {task.loss!r}")
    if task.is_regression:
        suits = ["mae", *["mpjpe", "p_mpjpe"] * (task.output_level == "node" and task.num_labels > 1)]
    else:
        suits = ["accuracy", *["auc"] * (task.is_multi_label or task.num_labels == 2)]
    if task.metric is None:
        task.metric = suits[0]  # type: ignore[assignment]
    require(task.metric in suits, f"metric must be {' or '.join(suits)} for this task, got {task.metric!r}")


def _check_labels(task: TaskConfig) -> None:
    """Weights, names and statistics of the labels."""
    if task.class_weights is not None:
        _check_class_weights(task, task.class_weights)
    if task.label_names is not None:
        require(
            len(set(task.label_names)) == task.num_labels == len(task.label_names),
            f"label_names must be {task.num_labels} different names, got {len(set(task.label_names))} different "
            f"ones among {len(task.label_names)}",
        )
    size, names = task.num_labels if task.is_regression else None, ("label_mean", "label_scale")
    task.label_mean, task.label_scale = checked_statistics(
        task.label_mean, task.label_scale, size, names, "num_labels of a regression"
    )


def _check_residual(task: TaskConfig) -> None:
    if task.residual_feature is None:
        return
    require(
        task.num_features is not None and task.output_level == "node" and task.is_regression,
        "residual_feature needs a node-level regression on continuous inputs",
    )
    require(
        0 <= task.residual_feature < (task.num_features or 0),
        f"residual_feature must be in 0 … {(task.num_features or 0) - 1}, got {task.residual_feature}",
    )


def can_count_partners(task: TaskConfig) -> bool:
    """Whether counts of partners differ between rows, and a head of node or pooled states can read them."""
    is_coloured = bool(task.relations) or task.pair_vocab_size is not None
    return is_coloured and task.output_level != "pair" and task.pair_features is None


def _check_class_weights(task: TaskConfig, weights: list) -> None:
    require(not task.is_regression, "class_weights need classes, and a regression has none")
    are_numbers = all(type(weight) in (int, float) and 0 <= weight <= _LARGEST_WEIGHT for weight in weights)
    require(
        len(weights) == task.num_labels and are_numbers and sum(weights) > 0,
        f"class_weights must be {task.num_labels} numbers in 0 … {_LARGEST_WEIGHT:g}, not all 0, got {shown(weights)}",
    )


def check_size(task: TaskConfig, name: str) -> None:
    """Refuse a field that says a number larger than ``MAX_SIZE``."""
    size = getattr(task, name)
    require(size <= MAX_SIZE, f"{name} may be at most {MAX_SIZE:,} (MAX_SIZE), got {size:,}")
