"""``asen evaluate``: score a checkpoint on held-out rows, and optionally plot its predictions."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from ..data import collate
from ..evaluation.attribution import Attribution, node_attribution, pair_attribution
from ..evaluation.scoreboard import format_scoreboard, scoreboard
from ..evaluation.scores import ScoreRecord
from ..model.configuration_asen import TaskConfig
from ..model.configuration_rows import MASK, PAIRS
from ..model.heads import predictions, probabilities
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import to_device
from ..model.pretrained_asen import evaluating
from ..training._checkpoints import load_model
from ..training._quiet_libraries import quiet_libraries
from ..training._typed_fields import described
from ..training.evaluate import check_split, recipe_rows
from ..training.judging import judged
from ._command_line import add_checkpoint, argument_parser, checkpoint_of

DESCRIPTION = """\
Score a checkpoint on held-out rows: each task's group, scores, reference predictions and equivariance errors.

  asen evaluate CHECKPOINT [--task NAME] [--data_path FILE] [--plots DIR]

The rows come from the checkpoint's recipe.yaml and are split as in its training, so that test rows are unseen. A table
given with --dataset is split likewise, or by the values train, validation and test of its --split_column; --split all
scores every row of it.
"""
_EXPLAINED_ROWS = 16


@dataclasses.dataclass
class EvaluateOptions:
    """Which rows to score, and where to write the results."""

    task: str | None = described("Score this task only.", None)
    data_path: str | None = described("Data file of the registered task, if it has moved since training.", None)
    dataset: str | None = described("The task's table, if it has moved since training, or another table.", None)
    inputs_columns: str | None = described(
        "The table's columns of inputs, if they differ and the task has no input_names.", None
    )
    labels_columns: str | None = described("The table's columns of labels, if they differ from the training's.", None)
    split_column: str | None = described("The table's column of splits, if it differs from the training's.", None)
    time_column: str | None = described("The table's column of times, if it differs from the training's.", None)
    split: str = described("Split to score: train, validation, test, or all rows.", "test")
    batch_size: int = described("Batch size of the forward passes.", 256)
    output: str | None = described("Also write the scores, the machine and the seed to this JSON file.", None)
    plots: str | None = described(
        "Also draw pictures into this folder: confusion of classes, calibration, truth against prediction, errors per "
        "node (on a map, with node_coordinates), poses, forecasts; those that suit each task.",
        None,
    )
    explain: bool = described(
        "With --plots, also draw which nodes and pairs the first 16 rows' outputs depend on; needs captum.", False
    )

    def table(self) -> dict[str, Any]:
        """The flags about a table, as fields of the recipe's task."""
        lists = {"inputs_columns": self.inputs_columns, "labels_columns": self.labels_columns}
        fields: dict[str, Any] = {name: None if text is None else text.split(",") for name, text in lists.items()}
        fields |= {"dataset": self.dataset, "split_column": self.split_column, "time_column": self.time_column}
        return {name: value for name, value in fields.items() if value is not None}


def main(arguments: Sequence[str]) -> None:
    """Run the command; ``ValueError`` for ill-formed arguments or files."""
    parser = argument_parser("evaluate", DESCRIPTION, [EvaluateOptions])
    add_checkpoint(parser)
    options, rest = parser.parse_args_into_dataclasses([*arguments])
    quiet_libraries()
    evaluate_checkpoint(checkpoint_of(rest), options)


def evaluate_checkpoint(checkpoint: str, options: EvaluateOptions) -> None:
    """Print each task's scores; ``options.output`` also writes them, ``options.plots`` also plots predictions.

    Raises:
        ValueError: no such checkpoint, task or split, or a recipe that names no rows.
    """
    if options.plots is not None:  # errors here come before the work, not after
        Path(options.plots).mkdir(parents=True, exist_ok=True)
    elif options.explain:
        raise ValueError("--explain draws pictures, so it needs --plots and their folder")
    if options.explain and importlib.util.find_spec("captum") is None:
        raise ValueError('--explain needs captum: pip install "asen-hf[explain]"')
    model = load_model(checkpoint)
    rows = recipe_rows(checkpoint, model.config, options.task, options.split, options.data_path, **options.table())
    for name in rows.left_out:
        print(f"{name}: recipe.yaml does not say where its rows come from; left out", file=sys.stderr)
    check_split(rows.splits, options.split)
    board = scoreboard(model, rows.splits, options.split, options.batch_size)
    board = judged(board, model, rows.sources, options.split, options.batch_size)
    print(format_scoreboard(model.config.tasks, board))
    if options.output is not None:
        ScoreRecord(options.split, rows.seed, board).write(options.output)
    if options.plots is not None:
        for name, splits in rows.splits.items():
            _draw(model, name, splits[options.split], rows.configs[name], options)


def _draw(model: AsenForMultitask, name: str, rows: Dataset, source: TaskConfig, options: EvaluateOptions) -> None:
    """Write the plots that apply to the task, and print their paths."""
    from ..plots.predictions import write_pictures  # imported here: matplotlib takes a second

    task = model.config.tasks[name]
    columns = collate(task, rows)
    given = {key: column for key, column in columns.items() if key in ("inputs", PAIRS, MASK)}
    given = to_device(given, model.device)
    starts = range(0, len(rows), options.batch_size)
    batches = [{key: column[start : start + options.batch_size] for key, column in given.items()} for start in starts]
    with evaluating(model):  # once, for predictions and probabilities alike
        logits = torch.cat([model(**batch, task=name).logits.cpu() for batch in batches])
    pictures = write_pictures(
        str(options.plots),
        name,
        task,
        predictions(task, logits, columns["inputs"]),
        columns["labels"],
        source.edges,
        None if task.is_regression else probabilities(task, logits),
        _attributions(model, name, {key: column[:_EXPLAINED_ROWS] for key, column in given.items()})
        if options.explain
        else None,
    )
    for path, shown in pictures.items():
        print(f"{path}: {shown}")


def _attributions(
    model: AsenForMultitask, name: str, columns: dict[str, torch.Tensor]
) -> tuple[Attribution, Attribution]:
    """Of nodes and of pairs: to the predicted class, or to the first of several values."""
    task = model.config.tasks[name]
    target = None if task.problem_type == "single_label_classification" else 0
    inputs, pairs, mask = columns["inputs"], columns.get(PAIRS), columns.get(MASK)
    return (
        node_attribution(model, inputs, name, target=target, pairs=pairs, attention_mask=mask),
        pair_attribution(model, inputs, name, target=target, pairs=pairs, attention_mask=mask),
    )
