"""Pretrain one backbone on several tasks, each with its own group."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed

from ..closures import warn_if_not_closed
from ..model.modeling_asen import AsenForMultitask
from ._processes import process_state
from ._run_folder import claimed
from ._statistics import with_training_statistics
from .recipe import Recipe
from .results import TrainingResult, train_and_score
from .stream import StreamWork, stream_model, stream_of
from .work import MultitaskWork


class PretrainResult(TrainingResult):
    """What :func:`pretrain` returns: ``model``, ``scores`` and ``output_dir``."""


def pretrain(recipe: Recipe | Mapping[str, Any] | str | Path, **training: Any) -> PretrainResult:
    """Train one backbone, from random weights, on all tasks of a recipe, and score each task on held-out rows.

    The only task may be a stream of random tasks (``source: prior``), which the model does not keep: it learns to
    compute the rows of any new task's tables, for ``add_task(…, init_from="prior")``.

    Means and scales that a task does not state (``input_mean`` … ``label_scale``) are computed from its training rows,
    logged, and saved in the model's config.

    Args:
        recipe: a :class:`~asen_hf.training.recipe.Recipe`, a dict of its sections ``model``, ``tasks`` and
            ``training``, or the path of a YAML file (training/recipes/specimen.yaml explains every field).
        training: fields of the recipe's sections ``training`` and ``model``, such as ``output_dir``, ``max_steps`` or
            ``hidden_size``, that replace the recipe's. ``seed`` also seeds the global generators of Python, NumPy and
            torch.

    Returns:
        The best model by validation, its test scores by task, and the run's folder, which holds checkpoints, the
        finished model, ``scores.json`` (validation), ``test_scores.json`` and ``recipe.yaml``.

    Raises:
        ValueError: an ill-formed recipe, unknown fields, a task that cannot be loaded, an ``output_dir`` that
            is taken, or training that diverged.
    """
    if isinstance(recipe, str | Path):
        recipe = Recipe.read(recipe)
    elif not isinstance(recipe, Recipe):
        recipe = Recipe.from_dict(recipe)
    recipe = recipe.changed(**training)
    recipe.refuse_start()
    with claimed(recipe.training):
        model, work = pretraining_of(recipe, is_logged=process_state().is_main_process)
        scores = train_and_score(model, work, recipe)
    return PretrainResult(model, scores, Path(recipe.training.output_dir))


def pretraining_of(recipe: Recipe, is_logged: bool) -> tuple[AsenForMultitask, MultitaskWork | StreamWork]:
    """A model with random weights, drawn by the recipe's seed, and what it is to be trained on.

    Args:
        recipe: its tasks, or its stream of tasks, are loaded.
        is_logged: whether to log the computed statistics, and to warn of groups that are not closed and of rows that
            are far from unit scale.

    Raises:
        ValueError: a task that cannot be loaded, or whose value symmetries or rows cannot be trained on.
    """
    set_seed(recipe.training.seed)
    if stream_of(recipe) is not None:
        return stream_model(recipe), StreamWork(recipe)
    with process_state().main_process_first():  # the remaining processes read its cache
        configs, data = recipe.load()
    configs = with_training_statistics(configs, data, recipe.training, is_logged)
    with warnings.catch_warnings():
        if not is_logged:  # it only refuses: a process that went on would wait for the others
            warnings.simplefilter("ignore")
        for name, task in configs.items():
            warn_if_not_closed(name, task)
    model = AsenForMultitask(recipe.model.config(configs, attn_implementation=recipe.training.attn_implementation))
    return model, MultitaskWork(model, data, recipe, is_logged)
