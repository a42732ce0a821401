"""Finetune a checkpoint on one task, with any group; the backbone trains at a reduced learning rate."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from datasets import Dataset, DatasetDict
from numpy.typing import ArrayLike

from ..closures import warn_if_not_closed
from ..data.statistics import with_statistics_of
from ..data.table import DEFAULT_INPUTS, DEFAULT_LABELS
from ..model._messages import shortened
from ..model.configuration_asen import TaskConfig
from ..model.configuration_names import PRIOR
from ..model.modeling_asen import AsenForMultitask
from ._checkpoints import check_is_model, load_config, load_model
from ._processes import process_state
from ._run_folder import claimed
from ._statistics import with_training_statistics
from ._typed_fields import from_mapping
from .recipe import ModelRecipe, Recipe, Start, TrainingRecipe
from .results import TrainingResult, run_folder, train_and_score
from .task_recipe import TaskRecipe
from .task_rows import task_rows
from .work import MultitaskWork

# Divisors of lr for the backbone's learning rate, with which training/experiments/orbital_transfer was run. Embeddings
# copied from a donor fit the backbone as it is, so it moves little.
BACKBONE_SLOWDOWN, BACKBONE_SLOWDOWN_WITH_DONOR = 2, 20


class FinetuneResult(TrainingResult):
    """What :func:`finetune` returns: ``model``, ``scores`` and ``output_dir``."""


def finetune(
    model_or_checkpoint: AsenForMultitask | str | Path,
    task: TaskConfig | Mapping[str, Any] | TaskRecipe | str | Path | Any,
    data: str | Path | DatasetDict | Dataset | tuple[ArrayLike, ArrayLike] | Any = None,
    *,
    name: str | None = None,
    split_column: str | None = None,
    time_column: str | None = None,
    inputs_columns: Sequence[str] = DEFAULT_INPUTS,
    labels_columns: Sequence[str] = DEFAULT_LABELS,
    init_from: str | None = None,
    from_scratch: bool = False,
    keep_tasks: bool = False,
    output_dir: str | Path | None = None,
    **training: Any,
) -> FinetuneResult:
    """Finetune a model on one task, with any group, and score it on held-out rows.

    A task that the model already has, unchanged, continues from its trained embedders and head; any other task gets new
    ones. Means and scales that neither task nor model state (``input_mean`` … ``label_scale``) are computed from the
    training rows, logged, and saved in the model's config. The shared backbone moves at half the learning rate (a
    twentieth with a donor task; the paper's Section 5.2.2) unless ``backbone_lr`` says otherwise.

    Args:
        model_or_checkpoint: an ``AsenForMultitask``, which is copied and not changed; a checkpoint's folder; a Hub
            id; or a committed checkpoint's name, such as ``"asen-sequence-base"``.
        task: a ``TaskConfig``, a dict of its fields, the path of its JSON, a registered task's name (see
            :func:`asen_hf.list_tasks`), or a task from :func:`asen_hf.get_task`.
        data: the rows: the path of a table or the id of a dataset on the Hub (as in :func:`asen_hf.load_table`, with
            columns ``inputs`` and ``labels``); a DataFrame (a column ``labels``, and a column per node, or per node and
            feature, arranged as :mod:`asen_hf.data.column_names` says); a ``DatasetDict``; a ``Dataset``; an
            ``IterableDataset`` or ``IterableDatasetDict``, which is first written into a file that need not fit into
            memory; or arrays ``(inputs, labels)``, tokens ``(N, n)`` or features ``(N, n, F)`` in raw units with labels
            ``(N,)`` or ``(N, n)``, with a trailing ``(K,)`` for K > 1 regressed values; DataFrames will do, too. A task
            with pair inputs needs a column ``pairs``, or arrays ``(inputs, labels, pairs)``. Rows may have fewer nodes
            if the group exchanges them freely, see :func:`asen_hf.load_table`. Without splits of their own, rows are
            split 70/15/15 into train, validation and test. ``None`` for a registered task's own rows.
        name: the task's name in the model; by default the registered name, the JSON file's name, or ``"task"``.
        split_column, time_column: a column of ``data`` by which rows are split, as in :func:`asen_hf.load_table`.
        inputs_columns, labels_columns: the columns of a file or a DataFrame, as in :func:`asen_hf.load_table`.
        init_from: a task of the model. The new task starts from its head and from the embeddings of its most similar
            orbits. ``"prior"``: from embeddings computed from the task's structure, to which random codes are added,
            and from a head in the direction of a ridge regression on the training rows, no larger than a fresh one (of
            a model that was pretrained on random tasks).
        from_scratch: start from random weights of the same shape.
        keep_tasks: keep the model's other tasks. Their embedders and heads are frozen, but the backbone changes.
        output_dir: folder of the run's checkpoints, the finished model, ``scores.json`` (validation),
            ``test_scores.json`` and ``recipe.yaml``; it must be new or empty, unless ``overwrite`` or
            ``resume_from_checkpoint`` is given. ``None`` trains in a temporary folder.
        training: fields of :class:`~asen_hf.training.recipe.TrainingRecipe`, such as ``max_steps``, ``num_epochs``,
            ``lr``, ``rows_per_task`` or ``seed``. ``seed`` also seeds the global generators of Python, NumPy and
            torch.

    Returns:
        The best model by validation, its test scores by task, and the folder.

    Raises:
        ValueError: an unknown training field, no such checkpoint, task or table, rows that do not suit the task, a
            donor that does not exist, an ``output_dir`` that is taken, or training that diverged.

    Example:

        >>> import numpy as np
        >>> from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, finetune
        >>> ring = TaskConfig(group="D6", vocab_size=3)
        >>> model = AsenForMultitask(AsenConfig(tasks={"ring": ring}, hidden_size=16, num_hidden_layers=1))
        >>> inputs = np.random.default_rng(0).integers(3, size=(100, 6))
        >>> result = finetune(model, ring, (inputs, (inputs == 2).astype(int)), name="twos", max_steps=2)
        >>> sorted(result.scores)
        ['twos']
    """
    checkpoint = str(model_or_checkpoint) if isinstance(model_or_checkpoint, str | Path) else None
    how = {"init_from": init_from, "from_scratch": from_scratch, "keep_tasks": keep_tasks}
    start = from_mapping(Start, {"checkpoint": checkpoint, **how}, "finetune")
    settings = finetuning_settings({**training, "output_dir": "unset"}, init_from, from_scratch)
    state = process_state()
    with contextlib.ExitStack() as stack:
        settings.output_dir = stack.enter_context(run_folder(output_dir))
        stack.enter_context(claimed(settings))
        set_seed(settings.seed)
        with warnings.catch_warnings():
            if not state.is_main_process:
                warnings.simplefilter("ignore")  # the main process warns for all
            with state.main_process_first():  # the remaining processes read its cache
                columns = (split_column, time_column, inputs_columns, labels_columns)
                rows = task_rows(task, data, name, settings.seed, *columns)
            model = prepare_model(
                model_or_checkpoint,
                rows.name,
                rows.config,
                init_from=init_from,
                from_scratch=from_scratch,
                keep_tasks=keep_tasks,
                attn_implementation=settings.attn_implementation,
            )
        splits, trained = {rows.name: rows.splits}, {rows.name: model.config.tasks[rows.name]}
        model.config.tasks |= with_training_statistics(trained, splits, settings, is_logged=state.is_main_process)
        sources = [] if rows.source is None else [rows.source]
        recipe = Recipe(ModelRecipe.of(model.config), sources, settings, start)
        work = MultitaskWork(model, splits, recipe, is_logged=state.is_main_process)
        scores = train_and_score(model, work, recipe)
    return FinetuneResult(model, scores, None if output_dir is None else Path(output_dir))


def prepare_model(
    model_or_checkpoint: AsenForMultitask | str | Path,
    name: str,
    task: TaskConfig,
    *,
    init_from: str | None = None,
    from_scratch: bool = False,
    keep_tasks: bool = False,
    attn_implementation: str | None = None,
) -> AsenForMultitask:
    """The model with the task, which keeps its trained weights if the model has it unchanged, and gets new ones if not.

    Weights of half precision become float32: AdamW's small updates of them would be rounded away.

    Args:
        model_or_checkpoint, init_from, from_scratch, keep_tasks: as in :func:`finetune`.
        name: the task's name in the model.
        task: its config.
        attn_implementation: how attention is computed; ``None`` keeps a given model's own.

    Raises:
        ValueError: no such checkpoint or donor, a donor that cannot be used, or columns in another order than the
            model's task was trained on.
    """
    if from_scratch and init_from is not None:
        raise ValueError("init_from copies trained rows, so it cannot be combined with from_scratch")
    attention = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    if from_scratch:
        warn_if_not_closed(name, task)
        if isinstance(model_or_checkpoint, str | Path):
            config = load_config(model_or_checkpoint)
        else:
            config = check_is_model(model_or_checkpoint).config
        return AsenForMultitask(ModelRecipe.of(config).config({name: task}, **attention))
    model = load_model(model_or_checkpoint, **attention)
    if model.dtype in (torch.float16, torch.bfloat16):
        model.float()
    names, known = list(model.config.tasks), model.config.tasks.get(name)
    if known and init_from is not None:
        raise ValueError(f"the checkpoint already has a task {name!r}, and init_from applies to new tasks only")
    if known and has_task(model, name, task):
        model.config.tasks[name] = _with_names_of(known, task, name)
    elif known:
        task = with_statistics_of(task, known)
        model.drop_task(name)
    if name not in model.config.tasks:
        model.add_task(name, task, init_from)
    if not keep_tasks:  # after add_task, so that the new task can reuse the layers' weights for triples
        for unused in names:
            if unused != name:
                model.drop_task(unused)
    return model


def has_task(model: AsenForMultitask, name: str, task: TaskConfig) -> bool:
    """Whether the model has a task of this name and config, so that its weights can be kept."""
    known = model.config.tasks.get(name)
    return known is not None and _as_the_model_sees_it(known) == _as_the_model_sees_it(with_statistics_of(task, known))


def finetuning_settings(training: Mapping[str, Any], init_from: str | None, from_scratch: bool) -> TrainingRecipe:
    """The training section with these fields; ``backbone_lr`` is a fraction of ``lr`` if the backbone is trained.

    Args:
        training: fields of the section.
        init_from, from_scratch: as in :func:`finetune`.

    Raises:
        ValueError: an unknown field, or a value that the section does not allow.
    """
    settings = from_mapping(TrainingRecipe, training, "finetune")
    if settings.backbone_lr is None:
        slowdown = BACKBONE_SLOWDOWN if init_from in (None, PRIOR) else BACKBONE_SLOWDOWN_WITH_DONOR
        settings.backbone_lr = settings.lr / (1 if from_scratch else slowdown)
    if settings.backbone_lr > settings.lr:
        raise ValueError(f"backbone_lr {settings.backbone_lr} must not exceed lr {settings.lr}")
    return settings


def _with_names_of(known: TaskConfig, task: TaskConfig, name: str) -> TaskConfig:
    """The model's task, with the names of the columns that it goes on with."""
    names = known.input_names or task.input_names
    if task.input_names not in (None, names):
        raise ValueError(
            f"task {name!r}: the checkpoint was trained on the columns {shortened(names or [])}, in this order, and "
            f"the rows have {shortened(task.input_names or [])}: state the checkpoint's input_names in the task's "
            "config"
        )
    return dataclasses.replace(known, input_names=names)


def _as_the_model_sees_it(task: TaskConfig) -> TaskConfig:
    unseen: dict[str, Any] = {"group_name": "", "input_names": None}
    if not task.shared_rows:
        unseen |= {"orbital_names": None, "point_order": None, "node_coordinates": None}
    elif task.point_order != "grid":
        unseen["node_coordinates"] = None
    for field in ("input_mean", "input_scale", "label_mean", "label_scale"):
        if getattr(task, field) is None:
            unseen[field] = 1.0 if field.endswith("scale") else 0.0
    return dataclasses.replace(task, **unseen)
