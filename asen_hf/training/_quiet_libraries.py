"""Silence of the libraries, for what prints its own progress."""

from __future__ import annotations

import warnings

from datasets import disable_progress_bars
from transformers.utils import logging


def quiet_libraries() -> None:
    """Turn off the libraries' progress bars, and print each warning on one line."""
    logging.disable_progress_bar()
    disable_progress_bars()
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"warning: {message}\n"
