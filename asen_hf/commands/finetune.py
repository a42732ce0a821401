"""``asen finetune``: finetune a checkpoint on one task, and save the result with scores and a model card."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..evaluation.scoreboard import format_scoreboard
from ..hub.cards import write_card
from ..hub.uploads import UploadOptions, open_repository, push_run
from ..training._processes import process_state
from ..training._quiet_libraries import quiet_libraries
from ..training._typed_fields import described
from ..training.finetune import finetune
from ..training.recipe import TrainingRecipe
from ._command_line import add_checkpoint, argument_parser, checkpoint_of
from ._row_arguments import RowArguments, parse_json

DESCRIPTION = """\
Finetune a checkpoint on one task, with any group. The backbone trains at a reduced learning rate.

  asen finetune CHECKPOINT --dataset FILE --task_config JSON
  asen finetune CHECKPOINT --task NAME [--group G] [--data_path FILE] [--train_rows N]

The result is an ordinary checkpoint with its test scores and a model card. Prefix the command with accelerate launch
(accelerate launch training/finetune.py CHECKPOINT ...) to use several processes or GPUs.
"""


@dataclasses.dataclass
class FinetuneArguments:
    """How the task enters the model."""

    group: str | None = described(
        "Group of the task: a name that the task offers, or a notation such as S5 wr S2; default: the task's own.", None
    )
    generators: str | None = described(
        "Generators that replace the task's group, as JSON lists of cycles: [[[0, 1], [2, 3]]].", None
    )
    support: str | None = described(
        "Node pairs that exchange messages: complete (all pairs), sparse (the task's edges) or weak (all pairs, edges "
        "distinguished from the rest); default: the task's own.",
        None,
    )
    init_from: str | None = described(
        "Task of the checkpoint whose embeddings and head the new task starts from; prior: computed from structure.",
        None,
    )
    from_scratch: bool = described("Train the checkpoint's architecture from random weights.", False)
    keep_tasks: bool = described(
        "Keep the checkpoint's other tasks. Their embeddings and heads are frozen, but the shared backbone changes.",
        False,
    )


def main(arguments: Sequence[str]) -> None:
    """Run the command; ``ValueError`` for ill-formed arguments or files."""
    types = [FinetuneArguments, RowArguments, TrainingRecipe, UploadOptions]
    parser = argument_parser("finetune", DESCRIPTION, types)
    add_checkpoint(parser)
    how, rows_from, training, upload, rest = parser.parse_args_into_dataclasses([*arguments])
    checkpoint = checkpoint_of(rest)
    quiet_libraries()
    if how.from_scratch and how.init_from is not None:
        raise ValueError("--init_from copies trained rows, so it cannot be combined with --from_scratch")
    generators = None if how.generators is None else parse_json(how.generators, "generators")
    source = rows_from.task_recipe(how.group, generators=generators, support=how.support)
    is_main_process = process_state().is_main_process  # read before training, which destroys the process group
    output = training.output_dir.rstrip("/")
    repository = open_repository(upload, output) if is_main_process else None
    result = finetune(
        checkpoint,
        source,
        init_from=how.init_from,
        from_scratch=how.from_scratch,
        keep_tasks=how.keep_tasks,
        **dataclasses.asdict(training),
    )
    if not is_main_process:
        return
    write_card(output)
    print(f"\nHeld-out test rows, checkpoint {output}:\n{format_scoreboard(result.model.config.tasks, result.scores)}")
    if repository is not None:
        print(f"\nOn the Hub as {repository}: {push_run(output, repository)}")
    print(f"\nScore it again at any time:\n  asen evaluate {output}")
