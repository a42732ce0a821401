"""Checks of the columns of a task's rows, where they enter a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ._messages import shown
from ._transforms import is_transformed
from .configuration_rows import COSETS, MASK, PAIRS, WEIGHTS, check_weights

if TYPE_CHECKING:
    from .configuration_task import TaskConfig

_ONE_PER_ROW = ("inputs", "labels", PAIRS, MASK, WEIGHTS, COSETS)


def checked_columns(task: TaskConfig, name: str, columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The columns after their checks; tokens, categories and classes of any integer dtype as int64.

    torch 2.13 reads indices of uint8 as a mask, wraps -1 and -100 in unsigned dtypes, and lacks most operators for
    uint16 and larger ones.

    Only shapes and dtypes are checked on a GPU, where values would need a device sync, and under a transform such as
    vmap, where there are none; nothing is checked while ``torch.compile`` or ``torch.export`` traces.

    Args:
        task: its config.
        name: its name, for messages.
        columns: ``inputs`` and, if there are any, ``labels``, ``pairs``, ``attention_mask`` and ``weights``; a model
            reads no others.

    Raises:
        ValueError: no inputs or pairs, other than a dense tensor, rows that the task cannot take, or columns of
            different numbers of rows.
    """
    if "inputs" not in columns:
        raise ValueError(f"task {name!r}: rows need inputs, got {', '.join(columns) or 'nothing'}")
    if task.has_pairs and PAIRS not in columns:
        raise ValueError(f"task {name!r} has pair inputs: give pairs {('rows', *task.pair_shape())}")
    if not torch.compiler.is_compiling():
        checks = {
            "inputs": task.check_inputs,
            "labels": task.check_labels,
            PAIRS: task.check_pairs,
            MASK: task.check_attention_mask,
            WEIGHTS: check_weights,
        }
        for key, check in checks.items():
            if key in columns:
                check(_array(name, key, columns[key]), where=f"task {name!r}: ")
        check_num_rows(name, columns)
    holds_classes = {
        "inputs": task.vocab_size is not None,
        "labels": not task.is_regression,
        PAIRS: task.pair_vocab_size is not None,
    }
    return {key: column.long() if holds_classes.get(key) else column for key, column in columns.items()}


def check_num_rows(name: str, columns: Mapping[str, Tensor]) -> None:
    """Refuse columns with other numbers of rows than ``inputs``: torch would repeat a single row, or cut the rest."""
    sizes = {key: columns[key].shape[0] for key in _ONE_PER_ROW if key in columns and columns[key].ndim}
    for key, size in sizes.items():
        if size != sizes.get("inputs", size):
            raise ValueError(f"task {name!r}: {sizes['inputs']} rows of inputs, but {size} of {key}")


def _array(name: str, key: str, tensor: Tensor) -> np.ndarray:
    """The tensor as an array; without rows, where no value may be read."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
        raise ValueError(f"task {name!r}: expected a dense tensor of {key}, got {shown(tensor)}")
    is_short = tensor.is_floating_point() and tensor.element_size() < 4  # NumPy lacks most of these
    if tensor.device.type == "cpu" and not is_transformed():
        return (tensor.float() if is_short else tensor).numpy(force=True)
    return np.empty((0, *tensor.shape[1:]), "float32" if is_short else str(tensor.dtype).removeprefix("torch."))
