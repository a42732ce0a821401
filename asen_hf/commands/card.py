"""``asen card``: render a checkpoint's model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..hub.cards import model_card
from ..training._quiet_libraries import quiet_libraries
from ._command_line import add_checkpoint, argument_parser, checkpoint_of

DESCRIPTION = """\
Render a checkpoint's model card from its config, its recipe and its measured scores.

  asen card CHECKPOINT [--scores FILE] [--output README.md]
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command; ``ValueError`` for ill-formed arguments or files."""
    parser = argument_parser("card", DESCRIPTION)
    add_checkpoint(parser)
    scores_help = "Score file written by asen evaluate --output; default: the checkpoint's own."
    parser.add_argument("--scores", metavar="FILE", help=scores_help)
    parser.add_argument("--output", type=Path, metavar="FILE", help="File to write the card to; default: print it.")
    options = parser.parse_args([*arguments])
    quiet_libraries()
    card = model_card(checkpoint_of(options), options.scores)
    if options.output is None:
        print(card, end="")
    else:
        card.save(options.output)
