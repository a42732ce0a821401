"""Score a model on held-out rows, from its checkpoint's recipe or from the caller."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from datasets import Dataset, DatasetDict, IterableDatasetDict, concatenate_datasets
from numpy.typing import ArrayLike
from transformers.utils import cached_file

from ..data import load_table
from ..data.given_rows import to_rows, to_splits
from ..evaluation.scoreboard import scoreboard
from ..evaluation.scores import Score, ScoreRecord
from ..model._messages import naming, shown
from ..model._named_columns import is_frame
from ..model._points import positive_integer
from ..model.checkpoints import find_checkpoint
from ..model.configuration_asen import AsenConfig, TaskConfig
from ..model.modeling_asen import AsenForMultitask
from ._checkpoints import check_is_model, load_model
from ._resume import row_hashes
from ._run_folder import RECIPE_NAME, SCORES_NAME
from .judging import judged
from .recipe import Recipe
from .task_recipe import TaskRecipe
from .work import subsample

ALL = "all"
Rows: TypeAlias = str | Path | DatasetDict | Dataset | tuple[ArrayLike, ArrayLike] | Any


def evaluate(
    model_or_checkpoint: AsenForMultitask | str | Path,
    data: Rows | Mapping[str, Rows] | None = None,
    *,
    task: str | None = None,
    split: str = "test",
    batch_size: int = 256,
    split_column: str | None = None,
    time_column: str | None = None,
) -> dict[str, Score]:
    """Score a model: loss, metric, reference predictions and equivariance errors of each task.

    Args:
        model_or_checkpoint: an ``AsenForMultitask``, which is not changed; a checkpoint's folder; a Hub id; or a
            committed checkpoint's name.
        data: ``None`` for the rows that the checkpoint's recipe.yaml names, split as in its training, so that test rows
            are unseen. Else ``{task: rows}``, or the rows of ``task`` or of the model's only task: a ``DatasetDict``; a
            ``Dataset``, a stream, a DataFrame or arrays ``(inputs, labels)`` or ``(inputs, labels, pairs)``, scored in
            full; or the path of a table or the id of a dataset on the Hub, whose ``split`` is scored (see
            :func:`asen_hf.load_table`).
        task: score this task only.
        split: the split of a ``DatasetDict``, a table or a recipe to score: train, validation or test, or all for every
            row of a table or recipe.
        batch_size: batch size of the forward passes.
        split_column, time_column: split given rows by this column, as in :func:`asen_hf.load_table`, and score
            ``split``.

    Returns:
        ``{task: Score}``. Reference predictions are fitted on the train split, and left out if there is no train split.

    Raises:
        ValueError: no such checkpoint, task or split, rows that do not suit the task, or a checkpoint whose recipe
            does not say where its rows come from.
    """
    if not isinstance(split, str):
        raise ValueError(f"split: expected the name of a split, such as test, got {shown(split)}")
    batch_size = positive_integer(batch_size, "batch_size")
    if isinstance(model_or_checkpoint, str | Path):
        model = load_model(model_or_checkpoint)
    else:
        model = check_is_model(model_or_checkpoint)
    if data is None:
        if not isinstance(model_or_checkpoint, str | Path):
            raise ValueError("a model does not know where its rows come from: give data, or the checkpoint's folder")
        if split_column is not None or time_column is not None:
            raise ValueError(
                "split_column and time_column split given rows; the checkpoint's recipe has its own: give data"
            )
        found = recipe_rows(model_or_checkpoint, model.config, task, split)
        for name in found.left_out:
            warnings.warn(f"{name}: recipe.yaml does not say where its rows come from; left out", stacklevel=2)
        rows, sources = found.splits, found.sources
    else:
        rows, sources = given_rows(model, data, task, split, split_column, time_column), []
    check_split(rows, split)
    return judged(scoreboard(model, rows, split, batch_size), model, sources, split, batch_size)


@dataclasses.dataclass(frozen=True)
class RecipeRows:
    """The tasks and rows that a checkpoint's recipe.yaml names.

    Attributes:
        splits: rows by task; of the train split, those that the model was trained on.
        configs: the tasks as their sources define them, with all edges, for plots.
        left_out: tasks whose rows the recipe does not name.
        sources: where the tasks' rows come from.
        seed: seed of the rows and their splits.
    """

    splits: dict[str, DatasetDict]
    configs: dict[str, TaskConfig]
    left_out: list[str]
    seed: int
    sources: list[TaskRecipe]


def recipe_rows(
    checkpoint: str | Path,
    config: AsenConfig,
    task: str | None = None,
    split: str = "test",
    data_path: str | None = None,
    **table: Any,
) -> RecipeRows:
    """Load the rows that a checkpoint's recipe.yaml names.

    Args:
        checkpoint: a folder, a Hub id or a committed checkpoint's name.
        config: its config.
        task: load the rows of this task only.
        split: what is to be scored; of all, a task's rows are one split.
        data_path: the data file of a registered task, if it has moved.
        table: ``dataset``, the task's table, if it has moved or another one is to be scored, and what
            :class:`TaskRecipe` says of a table's columns, where they differ from the recipe's.

    Raises:
        ValueError: no tasks, an unknown task, a missing or ill-formed recipe, a recipe that names no rows of the tasks,
            or columns without a table.
    """
    if task is not None or not config.tasks:
        config.task(task)
    tasks: dict[str, TaskConfig] = config.tasks
    dataset = table.get("dataset")
    recipe, hashes = _recipe(checkpoint, dataset), _hashes(checkpoint)
    sources = {source.name: source for source in recipe.tasks}
    rows = RecipeRows({}, {}, [], recipe.training.seed, [])
    for name in tasks if task is None else [task]:
        if name not in sources and dataset is None:
            rows.left_out.append(name)
            continue
        source = sources.get(name, TaskRecipe(name))
        # The model keeps its own support; plots need all edges. A table's config is the checkpoint's: its JSON may have
        # moved.
        given: dict[str, Any] = {"support": None, **table}
        if source.dataset is not None or dataset is not None:
            given |= {"source": None, "options": {}, "num_rows": None, "task_config": tasks[name].to_dict()}
        source = dataclasses.replace(source, **given)
        if data_path is not None:
            source.options["data_path"] = data_path
        if dataset is None and _has_moved(source.dataset):
            raise ValueError(
                f"{source.dataset}, the table of task {name!r}, is not there: if it has moved, give data, or --dataset "
                "on the command line"
            )
        rows.configs[name], splits = source.load(recipe.training.seed)
        held_out = {part: splits[part] for part in ("validation", "test") if part in splits}
        found = row_hashes({name: tasks[name]}, {name: DatasetDict(held_out)})[name]
        if split == ALL and dataset is None:
            _warn_of_training_rows(f"{name}: all rows are scored")
        elif name not in sources:
            _warn_of_training_rows(f"{name}: the checkpoint does not say which rows it was trained on")
        elif any(hashes.get(name, found).get(part, digest) != digest for part, digest in found.items()):
            _warn_of_training_rows(f"{name}: the rows have changed since the training")
        # The rows that the model was trained on: reference predictions are fitted on them too.
        if split != ALL and (recipe.training.train_rows or 0) <= len(splits["train"]):
            splits = DatasetDict({**splits, "train": subsample(splits["train"], recipe.training)})
        rows.splits[name] = _as_asked(splits, split)
        rows.sources.append(source)
    if not rows.splits:
        raise ValueError(
            f"recipe.yaml of {checkpoint} does not say where the rows of {', '.join(rows.left_out)} come from "
            "(the training program passed them as objects): give data, or --dataset on the command line"
        )
    return rows


def _warn_of_training_rows(reason: str) -> None:
    text = "so that rows that it was trained on may be among those that are scored"
    warnings.warn(f"{reason}, {text}", stacklevel=3)


def _recipe(checkpoint: str | Path, dataset: str | None) -> Recipe:
    """The checkpoint's recipe; without one, that of a table which is named instead."""
    path = cached_file(find_checkpoint(checkpoint), RECIPE_NAME, _raise_exceptions_for_missing_entries=False)
    if path is None and dataset is None:
        raise ValueError(
            f"{checkpoint} has no {RECIPE_NAME}, which says where its rows come from: give data, or --dataset on the "
            "command line"
        )
    return Recipe.from_dict({}) if path is None else Recipe.read(path)


