"""Any-Subgroup Equivariant Networks (Goel et al., ICLR 2026): one backbone, many permutation groups.

What is notable about this model:
- the backbone is equivariant to all of S_n; a task's group enters only as one learned vector per orbital (2-closure);
- GATv2 on the complete graph, loops included, so that diagonal orbitals keep features of their own;
- orbital tables are projected before they are gathered: nothing of size pairs × d × d is computed;
- only embedders and heads are per task; a new group is a new table, ``add_task`` away;
- orbit labels are never saved: they are recomputed from the generators in the config;
- inputs and predictions are in raw units; the statistics that normalise them travel in the config;
- where it differs from the paper: no dropout on logits, token ids are never fed as numbers, continuous inputs enter
  through a linear map and the same input layers as tokens, graph heads are linear in the pooled state.

Shapes, with B rows, n nodes, d = H · C channels in H heads, E edges of a sparse support, and rank = number of orbitals:

===================  ==================  ===========================================================
tensor               shape               meaning
===================  ==================  ===========================================================
inputs               (B, n)              int64 tokens
.                    (B, n, F)           or features in raw units
orbit labels         (n, n), int64       orbital of the pair (target i, source j)
.                    (E,), int64         or of each edge of a sparse support
orbital features     (rank, d)           one learned vector per orbital, the task's edge embedder
hidden states        (B, n, d)           node states, equivariant
attention weights    (B, H, n, n)        row = target, sums to one over the sources; sparse: (B, H, E)
pooled state         (B, d)              invariant
logits               (B, n, K), (B, K)   K outputs per node or per graph, in normalised units
===================  ==================  ===========================================================
"""

from __future__ import annotations

import dataclasses
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .backbone import AsenBackbone
from .batching import EmbeddedRows, join, split, tasks_to_join
from .configuration_asen import AsenConfig, TaskConfig
from .heads import predictions, task_loss
from .init_from import copy_rows, find_donor_rows
from .normalization import FeatureEmbedder
from .pretrained_asen import AsenPreTrainedModel, evaluating
from .symmetry import EdgeEmbedder, NodeEmbedder, SymmetryBreaker
from .triples import TripleMessages


