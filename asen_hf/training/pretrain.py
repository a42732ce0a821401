"""Pretrain one backbone on several tasks, each with its own group.

    accelerate launch training/pretrain.py [--recipe FILE] [--FIELD VALUE ...]

The recipe names the tasks; every scalar of it is a flag (--help lists them). The run's folder ends up with the best
checkpoint by validation, loadable with AsenForMultitask.from_pretrained, its scores on the held-out test rows and a
model card.
"""

import sys
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import set_seed

from asen_hf import AsenConfig, AsenForMultitask

from ..closures.report import warn_if_not_closed
from ..evaluation.scoreboard import format_scoreboard, scoreboard
from ..evaluation.scores import TEST_SCORES_NAME, ScoreRecord
from ..hub.cards import write_card
from ..hub.uploads import UploadOptions, open_repository, push_run
from .loop import train
from .recipe import Recipe, script

DEFAULT_RECIPE = Path(__file__).parents[2] / "hub_configs" / "asen-sequence-tiny" / "recipe.yaml"


@script
def main() -> None:
    recipe = Recipe.parse(sys.argv[1:], DEFAULT_RECIPE)
    state = PartialState(cpu=not torch.accelerator.is_available())
    set_seed(recipe.training.seed)
    upload = UploadOptions(recipe.training.push_to_hub, recipe.training.hub_model_id)
    repository = open_repository(upload, recipe.training.output_dir) if state.is_main_process else None
    with state.main_process_first():  # the others read what the first has cached
        configs, data = recipe.load()
    config = AsenConfig(**recipe.model, tasks=configs, attn_implementation=recipe.training.attn_implementation)
    model = AsenForMultitask(config)
    if state.is_main_process:
        for name, task in configs.items():
            warn_if_not_closed(name, task)
        print(f"{model.num_parameters():,} parameters, tasks: {', '.join(configs)}", flush=True)
    train(model, data, recipe)
    if state.is_main_process:
        output = recipe.training.output_dir.rstrip("/")
        board = scoreboard(model, data)
        ScoreRecord("test", recipe.training.seed, board).write(Path(output, TEST_SCORES_NAME))
        write_card(output)
        print(f"\nHeld-out test rows, checkpoint {output}:\n{format_scoreboard(model.config.tasks, board)}\n")
        print(
            "Next, finetune it on a task and a group it has never seen:\n"
            f"  accelerate launch training/finetune.py --checkpoint {output} --task equivariant/intersect"
            f" --train_rows 175 --output_dir {output}-intersect"
        )
        if repository is not None:
            print(f"\nOn the Hub as {repository}: {push_run(output, repository)}")


if __name__ == "__main__":
    main()
