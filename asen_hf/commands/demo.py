"""``asen demo``: the demo in the browser."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ._parser import HelpFormatter, Parser

DESCRIPTION = """\
Serve the demo: look at groups, try the committed checkpoints, fit a table of your own. It needs the extra space:

  pip install 'asen-hf[space]'
  asen demo [--port 7860]
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command; ``ValueError`` for ill-formed arguments, or if Gradio is not installed."""
    parser = Parser(prog="asen demo", description=DESCRIPTION, formatter_class=HelpFormatter, allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all.")
    parser.add_argument("--port", type=int, help="Port; default: the first free one from 7860.")
    options = parser.parse_args([*arguments])
    if options.port is not None and not 0 < options.port < 2**16:
        raise ValueError(f"--port must be in 1 … {2**16 - 1:,}, got {options.port}")
    try:
        from ..demo.app import launch  # imported here: Gradio is an extra
    except ModuleNotFoundError as error:
        if error.name not in ("gradio", "psutil"):
            raise
        raise ValueError("asen demo needs Gradio, which is not installed: pip install 'asen-hf[space]'") from error
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl+C is how it ends
        launch(options.host, options.port)
