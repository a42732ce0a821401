"""What training minimises and what evaluation reports: losses over tasks, parameter groups, metrics, baselines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from ..data import collate
from ..evaluation.metrics import METRICS, details
from ..model.backbone import AsenBackbone
from ..model.configuration_asen import TaskConfig
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import predictions
from ..model.pretrained_asen import evaluating
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

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """``{task: {"inputs", "labels"}}`` to the mean of the tasks' losses and ``{task: loss}``, all scalars."""
        if not batch:
            raise ValueError("a batch needs rows of at least one task")
        losses = self.model.losses(batch)
        return torch.stack(list(losses.values())).mean(), losses


def freeze_other_tasks(model: AsenForMultitask, tasks: list[str]) -> None:
    """Train the backbone and the named tasks only: what a batch never reaches would stall a plain DDP step."""
    has_triples = any(model.config.tasks[task].symmetry_breaking == "triples" for task in tasks)
    for part in model.modules():
        if isinstance(part, nn.ModuleDict):  # embedders and heads
            for task, module in part.items():
                module.requires_grad_(task in tasks)
        elif isinstance(part, TripleMessages):
            part.requires_grad_(has_triples)


def parameter_groups(model: nn.Module, lr: float, backbone_lr: float | None = None) -> list[dict[str, Any]]:
    """Two optimiser groups: the shared backbone at ``backbone_lr``, embedders and heads at ``lr``.

    The paper (Section 5.2.2) slows the backbone down when it finetunes and lets the embedders move freely.

    Args:
        model: anything that holds a backbone; frozen parameters are left out.
        lr: learning rate of everything that belongs to a task.
        backbone_lr: the backbone's; ``None`` for the same.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    backbones = [module for module in model.modules() if isinstance(module, AsenBackbone)]
    shared = {parameter for backbone in backbones for parameter in backbone.parameters()}
    return [
        {"params": [each for each in trained if each in shared], "lr": lr if backbone_lr is None else backbone_lr},
        {"params": [each for each in trained if each not in shared], "lr": lr},
    ]


@dataclasses.dataclass(frozen=True)
class Scores:
    """One task on one split.

    Attributes:
        loss: mean loss in normalised units, as in training.
        metric: the task's (see ``TaskConfig``), in raw units.
        value: the metric.
        details: further numbers in raw units, by name (see :func:`asen_hf.evaluation.metrics.details`).
    """

    loss: float
    metric: str
    value: float
    details: dict[str, float] = dataclasses.field(default_factory=dict)


def evaluate(model: AsenForMultitask, splits: Mapping[str, Dataset], batch_size: int = 256) -> dict[str, Scores]:
    """Score each task on a split.

    Args:
        model: left in the mode, training or not, that it was in.
        splits: ``{task: Dataset}`` with columns ``inputs`` and ``labels``.
        batch_size: rows a forward pass.

    Returns:
        ``{task: Scores}``, in the order of ``splits``; means over all labels that are not ignored.
    """
    scores = {}
    for name, split in splits.items():
        task = model.config.tasks[name]
        metric = METRICS[str(task.metric)]
        columns = collate(task, split)
        loss = torch.zeros(2, dtype=torch.float64)  # its sum, and the number of labels
        predicted = []
        for batch in _batches(columns, batch_size):
            batch = {key: column.to(model.device) for key, column in batch.items()}
            with evaluating(model):
                output = model(**batch, task=name)
            count = int(is_known(task, batch["labels"]).sum())
            loss += torch.tensor([float(output.loss) * count, count])
            logits = output.logits
            guess = (
                (logits[..., 1] - logits[..., 0]) if metric.uses_scores else predictions(task, logits, batch["inputs"])
            )
            predicted.append(guess.cpu())
        compared = torch.cat(predicted), columns["labels"], is_known(task, columns["labels"])
        scores[name] = Scores(
            float(loss[0] / loss[1]), str(task.metric), metric.compute(*compared), details(task, *compared)
        )
    return scores


def check_labels_known(task: TaskConfig, split: Dataset, where: str) -> None:
    """Raise ``ValueError`` for a split all of whose labels are ignored: it has neither a loss nor a score."""
    if not is_known(task, collate(task, split)["labels"]).any():
        raise ValueError(f"{where}: every label is missing (-100 or NaN)")


def reference_predictions(task: TaskConfig, train: Dataset, test: Dataset) -> dict[str, Tensor]:
    """What others than the network say about a split, by name, each of its labels' shape.

    ``majority`` (classes) or ``constant`` (values: the train median, by label); for node regression on continuous
    features also ``linear``, one least-squares map from a node's features to its labels, shared by all nodes (on a time
    series: a shared autoregression); with a ``residual_feature`` also ``persistence``, that feature itself. Then every
    column of the split beside ``inputs`` and ``labels``: whoever made the split has put predictions there to compare
    with.

    Args:
        task: what the splits hold.
        train: split to fit on.
        test: split to predict.

    Raises:
        ValueError: a column of another shape than the labels'.
    """
    fit, held_out = collate(task, train), collate(task, test)
    labels = held_out["labels"]
    guesses: dict[str, Tensor] = {}
    if not task.is_regression:
        seen = fit["labels"][fit["labels"] >= 0]
        guesses["majority"] = seen.mode().values.expand(labels.shape)
    else:
        several = task.output_size
        median = fit["labels"].reshape(-1, several).nanmedian(dim=0).values
        guesses["constant"] = median.expand(labels.numel() // median.numel(), -1).reshape(labels.shape)
        if task.num_features is not None and task.output_level == "node":
            guesses["linear"] = _linear(fit, held_out["inputs"], several).reshape(labels.shape)
        if task.residual_feature is not None:
            last = held_out["inputs"][..., task.residual_feature, None]
            guesses["persistence"] = last.expand(*last.shape[:-1], several).reshape(labels.shape)
    for name in sorted(set(test.column_names) - set(held_out)):
        guesses[name] = torch.from_numpy(np.asarray(test.with_format("numpy")[name][:]))
        if guesses[name].shape != labels.shape:
            raise ValueError(
                f"column {name}: expected predictions of the labels' shape {tuple(labels.shape)}, got "
                f"{tuple(guesses[name].shape)}"
            )
    return guesses


def baselines(task: TaskConfig, train: Dataset, test: Dataset) -> dict[str, float]:
    """What :func:`reference_predictions` reach on the test split, in the task's metric."""
    labels = collate(task, test)["labels"]
    known = is_known(task, labels)
    compute = METRICS[str(task.metric)].compute
    return {name: compute(guess, labels, known) for name, guess in reference_predictions(task, train, test).items()}


def _linear(fit: Mapping[str, Tensor], inputs: Tensor, num_labels: int) -> Tensor:
    def design(features: Tensor) -> np.ndarray:
        flat = features.flatten(0, -2).double().numpy()
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)

    labels = fit["labels"].reshape(-1, num_labels).double().numpy()
    known = ~np.isnan(labels).any(axis=1)
    weights = np.linalg.lstsq(design(fit["inputs"])[known], labels[known], rcond=None)[0]
    return torch.from_numpy(design(inputs) @ weights)


def is_known(task: TaskConfig, labels: Tensor) -> Tensor:
    """Which labels are not ignored."""
    return ~labels.isnan() if task.is_regression else labels >= 0


def _batches(columns: Mapping[str, Tensor], batch_size: int) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(columns["inputs"]), batch_size):
        yield {name: column[start : start + batch_size] for name, column in columns.items()}
