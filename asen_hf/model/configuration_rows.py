"""Columns of a task's rows, and their checks: shapes, dtypes and ranges, where they enter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .configuration_statistics import LARGEST_NORMALIZED, normalized
from .configuration_values import require
from .twins import has_twin

if TYPE_CHECKING:
    from .configuration_task import TaskConfig

IGNORED_CLASS = -100  # PyTorch's ignore_index for cross entropy
MISSING_TOKEN = -1
# Columns that rows may have beside inputs and labels.
PAIRS = "pairs"  # (N, n, n) or (N, n, n, P): pair inputs, row = target, column = source
MASK = "attention_mask"  # (N, n): 1 for the nodes that a row has, 0 for padding
WEIGHTS = "weights"  # (N,): a factor of the row's loss
COSETS = "cosets"  # (N,), of batches: which one of the cosets a row is averaged over, instead of all
_CLASSES = "biu"  # kinds of dtypes whose entries are classes, tokens or categories: true is 1 and false is 0
_NUMBERS = "biuf"  # likewise of features and values

_NEAR_MEAN = f"within {LARGEST_NORMALIZED:g} · {{0}}_scale of {{0}}_mean (state both in the task's config)"


def check_inputs(task: TaskConfig, inputs: np.ndarray, first_row: int = 0, where: str = "") -> None:
    """As :meth:`TaskConfig.check_inputs`."""
    _check_shape(inputs, task.input_shape(), f"{where}inputs")
    if task.vocab_size is None:
        require(
            inputs.dtype.kind in _NUMBERS, f"{where}inputs must be numbers (integers or floats), got {inputs.dtype}"
        )
        finite = ~np.isinf(inputs)
        _check_entries(inputs, finite, "a finite feature, or NaN where missing", first_row, f"{where}inputs")
        far = np.abs(normalized(inputs, task.input_mean, task.input_scale)) > LARGEST_NORMALIZED
        _check_entries(inputs, ~far, f"a feature {_NEAR_MEAN.format('input')}", first_row, f"{where}inputs")
        if task.residual_feature is not None:
            missing = np.isnan(inputs) & (np.arange(task.num_features or 0) == task.residual_feature)
            _check_entries(inputs, ~missing, "a known residual_feature", first_row, f"{where}inputs")
    else:
        require(
            inputs.dtype.kind in _CLASSES,
            f"{where}inputs must be integer tokens in 0 … {task.vocab_size - 1}, got {inputs.dtype}",
        )
        allowed = ((inputs >= 0) & (inputs < task.vocab_size)) | (inputs == MISSING_TOKEN)
        expected = f"a token in 0 … {task.vocab_size - 1} (or {MISSING_TOKEN} where missing)"
        _check_entries(inputs, allowed, expected, first_row, f"{where}inputs")


def check_labels(task: TaskConfig, labels: np.ndarray, first_row: int = 0, where: str = "") -> None:
    """As :meth:`TaskConfig.check_labels`."""
    _check_shape(labels, task.label_shape(), f"{where}labels")
    if task.is_regression:
        require(
            labels.dtype.kind in _NUMBERS, f"{where}labels must be numbers (integers or floats), got {labels.dtype}"
        )
        _check_entries(labels, ~np.isinf(labels), "a finite value or NaN", first_row, f"{where}labels")
        far = np.abs(normalized(labels, task.label_mean, task.label_scale)) > LARGEST_NORMALIZED
        _check_entries(labels, ~far, f"a value {_NEAR_MEAN.format('label')}", first_row, f"{where}labels")
    else:
        top, what = task.top_class, "a label" if task.is_multi_label else "a class"
        require(
            labels.dtype.kind in _CLASSES,
            f"{where}labels must be integer classes in 0 … {top}, got {labels.dtype}",
        )
        allowed = ((labels >= 0) & (labels <= top)) | (labels == IGNORED_CLASS)
        _check_entries(labels, allowed, f"{what} in 0 … {top} (or -100)", first_row, f"{where}labels")


def check_pairs(task: TaskConfig, pairs: np.ndarray, first_row: int = 0, where: str = "") -> None:
    """As :meth:`TaskConfig.check_pairs`."""
    require(task.has_pairs, f"{where}there are pairs, but the task states neither pair_vocab_size nor pair_features")
    _check_shape(pairs, task.pair_shape(), f"{where}pairs")
    if task.pair_vocab_size is None:
        require(pairs.dtype.kind in _NUMBERS, f"{where}pairs must be numbers (integers or floats), got {pairs.dtype}")
        _check_entries(pairs, ~np.isinf(pairs), "a finite number, or NaN where missing", first_row, f"{where}pairs")
    else:
        expected = f"a category in 0 … {task.pair_vocab_size - 1} (or {MISSING_TOKEN} where missing)"
        require(pairs.dtype.kind in _CLASSES, f"{where}pairs must be integers, {expected}, got {pairs.dtype}")
        allowed = ((pairs >= 0) & (pairs < task.pair_vocab_size)) | (pairs == MISSING_TOKEN)
        _check_entries(pairs, allowed, expected, first_row, f"{where}pairs")


def check_attention_mask(task: TaskConfig, mask: np.ndarray, first_row: int = 0, where: str = "") -> None:
    """As :meth:`TaskConfig.check_attention_mask`."""
    _check_shape(mask, (task.degree,), f"{where}attention_mask")
    _check_entries(mask, (mask == 0) | (mask == 1), "1, or 0 for padding", first_row, f"{where}attention_mask")
    is_present = mask.astype(bool)
    for row in np.flatnonzero(~is_present.any(axis=1)):
        raise ValueError(f"{where}attention_mask, row {first_row + row}: expected a node, got none")
    if is_present.all():
        return
    require(task.symmetrization != "lift", f'{where}rows that lack nodes need symmetrization="average", got "lift"')
    require(
        task.symmetry_breaking != "triples",
        f'{where}rows that lack nodes need symmetry_breaking="pairs" or "nodes", got "triples": messages over triples '
        "would come from nodes that are not there",
    )
    absent = ~is_present & ~has_twin(task)
    for row, node in np.argwhere(absent):
        raise ValueError(
            f"{where}row {first_row + row} lacks node {node}, but no exchange of this node with just one other is in "
            f"{task.group_name or 'the group'}: rows may be shorter only under groups that permute nodes freely, such "
            "as S6, Young subgroups and their wreath products; give the node as missing (-1 or NaN) instead"
        )


def check_weights(weights: np.ndarray, first_row: int = 0, where: str = "") -> None:
    """Check the factors of rows' losses, ``(N,)``.

    Raises:
        ValueError: wrong shape or dtype, or a factor that is negative or beyond float32; names the first invalid row.
    """
    _check_shape(weights, (), f"{where}weights")
    require(weights.dtype.kind in _NUMBERS, f"{where}weights must be numbers, one per row, got {weights.dtype}")
    allowed = (weights >= 0) & (weights <= np.finfo(np.float32).max)
    _check_entries(weights, allowed, "a finite number of at least 0", first_row, f"{where}weights")


def _check_shape(array: np.ndarray, row_shape: tuple[int, ...], what: str) -> None:
    expected = "(rows" + "".join(f", {size}" for size in row_shape) + ")"
    is_flat = math.prod(array.shape[1:]) == math.prod(row_shape) and array.ndim > 1  # or a board of nodes
    remedy = f": reshape them to {expected}" if is_flat else ""
    is_right = array.shape[1:] == row_shape and array.ndim > 0
    require(is_right, f"{what} must have shape {expected}, got {array.shape}{remedy}")


def _check_entries(array: np.ndarray, allowed: np.ndarray, expected: str, first_row: int, what: str) -> None:
    if not allowed.all():
        entry = tuple(np.argwhere(~allowed)[0])
        at = f" at {tuple(int(index) for index in entry[1:])}" if len(entry) > 1 else ""
        raise ValueError(f"{what}, row {first_row + entry[0]}: expected {expected}, got {array[entry]}{at}")
