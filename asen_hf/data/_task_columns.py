"""A task's columns, read together: rows of fewer nodes are padded at the end, and a mask says which nodes they have."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..model._messages import one_line
from ..model._named_columns import has_no_names
from ..model.configuration_rows import MASK, PAIRS, WEIGHTS
from ..model.configuration_task import TaskConfig
from ..model.heads import without_padding
from ._fields import Field, Rows, input_field, label_field, mask_field, pair_field, weight_field

Arrays = dict[str, np.ndarray]
"""Valid rows by column: inputs, labels and, where there are any, pairs, weights and attention_mask, ``(N, …)``."""


def task_fields(config: TaskConfig, is_bounded: bool = True) -> list[Field]:
    """The columns that rows of a task must have; ``is_bounded`` as for :func:`~asen_hf.data._fields.input_field`."""
    fields = [input_field(config, is_bounded), label_field(config, is_bounded)]
    return [*fields, pair_field(config, is_bounded)] if config.has_pairs else fields


def arranged_names(config: TaskConfig, names: Mapping[str, Sequence[str]], where: str) -> dict[str, tuple[str, ...]]:
    """The columns of inputs and labels in the order of nodes and features, see :mod:`asen_hf.data.column_names`.

    Raises:
        ValueError: a wrong number of columns, or inputs whose names are not the task's ``input_names``.
    """
    inputs = input_field(config).arranged(names["inputs"], where)
    labels = label_field(config).arranged(names["labels"], where, inputs.nodes)
    found = {"inputs": inputs, "labels": labels}
    return {field: tuple(names[field][index] for index in own.order) for field, own in found.items()}


def with_input_names(config: TaskConfig, names: Sequence[str]) -> TaskConfig:
    """The task with the names of its columns of inputs, which are in order, if they have names and it states none."""
    if config.input_names is not None or len(names) < 2 or has_no_names(names):
        return config
    return dataclasses.replace(config, input_names=[name.strip() for name in names])


def read_rows(
    config: TaskConfig,
    columns: Mapping[str, Any],
    where: str,
    names: Mapping[str, Sequence[str]] | None = None,
    first_row: int = 1,
    is_bounded: bool = True,
) -> Arrays:
    """All rows of a table, checked cell by cell.

    Args:
        config: the task.
        columns: arrays of numbers ``(N, …)``, or sequences of cells, by name.
        where: origin of the columns, for messages.
        names: the columns of inputs and labels, in order (see :func:`arranged_names`); by default those named so.
        first_row: number of the first row, for messages.
        is_bounded: refuse numbers that statistics of the rows cannot include.

    Returns:
        The arrays. A column ``attention_mask`` is there if the table has it, or if a row has fewer nodes than the task;
        labels are then unknown where a row lacks a node. A column ``weights`` is there if the table has it, and does
        not use it as inputs or labels.

    Raises:
        ValueError: a column that does not exist, a cell that the task cannot take, a row whose columns differ in their
            number of nodes, or that lacks nodes which the group does not exchange freely.
    """
    found = {
        field.name: field.read(columns, (names or {}).get(field.name, [field.name]), where, first_row)
        for field in _checked_fields(config, columns, where, is_bounded)
    }
    rows = {name: read.values for name, read in found.items()}
    if WEIGHTS in columns and not any(WEIGHTS in used for used in (names or {}).values()):
        rows[WEIGHTS] = weight_field().read(columns, [WEIGHTS], where, first_row).values
    counts = {name: len(values) for name, values in rows.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"{where}: columns must have equally many rows, got {counts}")
    sizes = _common_sizes(config, found, where, first_row)
    given = mask_field(config).read(columns, [MASK], where, first_row).values if MASK in columns else None
    if given is not None and len(given) != len(sizes):
        raise ValueError(f"{where}: columns must have equally many rows, got {counts | {MASK: len(given)}}")
    mask = checked_mask(config, sizes, given, f"{where}, ", first_row)
    if given is None and mask.all():
        return rows
    labels = without_padding(config, torch.tensor(rows["labels"]), torch.from_numpy(mask))
    return {**rows, "labels": labels.numpy(), MASK: mask}


def checked_mask(
    config: TaskConfig, sizes: np.ndarray, given: np.ndarray | None, where: str = "", first_row: int = 0
) -> np.ndarray:
    """The nodes that rows have, bool ``(N, n)``: those that a mask gives, or else the first ones.

    Args:
        config: the task.
        sizes: ``(N,)``, how many nodes the rows' inputs have.
        given: ``(N, n)``, 0 or 1; ``None`` for no mask.
        where, first_row: as in :meth:`TaskConfig.check_inputs`.

    Raises:
        ValueError: a mask of a node that the inputs lack, or of nodes that rows may not lack.
    """
    mask = np.arange(config.degree) < sizes[:, None]
    if given is not None:
        config.check_attention_mask(given, first_row=first_row, where=where)
        for row in np.flatnonzero((given.astype(bool) & ~mask).any(axis=1)):
            raise ValueError(
                f"{where}row {first_row + row}: inputs have {sizes[row]} nodes, but attention_mask has a node "
                f"{int(np.flatnonzero(given[row])[-1])}"
            )
        return given.astype(bool)
    config.check_attention_mask(mask, first_row=first_row, where=where)
    return mask


def warn_of_stray_pairs(config: TaskConfig, names: Iterable[str], where: str) -> bool:
    """Warn of a column ``pairs`` that the task does not read, and return whether there is one."""
    is_stray = not config.has_pairs and PAIRS in names
    if is_stray:
        warnings.warn(
            f"{where}: the column pairs is not read, because the task states neither pair_vocab_size nor pair_features",
            stacklevel=3,
        )
    return is_stray


def check_has_pairs(config: TaskConfig, names: Iterable[str], where: str) -> None:
    """Raise ``ValueError`` if the task has pair inputs and there is no column ``pairs``."""
    if config.has_pairs and PAIRS not in names:
        known = ", ".join(one_line(name, 100) for name in names) or "none"
        field = "pair_vocab_size" if config.pair_features is None else "pair_features"
        raise ValueError(f"{where}: no column pairs, which a task with {field} needs; there are {known}")


def taken(rows: Arrays, chosen: np.ndarray) -> Arrays:
    """The chosen rows of every column."""
    return {name: values[chosen] for name, values in rows.items()}


def _checked_fields(config: TaskConfig, columns: Mapping[str, Any], where: str, is_bounded: bool) -> list[Field]:
    """The columns that rows of a task must have; a table without the pairs that the task needs is refused here."""
    warn_of_stray_pairs(config, columns, where)
    check_has_pairs(config, columns, where)
    return task_fields(config, is_bounded)


def _common_sizes(config: TaskConfig, found: Mapping[str, Rows], where: str, first_row: int) -> np.ndarray:
    """The number of nodes of every row ``(N,)``, on which all columns that have nodes agree."""
    sizes: dict[str, np.ndarray] = {}
    for field in task_fields(config):
        values, own = found[field.name]
        if field.num_node_axes:
            sizes[field.name] = np.full(len(values), config.degree) if own is None else own
    inputs = sizes.pop("inputs")
    for name, other in sizes.items():
        for row in np.flatnonzero(inputs != other):
            raise ValueError(
                f"{where}, row {first_row + row}: inputs have {inputs[row]} nodes, but {name} have {other[row]}"
            )
    return inputs
