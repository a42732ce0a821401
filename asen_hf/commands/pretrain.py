"""``asen pretrain``: train one backbone on several tasks, and save it with scores and a model card."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.scoreboard import format_scoreboard
from ..hub.cards import write_card
from ..hub.uploads import UploadOptions, open_repository, push_run
from ..model.checkpoints import checkpoint_path
from ..training._processes import process_state
from ..training._quiet_libraries import quiet_libraries
from ..training.pretrain import pretrain
from ._command_line import parse_with_recipe

DESCRIPTION = """\
Train one backbone on several tasks, each with its own group.

  asen pretrain [--recipe FILE] [--FIELD VALUE ...]
  accelerate launch training/pretrain.py [--recipe FILE] [--FIELD VALUE ...]

The recipe names the tasks; the default is the recipe of the checkpoint asen-sequence-tiny. The output folder will hold
the best checkpoint by validation, its scores on the held-out test rows and a model card.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command; ``ValueError`` for ill-formed arguments or files."""
    default = checkpoint_path("asen-sequence-tiny") / "recipe.yaml"
    recipe, [upload] = parse_with_recipe("pretrain", DESCRIPTION, arguments, default, [UploadOptions])
    quiet_libraries()
    is_main_process = process_state().is_main_process  # read before training, which destroys the process group
    output = recipe.training.output_dir.rstrip("/")
    repository = open_repository(upload, output) if is_main_process else None
    if is_main_process:
        print(f"Training on {', '.join(task.name for task in recipe.tasks) or 'no tasks'}", flush=True)
    result = pretrain(recipe)
    if not is_main_process:
        return
    write_card(output)
    print(f"\n{result.model.num_parameters():,} parameters. Held-out test rows, checkpoint {output}:")
    print(format_scoreboard(result.model.config.tasks, result.scores))
    if repository is not None:
        print(f"\nOn the Hub as {repository}: {push_run(output, repository)}")
    how = " --init_from prior" if result.model.config.structure_embedder else ""
    print(
        "\nNext, finetune it on a task and a group it has never seen:\n"
        f"  asen finetune {output} --task equivariant/intersect{how} --train_rows 175 --output_dir {output}-intersect"
    )
