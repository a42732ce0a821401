"""What a task says of pairs of nodes: relations between their inputs, and data given per pair; and checks of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._messages import shown
from .configuration_values import require

if TYPE_CHECKING:
    from .configuration_task import TaskConfig

MAX_COLOURS = 2**16
"""Largest number of colours into which relations and categories divide an orbital."""

MAX_BUCKETS = 2**10
"""Largest number of buckets of a pair feature."""


def check_pairs_declared(task: TaskConfig) -> None:
    """Check ``relations``, ``shared_token_embedding`` and the fields of pair inputs, and fill their defaults.

    Raises:
        ValueError: unknown, repeated or redundant relations, or relations and inputs that do not suit each other.
    """
    relations: Any = task.relations
    known = ("equal", "order", "sum", "difference")
    are_known = isinstance(relations, list) and all(relation in known for relation in relations)
    require(are_known, f"relations must be a list of some of {', '.join(known)}, got {shown(relations)}")
    require(len(set(relations)) == len(relations), f"relations must be different, got {shown(relations)}")
    require(not {"equal", "order"} <= set(relations), '"order" tells equal inputs apart already: leave "equal" out')
    require(
        task.vocab_size is not None or task.num_features == 1 or not relations,
        f"relations compare tokens, or one feature per node, and there are {task.num_features} features: put the "
        "others' comparisons into pairs (pair_features)",
    )
    require(
        task.vocab_size is not None or not {"sum", "difference"} & set(relations),
        'the relations "sum" and "difference" need tokens: for numbers, use pair_features',
    )
    require(not task.shared_token_embedding or task.vocab_size is not None, "shared_token_embedding needs vocab_size")
    require(
        task.pair_vocab_size is None or task.pair_features is None,
        "pairs have categories (pair_vocab_size) or numbers (pair_features), not both",
    )
    for name in ("pair_vocab_size", "pair_features"):
        value = getattr(task, name)
        require(value is None or 1 <= value <= MAX_COLOURS, f"{name} must be in 1 … {MAX_COLOURS:,}, got {value}")
    require(
        num_colours(task) <= MAX_COLOURS,
        f"relations and pair_vocab_size would divide every orbital into {num_colours(task):,} colours, but at most "
        f"{MAX_COLOURS:,} (MAX_COLOURS) are allowed",
    )
    require(
        2 <= task.pair_buckets <= MAX_BUCKETS, f"pair_buckets must be in 2 … {MAX_BUCKETS:,}, got {task.pair_buckets}"
    )
    if task.pair_quantiles is not None:
        task.pair_quantiles = _checked_quantiles(task, task.pair_quantiles)
    require(
        not task.symmetric_outputs or task.output_level == "pair",
        'symmetric_outputs needs output_level="pair": it makes the outputs of (i, j) and (j, i) equal',
    )
    require(
        task.output_level != "pair" or task.support != "sparse",
        'output_level="pair" needs labels of all pairs: set support="weak" or "complete"',
    )
    require(
        task.output_level != "pair" or task.symmetrization != "lift",
        'output_level="pair" needs symmetrization="average"',
    )


def _checked_quantiles(task: TaskConfig, quantiles: Any) -> list[list[float]]:
    expected = (
        f"pair_quantiles must be one list per pair feature ({task.pair_features or 0}) of 1 … {task.pair_buckets} "
        "increasing finite numbers"
    )
    require(
        isinstance(quantiles, list) and len(quantiles) == (task.pair_features or 0),
        f"{expected}, got {shown(quantiles)}",
    )
    for row in quantiles:
        are_numbers = isinstance(row, list) and all(
            type(number) in (int, float) and math.isfinite(number) for number in row
        )
        require(
            are_numbers and 1 <= len(row) <= task.pair_buckets and bool((np.diff(row) > 0).all()),
            f"{expected}, got {shown(row)}",
        )
    return [[float(number) for number in row] for row in quantiles]


def relation_sizes(task: TaskConfig) -> list[int]:
    """The number of values of each relation; the last value is of pairs with a missing input."""
    per_relation = {"equal": 2, "order": 3} | dict.fromkeys(("sum", "difference"), 2 * (task.vocab_size or 0) - 1)
    return [per_relation[relation] + 1 for relation in task.relations]


def num_colours(task: TaskConfig) -> int:
    """The number of colours into which relations and pair categories divide every orbital."""
    categories = 1 if task.pair_vocab_size is None else task.pair_vocab_size + 1  # the last of missing ones
    return math.prod(relation_sizes(task)) * categories
