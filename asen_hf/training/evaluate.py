"""Scoring a checkpoint on the rows that its recipe names, and the record that keeps the scores with the checkpoint."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers.utils import cached_file

from ..data import collate
from ..evaluation.scoreboard import format_scoreboard, scoreboard
from ..evaluation.scores import ScoreRecord
from ..model.modeling_asen import AsenForMultitask
from ..plots.predictions import plot_predictions
from .recipe import Recipe, described, load_config


@dataclasses.dataclass
class EvaluateOptions:
    """What to score a checkpoint on; all scalars."""

    task: str | None = described("Score this task only.", None)
    data_path: str | None = described("Where the task's file lies now, if not where it lay in training.", None)
    dataset: str | None = described("The same for a table.", None)
    split: str = described("train, validation or test.", "test")
    batch_size: int = described("Rows a forward pass.", 256)
    output: str | None = described("Also write the scores, with machine and seed, to this JSON file.", None)
    plots: str | None = described("Also draw predictions into this folder.", None)


def evaluate_checkpoint(checkpoint: str, options: EvaluateOptions) -> None:
    """Print each task's group, scores, reference predictions and equivariance errors, and write them where asked to.

    The rows are those that the checkpoint's recipe.yaml names, split as in its training, so that test rows are unseen.

    Raises:
        ValueError: no such checkpoint, task or split, or a recipe that names none of the rows.
    """
    if options.plots is not None:
        Path(options.plots).mkdir(parents=True, exist_ok=True)  # before the work, if it cannot be made
    load_config(checkpoint)  # has the clearest error for a checkpoint that is not there
    model = AsenForMultitask.from_pretrained(checkpoint).eval()
    recipe = Recipe.read(str(cached_file(checkpoint, "recipe.yaml")))
    names = list(model.config.tasks) if options.task is None else [model.config.task(options.task)[0]]
    sources = {source.name: source for source in recipe.tasks}
    data, edges = {}, {}
    for name in names:
        if name not in sources:
            print(f"{name}: recipe.yaml does not say where its rows come from; left out", file=sys.stderr)
            continue
        source = dataclasses.replace(sources[name], support=None)  # the model has its own; pictures want all edges
        if options.data_path is not None:
            source.options["data_path"] = options.data_path
        if options.dataset is not None:
            source.dataset = options.dataset
        if source.dataset is not None:  # the checkpoint's own config serves; the task's JSON may have moved
            source.task_config = model.config.tasks[name].to_dict()
        task, data[name] = source.load(recipe.training.seed)
        edges[name] = task.edges
        if options.split not in data[name]:
            raise ValueError(f"task {name!r} has no split {options.split!r}; it has {', '.join(data[name])}")
    if not data:
        raise ValueError(f"recipe.yaml of {checkpoint} names the rows of none of {', '.join(names)}")
    board = scoreboard(model, data, options.split, options.batch_size)
    print(format_scoreboard(model.config.tasks, board))
    if options.output is not None:
        ScoreRecord(options.split, recipe.training.seed, board).write(options.output)
    if options.plots is not None:
        for name, splits in data.items():
            _draw(model, name, splits[options.split], edges[name], options)


def _draw(model: AsenForMultitask, name: str, rows: Dataset, edges: list | None, options: EvaluateOptions) -> None:
    """Write the pictures that suit the task, and say which."""
    task = model.config.tasks[name]
    columns = collate(task, rows)
    batches = columns["inputs"].split(options.batch_size)
    predicted = torch.cat([model.predict(batch.to(model.device), name).cpu() for batch in batches])
    pictures = plot_predictions(str(options.plots), name, task, predicted, columns["labels"], edges)
    for path, shown in pictures.items():
        print(f"{path}: {shown}")
    if not pictures:
        print(f"{name}: no picture: neither positions in space nor node_coordinates nor a residual_feature")
