"""Score a checkpoint on held-out rows: a table with each task's group, scores, baselines and equivariance errors.

    python training/evaluate.py --checkpoint DIR [--task NAME] [--data_path FILE]

The rows are those that the checkpoint's recipe.yaml names, split as in its training, so that test rows are unseen.
"""

import dataclasses
import json
import sys
from pathlib import Path

from transformers.utils import cached_file

from asen_hf import AsenForMultitask
from asen_hf.loop import machine
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


@script
def main() -> None:
    arguments = argument_parser([EvaluateArguments], description=__doc__).parse_args_into_dataclasses(sys.argv[1:])[0]
    load_config(arguments.checkpoint)  # has the clearest error for a checkpoint that is not there
    model = AsenForMultitask.from_pretrained(arguments.checkpoint).eval()
    recipe = Recipe.read(cached_file(arguments.checkpoint, "recipe.yaml"))
    names = list(model.config.tasks) if arguments.task is None else [model.config.task(arguments.task)[0]]
    sources = {source.name: source for source in recipe.tasks}
    data = {}
    for name in names:
        if name not in sources:
            print(f"{name}: recipe.yaml does not say where its rows come from; left out", file=sys.stderr)
            continue
        source = sources[name]
        if arguments.data_path is not None:
            source.options["data_path"] = arguments.data_path
        if arguments.dataset is not None:
            source.dataset = arguments.dataset
        if source.dataset is not None:  # the checkpoint's own config serves; the task's JSON may have moved
            source.task_config = model.config.tasks[name].to_dict()
        data[name] = source.load(recipe.training.seed)[1]
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


if __name__ == "__main__":
    main()
