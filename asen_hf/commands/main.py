"""The ``asen`` command. Each subcommand has its own module, which is imported only when the subcommand runs."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Sequence

from .._version import __version__
from ..model._messages import one_line
from ._parser import Parser

_DESCRIPTION = "Any-Subgroup Equivariant Networks: the symmetry is data."
_COMMANDS = {
    "pretrain": "train one backbone on several tasks, each with its own group",
    "finetune": "finetune a checkpoint on one task, with any group",
    "evaluate": "score a checkpoint on held-out rows and compare with reference predictions",
    "select": "rank candidate symmetries of a task by training a model with each",
    "inspect": "report the symmetry that a group, or a checkpoint's tasks, give the network",
    "card": "render a checkpoint's model card",
    "demo": "look at groups and try checkpoints in the browser",
}


# Two lines in an error of a group's notation: the text, and a caret below the character.
_EXCERPT = re.compile(r"\n  [^\n]*\n {2,}\^")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: default: ``sys.argv[1:]``.

    Returns:
        The exit status: 0, or 2 after an error on stderr.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = Parser(prog="asen", description=_DESCRIPTION, epilog="asen COMMAND --help explains a command's flags.")
    parser.add_argument("--version", action="version", version=f"asen_hf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, help_text in _COMMANDS.items():
        commands.add_parser(name, help=help_text, add_help=False)
    return report_errors(lambda: _run(parser, arguments))


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    command = parser.parse_args(arguments[:1]).command
    importlib.import_module(f".{command}", __package__).main(arguments[1:])


def report_errors(run: Callable[[], None]) -> int:
    """Call ``run`` and return the exit status.

    An expected error becomes one line on stderr and status 2, an interruption one line and status 130; a defect shows
    its traceback. Below an error in a group's notation stand the text and a caret under the character.
    """
    try:
        run()
    except (ValueError, OSError) as error:
        excerpt = _EXCERPT.search(str(error))
        print(f"error: {one_line(_EXCERPT.sub('', str(error)))}{excerpt[0] if excerpt else ''}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; a training goes on with --resume_from_checkpoint latest", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
