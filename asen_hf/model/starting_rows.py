"""What the tables of a new task start from: a trained task's rows, or rows that are computed from its structure.

Both are found before the model changes, because finding them may fail, and written when the tables are there.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ._messages import naming
from .configuration_task import TaskConfig
from .init_from import colour_rows, copy_orbitals, copy_rows, find_donor_rows, has_equal_inputs, has_equal_pairs
from .structure_columns import StructureColumns
from .structure_embedder import StructureEmbedder
from .symmetry import SymmetryBreaker

if TYPE_CHECKING:
    from .modeling_base import AsenModel

_CALLER = 4  # of AsenForMultitask.add_task, seen from a constructor here


class RowsOfDonor:
    """Rows of a trained task of the same model, ``donor``: see :mod:`asen_hf.model.init_from`.

    Warns of orbits that share a donor row or start fresh.
    """

    def __init__(self, model: AsenModel, name: str, breaker: SymmetryBreaker, donor: str):
        self.donor = donor
        found = find_donor_rows(breaker, cast(SymmetryBreaker, model.symmetry_breakers[donor]))
        self.rows = found.rows
        if found.sentence:
            warnings.warn(f"task {name!r}, initialised from {donor!r}: {found.sentence}", stacklevel=_CALLER)

    def write(self, model: AsenModel, name: str) -> None:
        """Write them into the tables of the task ``name`` of ``model``."""
        task, donor_task = model.config.tasks[name], model.config.tasks[self.donor]
        for table, rows in self.rows.items():
            if table == "edge_embedders":
                self._write_orbitals(model, name, rows)
            else:
                copy_rows(getattr(model, table)[name], getattr(model, table)[self.donor], rows)
        copied = []
        if has_equal_inputs(task, donor_task):
            copied += [model.token_embedders, model.missing_embedders]
        if has_equal_pairs(task, donor_task):
            copied += [model.pair_embedders]
        for modules in copied:
            if self.donor in modules:
                modules[name].load_state_dict(modules[self.donor].state_dict())

    def _write_orbitals(self, model: AsenModel, name: str, rows: NDArray[np.int64]) -> None:
        """Copy the donor's vectors of orbitals, whether or not either task shares rows."""
        donor = model.config.tasks[self.donor]
        coloured = colour_rows(rows, model.config.tasks[name], donor)
        if coloured is None:
            warnings.warn(
                f"task {name!r}, initialised from {self.donor!r}: orbitals start fresh, because the donor colours "
                f"pairs otherwise: it has relations={donor.relations} and pair_vocab_size={donor.pair_vocab_size}, "
                "which the task may declare too",
                stacklevel=_CALLER + 1,
            )
            return
        _set_orbitals(model, name, model.orbital_features(self.donor), coloured)


class RowsOfPrior:
    """Rows that the structure embedder of a model which was pretrained on random tasks computes.

    Raises:
        ValueError: the task has over 4,096 points.
    """

    @staticmethod
    def check(model: AsenModel) -> None:
        """Raise ``ValueError`` if the model has no such embedder."""
        if model.structure_embedder is None:
            raise ValueError(
                'init_from="prior" needs a model that was pretrained on random tasks and not finetuned since '
                "(config.structure_embedder): load such a checkpoint, or name one of the model's tasks"
            )

    def __init__(self, name: str, breaker: SymmetryBreaker, task: TaskConfig):
        seed = int(torch.randint(2**31, ()))  # of the codes of tokens: as random as fresh rows
        with naming(f"task {name!r}"):
            self.columns = StructureColumns.of(task, breaker(), seed)

    @torch.no_grad()
    def write(self, model: AsenModel, name: str) -> None:
        """Write them into the tables of the task ``name`` of ``model``."""
        pairs, inputs = cast(StructureEmbedder, model.structure_embedder)(self.columns)
        _set_orbitals(model, name, pairs, np.arange(len(pairs)))
        tokens = cast(nn.Linear, model.token_embedders[name])  # or nn.Embedding, whose weight is not transposed
        if model.config.tasks[name].vocab_size is not None:
            tokens.weight.copy_(inputs)
        else:
            tokens.weight.copy_(inputs[:-1].T)
            tokens.bias.copy_(inputs[-1])


@torch.no_grad()
def add_random_codes(model: AsenModel, name: str) -> None:
    """Add fresh random rows to those of a task's orbitals, classes of orbitals, and tokens or features.

    Computed rows of things that are alike in structure are alike (their cosines are .2 to .4), so that training
    would take long to tell them apart.
    """
    for modules in (model.edge_embedders, model.class_embedders, model.token_embedders):
        if name in modules:
            fresh = model._ready(copy.deepcopy(modules[name]))
            for row, code in zip(modules[name].parameters(), fresh.parameters(), strict=True):
                row.add_(code)


def _set_orbitals(model: AsenModel, name: str, vectors: Tensor, rows: NDArray[np.int64]) -> None:
    """Set the vectors of a task's orbitals, whether or not it shares rows."""
    table, shared = (
        cast(nn.Embedding, modules[name]) if name in modules else None
        for modules in (model.edge_embedders, model.class_embedders)
    )
    classes = model.class_rows(name) if shared is not None else torch.empty(0)
    assert table is not None
    copy_orbitals(table, shared, classes, vectors, rows)