@dataclasses.dataclass
class AsenMultitaskOutput(ModelOutput):
    """What :class:`AsenForMultitask` returns.

    Attributes:
        loss: mean over labels that are not ignored, in normalised units; ``None`` without labels.
        logits: ``(B, n, num_labels)`` for node tasks, ``(B, num_labels)`` for graph tasks, in normalised units.
        hidden_states: ``num_hidden_layers + 1`` tensors ``(B, n, d)``, on request.
        attentions: one tensor per layer, ``(B, H, n, n)`` (row = target), if sparse ``(B, H, E)``; on request.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class AsenModel(AsenPreTrainedModel):
    """The shared backbone with each task's embedders, without heads.

    Args:
        config: names the tasks; their groups decide how many orbitals each table has.
    """

    _keys_to_ignore_on_load_unexpected = [r"^heads\."]  # noqa: RUF012

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        self.backbone = AsenBackbone(config)
        self.symmetry_breakers = nn.ModuleDict()
        self.token_embedders = nn.ModuleDict()
        self.edge_embedders = nn.ModuleDict()
        self.node_embedders = nn.ModuleDict()
        self.triple_embedders = nn.ModuleDict()
        for name, task in config.tasks.items():
            for modules, module in self._new_task_modules(task):
                getattr(self, modules)[name] = module
        self.post_init()

    def _new_task_modules(self, task: TaskConfig) -> list[tuple[str, nn.Module]]:
        size = self.config.hidden_size
        breaker = SymmetryBreaker(task)
        embedder = FeatureEmbedder(task, size) if task.vocab_size is None else nn.Embedding(task.vocab_size, size)
        modules: list[tuple[str, nn.Module]] = [
            ("symmetry_breakers", breaker),
            ("token_embedders", embedder),
            ("edge_embedders", EdgeEmbedder(breaker.num_pair_orbits, size)),
        ]
        if breaker.num_node_orbits:
            modules.append(("node_embedders", NodeEmbedder(breaker.num_node_orbits, size)))
        if breaker.num_triple_orbits:
            modules.append(("triple_embedders", EdgeEmbedder(breaker.num_triple_orbits, size)))
        return modules

    def modules_by_role(self) -> dict[str, nn.ModuleDict]:
        return {
            "symmetry_breaker": self.symmetry_breakers,
            "token_embedder": self.token_embedders,
            "edge_embedder": self.edge_embedders,
            "node_embedder": self.node_embedders,
            "triple_embedder": self.triple_embedders,
        }

    def add_task(self, name: str, task: TaskConfig | dict, init_from: str | None = None) -> None:
        """Grow the loaded model, and its config, by one task.

        Its embedders are freshly initialised, or copied from one trained task: every orbit's row from the donor's most
        similar orbit (see :mod:`asen_hf.model.orbital_matching`), tokens or features as they are if there are as many.

        The first task with ``"triples"`` also gives every layer weights for them. Existing weights are untouched.
        Warns where the network will have more symmetry than the task's group (see :mod:`asen_hf.closures`),
        and where orbits start from one and the same row, or resemble none of the donor's and start fresh.

        Args:
            name: of the new task.
            task: its config, or a dict of its fields.
            init_from: the donor task. Choose one like the new task: rows from an unlike one are worse than fresh ones.

        Raises:
            ValueError: the name is taken or cannot be used, the task is ill-formed, or the donor is unknown.
        """
        task = self.config.check_new_task(name, task)
        donor = None if init_from is None else self.config.task(init_from)[0]
        _warn_if_not_closed(name, task)
        added = self._new_task_modules(task)  # may yet fail, before anything has changed, as may the match
        rows = {} if donor is None else self._donor_rows(name, dict(added)["symmetry_breakers"], donor)
        self.config.add_task(name, task)
        for modules, module in added:
            setattr(self, modules, self._add_module(getattr(self, modules), name, module))
        self._match_layers()
        for table, donors in rows.items():
            copy_rows(getattr(self, table)[name], getattr(self, table)[donor], donors)
        if donor is not None and _input_kind(task) == _input_kind(self.config.tasks[donor]):
            self.token_embedders[name].load_state_dict(self.token_embedders[donor].state_dict())

    def _donor_rows(self, name: str, breaker: Any, donor: str) -> dict[str, np.ndarray]:
        """The donor's row for each row of the new task's tables, by table; warns of ties and of fresh rows."""
        found = find_donor_rows(breaker, cast(SymmetryBreaker, self.symmetry_breakers[donor]))
        if found.sentence:
            warnings.warn(f"task {name!r}, initialised from {donor!r}: {found.sentence}", stacklevel=4)
        return found.rows

    def drop_task(self, name: str) -> None:
        """Remove one task's embedders, and its entry in the config.

        Raises:
            ValueError: unknown task.
        """
        self.config.drop_task(name)
        for modules in self.modules_by_role().values():
            if name in modules:
                del modules[name]
        self._match_layers()

    def _match_layers(self) -> None:
        """Layers have weights for triples if and only if a task needs them, as in a model built from the config."""
        for layer in self.backbone.layers:
            if self.config.has_triples and layer.triples is None:
                layer.triples = self._ready(TripleMessages(self.config.hidden_size))
            elif not self.config.has_triples:
                layer.register_module("triples", None)

    @can_return_tuple
    def forward(
        self,
        inputs: Tensor,
        task: str | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BaseModelOutputWithPooling:
        """Run one task's samples through the backbone.

        Args:
            inputs: ``(B, n)`` int64 tokens or ``(B, n, F)`` floats in raw units.
            task: its name; may be left out when there is only one.
            output_hidden_states, output_attentions: also return every layer's.

        Returns:
            ``last_hidden_state`` ``(B, n, d)`` (equivariant), ``pooler_output`` ``(B, d)`` (invariant), and on request
            ``hidden_states`` and ``attentions`` as in :class:`AsenMultitaskOutput`.

        Raises:
            ValueError: unknown task, or inputs of the wrong shape or dtype, out of vocabulary or not finite.
        """
        name, _ = self.config.task(task)
        hidden_states, attentions = self.run({name: inputs})[name]
        last = hidden_states[-1]
        return BaseModelOutputWithPooling(
            last_hidden_state=last,
            pooler_output=self.pool(last),
            hidden_states=tuple(hidden_states) if _asked(output_hidden_states, self.config, "hidden_states") else None,
            attentions=tuple(attentions) if _asked(output_attentions, self.config, "attentions") else None,
        )

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
        """Run several tasks' samples through the backbone, those of equal degree on the complete support together.

        Args:
            inputs: for each task, inputs as in :meth:`forward`.

        Returns:
            For each task, the states ``(B, n, d)`` at the input and after each layer, and each layer's attentions.
        """
        embedded = {name: self._embed(name, rows) for name, rows in inputs.items()}
        outputs: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
        for names in tasks_to_join(embedded):
            sizes = [len(inputs[name]) for name in names]
            states, attentions = self.backbone(join([embedded[name] for name in names]))
            outputs |= zip(names, zip(split(states, sizes), split(attentions, sizes), strict=True), strict=True)
        return {name: outputs[name] for name in inputs}

    def _embed(self, name: str, inputs: Tensor) -> EmbeddedRows:
        name, task = self.config.task(name)
        _check(task.check_inputs, inputs, name)
        node_features = self.token_embedders[name](inputs if task.vocab_size is None else inputs.long())
        breaker = self.symmetry_breakers[name]
        if name in self.node_embedders:
            node_features = node_features + self.node_embedders[name](breaker.node_labels)
        triple_features = self.triple_embedders[name]() if name in self.triple_embedders else None
        return EmbeddedRows(node_features, self.edge_embedders[name](), triple_features, breaker())

    def pool(self, states: Tensor) -> Tensor:
        """Node states ``(B, n, d)`` to graph states ``(B, d)``, invariant to every permutation."""
        return states.sum(dim=1) if self.config.pooling == "sum" else states.mean(dim=1)


class AsenForMultitask(AsenPreTrainedModel):
    """:class:`AsenModel` with one linear head per task: on each node, or on the pooled graph.

    Args:
        config: names the tasks.
    """

    accepts_loss_kwargs = False

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        self.asen = AsenModel(config)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, task.output_size) for name, task in config.tasks.items()}
        )
        self.post_init()

    def modules_by_role(self) -> dict[str, nn.ModuleDict]:
        return {**self.asen.modules_by_role(), "head": self.heads}

    def add_task(self, name: str, task: TaskConfig | dict, init_from: str | None = None) -> None:
        """As :meth:`AsenModel.add_task`. The head is fresh too, unless the donor's outputs mean the same.

        They do if they are as many, of one kind, and bear the same ``label_names`` in any order (or one side has none).
        """
        self.asen.add_task(name, task, init_from)
        own = self.config.tasks[name]
        head = nn.Linear(self.config.hidden_size, own.output_size)
        self.heads = self._add_module(self.heads, name, head)
        if init_from is not None and (outputs := _equal_outputs(own, self.config.tasks[init_from])) is not None:
            donor = self.heads[init_from].state_dict()
            self.heads[name].load_state_dict({key: rows[outputs] for key, rows in donor.items()})

    def drop_task(self, name: str) -> None:
        """As :meth:`AsenModel.drop_task`, with its head."""
        self.asen.drop_task(name)
        del self.heads[name]

    @can_return_tuple
    def forward(
        self,
        inputs: Tensor,
        task: str | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> AsenMultitaskOutput:
        """Predict one task, and with labels also its loss.

        Args:
            inputs, task, output_hidden_states, output_attentions: as in :meth:`AsenModel.forward`.
            labels: raw units. Classes: int64 ``(B, n)`` or ``(B,)``, -100 is ignored. Values: floats of the same shape,
                with a trailing ``(K,)`` for K > 1 values; NaN is ignored.

        Raises:
            ValueError: as :meth:`AsenModel.forward`, or labels of the wrong shape, dtype or range.
        """
        name, _ = self.config.task(task)
        output = self.asen(
            inputs,
            task=name,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=True,
        )
        logits = self._logits(name, output.last_hidden_state)
        loss = None if labels is None else self._loss(name, logits, inputs, labels)
        return AsenMultitaskOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states, attentions=output.attentions
        )

    def losses(self, batch: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Each task's loss on its own rows, in one run (see :meth:`AsenModel.run`).

        Args:
            batch: ``{task: {"inputs", "labels"}}``, both as in :meth:`forward`.
        """
        outputs = self.asen.run({name: columns["inputs"] for name, columns in batch.items()})
        return {
            name: self._loss(name, self._logits(name, outputs[name][0][-1]), **columns)
            for name, columns in batch.items()
        }

    def _logits(self, name: str, states: Tensor) -> Tensor:
        is_node = self.config.tasks[name].output_level == "node"
        return self.heads[name](states if is_node else self.asen.pool(states))

    def _loss(self, name: str, logits: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        task = self.config.tasks[name]
        _check(task.check_labels, labels, name)
        if len(labels) != len(inputs):
            raise ValueError(f"task {name!r}: {len(inputs)} rows of inputs, but {len(labels)} of labels")
        return task_loss(task, logits, labels, inputs)

    def predict(self, inputs: Tensor, task: str | None = None) -> Tensor:
        """Predictions of the shape that labels have, without dropout or gradients.

        Args:
            inputs, task: as in :meth:`AsenModel.forward`.

        Returns:
            int64 classes, or float32 (float64 for a float64 model) values in raw units.
        """
        with evaluating(self):
            logits = self(inputs, task=task, return_dict=True).logits
        return predictions(self.config.task(task)[1], logits, inputs)


def _input_kind(task: TaskConfig) -> tuple:
    return task.vocab_size, task.num_features


def _equal_outputs(task: TaskConfig, donor: TaskConfig) -> list[int] | None:
    """For each output of a task the donor's that means the same; ``None`` if there is one without."""
    kinds = [(each.output_level, each.problem_type, each.output_size) for each in (task, donor)]
    if kinds[0] != kinds[1]:
        return None
    if task.label_names is None or donor.label_names is None:
        return list(range(task.output_size))
    if sorted(task.label_names) != sorted(donor.label_names):
        return None
    return [donor.label_names.index(name) for name in task.label_names]


def _warn_if_not_closed(name: str, task: TaskConfig) -> None:
    """Warn where the network will have more symmetry than the task's group, if all of asen_hf is here."""
    if __name__.startswith("asen_hf."):
        # By string, since transformers' loader would ask for asen_hf before it runs this file as a checkpoint's code.
        importlib.import_module("asen_hf.closures").warn_if_not_closed(name, task)


def _asked(argument: bool | None, config: AsenConfig, name: str) -> bool:
    return getattr(config, f"output_{name}") if argument is None else argument


def _check(check: Callable[..., None], tensor: Tensor, task: str) -> None:
    """Run a config's check on a tensor; off the CPU only its shape and dtype, since values would cost a device sync."""
    if torch.compiler.is_compiling():
        return
    values = tensor.detach()
    values = values if values.device.type == "cpu" else values[:0].cpu()
    array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    check(np.asarray(array), where=f"task {task!r}: ")
