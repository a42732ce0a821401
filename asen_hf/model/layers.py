"""The layers of the base models: each takes node states, orbital features and an ``OrbitGraph``, and nothing else."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from ._onednn_linear import Linear
from .attention import GATv2Attention
from .configuration_asen import AsenConfig
from .dot_product_attention import DotProductAttention
from .symmetry import OrbitGraph
from .triples import TripleMessages

AttentionLayer = GATv2Attention | DotProductAttention


class AsenLayer(GradientCheckpointingLayer):
    """A layer of a base model; a subclass says what becomes of the messages.

    Attributes:
        normalizes_input: whether the layer normalises what it reads and not what it adds, so that the states after the
            last layer must be normalised.
    """

    attention_class: ClassVar[type[AttentionLayer]]
    normalizes_input: ClassVar[bool]
    triples: TripleMessages | None

    def __init__(self, config: AsenConfig):
        super().__init__()
        size = config.hidden_size
        self.attention = self.attention_class(config)
        # Registered even if None, so that weights added later have the same position among the submodules.
        self.register_module("triples", TripleMessages(size) if config.has_triples else None)
        self.projection = Linear(size, size)
        self.norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.activation = ACT2FN[config.hidden_act]
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        hidden_states: Tensor,
        orbital_features: Tensor,
        triple_features: Tensor | None,
        graph: OrbitGraph,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """``(B, n, d)`` states to ``(B, n, d)`` states and the attention weights, or ``None`` if nothing needs them."""
        states = self.read(hidden_states)
        update, weights = self.attention(states, orbital_features, graph, output_attentions)
        if self.triples is not None and triple_features is not None:
            update = update + self.triples(states, triple_features, graph.triple_labels)
        return self.add(hidden_states, self.projection(update)), weights

    def read(self, hidden_states: Tensor) -> Tensor:
        """What of the states ``(B, n, d)`` the messages are made of."""
        raise NotImplementedError

    def add(self, hidden_states: Tensor, update: Tensor) -> Tensor:
        """The new states, from the old ones and the projected sum of messages over pairs and triples."""
        raise NotImplementedError


class GATv2Layer(AsenLayer):
    """GATv2 → projection → LayerNorm → activation → sum with the states."""

    attention_class = GATv2Attention
    normalizes_input = False

    def read(self, hidden_states: Tensor) -> Tensor:
        return hidden_states

    def add(self, hidden_states: Tensor, update: Tensor) -> Tensor:
        return hidden_states + self.dropout(self.activation(self.norm(update)))


class TransformerLayer(AsenLayer):
    """A pre-norm encoder layer: LayerNorm → attention → projection → sum; LayerNorm → MLP of width 2d → sum.

    Twice the width, where four times is common, to have 8 d² weights beside the 5 d² of a gated GATv2 layer.
    """

    attention_class = DotProductAttention
    normalizes_input = True

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        size = config.hidden_size
        self.mlp_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.up_projection = Linear(size, 2 * size)
        self.down_projection = Linear(2 * size, size)

    def read(self, hidden_states: Tensor) -> Tensor:
        return self.norm(hidden_states)

    def add(self, hidden_states: Tensor, update: Tensor) -> Tensor:
        hidden_states = hidden_states + self.dropout(update)
        update = self.down_projection(self.activation(self.up_projection(self.mlp_norm(hidden_states))))
        return hidden_states + self.dropout(update)


LAYERS: dict[str, type[AsenLayer]] = {"gatv2": GATv2Layer, "transformer": TransformerLayer}
"""The layer of each ``AsenConfig.backbone_type``."""
