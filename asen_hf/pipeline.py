"""``pipeline("asen-prediction", model=…)``: predicts label names, or values in raw units, for rows given as dicts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Pipeline

from ._auto_classes import PIPELINE_TASK
from .data._fields import input_field, mask_field, pair_field
from .data._task_columns import checked_mask
from .data.features import exact
from .model._messages import check_nesting, shown
from .model._named_columns import column_text, has_no_names, is_frame, positions_of
from .model.configuration_asen import TaskConfig
from .model.configuration_rows import MASK, MISSING_TOKEN, PAIRS
from .model.heads import predictions, probabilities
from .model.normalization import to_device
from .model.pretrained_asen import evaluating

_ONE_INPUT = Mapping | tuple | str | bytes | np.ndarray | Tensor  # a single input, never iterated over as rows


class AsenPredictionPipeline(Pipeline):
    """Predicts rows of all tasks of an ``AsenForMultitask``, with the label names of the task.

    Example:

        >>> from transformers import pipeline
        >>> from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
        >>> ring = TaskConfig(group="D6", vocab_size=3, label_names=["dull", "bright"], output_level="graph")
        >>> area = TaskConfig(group="S4", num_features=2, problem_type="regression")
        >>> model = AsenForMultitask(AsenConfig(tasks={"ring": ring, "area": area}))
        >>> predict = pipeline("asen-prediction", model=model, device="cpu")  # or a folder, or a Hub id
        >>> beads, corners = [0, 1, 2, 0, 1, 2], [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
        >>> sorted(predict({"inputs": beads, "task": "ring"}))
        ['label', 'score']
        >>> [sorted(score["label"] for score in predict({"inputs": beads, "task": "ring"}, top_k=None))]
        [['bright', 'dull']]
        >>> rows = [{"inputs": beads, "task": "ring"}, {"inputs": corners, "task": "area"}]
        >>> label, values = predict(rows, batch_size=8)  # rows of different tasks; results keep their order
        >>> len(values)
        4
    """

    # A checkpoint has no processors, so the base class must not load any.
    _load_processor = _load_tokenizer = _load_feature_extractor = False  # type: ignore[assignment]
    _load_image_processor = _load_video_processor = False  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if not hasattr(self.model, "predict"):
            raise ValueError(f"{PIPELINE_TASK} needs an AsenForMultitask, with heads, got {type(self.model).__name__}")

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Predict rows.

        Args:
            inputs: a row ``{"inputs": …, "task": name}``, or a list, dataset or generator of rows. The inputs of a row
                are tokens ``(n,)`` or features ``(n, F)`` in raw units, ``(n,)`` for one feature, as lists, an array or
                a tensor; ``None`` is missing, as are NaN and the token -1. A row of a DataFrame, or a dict, has the
                columns of the task's ``input_names``, in any order. The task is optional if the model has only one. A
                task with pair inputs needs ``"pairs"`` too, ``(n, n)`` or ``(n, n, P)``. A row may have fewer nodes
                than the task, if the group exchanges them freely; or all nodes, and an ``"attention_mask"`` ``(n,)``, 0
                at the nodes that it lacks. All remaining keys, such as labels, are ignored.
            batch_size: number of rows per batch, 1 by default; the rows of a task in a batch are predicted together.
            top_k: for classification, as in transformers' text classification: an integer returns a list of the
                ``top_k`` most probable classes, ``None`` a list of all classes.

        Returns:
            One result for a row, a list for a list, otherwise an iterator that computes results on demand. The result
            of a classification is ``{"label": name, "score": probability}``, or with ``top_k`` a list of such dicts.
            The result of a regression is a number, or ``{name: number}`` for more than one value. Node tasks return a
            list with one result per node that the row has, tasks on pairs a list of lists, row = target. Several labels
            are a list of ``{"label", "score"}``, the most probable first. Without ``label_names``, outputs are named
            ``"LABEL_0"``, ``"LABEL_1"``, …

        Raises:
            ValueError: a row is not a dict with inputs, its task is unknown, or its inputs or pairs have the wrong
                shape or dtype, are out of range or infinite, or pairs are missing or not wanted; the message has the
                number of the row, counted from 0.
        """
        if isinstance(inputs, list | tuple) and not inputs:
            return []
        if isinstance(inputs, Iterable) and not isinstance(inputs, _ONE_INPUT | list):
            inputs = (row for row in inputs)  # the base class accepts generators but not datasets.Dataset
        return super().__call__(inputs, *args, **kwargs)

    # Save only the model: the base class would also save this file, and the config would require trust_remote_code.
    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save the model; arguments as in ``PreTrainedModel.save_pretrained``."""
        self.model.save_pretrained(save_directory, **kwargs)

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:
        """Upload the model; arguments as in ``PreTrainedModel.push_to_hub``."""
        return self.model.push_to_hub(*args, **kwargs)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        unknown = sorted(parameters.keys() - {"top_k"})
        if unknown:
            raise ValueError(f"{PIPELINE_TASK} takes top_k and batch_size; unknown parameter {', '.join(unknown)}")
        top_k = parameters.get("top_k")
        if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
            raise ValueError(f"top_k must be None or an integer of at least 1, got {shown(top_k)}")
        return {}, {}, parameters

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict,
        forward_params: dict,
        postprocess_params: dict,
    ) -> Iterator[Any]:
        """Yield results in the order of the rows. Overridden, because the base class needs a tokenizer for batches."""
        rows = (inputs[number] for number in range(len(inputs))) if hasattr(inputs, "__len__") else inputs
        prepared = (self.preprocess(row, number, **preprocess_params) for number, row in enumerate(rows))
        while batch := list(itertools.islice(prepared, batch_size)):
            positions: dict[str, list[int]] = {}
            for position, row in enumerate(batch):
                positions.setdefault(row["task"], []).append(position)
            results: dict[int, Any] = {}
            for name, places in positions.items():
                columns = [name for name in batch[places[0]] if name != "task"]  # the same in all rows of a task
                stacked = {name: torch.cat([batch[place][name] for place in places]) for name in columns}
                if stacked[MASK].all():
                    del stacked[MASK]
                output = self.forward({"task": name, **to_device(stacked, self.device)}, **forward_params)
                results |= zip(places, self._results(output, **postprocess_params), strict=True)
            yield from (results[place] for place in range(len(batch)))

    def preprocess(self, row: Any, number: int = 0) -> dict[str, Any]:  # type: ignore[override]
        """Check a row; return its task, its inputs, its pairs if the task has any, and its mask as a batch of one."""
        if not isinstance(row, Mapping) or "inputs" not in row:
            got = f"a dict with {', '.join(map(str, row))}" if isinstance(row, Mapping) else type(row).__name__
            raise ValueError(f'row {number}: expected a dict {{"inputs": …, "task": name}}, got {got}')
        try:
            name, task = self.model.config.task(row.get("task"))
            return {"task": name, **_tensors(task, row, number, f"task {name!r}: ")}
        except (TypeError, ValueError) as error:
            raise ValueError(f"row {number}: {error}") from None

    def _forward(self, batch: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        with evaluating(self.model):
            return {**batch, "logits": self.model(**batch, return_dict=True).logits}

    def postprocess(self, output: dict[str, Any], **parameters: Any) -> Any:  # type: ignore[override]
        """The result of a batch of one."""
        return self._results(output, **parameters)[0]

    def _results(self, output: dict[str, Any], **parameters: Any) -> list[Any]:
        """One result per row."""
        task, logits = self.model.config.tasks[output["task"]], output["logits"]
        if task.is_regression:
            flat = _values(task, predictions(task, logits, output["inputs"]))
        else:
            flat = _classes(task, logits, **parameters)
        if task.output_level == "graph":
            return flat
        shape = (len(output["inputs"]), task.degree)
        mask = output[MASK].cpu().numpy() if MASK in output else np.ones(shape, dtype=bool)
        nodes = [np.flatnonzero(row).tolist() for row in mask]
        if task.output_level == "node":
            return [[flat[row * task.degree + node] for node in own] for row, own in enumerate(nodes)]
        return [
            [[flat[(row * task.degree + target) * task.degree + source] for source in own] for target in own]
            for row, own in enumerate(nodes)
        ]


def _tensors(task: TaskConfig, row: Mapping[str, Any], number: int, where: str) -> dict[str, Tensor]:
    """A row's columns as a batch of one, padded to all nodes of the task."""
    checked = {"inputs": task.check_inputs} | ({PAIRS: task.check_pairs} if PAIRS in row or task.has_pairs else {})
    if absent := [name for name in checked if name not in row]:
        raise ValueError(f"{where}the task has pair inputs: give {absent[0]} {task.pair_shape()} beside inputs")
    numbers = {"inputs": task.vocab_size is None, PAIRS: task.pair_features is not None}
    row = {**row, "inputs": _in_order(task, row["inputs"])}
    given = {name: _filled(_to_array(row[name], name), numbers[name])[None] for name in checked}
    if task.num_features == 1 and given["inputs"].ndim == 2:  # one number per node, without a list around it
        given["inputs"] = given["inputs"][..., None]
    size = min(given["inputs"].shape[1] if given["inputs"].ndim > 1 else 0, task.degree)
    field = input_field(task)
    if 0 < size < task.degree and (refusal := field.refusal(number, size)):
        try:
            task.check_inputs(given["inputs"], first_row=number, where=where)
        except ValueError as error:
            raise ValueError(f"{error}; {refusal}") from None
    given["inputs"] = field.padded(given["inputs"])
    if task.has_pairs:
        if given[PAIRS].shape[1:3] != (size, size):
            raise ValueError(f"{where}inputs have {size} nodes, but pairs have shape {given[PAIRS].shape[1:]}")
        given[PAIRS] = pair_field(task).padded(given[PAIRS])
    for name, check in checked.items():
        check(given[name], first_row=number, where=where)
    mask = None if row.get(MASK) is None else _to_array(row[MASK], MASK)[None]
    if mask is not None:
        mask = mask_field(task).padded(mask.astype(np.int64) if mask.dtype == bool else mask)
    mask = checked_mask(task, np.array([size]), mask, where, number)
    tensors = {name: torch.from_numpy(exact(array, numbers[name])) for name, array in given.items()}
    return {**tensors, MASK: torch.from_numpy(mask)}


def _in_order(task: TaskConfig, inputs: Any) -> Any:
    """A row of a DataFrame, or a dict, in the order of the task's ``input_names``; all else unchanged."""
    if not hasattr(inputs, "keys") or is_frame(inputs) or has_no_names(names := list(inputs.keys())):
        return inputs
    if task.input_names is None:
        raise ValueError("inputs have names, and the task has no input_names to arrange them by: give a list")
    places = positions_of([column_text(name) for name in names], task.input_names, "inputs")
    return np.array([inputs[names[place]] for place in places]).reshape(task.input_shape())


def _to_array(values: Any, name: str) -> np.ndarray:
    """A copy as an array of the same dtype; lists of numbers become int64 or float64."""
    if isinstance(values, Tensor):
        if values.is_meta:
            raise ValueError(f"{name} are a tensor on the meta device, which has no values")
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy(force=True)
    check_nesting(values, name)
    try:
        array = np.array(values, order="C")
    except ValueError:  # lists of unequal length: the task's check reports shape and dtype
        array = np.array(values, dtype=object)
    return array


def _filled(array: np.ndarray, is_number: bool) -> np.ndarray:
    """The array with NaN, or -1 of tokens and categories, for ``None`` (JSON has no NaN), and with -1 for their NaN."""
    if array.dtype.kind == "f" and not is_number and (is_nan := np.isnan(array)).any():
        filled = np.where(is_nan, MISSING_TOKEN, array)  # pandas makes integers floats where one is missing
        return filled.astype(np.int64) if (filled == np.floor(filled)).all() else array
    if array.dtype != object:
        return array
    is_missing = np.array([cell is None for cell in array.flat], dtype=bool).reshape(array.shape)
    filled = np.where(is_missing, np.nan if is_number else MISSING_TOKEN, array)
    try:
        return np.array(filled.tolist()) if is_missing.any() else array
    except ValueError:  # lists of unequal length, as above
        return filled


def _values(task: TaskConfig, values: Tensor) -> list[Any]:
    if task.output_size == 1:
        return values.flatten().tolist()
    return [dict(zip(_names(task), row, strict=True)) for row in values.flatten(0, -2).tolist()]


def _classes(task: TaskConfig, logits: Tensor, **parameters: Any) -> list[Any]:
    names, logits = _names(task), logits.flatten(0, -2).float()
    top_k = parameters.get("top_k", None if task.is_multi_label else 1)  # of several labels, any number may hold
    best = logits.sort(dim=-1, descending=True, stable=True).indices[:, :top_k]
    results = [
        [{"label": names[index], "score": score} for index, score in zip(indices, scores, strict=True)]
        for indices, scores in zip(best.tolist(), probabilities(task, logits).gather(-1, best).tolist(), strict=True)
    ]
    return results if "top_k" in parameters or task.is_multi_label else [likeliest for [likeliest] in results]


def _names(task: TaskConfig) -> list[str]:
    return task.label_names or [f"LABEL_{index}" for index in range(task.output_size)]  # transformers' own default
