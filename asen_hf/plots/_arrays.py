"""Pictures of predictions take tensors, as models give them, and arrays, as scikit-learn does."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

_COLUMNS = ("predicted", "labels", "probabilities", "values", "truth")
P = ParamSpec("P")
R = TypeVar("R")


def takes_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """The function of tensors, with arrays or lists of numbers among its predictions and labels made tensors."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def of_arrays(*arguments: P.args, **named: P.kwargs) -> R:
        bound = signature.bind(*arguments, **named)
        for name in _COLUMNS:
            if not isinstance(bound.arguments.get(name), Tensor | None):
                bound.arguments[name] = _tensor(name, bound.arguments[name])
        return function(*bound.args, **bound.kwargs)

    return of_arrays


def _tensor(name: str, values: object) -> Tensor:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name}: expected numbers, and classes as their places in label_names, got an array of {array.dtype}"
        )
    return torch.from_numpy(np.ascontiguousarray(array))
