"""The objective on a stream of random tasks: predict a task's other rows from a few labelled ones.

Tables are computed by the structure embedder and heads by ridge regression on the labelled rows, so that nothing
belongs to one task: the backbone learns states from which a linear map of few rows generalises (compare R2D2,
Bertinetto et al., ICLR 2019).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.synthetic.prior_stream import Episode
from ..model.batching import EmbeddedRows, join, split, tasks_to_join
from ..model.configuration_asen import TaskConfig
from ..model.heads import pool, pooling_of
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import at_least_float32
from ..model.relations import refine
from ..model.structure_columns import StructureColumns
from ..model.structure_embedder import StructureEmbedder
from ..model.symmetry import OrbitGraph


@dataclasses.dataclass(frozen=True)
class Answers:
    """What was predicted of the rows of an episode whose labels were not given.

    Attributes:
        loss: cross-entropy, or half the squared error of z-scores.
        accuracy: share of right classes; ``None`` of a regression.
        majority: share of the commonest class; ``None`` of a regression.
    """

    loss: Tensor
    accuracy: Tensor | None = None
    majority: Tensor | None = None


class StreamObjective(nn.Module):
    """The module that Accelerate prepares, in place of :class:`~.objective.MultitaskObjective`.

    Args:
        model: with a structure embedder.
        name: of the stream, for reports.
    """

    def __init__(self, model: AsenForMultitask, name: str):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, batch: Sequence[dict[str, Any]], _: Any = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Episodes as :func:`to_tensors` gives them to the mean of their losses."""
        loss = torch.stack([answers.loss for answers in self.answers(batch)]).mean()
        # A batch need not hold classes, nor pairs, and DDP waits for a gradient of every weight.
        for weight in (self.embedder.log_scale, *self.embedder.pair_states.parameters()):
            loss = loss + 0 * weight.sum()
        return loss, {self.name: loss}

    def answers(self, batch: Sequence[dict[str, Any]]) -> list[Answers]:
        """What the model makes of every episode."""
        rows = {str(number): self._embed(episode) for number, episode in enumerate(batch)}
        found: dict[int, Answers] = {}
        for names in tasks_to_join(rows):
            joined = [rows[name] for name in names]
            states, _ = self.model.asen.backbone(join(joined))
            parts = split(states[-1:], [len(part.node_features) for part in joined])
            for name, [last], part in zip(names, parts, joined, strict=True):
                found[int(name)] = self._answer(batch[int(name)], last, part)
        return [found[number] for number in range(len(batch))]

    @property
    def embedder(self) -> StructureEmbedder:
        embedder = self.model.asen.structure_embedder
        assert isinstance(embedder, StructureEmbedder)
        return embedder

    def _embed(self, episode: dict[str, Any]) -> EmbeddedRows:
        task, inputs = episode["task"], episode["inputs"]
        pairs, vectors = self.embedder(StructureColumns(episode["pair_columns"], episode["input_columns"]))
        nodes = F.embedding(inputs, vectors) if task.vocab_size else inputs @ vectors[:-1] + vectors[-1]
        graph = refine(task, OrbitGraph(task.degree, episode["orbits"]), inputs, None)
        return EmbeddedRows(nodes, pairs, None, graph)

    def _answer(self, episode: dict[str, Any], states: Tensor, rows: EmbeddedRows) -> Answers:
        task, labels, given = episode["task"], episode["labels"], episode["num_context"]
        features = states
        if task.output_level == "pair":
            features = self.embedder.pair_states(states, rows.orbital_features, rows.graph)
        elif task.output_level == "graph":
            features = pool(states, pooling_of(self.model.config, task))
        features = features.flatten(0, -2).unflatten(0, (len(labels), -1))  # (rows, places, d)
        if task.is_regression:
            targets = ((labels - labels.mean()) / labels.std().clamp(min=1e-3)).unsqueeze(-1)
        else:
            targets = F.one_hot(labels, task.output_size).to(features.dtype)
        targets = targets.flatten(0, -2).unflatten(0, (len(labels), -1))
        found = self._ridge(
            features[:given].flatten(0, 1), targets[:given].flatten(0, 1), features[given:].flatten(0, 1)
        )
        wanted = targets[given:].flatten(0, 1)
        if task.is_regression:
            return Answers((found - wanted).square().mean() / 2)
        classes = wanted.argmax(dim=-1)
        loss = F.cross_entropy(found * self.embedder.log_scale.exp(), classes)
        right = (found.argmax(dim=-1) == classes).float().mean()
        return Answers(loss, right, wanted.mean(dim=0).max())

    def _ridge(self, given: Tensor, targets: Tensor, asked: Tensor) -> Tensor:
        """Predictions ``(Q, K)`` of the states asked ``(Q, d)``, linear in states, from those given ``(S, d)``."""
        with torch.autocast(given.device.type, enabled=False):  # a Gram matrix needs all digits
            return self._solve(*map(at_least_float32, (given, targets, asked)))

    def _solve(self, given: Tensor, targets: Tensor, asked: Tensor) -> Tensor:
        mean, offset = given.mean(dim=0), targets.mean(dim=0)
        given, asked, targets = given - mean, asked - mean, targets - offset
        penalty = self.embedder.log_penalty.exp() * len(given) * given.square().mean().clamp(min=1e-6)
        if len(given) <= given.shape[1]:
            weights = given.T @ torch.linalg.solve(given @ given.T + penalty * _identity(len(given), given), targets)
        else:
            weights = torch.linalg.solve(
                given.T @ given + penalty * _identity(given.shape[1], given), given.T @ targets
            )
        return asked @ weights + offset


def to_tensors(episode: Episode) -> dict[str, Any]:
    """An episode as tensors, with its config, for :class:`StreamObjective`."""
    task: TaskConfig = episode.task.config
    orbits = torch.from_numpy(episode.task.structure.labels.astype("int64"))
    columns = StructureColumns.of(task, OrbitGraph(task.degree, orbits), episode.seed)
    return {
        "task": task,
        "orbits": orbits,
        "pair_columns": torch.from_numpy(columns.pairs).float(),
        "input_columns": torch.from_numpy(columns.inputs).float(),
        "inputs": torch.from_numpy(episode.inputs),
        "labels": torch.from_numpy(episode.labels),
        "num_context": episode.num_context,
    }


def _identity(size: int, like: Tensor) -> Tensor:
    return torch.eye(size, dtype=like.dtype, device=like.device)
