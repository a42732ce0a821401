"""``asen evaluate``: score a checkpoint on held-out rows, and draw what can be drawn."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset

from ..data import collate
from ..evaluation.scoreboard import format_scoreboard, scoreboard
from ..evaluation.scores import ScoreRecord
from ..model.configuration_asen import TaskConfig
from ..model.modeling_asen import AsenForMultitask
from ..training._checkpoints import load_model
from ..training._typed_fields import described
from ..training.evaluate import check_split, recipe_rows
from ._command_line import add_checkpoint, argument_parser, checkpoint_of, quiet_libraries

DESCRIPTION = """\
Score a checkpoint on held-out rows: each task's group, scores, reference predictions and equivariance errors.

  asen evaluate CHECKPOINT [--task NAME] [--data_path FILE] [--plots DIR]

The rows are those that the checkpoint's recipe.yaml names, split as in its training, so that test rows are unseen.
"""


@dataclasses.dataclass
class EvaluateOptions:
    """What to score a checkpoint on."""

    task: str | None = described("Score this task only.", None)
    data_path: str | None = described("Where the file of a registered task lies now, if it has moved.", None)
    dataset: str | None = described("Where the table lies now, if it has moved.", None)
    split: str = described("Rows to score: train, validation or test.", "test")
    batch_size: int = described("Batch size.", 256)
    output: str | None = described("Also write the scores, with machine and seed, to this JSON file.", None)
    plots: str | None = described(
        "Also draw predictions into this folder: poses, errors on a map or forecasts, for tasks whose config says that "
        "they are such.",
        None,
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command. ``ValueError`` for whatever is ill-formed."""
    parser = argument_parser("evaluate", DESCRIPTION, [EvaluateOptions])
    add_checkpoint(parser)
    options, rest = parser.parse_args_into_dataclasses([*arguments])
    quiet_libraries()
    evaluate_checkpoint(checkpoint_of(rest), options)


def evaluate_checkpoint(checkpoint: str, options: EvaluateOptions) -> None:
    """Print each task's scores; with ``options.output`` also write them, with ``options.plots`` also draw.

    Raises:
        ValueError: no such checkpoint, task or split, or a recipe that names no rows.
    """
    if options.plots is not None:
        Path(options.plots).mkdir(parents=True, exist_ok=True)  # before the work, if it cannot be made
    model = load_model(checkpoint)
    rows = recipe_rows(checkpoint, model.config.tasks, options.task, options.data_path, options.dataset)
    for name in rows.left_out:
        print(f"{name}: recipe.yaml does not say where its rows come from; left out", file=sys.stderr)
    check_split(rows.splits, options.split)
    board = scoreboard(model, rows.splits, options.split, options.batch_size)
    print(format_scoreboard(model.config.tasks, board))
    if options.output is not None:
        ScoreRecord(options.split, rows.seed, board).write(options.output)
    if options.plots is not None:
        for name, splits in rows.splits.items():
            _draw(model, name, splits[options.split], rows.configs[name], options)


def _draw(model: AsenForMultitask, name: str, rows: Dataset, source: TaskConfig, options: EvaluateOptions) -> None:
    """Write the pictures that suit the task, and say which."""
    from ..plots.predictions import plot_predictions  # only here: matplotlib takes a second to import

    task = model.config.tasks[name]
    columns = collate(task, rows)
    batches = columns["inputs"].split(options.batch_size)
    predicted = torch.cat([model.predict(batch.to(model.device), name).cpu() for batch in batches])
    pictures = plot_predictions(str(options.plots), name, task, predicted, columns["labels"], source.edges)
    for path, shown in pictures.items():
        print(f"{path}: {shown}")
    if not pictures:
        print(f"{name}: no picture: neither positions in space nor node_coordinates nor a residual_feature")
