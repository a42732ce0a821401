"""Convert a task and its rows, in any supported form, into a TaskConfig and a ``DatasetDict``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict

from ..data import list_tasks
from ..data.features import read_cells
from ..data.given_rows import check_lengths, has_mask, named_splits
from ..data.table import DEFAULT_INPUTS, DEFAULT_LABELS, column_names, named_table
from ..model._messages import naming, shown
from ..model.configuration_rows import MASK
from ..model.configuration_task import TaskConfig
from .task_recipe import TaskRecipe, read_task_config

DEFAULT_NAME = "task"


@dataclasses.dataclass(frozen=True)
class TaskRows:
    """One task with its rows.

    Attributes:
        name: the task's name in the model.
        config: the task.
        splits: train, validation and test.
        source: where the rows come from, as a recipe records it; ``None`` for rows passed as objects.
    """

    name: str
    config: TaskConfig
    splits: DatasetDict
    source: TaskRecipe | None


def task_rows(
    task: Any,
    data: Any = None,
    name: str | None = None,
    seed: int = 0,
    split_column: str | None = None,
    time_column: str | None = None,
    inputs_columns: Sequence[str] = DEFAULT_INPUTS,
    labels_columns: Sequence[str] = DEFAULT_LABELS,
) -> TaskRows:
    """The task and its rows, from any of the forms that :func:`asen_hf.finetune` takes.

    Args:
        task, data, name, split_column, time_column, inputs_columns, labels_columns: as in :func:`asen_hf.finetune`.
        seed: seed of a registered task's rows, and of the shuffle before rows are split.

    Raises:
        ValueError: no such task or table, rows that do not suit the task or all lack nodes of it, or a task without
            rows.
    """
    if not isinstance(name, str | None):
        raise ValueError(f"name: expected the name of a task, got {shown(name)}")
    source = _source(task, name)
    by: dict[str, Any] = {"split_column": split_column, "time_column": time_column}
    names: dict[str, Any] = {
        "inputs_columns": column_names(inputs_columns),
        "labels_columns": column_names(labels_columns),
    }
    if data is None:
        for given, default in ((by, (None, None)), (names, (DEFAULT_INPUTS, DEFAULT_LABELS))):
            if tuple(given.values()) != default:
                raise ValueError(
                    f"{' and '.join(given)} name columns of data: give data, or set them in the TaskRecipe"
                )
        return _own_rows(task, source, name, seed)
    config, written = _config(task, source)
    name = name or _default_name(task)
    with naming(f"task {name!r}"):
        if isinstance(data, str | Path):
            lists: dict[str, Any] = {argument: list(columns) for argument, columns in names.items()}
            source = TaskRecipe(name, dataset=str(data), task_config=written, **by, **lists)
            config, splits = named_table(str(data), config, seed=seed, **by, **names)
        else:
            source = None
            config, splits = named_splits(config, data, seed, **by, **names)
        lacks_nodes = all(MASK in rows.column_names for rows in splits.values())
        if lacks_nodes and not has_mask(data):  # a mask of the user's own is meant
            masks = [np.array(read_cells(rows, MASK)) for rows in splits.values()]
            check_lengths(np.concatenate(masks).sum(axis=1), config.degree)
        return TaskRows(name, config, splits, source)


def _is_task_object(task: Any) -> bool:
    """Whether the object is a task as from ``get_task``: it has ``load`` and ``config``."""
    return not isinstance(task, TaskRecipe | type) and hasattr(task, "load") and hasattr(task, "config")


def _source(task: Any, name: str | None) -> TaskRecipe | None:
    """The recipe entry of the task's own rows; ``None`` if a recipe cannot express it."""
    if isinstance(task, str) and task in list_tasks():
        source = TaskRecipe(task)
    elif isinstance(task, TaskRecipe):
        source = task
    elif _is_task_object(task) and getattr(task, "name", None) in list_tasks() and dataclasses.is_dataclass(task):
        options = {
            field.name: getattr(task, field.name)
            for field in dataclasses.fields(task)
            if field.init and getattr(task, field.name) != field.default
        }
        options = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
        try:
            json.dumps(options)
        except TypeError:  # JSON cannot hold an option such as a SymPy group
            return None
        source = TaskRecipe(task.name, options=options)  # type: ignore[union-attr]
    else:
        return None
    if name is None or name == source.name:
        return source
    registered = None if source.dataset is not None else source.source or source.name
    return dataclasses.replace(source, name=name, source=registered)


def _own_rows(task: Any, source: TaskRecipe | None, name: str | None, seed: int) -> TaskRows:
    if _is_task_object(task):  # the object may have read a large file already
        return TaskRows(name or _default_name(task), task.config, task.load(seed=seed), source)
    if source is None:
        config, _ = _config(task, source)  # its error for an unknown task is clearer
        raise ValueError(
            f"a task on {config.degree} points without rows: give data, such as the path of a table or a DatasetDict"
        )
    config, splits = source.load(seed)
    return TaskRows(source.name, config, splits, source)


def _config(task: Any, source: TaskRecipe | None) -> tuple[TaskConfig, str | dict[str, Any]]:
    """The task's config, and its form in a recipe: the path of its file or its fields."""
    if isinstance(task, TaskConfig):
        config = task
    elif _is_task_object(task):
        config = task.config
    elif source is not None:
        config = source.config()
    elif isinstance(task, Mapping):
        config = TaskConfig.from_dict(dict(task))
    elif isinstance(task, str | Path):
        if not str(task).startswith("hf://") and Path(task).suffix != ".json" and not Path(task).is_file():
            raise ValueError(
                f"unknown task {str(task)!r}: no such JSON file, and the registered tasks are {', '.join(list_tasks())}"
            )
        return read_task_config(str(task)), str(task)
    else:
        raise ValueError(
            "task: expected a TaskConfig, a dict of its fields, the path of its JSON, a registered task's name or what "
            f"get_task returns, found {type(task).__name__}"
        )
    return config, config.to_dict()


def _default_name(task: Any) -> str:
    if isinstance(task, TaskRecipe) or _is_task_object(task):
        return str(getattr(task, "name", DEFAULT_NAME))
    if isinstance(task, str) and task in list_tasks():
        return task
    return task_name(task) if isinstance(task, str | Path) else DEFAULT_NAME


def task_name(path: str | Path) -> str:
    """The name of a task whose config is a JSON file: the file's name, with underscores for dots and spaces."""
    return Path(path).stem.replace(".", "_").replace(" ", "_")
