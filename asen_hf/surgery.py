"""Taking a model's tasks apart and putting them together: what ``add_task`` and ``drop_task`` do not do alone.

What three plain lines do needs no function. With ``name`` a task of ``model``, an ``AsenForMultitask``:

Read a task's embeddings, with what each row stands for: row r of the edge table belongs to the node pairs labelled r
(row = target), row r of the node table to the nodes labelled r, and row t of the token table to token t.

    >>> table = model.asen.edge_embedders[name].weight  # (rank, d)
    >>> labels = model.asen.symmetry_breakers[name].labels  # (n, n), or (E,) in the order of the task's edges
    >>> pairs = [(labels == row).nonzero().tolist() for row in range(len(table))]

The others are ``model.asen.token_embedders[name].weight``, and ``model.asen.node_embedders[name].weight`` with
``symmetry_breakers[name].node_labels`` where a task has ``symmetry_breaking="nodes"``.

Freeze the backbone, so that only embedders and heads learn, under any trainer:

    >>> _ = model.asen.backbone.requires_grad_(False)

Start a task afresh, with new rows and a new head:

    >>> model.add_task("fresh", model.config.tasks[name])
    >>> model.drop_task(name)
    >>> rename_task(model, "fresh", name)
"""

import copy

import torch

from .model.configuration_asen import AsenConfig
from .model.modeling_asen import AsenForMultitask, AsenModel

# What backbones of equal weights must have in common to compute the same.
_BACKBONE_FIELDS = sorted(AsenConfig.__annotations__.keys() - {"tasks", "hidden_dropout_prob"})


def rename_task(model: AsenModel | AsenForMultitask, old: str, new: str) -> None:
    """Give a task another name, in the config and in every module; tasks stay sorted, weights as they are.

    Args:
        model: renamed in place.
        old, new: the task's names.

    Raises:
        ValueError: there is no task ``old``, or ``new`` is taken or cannot be used.
    """
    config = model.config
    _, task = config.task(old)
    config.check_new_task(new, task)
    config.drop_task(old)
    config.add_task(new, task)
    model.rename_task_modules(old, new)


def merge_tasks(model: AsenModel | AsenForMultitask, other: AsenModel | AsenForMultitask) -> None:
    """Add all tasks of another model with the same backbone: embedders, heads and config entries, as copies.

    So tasks that were trained apart on one frozen backbone come together in one checkpoint. ``other`` stays as it is.
    If it alone has weights for messages over triples, they come with its tasks.

    Args:
        model: grows in place. Warns as ``add_task`` does.
        other: another of the same class.

    Raises:
        ValueError: the classes differ; the backbones are not equal bit for bit (names the first tensor that differs);
            or both have a task of one name. ``model`` is as it was then.
    """
    if type(model) is not type(other):
        raise ValueError(f"models of one class are merged, got {type(model).__name__} and {type(other).__name__}")
    shared = sorted(model.config.tasks.keys() & other.config.tasks.keys())
    if shared:
        raise ValueError(f"both models have a task {', '.join(map(repr, shared))}; rename or drop it in one of them")
    _check_equal_backbones(model, other)
    for name, task in other.config.tasks.items():
        model.add_task(name, copy.deepcopy(task))
    # The backbone's tensors are there already; what is new are the tasks', and those for triples.
    model.load_state_dict(other.state_dict(), strict=False)


def _check_equal_backbones(model: AsenModel | AsenForMultitask, other: AsenModel | AsenForMultitask) -> None:
    for name in _BACKBONE_FIELDS:
        values = [getattr(each.config, name) for each in (model, other)]
        if values[0] != values[1]:
            raise ValueError(f"the backbones differ: {name} is {values[0]} in one and {values[1]} in the other")
    tensors, others = (
        (each.asen if isinstance(each, AsenForMultitask) else each).backbone.state_dict() for each in (model, other)
    )
    common = [name for name in tensors if name in others]  # all, but for the triples that only one may have
    differing = [name for name in common if not _are_equal(tensors[name], others[name])]
    if differing:
        raise ValueError(
            f"the backbones differ in {len(differing)} of {len(common)} tensors, the first of them "
            f"backbone.{differing[0]}: only tasks of one and the same backbone can be merged"
        )


def _are_equal(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    return tensor.dtype == other.dtype and torch.equal(tensor, other.to(tensor.device))
