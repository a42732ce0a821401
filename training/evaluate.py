"""Score a checkpoint on held-out rows: a table with each task's group, scores, baselines and equivariance errors.

    python training/evaluate.py --checkpoint DIR [--task NAME] [--data_path FILE] [--plots DIR]

The rows are those that the checkpoint's recipe.yaml names, split as in its training, so that test rows are unseen.
--plots draws predicted poses, errors on a map and forecasts, for the tasks whose config says that they are such.
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers.utils import cached_file

from asen_hf import AsenForMultitask
from asen_hf.data import collate
from asen_hf.loop import machine
from asen_hf.prediction_plots import plot_predictions
from asen_hf.recipe import Recipe, argument_parser, described, load_config, script
from asen_hf.scoreboard import format_scoreboard, scoreboard


@dataclasses.dataclass
class EvaluateArguments:
    checkpoint: str = described("A checkpoint folder or Hub id.")
    task: str | None = described("Score this task only.", None)
    data_path: str | None = described("Where the task's file lies now, if not where it lay in training.", None)
    dataset: str | None = described("The same for a table.", None)
    split: str = described("train, validation or test.", "test")
    batch_size: int = described("Rows a forward pass.", 256)
    output: str | None = described("Also write the scores, with machine and seed, to this JSON file.", None)
    plots: str | None = described("Also draw predictions into this folder.", None)


@script
def main() -> None:
    arguments = argument_parser([EvaluateArguments], description=__doc__).parse_args_into_dataclasses(sys.argv[1:])[0]
    if arguments.plots is not None:
        Path(arguments.plots).mkdir(parents=True, exist_ok=True)  # before the work, if it cannot be made
    load_config(arguments.checkpoint)  # has the clearest error for a checkpoint that is not there
    model = AsenForMultitask.from_pretrained(arguments.checkpoint).eval()
    recipe = Recipe.read(cached_file(arguments.checkpoint, "recipe.yaml"))
    names = list(model.config.tasks) if arguments.task is None else [model.config.task(arguments.task)[0]]
    sources = {source.name: source for source in recipe.tasks}
    data, edges = {}, {}
    for name in names:
        if name not in sources:
            print(f"{name}: recipe.yaml does not say where its rows come from; left out", file=sys.stderr)
            continue
        source = dataclasses.replace(sources[name], support=None)  # the model has its own; pictures want all edges
        if arguments.data_path is not None:
            source.options["data_path"] = arguments.data_path
        if arguments.dataset is not None:
            source.dataset = arguments.dataset
        if source.dataset is not None:  # the checkpoint's own config serves; the task's JSON may have moved
            source.task_config = model.config.tasks[name].to_dict()
        task, data[name] = source.load(recipe.training.seed)
        edges[name] = task.edges
        if arguments.split not in data[name]:
            raise ValueError(f"task {name!r} has no split {arguments.split!r}; it has {', '.join(data[name])}")
    if not data:
        raise ValueError(f"recipe.yaml of {arguments.checkpoint} names the rows of none of {', '.join(names)}")
    board = scoreboard(model, data, arguments.split, arguments.batch_size)
    print(format_scoreboard(board))
    if arguments.output is not None:
        record = {
            "checkpoint": arguments.checkpoint,
            "split": arguments.split,
            "seed": recipe.training.seed,
            "machine": machine(),
            "scores": [dataclasses.asdict(score) for score in board],
        }
        Path(arguments.output).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if arguments.plots is not None:
        for name, splits in data.items():
            draw(model, name, splits[arguments.split], edges[name], arguments)


def draw(model: AsenForMultitask, name: str, rows: Dataset, edges: list | None, arguments: EvaluateArguments) -> None:
    """Write the pictures that suit the task, and say which."""
    task = model.config.tasks[name]
    columns = collate(task, rows)
    batches = columns["inputs"].split(arguments.batch_size)
    predicted = torch.cat([model.predict(batch.to(model.device), name).cpu() for batch in batches])
    pictures = plot_predictions(str(arguments.plots), name, task, predicted, columns["labels"], edges)
    for path, shown in pictures.items():
        print(f"{path}: {shown}")
    if not pictures:
        print(f"{name}: no picture: neither positions in space nor node_coordinates nor a residual_feature")


if __name__ == "__main__":
    main()
