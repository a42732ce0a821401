"""Finetune a checkpoint on one task, with a group it may never have seen, the backbone at a reduced learning rate.

    accelerate launch training/finetune.py --checkpoint DIR --task NAME [--group G] [--data_path FILE] [--train_rows N]
    accelerate launch training/finetune.py --checkpoint DIR --dataset FILE --task_config JSON

The result is an ordinary checkpoint. --from_scratch keeps the backbone's shape but not its weights, for comparison.
"""

import dataclasses
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import set_seed

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

from ..closures.report import warn_if_not_closed
from ..evaluation.scoreboard import format_scoreboard, scoreboard
from ..evaluation.scores import TEST_SCORES_NAME, ScoreRecord
from ..hub.cards import write_card
from ..hub.uploads import UploadOptions, open_repository, push_run
from .loop import train
from .recipe import (
    Recipe,
    TrainingRecipe,
    argument_parser,
    backbone_fields,
    described,
    load_config,
    script,
)
from .row_arguments import RowArguments, parse_json

# The backbone's rate is the others' divided by these, unless --backbone_lr says otherwise. A donor's rows fit the
# backbone as it is: if it moves away, ten rows spoil what needed none (training/experiments/orbital_transfer).
BACKBONE_SLOWDOWN, BACKBONE_SLOWDOWN_WITH_DONOR = 2, 20


@dataclasses.dataclass
class FinetuneArguments:
    checkpoint: str = described("A checkpoint folder or Hub id.")
    group: str | None = described("The task's group: a name that the task offers, or a notation: S5 wr S2.", None)
    generators: str | None = described("Replaces the group: generators as JSON lists of cycles.", None)
    support: str | None = described(
        "What becomes of the task's edges: complete (all pairs carry messages), sparse (the edges only) or weak (all "
        "pairs, the edges told from the others); as the task has it when not given.",
        None,
    )
    init_from: str | None = described(
        "Start a new group's embedding rows, and the head, from those of this task of the checkpoint's.", None
    )
    from_scratch: bool = described("Start from random weights of the same shape.", False)
    keep_tasks: bool = described("Keep the checkpoint's other tasks, frozen, though the backbone moves on.", False)


def prepare_model(arguments: FinetuneArguments, name: str, task: Any, attn_implementation: str) -> AsenForMultitask:
    """The checkpoint with the task added: anew if it is new to it or has changed, else as it was trained."""
    if arguments.from_scratch and arguments.init_from is not None:
        raise ValueError("--from_scratch has no trained rows: --init_from cannot be given too")
    config = load_config(arguments.checkpoint)
    if arguments.from_scratch:
        warn_if_not_closed(name, task)
        return AsenForMultitask(
            AsenConfig(**backbone_fields(config), tasks={name: task}, attn_implementation=attn_implementation)
        )
    model = AsenForMultitask.from_pretrained(arguments.checkpoint, attn_implementation=attn_implementation)
    known = config.tasks.get(name)
    if known and arguments.init_from is not None:
        raise ValueError(f"the checkpoint has a task {name!r} itself: --init_from is for tasks that are new to it")
    if known and _as_the_model_sees_it(known) != _as_the_model_sees_it(task):
        model.drop_task(name)
    if name not in model.config.tasks:
        model.add_task(name, task, arguments.init_from)
    if not arguments.keep_tasks:  # only now: weights that layers keep for the others' triples may serve the new task
        for other in config.tasks.keys() - {name}:
            model.drop_task(other)
    return model


@script
def main() -> None:
    parser = argument_parser([FinetuneArguments, RowArguments, TrainingRecipe], description=__doc__)
    arguments, rows_from, training = parser.parse_args_into_dataclasses(sys.argv[1:])
    if training.backbone_lr is None:
        slowdown = BACKBONE_SLOWDOWN if arguments.init_from is None else BACKBONE_SLOWDOWN_WITH_DONOR
        training.backbone_lr = training.lr / (1 if arguments.from_scratch else slowdown)
    if training.backbone_lr > training.lr:
        raise ValueError(f"backbone_lr {training.backbone_lr} must not exceed lr {training.lr}")
    generators = None if arguments.generators is None else parse_json(arguments.generators, "generators")
    source = rows_from.task_recipe(arguments.group, generators=generators, support=arguments.support)
    state = PartialState(cpu=not torch.accelerator.is_available())
    set_seed(training.seed)
    upload = UploadOptions(training.push_to_hub, training.hub_model_id)
    repository = open_repository(upload, training.output_dir) if state.is_main_process else None
    with state.main_process_first():
        task, rows = source.load(training.seed)
    if not state.is_main_process:
        warnings.simplefilter("ignore")  # one process says it for all
    model = prepare_model(arguments, source.name, task, training.attn_implementation)
    recipe = Recipe(model=backbone_fields(model.config), tasks=[source], training=training)
    data = {source.name: rows}
    train(model, data, recipe)
    if state.is_main_process:
        output = training.output_dir
        board = scoreboard(model, data)
        ScoreRecord("test", training.seed, board).write(Path(output, TEST_SCORES_NAME))
        write_card(output)
        print(f"\nHeld-out test rows, checkpoint {output}:\n{format_scoreboard(model.config.tasks, board)}\n")
        print(f"Score it again at any time:\n  python training/evaluate.py --checkpoint {output}")
        if repository is not None:
            print(f"\nOn the Hub as {repository}: {push_run(output, repository)}")


def _as_the_model_sees_it(task: TaskConfig) -> TaskConfig:
    return dataclasses.replace(task, group_name="", orbital_names=None, point_order=None, node_coordinates=None)


if __name__ == "__main__":
    main()
