"""``asen select``: which symmetry should a task get? Rank candidates by training a model with each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ..evaluation.reference_predictions import REFERENCES
from ..experiments.rival_networks import ARCHITECTURES
from ..experiments.selection import DEFAULT_RECIPE, SUPPORTS, select
from ..training._quiet_libraries import quiet_libraries
from ..training._typed_fields import described
from ..training.recipe import Recipe
from ..training.task_recipe import TaskRecipe
from ._command_line import parse_with_recipe
from ._row_arguments import RowArguments

DESCRIPTION = """\
Which symmetry should a task get? Train one model per candidate on the same budget, rank the candidates by their
validation scores, and keep the winner's checkpoint.

  asen select --task NAME --output_dir DIR [--groups G ...] [--supports complete ...] [--seeds 3]
  asen select --dataset FILE --task_config JSON --output_dir DIR
  asen select --recipe YAML --output_dir DIR

A candidate is a group (a name that the task offers, a notation such as "S5 wr S2", or generators as JSON lists of
cycles) on a support: complete (all pairs exchange messages), sparse (only the task's edges do) or weak (all pairs do,
and edges are distinguished from the rest). Without --groups, the candidates are the trivial and the symmetric group,
the task's own, the edges' automorphisms, and the symmetries of a line or ring: reversal, cyclic, dihedral. --rivals
adds other networks, each with as many parameters as the median candidate, to the table (paper Section 5.1.1), and
predictors without a network. Candidates are compared row by row on the validation rows.

DIR will hold ranking.md, ranking.csv, a plot and the checkpoint best/. To continue after an interruption, run the same
command.
"""


@dataclasses.dataclass
class SelectArguments:
    """Which candidates are compared, and how often each is trained."""

    groups: list[str] = dataclasses.field(
        default_factory=list, metadata={"help": "Candidate groups; default: the proposals listed above."}
    )
    supports: list[str] = dataclasses.field(
        default_factory=lambda: ["complete"], metadata={"help": f"Candidate supports: {', '.join(SUPPORTS)}."}
    )
    close_support: bool = described(
        "Add to the task's edges all images of edges under the candidate group, so that a sparse or weak support keeps "
        "the group's symmetry.",
        False,
    )
    rivals: list[str] = dataclasses.field(
        default_factory=list,
        metadata={
            "help": f"Other networks to compare with: {', '.join(ARCHITECTURES)}; or predictors without a network: "
            f"{', '.join(REFERENCES)}. The latter get the task's own group or, if it is trivial, the first candidate."
        },
    )
    lrs: list[float] = dataclasses.field(
        default_factory=list,
        metadata={
            "help": "Learning rates: the first run tries all of them, the remaining runs use the candidate's best by "
            "validation; default: the recipe's lr."
        },
    )
    seeds: int = described("Number of runs per candidate and learning rate.", 3)
    folds: int = described(
        "Cross-validate: number of folds of the train and validation rows, each held out once per seed, for tables of "
        "few rows; 0: the validation split. Not for rows that depend on each other, such as those of one time series.",
        0,
    )
    workers: int = described("Number of trainings at a time, each in a single-threaded process.", 2)


def main(arguments: Sequence[str]) -> None:
    """Run the command; ``ValueError`` for ill-formed arguments or files."""
    recipe, (how, rows_from) = parse_with_recipe(
        "select", DESCRIPTION, arguments, DEFAULT_RECIPE, [SelectArguments, RowArguments]
    )
    quiet_libraries()
    select(_source(rows_from, recipe), recipe, **dataclasses.asdict(how))
    print((Path(recipe.training.output_dir) / "ranking.md").read_text(encoding="utf-8"))


def _source(rows_from: RowArguments, recipe: Recipe) -> TaskRecipe:
    """The task, given by flags or as the one task of the recipe, which may change fields of its config."""
    if not recipe.tasks:
        return rows_from.task_recipe()
    if len(recipe.tasks) > 1 or rows_from != RowArguments():
        raise ValueError("the task to select for must be given once: by flags, or as the only task of the recipe")
    return recipe.tasks[0]