def _hashes(checkpoint: str | Path) -> dict[str, dict[str, str]]:
    """Of the rows that the checkpoint was trained and validated on; older ones do not say."""
    path = cached_file(find_checkpoint(checkpoint), SCORES_NAME, _raise_exceptions_for_missing_entries=False)
    return {} if path is None else ScoreRecord.read(path).rows


def _has_moved(dataset: str | None) -> bool:
    """Whether a table is the path of a file, and not there; anything else may be on the Hub."""
    return dataset is not None and bool(Path(dataset).suffix) and not Path(dataset).exists()


def _as_asked(splits: DatasetDict, split: str) -> DatasetDict:
    """The splits; where all rows are asked for, all of them as one."""
    return splits if split != ALL else DatasetDict({ALL: concatenate_datasets(list(splits.values()))})


def check_split(rows: Mapping[str, Mapping[str, Dataset]], split: str) -> None:
    """Raise ``ValueError`` if a task lacks the split."""
    for name, splits in rows.items():
        if split not in splits:
            raise ValueError(f"task {name!r} has no split {split!r}; it has {', '.join(map(str, splits))}")


def given_rows(
    model: AsenForMultitask,
    data: Any,
    task: str | None,
    split: str,
    split_column: str | None = None,
    time_column: str | None = None,
) -> dict[str, DatasetDict]:
    """Rows given by the caller, by task; without a column to split by, all but tables are the split ``split``."""
    if isinstance(data, Mapping) and not isinstance(data, DatasetDict | IterableDatasetDict) and not is_frame(data):
        by_task = {model.config.task(str(name))[0]: rows for name, rows in data.items()}
        if task is not None:
            name = model.config.task(task)[0]
            if name not in by_task:
                raise ValueError(f"data: no rows of task {name!r}; there are {', '.join(by_task) or 'none'}")
            by_task = {name: by_task[name]}
    else:
        by_task = {model.config.task(task)[0]: data}
    if not by_task:
        raise ValueError("data: no rows of any task")
    splits = {}
    for name, rows in by_task.items():
        config = model.config.tasks[name]
        with naming(f"task {name!r}"):
            if isinstance(rows, str | Path):
                found = load_table(str(rows), config, split_column=split_column, time_column=time_column)
                splits[name] = _as_asked(found, split)
            elif split_column is not None or time_column is not None:
                splits[name] = _as_asked(to_splits(config, rows, 0, split_column, time_column), split)
            elif isinstance(rows, DatasetDict | IterableDatasetDict):
                splits[name] = DatasetDict({str(part): to_rows(config, rows[part]) for part in rows})
            else:
                splits[name] = DatasetDict({split: to_rows(config, rows)})
    return splits
