"""Any-Subgroup Equivariant Networks (Goel et al., ICLR 2026): one backbone, many permutation groups.

What is notable about this model:
- the backbone is equivariant to all of S_n; a task's group enters only as one learned vector per orbital (2-closure);
- GATv2 on the complete graph with loops, so that diagonal orbitals have features of their own;
- orbital tables are projected before they are gathered, which avoids a product of size pairs × d × d;
- only embedders and heads belong to a task; ``add_task`` adds a task with a new group to a trained model;
- orbit labels are never saved: they are recomputed from the generators in the config;
- inputs and predictions are in raw units; the config stores the statistics that normalise them;
- differences from the paper: no dropout on logits, token ids are always embedded, continuous inputs pass through a
  linear map and the same input layers as tokens, graph heads are linear in the pooled state.

Shapes, with B rows, n nodes, d = H · C channels in H heads, E edges of a sparse support, and rank = number of orbitals:

===================  ==================  ===========================================================
tensor               shape               meaning
===================  ==================  ===========================================================
inputs               (B, n)              int64 tokens, -1 where missing
.                    (B, n, F)           or features in raw units, NaN where missing
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

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from ._transforms import is_transformed
from .backbone import AsenBackbone
from .batching import EmbeddedRows, join, split, tasks_to_join
from .configuration_asen import AsenConfig, TaskConfig, check_num_weights
from .heads import Head, pool, pooling_of, predictions, probabilities, task_loss
from .init_from import copy_rows, equal_outputs, find_donor_rows, has_equal_inputs
from .linear_skip import LinearSkip
from .normalization import (
    embed_inputs,
    input_embedder,
    missing_embedder,
    normalized_features,
    normalized_inputs,
    to_tensor,
)
from .outputs import AsenMultitaskOutput
from .pretrained_asen import AsenPreTrainedModel, evaluating, has_adapters
from .symmetry import EdgeEmbedder, NodeEmbedder, SymmetryBreaker
from .task_modules import TaskModules
from .triples import TripleMessages
from .value_symmetries import ValueSheets


class AsenModel(AsenPreTrainedModel):
    """The shared backbone with each task's embedders, without heads.

    Args:
        config: sizes and tasks; the group of a task determines the number of rows of its tables.
    """

    _keys_to_ignore_on_load_unexpected = [r"^heads\."]  # noqa: RUF012

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        self.backbone = AsenBackbone(config)
        self.symmetry_breakers = TaskModules()
        self.value_sheets = TaskModules()
        self.token_embedders = TaskModules()
        self.missing_embedders = TaskModules()
        self.edge_embedders = TaskModules()
        self.node_embedders = TaskModules()
        self.triple_embedders = TaskModules()
        for name, task in self.config.tasks.items():
            for modules, module in self._new_task_modules(task):
                getattr(self, modules)[name] = module
        self.post_init()

    def _new_task_modules(self, task: TaskConfig) -> list[tuple[str, nn.Module]]:
        size = self.config.hidden_size
        breaker = SymmetryBreaker(task)
        check_num_weights((breaker.num_pair_orbits + breaker.num_node_orbits + breaker.num_triple_orbits) * size)
        modules: list[tuple[str, nn.Module]] = [
            ("symmetry_breakers", breaker),
            ("token_embedders", input_embedder(task, size)),
            ("missing_embedders", missing_embedder(task, size)),
            ("edge_embedders", EdgeEmbedder(breaker.num_pair_orbits, size)),
        ]
        if task.value_symmetries:
            modules.append(("value_sheets", ValueSheets(task)))
        if breaker.num_node_orbits:
            modules.append(("node_embedders", NodeEmbedder(breaker.num_node_orbits, size)))
        if breaker.num_triple_orbits:
            modules.append(("triple_embedders", EdgeEmbedder(breaker.num_triple_orbits, size)))
        return modules

    def modules_by_role(self) -> dict[str, TaskModules]:
        return {
            "symmetry_breaker": self.symmetry_breakers,
            "token_embedder": self.token_embedders,
            "missing_embedder": self.missing_embedders,
            "edge_embedder": self.edge_embedders,
            "node_embedder": self.node_embedders,
            "triple_embedder": self.triple_embedders,
            "value_sheets": self.value_sheets,
        }

    def add_task(self, name: str, task: TaskConfig | dict, init_from: str | None = None) -> None:
        """Add a task to the model and its config.

        Its embedders are freshly initialised, or copied from a trained donor task. The row of every orbit is then
        copied from the donor's most similar orbit (see :mod:`asen_hf.model.orbital_matching`); the embedder of tokens
        or features is copied if both tasks have the same number of them.

        The first task with ``"triples"`` also adds weights for triples to every layer. Existing weights do not change.
        Warns if the network will have more symmetry than the task's group or if its value symmetries look like a
        mistake (see :mod:`asen_hf.closures`), and if orbits share a donor row or start fresh because the donor has no
        similar orbit.

        Args:
            name: name of the new task.
            task: its config, or a dict of its fields.
            init_from: name of the donor task. Choose a similar task: rows of a dissimilar task are a worse start than
                fresh rows.

        Raises:
            ValueError: the name is taken or cannot be used, the task is invalid, its value symmetries change outputs
                without changing inputs, the donor is unknown, or an adapter changes the layers and the task is the
                first with ``"triples"``.
        """
        task = self.config.check_new_task(name, task)
        donor = None if init_from is None else self.config.task(init_from)[0]
        if donor is not None:
            self._check_unadapted(donor)
        _warn_if_not_closed(name, task)
        if task.symmetry_breaking == "triples" and not self.config.has_triples and has_adapters(self.backbone):
            raise ValueError(
                f"task {name!r} is the first with triples, which adds weights to layers that an adapter changes, and "
                "loading would expect adapters of these weights: merge or remove the adapter first"
            )
        # These two lines may raise, so they come before any change of the model.
        added = self._new_task_modules(task)
        rows = {} if donor is None else self._donor_rows(name, dict(added)["symmetry_breakers"], donor)
        self.config.insert_task(name, task)
        for modules, module in added:
            getattr(self, modules)[name] = self._ready(module)
        self._match_layers()
        for table, donors in rows.items():
            copy_rows(getattr(self, table)[name], getattr(self, table)[donor], donors)
        if donor is not None and has_equal_inputs(task, self.config.tasks[donor]):
            for embedders in (self.token_embedders, self.missing_embedders):
                embedders[name].load_state_dict(embedders[donor].state_dict())

    def _donor_rows(self, name: str, breaker: Any, donor: str) -> dict[str, np.ndarray]:
        """``{table: donor rows}`` for the new task's tables; warns of shared and of fresh rows."""
        found = find_donor_rows(breaker, cast(SymmetryBreaker, self.symmetry_breakers[donor]))
        if found.sentence:
            warnings.warn(f"task {name!r}, initialised from {donor!r}: {found.sentence}", stacklevel=4)
        return found.rows

    def drop_task(self, name: str) -> None:
        """Remove a task from the model and its config.

        Raises:
            ValueError: the task is unknown.
        """
        self._check_unadapted(name)
        self.config.drop_task(name)
        for modules in self.modules_by_role().values():
            if name in modules:
                del modules[name]
        self._match_layers()

    def _match_layers(self) -> None:
        """Add weights for triples to all layers if any task needs them, else remove them."""
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
        """Compute the backbone's states for samples of one task.

        Args:
            inputs: ``(B, n)`` int64 tokens, -1 where missing, or ``(B, n, F)`` floats in raw units, NaN where missing;
                a tensor, an array or lists.
            task: name of the task; optional if the model has only one.
            output_hidden_states, output_attentions: whether to return the states and attention weights of all layers.

        Returns:
            ``last_hidden_state`` ``(B, n, d)`` (equivariant), ``pooler_output`` ``(B, d)`` (invariant), and on request
            ``hidden_states`` and ``attentions`` as in :class:`AsenMultitaskOutput`.

        Raises:
            ValueError: the task is unknown, or inputs have the wrong shape or dtype, or are out of vocabulary or
                infinite.
        """
        name, _ = self.config.task(task)
        hidden_states, attentions = self.run({name: to_tensor(inputs, self.device)})[name]
        last = hidden_states[-1]
        if (sheets := self.sheets(name)) is not None:
            last = sheets.mean_states(last)
        return BaseModelOutputWithPooling(
            last_hidden_state=last,
            pooler_output=pool(last, pooling_of(self.config, self.config.tasks[name])),
            hidden_states=tuple(hidden_states) if _asked(output_hidden_states, self.config, "hidden_states") else None,
            attentions=tuple(attentions) if _asked(output_attentions, self.config, "attentions") else None,
        )

    def run(
        self, inputs: Mapping[str, Tensor], chosen: Mapping[str, Tensor] | None = None
    ) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
        """Compute the backbone's states for samples of multiple tasks.

        Tasks of equal degree on the complete support share one batch.

        Args:
            inputs: ``{task: inputs}``, as in :meth:`forward`.
            chosen: ``{task: (B,)}``, the coset of each row, for tasks that are averaged over cosets; by default all.

        Returns:
            For each task, the states ``(B, n, d)`` at the input and after each layer, and the attention weights of each
            layer. With value symmetries, those of the points of all sheets (:class:`~.value_symmetries.ValueSheets`).
        """
        chosen = chosen or {}
        embedded = {name: self._embed(name, rows, chosen.get(name)) for name, rows in inputs.items()}
        outputs: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
        for names in tasks_to_join(embedded):
            sizes = [
                embedded[name].node_features.shape[0] for name in names
            ]  # len() would be a constant of an exported program
            states, attentions = self.backbone(join([embedded[name] for name in names]))
            outputs |= zip(names, zip(split(states, sizes), split(attentions, sizes), strict=True), strict=True)
        return {name: outputs[name] for name in inputs}

    def _embed(self, name: str, inputs: Tensor, chosen: Tensor | None = None) -> EmbeddedRows:
        name, task = self.config.task(name)
        _check(task.check_inputs, inputs, name)
        inputs = normalized_inputs(task, inputs)
        if (sheets := self.sheets(name)) is not None:
            inputs = sheets.expand(inputs, chosen)
        node_features = embed_inputs(task, self.token_embedders[name], self.missing_embedders[name], inputs)
        breaker = cast(SymmetryBreaker, self.symmetry_breakers[name])
        if name in self.node_embedders:
            node_features = node_features + self.node_embedders[name](breaker.node_labels)
        pairs, triples = (
            torch.arange(number, device=inputs.device)
            for number in (breaker.num_pair_orbits, breaker.num_triple_orbits)
        )
        triple_features = self.triple_embedders[name](triples) if name in self.triple_embedders else None
        return EmbeddedRows(node_features, self.edge_embedders[name](pairs), triple_features, breaker())

    def num_pooled(self, task: str) -> int:
        """Number of graph states that a task's head reads: one, or one per node orbit."""
        return len(self.pooled_orbits(task) or [None])

    def pooled_orbits(self, task: str) -> list[list[int]] | None:
        """The nodes of each node orbit of a task that pools them by themselves; ``None`` of other tasks."""
        if not self.config.tasks[task].pool_by_orbit:
            return None
        if (sheets := self.sheets(task)) is not None:
            return sheets.orbits
        return cast(SymmetryBreaker, self.symmetry_breakers[task]).members

    def num_points(self, task: str) -> int:
        """Number of states that are pooled into one: the degree, or the points of a sheet."""
        sheets = self.sheets(task)
        return self.config.tasks[task].degree if sheets is None else sheets.sheets.shape[1]

    def sheets(self, task: str) -> ValueSheets | None:
        """The sheets of a task with value symmetries; ``None`` of other tasks."""
        return cast(ValueSheets, self.value_sheets[task]) if task in self.value_sheets else None


