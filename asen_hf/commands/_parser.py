"""The parser of every command."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Print descriptions as they are written, and the default of every flag."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        unset: tuple[Any, ...] = (None, argparse.SUPPRESS, False, "", [])
        return action.help if action.default in unset else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Raises ``ValueError`` instead of exiting. Unlike the parsers of dataclasses, it imports no transformers."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)
