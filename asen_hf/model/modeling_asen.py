"""Any-Subgroup Equivariant Networks (Goel et al., ICLR 2026): one backbone, many permutation groups.

What is notable about this model:
- the backbone is equivariant to all of S_n; a task's group enters only as one learned vector per orbital (2-closure);
- GATv2, or a transformer, on the complete graph with loops, so that diagonal orbitals have features of their own;
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

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from transformers.utils.generic import can_return_tuple

from ._checking import check_num_rows
from ._messages import shown
from ._points import positive_integer
from .configuration_asen import AsenConfig, TaskConfig
from .configuration_names import PRIOR
from .configuration_rows import COSETS, MASK, PAIRS, WEIGHTS
from .heads import Head, fill_padding, pool, pooling_of, predictions, probabilities, task_loss, without_padding
from .init_from import (
    equal_outputs,
)
from .linear_skip import LinearSkip
from .modeling_base import AsenModel
from .normalization import (
    normalized_features,
    to_columns,
)
from .outputs import AsenMultitaskOutput, BackboneOutput
from .pair_head import PairHead
from .pretrained_asen import AsenPreTrainedModel, dropped_on_error, evaluating
from .read_out import with_context
from .structure_embedder import StructureEmbedder
from .symmetry import SymmetryBreaker
from .task_modules import TaskModules


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

    def _new_head(self, name: str) -> Head | PairHead:
        task = self.config.tasks[name]
        if task.output_level == "pair":
            return PairHead(self.config, task)
        sizes = self.asen.num_pooled(name), self.asen.num_points(name), self.asen.num_counts(name)
        return Head(self.config, task, *sizes)

    def _new_skip(self, name: str) -> LinearSkip:
        return LinearSkip(self.config.tasks[name], cast(SymmetryBreaker, self.asen.symmetry_breakers[name]))

    def modules_by_role(self) -> dict[str, TaskModules]:
        return {**self.asen.modules_by_role(), "head": self.heads, "linear_skip": self.linear_skips}

    def add_task(self, name: str, task: TaskConfig | dict, init_from: str | None = None) -> None:
        """Add a task as :meth:`AsenModel.add_task`, with a head.

        With ``"prior"``, the layers below the outputs of pairs are those of the pretraining. The head is copied from a
        donor if both tasks have the same ``output_level``, ``problem_type``, number of
        outputs and ``label_names`` (in any order, or missing in one task), and pool equally many orbits; otherwise it
        is freshly initialised.
        """
        donor = None if init_from in (None, PRIOR) else self.config.task(init_from)[0]
        if donor is not None:
            self._check_unadapted(donor)
        self.asen.add_task(name, task, init_from)
        with dropped_on_error(self, name):
            self._add_head(name, donor, init_from)

    def _add_head(self, name: str, donor: str | None, init_from: str | None) -> None:
        new = self.config.tasks[name]
        self.heads[name] = self._ready(self._new_head(name))
        if new.linear_skip:
            self.linear_skips[name] = self._ready(self._new_skip(name))
        embedder, new_head = self.asen.structure_embedder, self.heads[name]
        if init_from == PRIOR and isinstance(embedder, StructureEmbedder) and isinstance(new_head, PairHead):
            new_head.load_state_dict(embedder.pair_states.state_dict(), strict=False)  # all but the output's weights
        if donor is not None and (outputs := equal_outputs(new, self.config.tasks[donor])) is not None:
            head, trained = self.heads[name].state_dict(), self.heads[donor].state_dict()
            last = {key for key in trained if key.removeprefix("output.") in ("weight", "bias")}
            if all(head[key].shape == trained[key].shape for key in last):  # else it pools another number of orbits
                rows = {key: weights[outputs] if key in last else weights for key, weights in trained.items()}
                self.heads[name].load_state_dict(rows)

    def drop_task(self, name: str) -> None:
        """Remove a task and its head. Raises as :meth:`AsenModel.drop_task`."""
        self._check_unadapted(name)
        self.asen.drop_task(name)
        for modules in (self.heads, self.linear_skips):
            if name in modules:
                del modules[name]

    def drop_structure_embedder(self) -> None:
        """Remove the embedder of ``init_from="prior"``, if there is one: it fits the pretrained backbone only."""
        if self.config.structure_embedder:
            self.asen.register_module("structure_embedder", None)
            self.config.structure_embedder = False

    @can_return_tuple
    def forward(
        self,
        inputs: Tensor,
        task: str | None = None,
        labels: Tensor | None = None,
        pairs: Tensor | None = None,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        weights: Tensor | None = None,
    ) -> AsenMultitaskOutput:
        """Compute the logits of one task and, if labels are given, its loss.

        Args:
            inputs, task, pairs, attention_mask, output_hidden_states, output_attentions: as in
                :meth:`AsenModel.forward`.
            labels: for classification int64 ``(B, n)``, ``(B, n, n)`` (row = target) or ``(B,)``, -100 is ignored; with
                several labels, 0 and 1 with a trailing ``(K,)``; for regression floats in raw units, with a trailing
                ``(K,)`` for K > 1 values, NaN is ignored.
            num_items_in_batch: divides the sum of the losses, instead of the number of labels that are not ignored.
                transformers' Trainer passes the number of labels of all batches of a step. It counts a missing number
                (NaN) as a label.
            weights: ``(B,)``, factors of the rows' losses; the loss remains a mean over the number of labels.

        Raises:
            ValueError: as :meth:`AsenModel.forward`, or labels have the wrong shape, dtype or range.
        """
        name, config = self.config.task(task)
        columns = to_columns(
            self.device,
            config,
            inputs=inputs,
            pairs=pairs,
            attention_mask=attention_mask,
            labels=labels,
            weights=weights,
        )
        output = self.asen.run({name: columns}, self.asks_for_attentions(output_attentions))[name]
        *earlier, logits = self._read_outs(name, output, columns)
        return AsenMultitaskOutput(
            loss=None if labels is None else self._loss(name, [*earlier, logits], columns, num_items_in_batch),
            logits=logits,
            hidden_states=output.asked(output_hidden_states, self.config, "hidden_states"),
            attentions=output.asked(output_attentions, self.config, "attentions"),
        )

    def losses(
        self, batch: Mapping[str, Mapping[str, Tensor]], num_labels: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of each task on its rows, in shared batches (see :meth:`AsenModel.run`).

        Args:
            batch: ``{task: {"inputs", "labels"}}`` and, if there are any, ``"pairs"``, ``"attention_mask"`` and
                ``"weights"``, as in :meth:`forward`; ``"cosets"`` ``(B,)``, one per row, instead of the average over
                all.
            num_labels: ``{task: number}`` that divides the sum of the task's losses, as ``num_items_in_batch`` in
                :meth:`forward`.

        Returns:
            ``{task: loss}``, scalars, in the order of ``batch``.

        Raises:
            ValueError: as for :meth:`forward`.
        """
        num_labels = {} if num_labels is None else num_labels
        for what, given in (("batch", batch), ("num_labels", num_labels)):
            if not isinstance(given, Mapping):
                raise ValueError(f"{what} must be a mapping by the names of tasks, got {shown(given)}")
        for name, columns in batch.items():
            if not isinstance(columns, Mapping):
                raise ValueError(f"task {name!r}: a batch needs a mapping of columns, got {shown(columns)}")
            if "labels" not in columns:
                raise ValueError(f"task {name!r}: a loss needs labels, got {', '.join(columns) or 'no columns'}")
        outputs = self.asen.run(batch)
        return {
            name: self._loss(name, self._read_outs(name, outputs[name], columns), columns, num_labels.get(name))
            for name, columns in batch.items()
        }

    def _read_outs(self, name: str, output: BackboneOutput, columns: Mapping[str, Tensor]) -> list[Tensor]:
        """Logits after each pass that the loss reads, in order: the passes of the last half in training, else the last.

        With one pass, these are the logits after the last layer.
        """
        states = output.hidden_states[-1:]
        if self.training and self.config.num_recurrences > 1:
            after_passes = output.hidden_states[self.config.num_hidden_layers :: self.config.num_hidden_layers]
            states = after_passes[self.config.num_recurrences // 2 :]
        return [self._logits(name, after_pass, output, columns) for after_pass in states]

    def _logits(self, name: str, states: Tensor, output: BackboneOutput, columns: Mapping[str, Tensor]) -> Tensor:
        task, head, chosen = self.config.tasks[name], self.heads[name], columns.get(COSETS)
        sheets = self.asen.sheets(name)
        graph = output.rows.graph

        def read(states: Tensor) -> Tensor:
            if task.output_level == "graph":
                orbits = self.asen.pooled_orbits(name)
                states = pool(states, pooling_of(self.config, task), orbits, graph.node_mask)
            return head(states)

        def through_sheets(states: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
            if sheets is None:
                return read(states)
            if task.output_level == "graph":
                return sheets.graph_outputs(states, read, chosen)
            return sheets.node_outputs(read(states), chosen)

        if task.output_level == "pair":
            logits = head(states, output.rows.orbital_features, graph)
            return logits if sheets is None else sheets.pair_outputs(logits, chosen)
        if (counts := self.asen.partner_counts(name, graph)) is not None:
            states = torch.cat([states, counts.to(states.dtype)], dim=-1)
        logits = through_sheets(states, read)
        if name not in self.linear_skips:
            return logits
        features = normalized_features(task, columns["inputs"]).to(logits.dtype)
        features = features if sheets is None else sheets.expand(features, chosen)
        if graph.node_mask is not None:
            features = torch.where(graph.node_mask.unsqueeze(-1), features, 0)
        return logits + through_sheets(features, self.linear_skips[name])

    def _loss(
        self,
        name: str,
        read_outs: list[Tensor],
        columns: Mapping[str, Tensor],
        num_labels: Tensor | int | None = None,
    ) -> Tensor:
        """The mean loss of several logits of the same rows."""
        task, inputs, labels, mask = self.config.tasks[name], columns["inputs"], columns["labels"], columns.get(MASK)
        labels = labels if task.is_regression else labels.long()  # in uint8, -100 would be the class 156
        labels = labels if mask is None else without_padding(task, labels, mask)
        losses = [task_loss(task, logits, labels, inputs, num_labels, columns.get(WEIGHTS)) for logits in read_outs]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def predict(
        self,
        inputs: Tensor | ArrayLike,
        task: str | TaskConfig | dict | None = None,
        batch_size: int = 256,
        pairs: Tensor | ArrayLike | None = None,
        attention_mask: Tensor | ArrayLike | None = None,
        context: Sequence[Tensor | ArrayLike | None] | None = None,
    ) -> Tensor:
        """Predict without dropout and gradients.

        Args:
            inputs, task, pairs, attention_mask: as in :meth:`AsenModel.forward`.
            batch_size: rows per forward pass, which bounds the memory.
            context: labelled rows ``(inputs, labels[, pairs[, attention_mask]])``, to predict from without training:
                the head is fitted to them by ridge regression, for this call (:mod:`.read_out`). ``task`` may then be a
                config that the model does not have, if the model was pretrained on random tasks.

        Returns:
            int64 classes, 0 and 1 for several labels, or float32 values in raw units (float64 for a float64 model), in
            the shape of labels; of nodes that are padding, -100 or NaN.
        """
        if context is not None:
            if not isinstance(context, list | tuple) or not 2 <= len(context) <= 4:
                found = f"{len(context)} arrays" if isinstance(context, list | tuple) else shown(context)
                raise ValueError(f"a context is (inputs, labels[, pairs[, attention_mask]]), got {found}")
            names = ("inputs", "labels", PAIRS, MASK)
            rows = to_columns(self.device, None, **dict(zip(names, context, strict=False)))
            fitted, name = with_context(self, task, rows)
            return fitted.predict(inputs, name, batch_size, pairs, attention_mask)
        if isinstance(task, TaskConfig | dict):
            raise ValueError("task: the config of a task that the model does not have needs a context of labelled rows")
        config = self.config.task(task)[1]
        columns = to_columns(self.device, config, inputs=inputs, pairs=pairs, attention_mask=attention_mask)

        def read(config: TaskConfig, logits: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
            found, mask = predictions(config, logits, rows["inputs"]), rows.get(MASK)
            return found if mask is None else without_padding(config, found, mask)

        return self._in_batches(columns, task, batch_size, read)

    def predict_proba(
        self,
        inputs: Tensor | ArrayLike,
        task: str | None = None,
        batch_size: int = 256,
        pairs: Tensor | ArrayLike | None = None,
        attention_mask: Tensor | ArrayLike | None = None,
    ) -> Tensor:
        """Probabilities of the classes, ``(N, n, K)``, ``(N, n, n, K)`` or ``(N, K)``; arguments as of :meth:`predict`.

        They are NaN at nodes that are padding.

        Raises:
            ValueError: the task is a regression, and as :meth:`predict`.
        """
        config = self.config.task(task)[1]
        columns = to_columns(self.device, config, inputs=inputs, pairs=pairs, attention_mask=attention_mask)

        def read(config: TaskConfig, logits: Tensor, rows: Mapping[str, Tensor]) -> Tensor:
            found, mask = probabilities(config, logits), rows.get(MASK)
            return found if mask is None else fill_padding(config.output_level, found, mask, torch.nan)

        return self._in_batches(columns, task, batch_size, read)

    def _in_batches(
        self,
        columns: Mapping[str, Tensor],
        task: str | None,
        batch_size: int,
        read: Callable[[TaskConfig, Tensor, Mapping[str, Tensor]], Tensor],
    ) -> Tensor:
        """What ``read`` makes of the logits of all rows."""
        batch_size = positive_integer(batch_size, "batch_size")
        name, config = self.config.task(task)
        check_num_rows(name, columns)
        inputs = columns["inputs"]
        if inputs.ndim and not len(inputs):
            raise ValueError(f"task {name!r}: inputs hold no rows")
        results = []
        with evaluating(self):
            for start in range(0, len(inputs) if inputs.ndim else 1, batch_size):
                rows = {
                    key: column[start : start + batch_size] if column.ndim else column
                    for key, column in columns.items()
                }
                results.append(read(config, self(task=name, return_dict=True, **rows).logits, rows))
        return torch.cat(results)
