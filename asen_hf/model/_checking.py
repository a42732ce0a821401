"""Checks of tensors, where they enter a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._transforms import is_transformed


def check_tensor(check: Callable[..., None], tensor: Any, task: str) -> None:
    """Run a TaskConfig's check on a tensor.

    Only shape and dtype are checked on a GPU, where values would need a device sync, and under a transform such as
    vmap, where there are none; nothing is checked while ``torch.compile`` or ``torch.export`` traces.
    """
    if torch.compiler.is_compiling():
        return
    if not isinstance(tensor, Tensor):
        raise ValueError(f"task {task!r}: expected a tensor of inputs, pairs or labels, got {type(tensor).__name__}")
    if tensor.device.type == "cpu" and not is_transformed():
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)
    else:
        dtype = "float32" if tensor.dtype == torch.bfloat16 else str(tensor.dtype).removeprefix("torch.")
        array = np.empty((0, *tensor.shape[1:]), dtype)
    check(array, where=f"task {task!r}: ")
