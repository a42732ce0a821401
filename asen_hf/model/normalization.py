"""Between raw units and z-scores, with statistics that the config stores.

The arithmetic is in float64, and only z-scores are rounded to a model's dtype: float32 has 24 bits, and a time in Unix
seconds needs 31.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._messages import one_line, shown
from ._named_columns import frame_values, is_frame
from .configuration_statistics import Statistic, resolved_by_float32
from .configuration_task import TaskConfig

_UP_TO_FLOAT32 = (torch.float16, torch.bfloat16, torch.float32)


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64, or in float32 on Apple's GPUs, which have no float64."""
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


class FeatureEmbedder(nn.Linear):
    """Linear map of normalised features ``(B, n, F)`` to ``(B, n, d)``; a class because its weights start otherwise."""


def input_embedder(task: TaskConfig, hidden_size: int) -> nn.Embedding | FeatureEmbedder:
    """The embedder of a task's tokens or features, for :func:`embed_inputs`."""
    if task.vocab_size is not None:
        return nn.Embedding(1 if task.shared_token_embedding else task.vocab_size, hidden_size)
    return FeatureEmbedder(task.input_shape()[-1], hidden_size)


class MissingEmbedder(nn.Embedding):
    """A learned vector for a missing token, or one per feature. It starts at zero: a missing feature is at its mean."""


def missing_embedder(task: TaskConfig, hidden_size: int) -> MissingEmbedder:
    """The vectors of a task's missing inputs, for :func:`embed_inputs`."""
    return MissingEmbedder(task.num_features or 1, hidden_size)


def embed_inputs(task: TaskConfig, embedder: nn.Module, missing: nn.Module, inputs: Tensor) -> Tensor:
    """Tokens ``(B, n)``, or normalised features ``(B, n, F)``, to node features ``(B, n, d)``.

    Missing tokens (-1) get the learned vector of ``missing`` instead of an embedding. Missing features (NaN) get their
    mean, and add the feature's learned vector.
    """
    vectors = missing(torch.arange(task.num_features or 1, device=inputs.device))
    if task.vocab_size is not None:
        is_known = (inputs >= 0).unsqueeze(-1)
        tokens = inputs.clamp(min=0)
        return torch.where(is_known, embedder(tokens * 0 if task.shared_token_embedding else tokens), vectors)
    is_missing = inputs.isnan()
    known = torch.where(is_missing, 0, inputs).to(embedder.weight.dtype)  # type: ignore[arg-type]
    return embedder(known) + is_missing.to(vectors.dtype) @ vectors


def normalized_inputs(task: TaskConfig, inputs: Tensor) -> Tensor:
    """Tokens unchanged; features as :func:`normalized_features`."""
    return inputs if task.vocab_size is not None else normalized_features(task, inputs)


def normalized_features(task: TaskConfig, inputs: Tensor) -> Tensor:
    """Features ``(B, n, F)`` in raw units to z-scores, in float64."""
    return _normalized(in_float64(inputs), task.input_mean, task.input_scale)


def normalized_labels(task: TaskConfig, labels: Tensor, inputs: Tensor) -> Tensor:
    """Regressed values in raw units to z-scores ``(…, K)``, in float64; the residual feature is taken off first."""
    values = in_float64(labels)
    values = values if task.output_size > 1 else values.unsqueeze(-1)
    return _normalized(values - _residual(task, inputs), task.label_mean, task.label_scale)


def raw_values(task: TaskConfig, values: Tensor, inputs: Tensor) -> Tensor:
    """The inverse of :func:`normalized_labels`: z-scores ``(…, K)`` to raw units in the labels' shape.

    In float64, or in float32 if that loses nothing: it resolves the labels' scale, and z-scores (and inputs, for a
    residual) have no more digits.
    """
    sources = [values] if task.residual_feature is None else [values, inputs]
    fits_float32 = resolved_by_float32(task.label_mean, task.label_scale) and all(
        tensor.dtype in _UP_TO_FLOAT32 for tensor in sources
    )
    values = in_float64(values)
    mean, scale = _statistic(task.label_mean, 0.0, values), _statistic(task.label_scale, 1.0, values)
    values = values * scale + mean + _residual(task, inputs)
    values = values.squeeze(-1) if task.output_size == 1 else values
    return values.float() if fits_float32 else values


def to_columns(device: torch.device, task: TaskConfig | None, inputs: Any, **others: Any) -> dict[str, Tensor]:
    """The inputs and the other columns that are not ``None``, as tensors: tensors unchanged; the rest, on the device.

    A DataFrame of inputs is arranged by the task's ``input_names``.

    Raises:
        ValueError: neither tensors, arrays nor lists, lists of unequal length, no inputs, or a DataFrame whose columns
            the task does not name.
    """
    if is_frame(inputs):
        inputs = frame_values(inputs, None if task is None else task.input_names, "inputs")
        shape = (len(inputs), *(() if task is None else task.input_shape()))
        inputs = inputs.reshape(shape) if inputs.size == math.prod(shape) else inputs  # else its check says so
    given = {"inputs": inputs} | {name: column for name, column in others.items() if column is not None}
    return {name: to_tensor(name, column, device) for name, column in given.items()}


def to_tensor(name: str, column: Any, device: torch.device) -> Tensor:
    """A column as a tensor; arguments and errors as of :func:`to_columns`."""
    if isinstance(column, Tensor):
        if column.device.type == "meta" != device.type:
            raise ValueError(f"{name}: a tensor on the meta device has a shape and no values")
        return column
    try:
        array = np.asarray(column)
        # A copy only where it must be: torch warns of arrays that are read-only, such as those of a DataFrame.
        array = np.require(array, array.dtype.newbyteorder("="), requirements=["C", "W"])
        return to_device({name: torch.from_numpy(array)}, device)[name]
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected a tensor or an array of {name}, got {shown(column)}: {one_line(error)}") from error


def to_device(columns: dict[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """Tensors by name on a device; in float32 instead of float64 on Apple's GPUs, which have no float64."""
    if torch.device(device).type == "mps":
        columns = {
            name: tensor.float() if tensor.dtype == torch.float64 else tensor for name, tensor in columns.items()
        }
    return {name: tensor.to(device) for name, tensor in columns.items()}


def at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _normalized(values: Tensor, mean: Statistic, scale: Statistic) -> Tensor:
    return (values - _statistic(mean, 0.0, values)) / _statistic(scale, 1.0, values)


def _residual(task: TaskConfig, inputs: Tensor) -> float | Tensor:
    return 0.0 if task.residual_feature is None else in_float64(inputs[..., task.residual_feature, None])


def _statistic(value: Statistic, neutral: float, like: Tensor) -> float | Tensor:
    """A statistic of the config with the dtype and device of ``like``; a single number needs no transfer."""
    if value is None:
        return neutral
    return like.new_tensor(value) if isinstance(value, list) else value