class AsenForMultitask(AsenPreTrainedModel):
    """:class:`AsenModel` with one linear head per task, applied to every node or to the pooled graph.

    Args:
        config: sizes and tasks.
    """

    accepts_loss_kwargs = True  # transformers' Trainer passes num_items_in_batch

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        self.asen = AsenModel(self.config)
        self.config = self.asen.config  # one config for both, so that a task added to one is a task of both
        self.heads = TaskModules({name: self._new_head(name) for name in self.config.tasks})
        self.linear_skips = TaskModules(
            {name: self._new_skip(name) for name, task in self.config.tasks.items() if task.linear_skip}
        )
        self.post_init()

    def _new_head(self, name: str) -> Head:
        return Head(self.config, self.config.tasks[name], self.asen.num_pooled(name), self.asen.num_points(name))

    def _new_skip(self, name: str) -> LinearSkip:
        return LinearSkip(self.config.tasks[name], cast(SymmetryBreaker, self.asen.symmetry_breakers[name]))

    def modules_by_role(self) -> dict[str, TaskModules]:
        return {**self.asen.modules_by_role(), "head": self.heads, "linear_skip": self.linear_skips}

    def add_task(self, name: str, task: TaskConfig | dict, init_from: str | None = None) -> None:
        """Add a task as :meth:`AsenModel.add_task`, with a head.

        The head is copied from the donor if both tasks have the same ``output_level``, ``problem_type``, number of
        outputs and ``label_names`` (in any order, or missing in one task), and pool equally many orbits; otherwise it
        is freshly initialised.
        """
        if init_from is not None:
            self._check_unadapted(init_from)
        self.asen.add_task(name, task, init_from)
        new = self.config.tasks[name]
        self.heads[name] = self._ready(self._new_head(name))
        if new.linear_skip:
            self.linear_skips[name] = self._ready(self._new_skip(name))
        if init_from is not None and (outputs := equal_outputs(new, self.config.tasks[init_from])) is not None:
            donor = self.heads[init_from].state_dict()
            if donor["weight"].shape == self.heads[name].weight.shape:  # else it pools another number of orbits
                self.heads[name].load_state_dict({key: rows[outputs] for key, rows in donor.items()})

    def drop_task(self, name: str) -> None:
        """Remove a task and its head. Raises as :meth:`AsenModel.drop_task`."""
        self._check_unadapted(name)
        self.asen.drop_task(name)
        for modules in (self.heads, self.linear_skips):
            if name in modules:
                del modules[name]

    @can_return_tuple
    def forward(
        self,
        inputs: Tensor,
        task: str | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        weights: Tensor | None = None,
    ) -> AsenMultitaskOutput:
        """Compute the logits of one task and, if labels are given, its loss.

        Args:
            inputs, task, output_hidden_states, output_attentions: as in :meth:`AsenModel.forward`.
            labels: for classification int64 ``(B, n)`` or ``(B,)``, -100 is ignored; with several labels, 0 and 1 with
                a trailing ``(K,)``; for regression floats in raw units, with a trailing ``(K,)`` for K > 1 values, NaN
                is ignored.
            num_items_in_batch: divides the sum of the losses, instead of the number of labels that are not ignored.
                transformers' Trainer passes the number of labels of all batches of a step. It counts a missing number
                (NaN) as a label.
            weights: ``(B,)``, factors of the rows' losses; the loss remains a mean over the number of labels.

        Raises:
            ValueError: as :meth:`AsenModel.forward`, or labels have the wrong shape, dtype or range.
        """
        name, _ = self.config.task(task)
        inputs = to_tensor(inputs, self.device)
        states, attentions = self.asen.run({name: inputs})[name]
        logits = self._logits(name, states[-1], inputs)
        loss = None if labels is None else self._loss(name, logits, inputs, labels, num_items_in_batch, weights)
        return AsenMultitaskOutput(
            loss=loss,
            logits=logits,
            hidden_states=tuple(states) if _asked(output_hidden_states, self.config, "hidden_states") else None,
            attentions=tuple(attentions) if _asked(output_attentions, self.config, "attentions") else None,
        )

    def losses(
        self, batch: Mapping[str, Mapping[str, Tensor]], num_labels: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of each task on its rows, in shared batches (see :meth:`AsenModel.run`).

        Args:
            batch: ``{task: {"inputs", "labels"}}`` and, if rows have weights, ``"weights"``, as in :meth:`forward`;
                ``"cosets"`` ``(B,)``, one per row, instead of the average over all.
            num_labels: ``{task: number}`` that divides the sum of the task's losses, as ``num_items_in_batch`` in
                :meth:`forward`.
        """
        num_labels = num_labels or {}
        chosen = {name: columns["cosets"] for name, columns in batch.items() if "cosets" in columns}
        outputs = self.asen.run({name: columns["inputs"] for name, columns in batch.items()}, chosen)
        return {
            name: self._loss(
                name,
                self._logits(name, outputs[name][0][-1], columns["inputs"], chosen.get(name)),
                columns["inputs"],
                columns["labels"],
                num_labels.get(name),
                columns.get("weights"),
            )
            for name, columns in batch.items()
        }

    def _logits(self, name: str, states: Tensor, inputs: Tensor, chosen: Tensor | None = None) -> Tensor:
        task = self.config.tasks[name]
        sheets = self.asen.sheets(name)

        def read(states: Tensor) -> Tensor:
            if task.output_level == "graph":
                states = pool(states, pooling_of(self.config, task), self.asen.pooled_orbits(name))
            return self.heads[name](states)

        def through_sheets(states: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
            if sheets is None:
                return read(states)
            if task.output_level == "graph":
                return sheets.graph_outputs(states, read, chosen)
            return sheets.node_outputs(read(states), chosen)

        logits = through_sheets(states, read)
        if name not in self.linear_skips:
            return logits
        features = normalized_features(task, inputs).to(logits.dtype)
        features = features if sheets is None else sheets.expand(features, chosen)
        return logits + through_sheets(features, self.linear_skips[name])

    def _loss(
        self,
        name: str,
        logits: Tensor,
        inputs: Tensor,
        labels: Tensor,
        num_labels: Tensor | int | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        task = self.config.tasks[name]
        _check(task.check_labels, labels, name)
        if labels.shape[0] != inputs.shape[0]:
            raise ValueError(f"task {name!r}: {len(inputs)} rows of inputs, but {len(labels)} of labels")
        return task_loss(task, logits, labels, inputs, num_labels, weights)

    def predict(self, inputs: Tensor | ArrayLike, task: str | None = None, batch_size: int = 256) -> Tensor:
        """Predict without dropout and gradients.

        Args:
            inputs, task: as in :meth:`AsenModel.forward`.
            batch_size: rows per forward pass, which bounds the memory.

        Returns:
            int64 classes, 0 and 1 for several labels, or float32 values in raw units (float64 for a float64 model), in
            the shape of labels.
        """
        return self._in_batches(inputs, task, batch_size, predictions)

    def predict_proba(self, inputs: Tensor | ArrayLike, task: str | None = None, batch_size: int = 256) -> Tensor:
        """Probabilities of the classes, ``(N, n, K)`` or ``(N, K)``; arguments as for :meth:`predict`.

        Raises:
            ValueError: the task is a regression, and as :meth:`predict`.
        """
        return self._in_batches(inputs, task, batch_size, lambda config, logits, _: probabilities(config, logits))

    def _in_batches(
        self,
        inputs: Tensor | ArrayLike,
        task: str | None,
        batch_size: int,
        read: Callable[[TaskConfig, Tensor, Tensor], Tensor],
    ) -> Tensor:
        """What ``read`` makes of the logits of all rows."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        name, config = self.config.task(task)
        tensor = to_tensor(inputs, self.device)
        if tensor.ndim and not len(tensor):
            raise ValueError(f"task {name!r}: inputs hold no rows")
        results = []
        with evaluating(self):
            for rows in tensor.split(batch_size) if tensor.ndim else [tensor]:
                results.append(read(config, self(rows, task=name, return_dict=True).logits, rows))
        return torch.cat(results)


def _warn_if_not_closed(name: str, task: TaskConfig) -> None:
    """Warn if the network will have more symmetry than the task's group, and refuse contradicting value symmetries.

    Silent in code uploaded with a checkpoint.
    """
    if __name__.startswith("asen_hf."):
        # By string: transformers' loader scans uploaded code for imports and would require asen_hf to be installed.
        importlib.import_module("asen_hf.closures").warn_if_not_closed(name, task)


def _asked(argument: bool | None, config: AsenConfig, name: str) -> bool:
    return getattr(config, f"output_{name}") if argument is None else argument


def _check(check: Callable[..., None], tensor: Tensor, task: str) -> None:
    """Run a TaskConfig's check on a tensor.

    Only shape and dtype are checked on a GPU, where values would need a device sync, and under a transform such as
    vmap, where there are none; nothing is checked while ``torch.compile`` or ``torch.export`` traces.
    """
    if torch.compiler.is_compiling():
        return
    if not isinstance(tensor, Tensor):
        raise ValueError(f"task {task!r}: expected a tensor of inputs or labels, got {type(tensor).__name__}")
    if tensor.device.type == "cpu" and not is_transformed():
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)
    else:
        dtype = "float32" if tensor.dtype == torch.bfloat16 else str(tensor.dtype).removeprefix("torch.")
        array = np.empty((0, *tensor.shape[1:]), dtype)
    check(array, where=f"task {task!r}: ")
