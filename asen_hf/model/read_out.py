"""Fit a task's head by ridge regression on the states of the network as it is: no gradient step.

A backbone that was pretrained with such a read-out (:mod:`asen_hf.training.stream`) predicts from a few labelled rows
at once, and finetuning starts from there.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ._checking import checked_columns
from .configuration_names import PRIOR
from .configuration_outputs import can_count_partners
from .configuration_rows import MASK
from .configuration_task import TaskConfig
from .heads import Head, is_known, without_padding
from .normalization import normalized_labels, to_device
from .pretrained_asen import evaluating
from .relations import counts_fit
from .ridge import fit_ridge
from .row_statistics import row_statistics, unbounded
from .structure_embedder import StructureEmbedder
from .symmetry import SymmetryBreaker

if TYPE_CHECKING:
    from .modeling_asen import AsenForMultitask

# Errors of fitted coefficients raise the squared error of predictions by the number of coefficients over that of rows:
# at 64 rows each by 1.6 %, which more rows would hardly lessen. At a width of 64, these are 4,096 rows.
_ROWS_PER_COEFFICIENT = 64


def can_fit_read_out(task: TaskConfig) -> bool:
    """Whether every output is a linear map of one state whose label is known.

    Not so: outputs on top of another map, means over (i, j) and (j, i), and those of pairs or of a lifted graph under
    value symmetries.
    """
    is_mixed = bool(task.value_symmetries) and (
        task.output_level == "pair" or (task.output_level == "graph" and task.symmetrization == "lift")
    )
    return not (task.linear_skip or task.symmetric_outputs or is_mixed)


def with_context(
    model: AsenForMultitask, task: str | TaskConfig | dict | None, context: Mapping[str, Tensor]
) -> tuple[AsenForMultitask, str]:
    """A copy of the model whose head of a task is fitted to labelled rows; the model itself is not changed.

    Args:
        model: with a structure embedder, unless it has the task.
        task: the name of a task of the model; or a config, whose tables are computed from its structure. Statistics
            that it does not state are those of the context. Its head reads counts of partners unless they are too many.
        context: ``inputs``, ``labels`` and, if there are any, ``pairs`` and ``attention_mask``.

    Returns:
        The copy, and the task's name in it.

    Raises:
        ValueError: the model has neither the task nor a structure embedder, or the task's head cannot be fitted.
    """
    fitted = copy.deepcopy(model)
    if isinstance(task, TaskConfig | dict):
        name = next(name for name in map("context{}".format, itertools.count()) if name not in model.config.tasks)
        config = TaskConfig.from_dict(task.to_dict() if isinstance(task, TaskConfig) else task)
        has_counts = can_count_partners(config) and counts_fit(config, SymmetryBreaker(config))
        config = dataclasses.replace(config, partner_counts=has_counts)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of the codes of tokens: equal calls give equal predictions
            fitted.add_task(name, _with_statistics(config, name, context), init_from=PRIOR)
    else:
        name = model.config.task(task)[0]
    fit_read_out(fitted, name, context)
    return fitted, name


def _with_statistics(task: TaskConfig, name: str, context: Mapping[str, Tensor]) -> TaskConfig:
    """The task with statistics of the context where it states none."""
    rows = _checked(unbounded(task), name, context)
    return dataclasses.replace(task, **row_statistics(task, {key: rows[key].double().cpu().numpy() for key in rows}))


def _checked(task: TaskConfig, name: str, columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The columns, labels of padding unknown. ``ValueError`` for columns that the task cannot take, or without rows."""
    columns = checked_columns(task, name, columns)
    if "labels" not in columns:
        raise ValueError(f"task {name!r}: fitting a head needs labels, got {', '.join(columns)}")
    if not len(columns["inputs"]):
        raise ValueError(f"task {name!r}: fitting a head needs at least one known label, got no rows")
    mask = columns.get(MASK)
    labels = columns["labels"] if mask is None else without_padding(task, columns["labels"], mask)
    return {**columns, "labels": labels}


