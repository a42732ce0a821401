"""The shared backbone: equivariant to every permutation of the nodes, blind to tasks and groups.

Its input is node features, a graph whose pairs carry orbital labels, and one feature vector per orbital.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from ._onednn_linear import Linear
from .attention import GATv2Attention
from .batching import EmbeddedRows
from .configuration_asen import AsenConfig
from .symmetry import OrbitGraph
from .triples import TripleMessages


class AsenLayer(GradientCheckpointingLayer):
    """GATv2 (plus messages over triples, where a graph labels them) → projection → LayerNorm → activation → sum."""

    triples: TripleMessages | None

    def __init__(self, config: AsenConfig):
        super().__init__()
        self.attention = GATv2Attention(config)
        # Registered even if None, so that weights added later have the same position among the submodules.
        self.register_module("triples", TripleMessages(config.hidden_size) if config.has_triples else None)
        self.projection = Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, hidden_states: Tensor, orbital_features: Tensor, triple_features: Tensor | None, graph: OrbitGraph
    ) -> tuple[Tensor, Tensor]:
        """``(B, n, d)`` states to ``(B, n, d)`` states and the attention weights."""
        update, weights = self.attention(hidden_states, orbital_features, graph)
        if self.triples is not None and triple_features is not None:
            update = update + self.triples(hidden_states, triple_features, graph.triple_labels)
        update = self.activation(self.norm(self.projection(update)))
        return hidden_states + self.dropout(update), weights


class AsenBackbone(nn.Module):
    """Input layers (LayerNorm → activation → Linear → LayerNorm) and the stack of :class:`AsenLayer`.

    The stack is applied ``num_recurrences`` times with the same weights. Each pass after the first starts from the
    normalised sum of the last states and the inputs.
    """

    def __init__(self, config: AsenConfig):
        super().__init__()
        size, eps = config.hidden_size, config.layer_norm_eps
        self.input_layers = nn.Sequential(
            nn.LayerNorm(size, eps=eps),
            ACT2FN[config.hidden_act],
            Linear(size, size),
            nn.LayerNorm(size, eps=eps),
        )
        self.layers = nn.ModuleList(AsenLayer(config) for _ in range(config.num_hidden_layers))
        self.config = config

    def forward(self, rows: EmbeddedRows) -> tuple[list[Tensor], list[Tensor]]:
        """The states ``(B, n, d)`` at the input and after each layer of each pass, and their attention weights."""
        inputs = self.input_layers(rows.node_features)
        hidden_states, attentions = [inputs], []
        states = inputs
        for recurrence in range(self.config.num_recurrences):
            if recurrence > 0:
                # The inputs again, as in recurrent relational networks (Palm et al. 2018), at a norm that does not grow
                # with the number of passes. No weights, so that any model can be given another number of passes.
                states = F.layer_norm(states + inputs, states.shape[-1:], eps=self.config.layer_norm_eps)
            for layer in self.layers:
                states, weights = layer(states, rows.orbital_features, rows.triple_features, rows.graph)
                hidden_states.append(states)
                attentions.append(weights)
        return hidden_states, attentions
