"""Kernels are compiled once per process, and a missing compiler is told once."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch


@functools.cache
def compile_or_warn(compiling: Callable[..., Any], *arguments: Any) -> Any:
    """``compiling(*arguments)``, remembered; a warning and ``None`` if there is no compiler.

    Args:
        compiling: raises a RuntimeError if there is no compiler.
        arguments: of it; one of them is the device.
    """
    try:
        return compiling(*arguments)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # torch has renamed its error for a missing compiler before; this is its base class
        device = next(argument for argument in arguments if isinstance(argument, torch.device))
        _warn_of_fallback(device, str(error))
        return None


_warned: set[torch.device] = set()


def _warn_of_fallback(device: torch.device, reason: str) -> None:
    if device not in _warned:
        _warned.add(device)
        reason = reason.partition("\n")[0]
        warnings.warn(f"gatv2_compile falls back to eager, and on sparse supports to gatv2_pyg: {reason}", stacklevel=3)
