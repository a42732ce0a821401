"""Embedding rows computed from structure: one small network, shared by all tasks, in place of rows learned per task.

Rows of a fresh task are random, and tell a trained backbone nothing. These say what an orbital, a colour or a token is
in the language that the backbone was pretrained with, on an endless stream of random tasks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .configuration_asen import AsenConfig
from .pair_head import PairStates
from .structure_columns import NUM_INPUT_COLUMNS, NUM_PAIR_COLUMNS, StructureColumns


class StructureEmbedder(nn.Module):
    """Columns of :class:`~.structure_columns.StructureColumns` to rows of a task's tables.

    Args:
        config: gives the width d.

    Attributes:
        pair_states: the layers below the outputs of a new task's pairs.
        log_scale: logarithm of the factor from shares, which ridge regression predicts, to logits.
        log_penalty: logarithm of ridge regression's penalty in pretraining.
    """

    def __init__(self, config: AsenConfig):
        super().__init__()
        hidden_size = config.hidden_size
        self.pairs, self.inputs = (
            nn.Sequential(
                nn.Linear(columns, 2 * hidden_size),
                nn.SiLU(),
                nn.Linear(2 * hidden_size, hidden_size),
                nn.LayerNorm(hidden_size),
            )
            for columns in (NUM_PAIR_COLUMNS, NUM_INPUT_COLUMNS)
        )
        self.pair_states = PairStates(config)
        self.log_scale = nn.Parameter(torch.empty(()))
        self.log_penalty = nn.Parameter(torch.empty(()))

    def forward(self, columns: StructureColumns) -> tuple[Tensor, Tensor]:
        """Vectors ``(rank · colours, d)`` of orbitals and colours, and ``(V, d)`` of tokens or ``(F + 1, d)``."""
        like = self.log_scale
        pairs, inputs = (
            torch.as_tensor(part, dtype=like.dtype, device=like.device) for part in (columns.pairs, columns.inputs)
        )
        return self.pairs(pairs), self.inputs(inputs)
