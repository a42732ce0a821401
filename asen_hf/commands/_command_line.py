"""Shared by the commands: parsers made from dataclasses, recipes that flags override."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from ..training.recipe import ModelRecipe, Recipe, TrainingRecipe
from ._parser import HelpFormatter, Parser


class _DataclassParser(Parser, HfArgumentParser):
    pass


def argument_parser(command: str, description: str, dataclass_types: Sequence[Any] = ()) -> HfArgumentParser:
    """A parser with a flag for every field of the dataclasses, which raises ``ValueError`` instead of exiting."""
    return _DataclassParser(
        [*dataclass_types],
        prog=f"asen {command}",
        description=description,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the argument CHECKPOINT, which can also be given as --checkpoint CHECKPOINT."""
    help_text = "Checkpoint: a folder, a Hub id or the name of a committed checkpoint, such as asen-sequence-base."
    parser.add_argument("checkpoint", metavar="CHECKPOINT", nargs="?", help=help_text)
    flag_help = "The same checkpoint, as a flag instead of a position."
    parser.add_argument("--checkpoint", dest="checkpoint_flag", metavar="CHECKPOINT", help=flag_help)


def checkpoint_of(arguments: argparse.Namespace) -> str:
    """The checkpoint named on the command line; ``ValueError`` unless there is exactly one."""
    given = [name for name in (arguments.checkpoint, arguments.checkpoint_flag) if name is not None]
    if len(given) != 1:
        raise ValueError(
            f"expected one checkpoint, got {len(given)}: pass either CHECKPOINT or --checkpoint CHECKPOINT"
        )
    return str(given[0])


def parse_with_recipe(
    command: str, description: str, arguments: Sequence[str], default_recipe: Path, dataclass_types: Sequence[Any] = ()
) -> tuple[Recipe, list[Any]]:
    """Read a recipe file and override its scalars by flags.

    Args:
        command, description: shown by --help.
        arguments: without the command's name; ``--recipe FILE`` names another file.
        default_recipe: the file to read without ``--recipe``.
        dataclass_types: additional dataclasses whose fields become flags.

    Returns:
        The recipe, and one instance per class of ``dataclass_types``.

    Raises:
        ValueError: an unknown flag, a value that does not fit, or an ill-formed file.
    """
    parser = argument_parser(command, description, [*dataclass_types, ModelRecipe, TrainingRecipe])
    parser.add_argument(
        "--recipe", default=str(default_recipe), help="Recipe, a YAML file; flags override its scalar fields."
    )
    asks_for_help = bool({"-h", "--help"} & set(arguments))
    path = str(default_recipe) if asks_for_help else parser.parse_args([*arguments]).recipe
    recipe = Recipe.read(path)
    parser.set_defaults(**dataclasses.asdict(recipe.model), **dataclasses.asdict(recipe.training))
    *options, model, training, _ = parser.parse_args_into_dataclasses([*arguments])
    return dataclasses.replace(recipe, model=model, training=training), options
