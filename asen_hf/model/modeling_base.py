"""The backbone with every task's embedders, and without heads."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import can_return_tuple

from ._checking import checked_columns
from .backbone import AsenBackbone
from .batching import EmbeddedRows, join, split, tasks_to_join
from .configuration_asen import AsenConfig, TaskConfig, check_num_weights
from .configuration_names import PRIOR
from .configuration_pairs import num_colours
from .configuration_rows import COSETS, MASK, PAIRS
from .configuration_values import require
from .heads import pool, pooling_of
from .normalization import (
    embed_inputs,
    input_embedder,
    missing_embedder,
    normalized_inputs,
    to_columns,
)
from .outputs import BackboneOutput
from .pairs import PairEmbedder, add_pair_vectors
from .pretrained_asen import AsenPreTrainedModel, dropped_on_error, has_adapters
from .relations import MAX_COUNTS, counts_fit, num_partner_counts, partner_counts, refine
from .starting_rows import RowsOfDonor, RowsOfPrior
from .structure_embedder import StructureEmbedder
from .symmetry import EdgeEmbedder, NodeEmbedder, OrbitGraph, SymmetryBreaker
from .task_modules import TaskModules
from .triples import TripleMessages
from .value_symmetries import ValueSheets


class AsenModel(AsenPreTrainedModel):
    """The shared backbone with each task's embedders, without heads.

    Args:
        config: sizes and tasks; the group of a task determines the number of rows of its tables.
    """

    _keys_to_ignore_on_load_unexpected = [r"^heads\.", r"^linear_skips\."]  # noqa: RUF012

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        self.backbone = AsenBackbone(self.config)
        # Registered even if None, as layers register their triples.
        embedder = StructureEmbedder(self.config) if self.config.structure_embedder else None
        self.register_module("structure_embedder", embedder)
        self.symmetry_breakers = TaskModules()
        self.value_sheets = TaskModules()
        self.token_embedders = TaskModules()
        self.missing_embedders = TaskModules()
        self.edge_embedders = TaskModules()
        self.class_embedders = TaskModules()
        self.pair_embedders = TaskModules()
        self.node_embedders = TaskModules()
        self.triple_embedders = TaskModules()
        for name, task in self.config.tasks.items():
            for modules, module in self._new_task_modules(task):
                getattr(self, modules)[name] = module
        self.post_init()

    def _new_task_modules(self, task: TaskConfig) -> list[tuple[str, nn.Module]]:
        size = self.config.hidden_size
        breaker = SymmetryBreaker(task)
        colours = num_colours(task)
        check_num_weights(
            (
                (breaker.num_pair_orbits + breaker.num_classes) * colours
                + breaker.num_node_rows
                + breaker.num_triple_orbits
            )
            * size
        )
        counts = breaker.degree * num_partner_counts(task, breaker)
        require(
            not task.partner_counts or counts_fit(task, breaker),
            f"partner_counts would need {counts:,} numbers per row, more than {MAX_COUNTS:,}: leave it out",
        )
        modules: list[tuple[str, nn.Module]] = [
            ("symmetry_breakers", breaker),
            ("token_embedders", input_embedder(task, size)),
            ("missing_embedders", missing_embedder(task, size)),
            ("edge_embedders", EdgeEmbedder(breaker.num_pair_orbits * colours, size, breaker.num_classes > 0)),
        ]
        if breaker.num_classes:
            modules.append(("class_embedders", EdgeEmbedder(breaker.num_classes * colours, size)))
        if task.pair_features is not None:
            modules.append(("pair_embedders", PairEmbedder(task, size)))
        if task.value_symmetries:
            modules.append(("value_sheets", ValueSheets(task)))
        if breaker.num_node_rows:
            modules.append(("node_embedders", NodeEmbedder(breaker.num_node_rows, size)))
        if breaker.num_triple_orbits:
            modules.append(("triple_embedders", EdgeEmbedder(breaker.num_triple_orbits, size)))
        return modules

    def modules_by_role(self) -> dict[str, TaskModules]:
        return {
            "symmetry_breaker": self.symmetry_breakers,
            "token_embedder": self.token_embedders,
            "missing_embedder": self.missing_embedders,
            "edge_embedder": self.edge_embedders,
            "class_embedder": self.class_embedders,
            "pair_embedder": self.pair_embedders,
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
                fresh rows. ``"prior"`` computes the rows of orbitals, tokens and features from the task's structure, by
                the embedder of a model that was pretrained on random tasks (``config.structure_embedder``).

        Raises:
            ValueError: the name is taken or cannot be used, the task is invalid, its value symmetries change outputs
                without changing inputs, it would count more partners than fit, the donor is unknown, ``"prior"`` for
                more than 4,096 points or in a model without a structure embedder, or an adapter changes the donor, or
                the layers where the task is the first with ``"triples"``. The model does not change then.
        """
        task = self.config.check_new_task(name, task)
        if init_from == PRIOR:
            RowsOfPrior.check(self)
        donor = None if init_from in (None, PRIOR) else self.config.task(init_from)[0]
        if donor is not None:
            self._check_unadapted(donor)
        _warn_if_not_closed(name, task)
        if task.symmetry_breaking == "triples" and not self.config.has_triples and has_adapters(self.backbone):
            raise ValueError(
                f"task {name!r} is the first with triples, which adds weights to layers that an adapter changes, and "
                "loading would expect adapters of these weights: merge or remove the adapter first"
            )
        # These lines may raise, so they come before any change of the model.
        added = self._new_task_modules(task)
        breaker = cast(SymmetryBreaker, dict(added)["symmetry_breakers"])
        rows: RowsOfDonor | RowsOfPrior | None = None
        if donor is not None:
            rows = RowsOfDonor(self, name, breaker, donor)
        elif init_from == PRIOR:
            rows = RowsOfPrior(name, breaker, task)
        self.config.insert_task(name, task)
        with dropped_on_error(self, name):
            for modules, module in added:
                getattr(self, modules)[name] = self._ready(module)
            self._match_layers()
            if rows is not None:
                rows.write(self, name)

    def drop_task(self, name: str) -> None:
        """Remove a task from the model and its config.

        Raises:
            ValueError: the task is unknown, or an adapter changes it.
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
        pairs: Tensor | None = None,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BaseModelOutputWithPooling:
        """Compute the backbone's states for samples of one task.

        Args:
            inputs: ``(B, n)`` int64 tokens, -1 where missing, or ``(B, n, F)`` floats in raw units, NaN where missing;
                a tensor, an array, lists, or a DataFrame with the columns of the task's ``input_names``, in any order.
            task: name of the task; optional if the model has only one.
            pairs: of a task with pair inputs, ``(B, n, n)`` int64 categories, -1 where missing, or numbers
                ``(B, n, n)`` or ``(B, n, n, P)``, NaN where missing; row = target, column = source.
            attention_mask: ``(B, n)``, 1 for the nodes that a row has, 0 for padding; by default all nodes. Not for
                tasks with triples or a lift.
            output_hidden_states, output_attentions: whether to return the states and attention weights of all layers,
                of every pass.

        Returns:
            ``last_hidden_state`` ``(B, n, d)`` (equivariant), ``pooler_output`` ``(B, d)`` (invariant), and on request
            ``hidden_states`` and ``attentions`` as in :class:`AsenMultitaskOutput`.

        Raises:
            ValueError: the task is unknown, or inputs have the wrong shape or dtype, or are out of vocabulary or
                infinite, or pairs are missing, or rows may not lack the nodes that they lack.
        """
        name, task_config = self.config.task(task)
        rows = to_columns(self.device, task_config, inputs=inputs, pairs=pairs, attention_mask=attention_mask)
        output = self.run({name: rows}, self.asks_for_attentions(output_attentions))[name]
        last = output.hidden_states[-1]
        if (sheets := self.sheets(name)) is not None:
            last = sheets.mean_states(last)
        return BaseModelOutputWithPooling(
            last_hidden_state=last,
            pooler_output=pool(last, pooling_of(self.config, task_config), mask=rows.get(MASK)),
            hidden_states=output.asked(output_hidden_states, self.config, "hidden_states"),
            attentions=output.asked(output_attentions, self.config, "attentions"),
        )

    def run(
        self, batch: Mapping[str, Mapping[str, Tensor]], output_attentions: bool = False
    ) -> dict[str, BackboneOutput]:
        """Compute the backbone's states for samples of multiple tasks.

        Tasks of equal degree on the complete support share one batch.

        Args:
            batch: ``{task: columns}`` with ``inputs``, ``pairs`` and ``attention_mask`` as in :meth:`forward`, and
                ``cosets`` ``(B,)``, the coset of each row, for tasks that are averaged over cosets; by default all.
            output_attentions: whether to compute attention weights where the base model can do without.

        Returns:
            For each task, the states ``(B, n, d)`` at the input and after each layer of each pass, and their attention
            weights. With value symmetries, those of the points of all sheets (:class:`~.value_symmetries.ValueSheets`).
        """
        embedded = {name: self.embed(name, columns) for name, columns in batch.items()}
        outputs: dict[str, BackboneOutput] = {}
        for names in tasks_to_join(embedded):
            rows = [embedded[name] for name in names]
            # len() would be a constant of an exported program
            sizes = [task_rows.node_features.shape[0] for task_rows in rows]
            states, attentions = self.backbone(join(rows), output_attentions)
            parts = zip(names, split(states, sizes), split(attentions, sizes), rows, strict=True)
            outputs |= {name: BackboneOutput(states, weights, embedded) for name, states, weights, embedded in parts}
        return {name: outputs[name] for name in batch}

    def embed(self, name: str, columns: Mapping[str, Tensor]) -> EmbeddedRows:
        """What the backbone reads of a task's rows; ``columns`` as for :meth:`run`, errors as of :meth:`forward`."""
        name, task = self.config.task(name)
        columns = checked_columns(task, name, columns)
        inputs, pairs, mask = columns["inputs"], columns.get(PAIRS), columns.get(MASK)
        mask = None if mask is None else mask.bool()
        compared, inputs = inputs, normalized_inputs(task, inputs)
        if (sheets := self.sheets(name)) is not None:
            chosen = columns.get(COSETS)
            compared = inputs = sheets.expand(inputs, chosen)
            pairs = None if pairs is None else sheets.expand_pairs(pairs, chosen)
            if mask is not None:  # of a lift, it leaves no node out
                mask = None if task.symmetrization == "lift" else sheets.expand_nodes(mask, chosen)
        node_features = embed_inputs(task, self.token_embedders[name], self.missing_embedders[name], inputs)
        breaker = cast(SymmetryBreaker, self.symmetry_breakers[name])
        if name in self.node_embedders:
            node_features = node_features + self.node_embedders[name](breaker.node_rows).sum(dim=1)
        graph = dataclasses.replace(refine(task, breaker(), compared, pairs), node_mask=mask)
        features = self.orbital_features(name)
        if name in self.pair_embedders and pairs is not None:
            vectors = _all_rows(self.pair_embedders[name])
            graph, features = add_pair_vectors(task, graph, features, vectors, pairs)
        triples = _all_rows(self.triple_embedders[name]) if name in self.triple_embedders else None
        return EmbeddedRows(node_features, features, triples, graph)

    def orbital_features(self, name: str) -> Tensor:
        """One vector per orbital and colour of a task, ``(rank · colours, d)``."""
        features = _all_rows(self.edge_embedders[name])
        if name not in self.class_embedders:
            return features
        return features + _all_rows(self.class_embedders[name])[self.class_rows(name)]

    def class_rows(self, name: str) -> Tensor:
        """The shared row of every orbital and colour of a task that shares rows, ``(rank · colours,)``."""
        classes = cast(Tensor, cast(SymmetryBreaker, self.symmetry_breakers[name]).row_classes)
        colours = num_colours(self.config.tasks[name])
        return (classes.unsqueeze(1) * colours + torch.arange(colours, device=classes.device)).flatten()

    def num_counts(self, task: str) -> int:
        """Number of counts of partners that a task's head reads per node."""
        config, breaker = self.config.tasks[task], cast(SymmetryBreaker, self.symmetry_breakers[task])
        return num_partner_counts(config, breaker) if config.partner_counts else 0

    def partner_counts(self, task: str, graph: OrbitGraph) -> Tensor | None:
        """``(B, n, num_counts)``; ``None`` where the head does not read them."""
        if not (number := self.num_counts(task)):
            return None
        has_classes = cast(SymmetryBreaker, self.symmetry_breakers[task]).num_classes > 0
        return partner_counts(graph, number, self.class_rows(task) if has_classes else None)

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


def _warn_if_not_closed(name: str, task: TaskConfig) -> None:
    """Warn if the network will have more symmetry than the task's group, and refuse contradicting value symmetries.

    Silent in code uploaded with a checkpoint.
    """
    if __name__.startswith("asen_hf."):
        # By string: transformers' loader scans uploaded code for imports and would require asen_hf to be installed.
        importlib.import_module("asen_hf.closures").warn_if_not_closed(name, task)


def _all_rows(table: nn.Module) -> Tensor:
    """All rows of a table, looked up by number: an adapter such as LoRA changes what is looked up."""
    weight = cast(Tensor, table.weight)
    return table(torch.arange(len(weight), device=weight.device))
