"""Merge two models' tasks, add value symmetries to a trained task; and recipes that need no function.

The recipes use ``model``, an ``AsenForMultitask``, and ``name``, one of its tasks.

Read the embeddings of a task: row r of the edge table belongs to the node pairs labelled r (row = target), row r of the
node table to the nodes labelled r, and row t of the token table to token t.

    >>> table = model.asen.edge_embedders[name].weight  # (rank, d)
    >>> labels = model.asen.symmetry_breakers[name].labels  # (n, n), or (E,) in the order of the task's edges
    >>> pairs = [(labels == row).nonzero().tolist() for row in range(len(table))]

The token table is ``model.asen.token_embedders[name].weight``. A task with ``symmetry_breaking="nodes"`` has the node
table ``model.asen.node_embedders[name].weight`` and the labels ``model.asen.symmetry_breakers[name].node_labels``; on a
grid whose lines share rows, a node's vector is the sum of the rows ``node_rows`` instead.

Freeze the backbone, so that any trainer updates only embedders and heads:

    >>> _ = model.asen.backbone.requires_grad_(False)

Reinitialise the embedders and the head of a task:

    >>> model.add_task("fresh", model.config.tasks[name])
    >>> model.drop_task(name)
    >>> model.rename_task("fresh", name)
"""

import contextlib
import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

from .closures import warn_if_not_closed
from .model.configuration_asen import AsenConfig
from .model.modeling_asen import AsenForMultitask, AsenModel
from .model.pretrained_asen import dropped_on_error, has_adapters
from .model.symmetry import SymmetryBreaker
from .model.value_symmetries import ValueSheets

# Config fields that must be equal for backbones of equal weights to compute the same function.
_BACKBONE_FIELDS = sorted(AsenConfig.__annotations__.keys() - {"tasks", "hidden_dropout_prob"})


def merge_tasks(model: AsenModel | AsenForMultitask, other: AsenModel | AsenForMultitask) -> None:
    """Copy all tasks of another model with an equal backbone: embedders, heads and config entries.

    This combines tasks that were trained separately on a frozen backbone in one checkpoint. If only ``other`` has
    weights for messages over triples, they are copied as well. Warns as ``add_task``.

    Args:
        model: changed in place.
        other: a model of the same class; it does not change.

    Raises:
        ValueError: the classes differ, a model has adapters, the backbones are not equal bit for bit (the message names
            the first tensor that differs), both models have a task of the same name, or the tasks are too many for one
            model. ``model`` does not change then.
    """
    if type(model) is not type(other):
        names = f"{type(model).__name__} and {type(other).__name__}"
        raise ValueError(f"merge_tasks needs two models of the same class, got {names}")
    if has_adapters(model) or has_adapters(other):
        raise ValueError("merge_tasks needs models without adapters: merge or remove the adapters first")
    shared = sorted(model.config.tasks.keys() & other.config.tasks.keys())
    if shared:
        raise ValueError(f"both models have a task {', '.join(map(repr, shared))}; rename or drop it in one model")
    _check_equal_backbones(model, other)
    trial = copy.deepcopy(model.config)
    for name, task in other.config.tasks.items():
        trial.add_task(name, task)
    with contextlib.ExitStack() as added:
        for name, task in other.config.tasks.items():
            model.add_task(name, task)
            added.enter_context(dropped_on_error(model, name))
        # Backbone tensors are equal already, so this changes only the tensors of the new tasks and for triples.
        model.load_state_dict(other.state_dict(), strict=False)


def add_value_symmetries(
    model: AsenModel | AsenForMultitask,
    task: str,
    value_symmetries: Sequence[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]],
) -> None:
    """Make a trained task equivariant to a group that changes values, by a change of its config: no weight changes.

    Its predictions become means over the cosets of the elements that change no value (see
    :mod:`asen_hf.model.value_symmetries`). Features and regressed values change sign about the statistics that the task
    was trained with: state ``input_mean`` and ``label_mean`` for a mirror whose plane is known. Warns as ``add_task``.

    Args:
        model: changed in place.
        task: name of the task. It must have none yet.
        value_symmetries: as in :class:`~asen_hf.TaskConfig`, beside the ``group`` that the task has.

    Raises:
        ValueError: the task is unknown or has value symmetries, they do not suit its config, or the elements that
            change no value have other orbitals than the task's group, which its weights are for. ``model`` does not
            change then.
    """
    name, old = model.config.task(task)
    if old.value_symmetries:
        raise ValueError(f"task {name!r} has value symmetries already: train a new task for others")
    new = dataclasses.replace(old, value_symmetries=value_symmetries)
    seen = SymmetryBreaker(new).compute_buffers()
    known = SymmetryBreaker(old).compute_buffers()
    if seen.keys() != known.keys() or any(not torch.equal(seen[key], known[key]) for key in seen):
        raise ValueError(
            f"task {name!r}: together with these value symmetries, elements that change no value have other orbitals "
            "than the group that the weights are for: train a new task instead (add_task with init_from)"
        )
    warn_if_not_closed(name, new)
    sheets = ValueSheets(new).to(model.device)
    # Every parameter stays the object that it is, so that optimisers and frozen weights are not disturbed.
    modules = model.modules_by_role()
    model.config.tasks[name] = new
    cast(SymmetryBreaker, modules["symmetry_breaker"][name]).task = new
    modules["value_sheets"][name] = sheets.train(model.training)


def _check_equal_backbones(model: AsenModel | AsenForMultitask, other: AsenModel | AsenForMultitask) -> None:
    for name in _BACKBONE_FIELDS:
        first, second = getattr(model.config, name), getattr(other.config, name)
        if first != second:
            raise ValueError(f"the backbones differ: {name} is {first} in one and {second} in the other")
    first_tensors, second_tensors = _backbone_tensors(model), _backbone_tensors(other)
    common = [name for name in first_tensors if name in second_tensors]  # only one model may have weights for triples
    differing = [name for name in common if not _are_equal(first_tensors[name], second_tensors[name])]
    if differing:
        raise ValueError(
            f"the backbones differ in {len(differing)} of {len(common)} tensors, first in backbone.{differing[0]}: "
            "merge_tasks needs equal backbones"
        )


def _backbone_tensors(model: AsenModel | AsenForMultitask) -> dict[str, torch.Tensor]:
    return (model.asen if isinstance(model, AsenForMultitask) else model).backbone.state_dict()


def _are_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second.to(first.device))
