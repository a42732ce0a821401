"""Typed ``datasets`` columns for a task, from its ``TaskConfig``, and conversion of NumPy arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Array2D, ClassLabel, Dataset, Features, List, Value

from ..model.configuration_asen import TaskConfig


def task_features(config: TaskConfig) -> Features:
    """Types of the columns ``inputs`` and ``labels``.

    Tokens are int64 ``(n,)``, features float32 ``(n, F)``, classes ``ClassLabel`` and regressed values float32, both
    of shape ``config.label_shape()``.
    """
    token = Value("float32") if config.vocab_size is None else Value("int64")
    label = Value("float32")
    if not config.is_regression:
        label = ClassLabel(names=config.label_names, num_classes=None if config.label_names else config.num_labels)
    return Features({"inputs": _shaped(token, config.input_shape()), "labels": _shaped(label, config.label_shape())})


def task_dtypes(config: TaskConfig) -> tuple[type, type]:
    """NumPy types of a task's inputs and labels: int64 or float32."""
    return np.int64 if config.vocab_size is not None else np.float32, np.float32 if config.is_regression else np.int64


def to_table(
    config: TaskConfig, inputs: np.ndarray, labels: np.ndarray, predictions: Mapping[str, np.ndarray] | None = None
) -> pa.Table:
    """An Arrow table of N rows from valid arrays ``(N,) + input_shape()`` and ``(N,) + label_shape()``.

    ``predictions`` holds reference predictions by column name, with the labels' shape and type.
    """
    predictions = predictions or {}
    features, (input_dtype, label_dtype) = task_features(config), task_dtypes(config)
    schema = Features({**features, **dict.fromkeys(predictions, features["labels"])}).arrow_schema
    arrays: dict[str, np.ndarray] = {"inputs": inputs.astype(input_dtype, copy=False)}
    for name, array in {"labels": labels, **predictions}.items():
        arrays[name] = array.astype(label_dtype, copy=False)
    return pa.table([_to_arrow(array, schema.field(name).type) for name, array in arrays.items()], schema=schema)


def to_dataset(
    config: TaskConfig, inputs: np.ndarray, labels: np.ndarray, predictions: Mapping[str, np.ndarray] | None = None
) -> Dataset:
    """The rows of :func:`to_table` as an in-memory dataset."""
    return Dataset(to_table(config, inputs, labels, predictions))


def _shaped(feature: Any, shape: tuple[int, ...]) -> Any:
    # Array2D, unlike nested lists, is read back into NumPy in one piece: milliseconds, not seconds.
    if len(shape) == 2:
        return Array2D(shape, feature.dtype)
    return List(feature, length=shape[0]) if shape else feature


def _to_arrow(array: np.ndarray, arrow_type: pa.DataType) -> pa.Array:
    nested = pa.array(array.reshape(-1))
    for size in reversed(array.shape[1:]):
        nested = pa.FixedSizeListArray.from_arrays(nested, size)
    if isinstance(arrow_type, pa.ExtensionType):
        return arrow_type.wrap_array(nested.cast(arrow_type.storage_type))
    return nested
