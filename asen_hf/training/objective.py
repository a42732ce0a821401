"""The training objective, and the learning rates of the parameter groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn

from ..data import collate
from ..model.backbone import AsenBackbone
from ..model.configuration_asen import TaskConfig
from ..model.heads import is_known
from ..model.modeling_asen import AsenForMultitask
from ..model.symmetry import EdgeEmbedder
from ..model.triples import TripleMessages

Batch = Mapping[str, Mapping[str, Tensor]]


class MultitaskObjective(nn.Module):
    """The module that Accelerate prepares: every task's loss on its own rows, and their mean.

    A batch holds rows of *every* task being trained, so that every trained parameter gets a gradient on every rank
    (paper Section 5.2.1, concurrent and balanced updates).
    """

    def __init__(self, model: AsenForMultitask):
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, num_labels: Mapping[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """``{task: {"inputs", "labels"}}`` to the mean of the tasks' losses and ``{task: loss}``, all scalars.

        Args:
            batch: rows of every task.
            num_labels: ``{task: number}`` that the sum of a task's losses is divided by; by default the number of the
                batch's known labels.
        """
        if isinstance(batch, Mapping) and not batch:
            raise ValueError("a batch needs rows of at least one task")
        losses = self.model.losses(batch, num_labels)
        return torch.stack(list(losses.values())).mean(), losses


def freeze_other_tasks(model: AsenForMultitask, tasks: list[str]) -> None:
    """Train the backbone and the named tasks only: DDP stalls on trainable parameters that a batch never reaches."""
    has_triples = any(model.config.tasks[task].symmetry_breaking == "triples" for task in tasks)
    for task in model.config.tasks:
        for module in model.task_modules(task).values():
            module.requires_grad_(task in tasks)
    for module in model.modules():
        if isinstance(module, TripleMessages):
            module.requires_grad_(has_triples)


def parameter_groups(
    model: nn.Module, lr: float, backbone_lr: float | None = None, free_row_decay: float | None = None
) -> list[dict[str, Any]]:
    """Optimiser groups: the shared backbone at ``backbone_lr``, embedders and heads at ``lr``.

    The paper (Section 5.2.2) finetunes the backbone at a lower learning rate than the embedders.

    Args:
        model: a module that holds an ``AsenBackbone``; frozen parameters are left out.
        lr: learning rate of everything that belongs to a task.
        backbone_lr: learning rate of the backbone; ``None`` for ``lr``.
        free_row_decay: weight decay of the rows that orbitals have besides a shared one, a third group; ``None`` for
            that of all parameters.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    backbones = [module for module in model.modules() if isinstance(module, AsenBackbone)]
    shared = {parameter for backbone in backbones for parameter in backbone.parameters()}
    tables = [module.weight for module in model.modules() if isinstance(module, EdgeEmbedder) and module.is_correction]
    free = set(tables if free_row_decay is not None else [])
    groups: list[dict[str, Any]] = [
        {"params": [each for each in trained if each in shared], "lr": lr if backbone_lr is None else backbone_lr},
        {"params": [each for each in trained if each not in shared | free], "lr": lr},
    ]
    if free:
        groups.append({"params": [each for each in trained if each in free], "lr": lr, "weight_decay": free_row_decay})
    return groups


def check_labels_known(task: TaskConfig, split: Dataset, where: str) -> None:
    """Raise ``ValueError`` if all labels of a split are missing: it has neither a loss nor a score."""
    if not is_known(task, collate(task, split)["labels"]).any():
        raise ValueError(f"{where}: every label is missing (-100 or NaN)")