@torch.no_grad()
def fit_read_out(model: AsenForMultitask, name: str, columns: Mapping[str, Tensor], batch_size: int = 256) -> None:
    """Set a task's head to the ridge regression of its labels, with penalties by cross-validation.

    Every output is fitted to the rows that know it; of more than 64 rows per coefficient, to evenly spaced ones.
    Weights of rows and of classes play no part. Classes are regressed as shares, and the shares times a factor that the
    model has learned are the logits. With value symmetries, the rows of all cosets are regressed, because the outputs
    are averaged over them.

    Args:
        model: its head of the task is changed; the states are computed on its device.
        name: a task of the model for which :func:`can_fit_read_out`.
        columns: ``inputs``, ``labels`` and, if there are any, ``pairs`` and ``attention_mask``, as in
            :meth:`AsenForMultitask.forward`.
        batch_size: rows per forward pass.

    Raises:
        ValueError: no label is known, rows that the task cannot take, or outputs that are not linear in the states.
    """
    task, head = model.config.tasks[name], last_layer(model, name)
    if not can_fit_read_out(task):
        raise ValueError(
            f"task {name!r}: its outputs are not linear in the states of one node, pair or graph "
            f"(linear_skip={task.linear_skip}, symmetric_outputs={task.symmetric_outputs}, symmetrization="
            f"{task.symmetrization!r}), so they cannot be fitted by ridge regression: finetune instead"
        )
    columns = _checked(task, name, columns)
    rows = _enough_rows(task, columns["labels"], _ROWS_PER_COEFFICIENT * head.in_features)
    parts = [
        to_device({key: column[part] for key, column in columns.items()}, model.device)
        for part in rows.split(batch_size)
        if len(part)
    ]
    if not parts:
        raise ValueError(f"task {name!r}: fitting a head needs at least one known label, got none")
    targets = [_targets(model, name, part) for part in parts]
    read: list[Tensor] = []

    def samples(outputs: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """States, targets and rows of the places that know these outputs, batch by batch."""
        first = 0
        for part, values in zip(parts, targets, strict=True):
            is_known_value, num_rows = ~np.isnan(values[:, outputs[0]]), len(part["inputs"])
            if is_known_value.any():
                model(task=name, **{key: part[key] for key in part if key not in ("labels", "weights")})
                states = read.pop().flatten(0, -2).double().cpu().numpy()
                places = first + np.arange(num_rows).repeat(len(values) // num_rows)
                yield states[is_known_value], values[is_known_value][:, outputs], places[is_known_value]
            first += num_rows

    known = ~np.isnan(np.concatenate(targets))
    handle = head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    try:
        with evaluating(model):
            for pattern in np.unique(known, axis=1).T:  # outputs that are known in the same places are fitted together
                outputs = np.flatnonzero((known == pattern[:, None]).all(axis=0))
                if pattern.any():  # else the outputs keep their weights
                    ridge = fit_ridge(samples(outputs), _parts(head))
                    head.weight[outputs] = torch.from_numpy(ridge.coefficients.T).to(head.weight)
                    head.bias[outputs] = torch.from_numpy(ridge.intercept).to(head.bias)
    finally:
        handle.remove()


def _parts(head: Head) -> np.ndarray:
    """0 for what a head reads of states, 1 for counts of partners, int64 ``(head.in_features,)``."""
    one = np.repeat([0, 1], [head.num_states, head.num_counts])
    return np.tile(one, head.in_features // len(one))


def _enough_rows(task: TaskConfig, labels: Tensor, most: int) -> Tensor:
    """For every output, the numbers of up to ``most`` evenly spaced rows that know it; int64, sorted."""
    known = is_known(task, labels)
    known = known.reshape(len(known), -1, task.output_size if labels.shape[1:] != task.output_shape() else 1)
    has_output = known.any(dim=1).cpu().numpy()
    rows = [np.flatnonzero(column) for column in has_output.T]
    spaced = [own[np.linspace(0, len(own) - 1, min(len(own), most)).round().astype(np.int64)] for own in rows]
    return torch.from_numpy(np.unique(np.concatenate(spaced))).to(labels.device)


def last_layer(model: AsenForMultitask, name: str) -> Head:
    """The layer that makes a task's outputs."""
    head = model.heads[name]
    return head if isinstance(head, Head) else head.output  # type: ignore[return-value]


def _scale_of(model: AsenForMultitask) -> float:
    embedder = model.asen.structure_embedder
    return float(embedder.log_scale.exp()) if isinstance(embedder, StructureEmbedder) else 1.0


def _targets(model: AsenForMultitask, name: str, columns: Mapping[str, Tensor]) -> np.ndarray:
    """What the logits should be ``(places, K)``, in float64; NaN where labels are unknown."""
    wanted = _wanted(model.config.tasks[name], columns, _scale_of(model))
    sheets = model.asen.sheets(name)
    wanted = wanted if sheets is None else sheets.expand_labels(wanted)
    return wanted.flatten(0, -2).double().cpu().numpy()


def _wanted(task: TaskConfig, columns: Mapping[str, Tensor], scale: float) -> Tensor:
    """What the logits of rows should be ``(…, K)``, NaN where labels are unknown."""
    labels = columns["labels"]
    if task.is_regression:
        return normalized_labels(task, labels, columns["inputs"])
    known = is_known(task, labels)
    if task.is_multi_label:
        return torch.where(known, scale * (labels.double() - 0.5), torch.nan)
    shares = F.one_hot(torch.where(known, labels, 0).long(), task.output_size).double()
    return torch.where(known.unsqueeze(-1), scale * shares, torch.nan)
