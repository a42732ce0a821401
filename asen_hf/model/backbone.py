"""The shared backbone: equivariant to every permutation of the nodes, blind to tasks and groups.

Its input is node features, a graph whose pairs carry orbital labels, and one feature vector per orbital.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import ACT2FN

from ._onednn_linear import Linear
from .batching import EmbeddedRows
from .configuration_asen import AsenConfig
from .layers import LAYERS


class AsenBackbone(nn.Module):
    """Input layers (LayerNorm → activation → Linear → LayerNorm) and the stack of layers of ``config.backbone_type``.

    The stack is applied ``num_recurrences`` times with the same weights. Each pass after the first starts from the
    normalised sum of the last states and the inputs. Layers that do not normalise what they add are followed, at the
    end of every pass, by a last LayerNorm.
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
        layer = LAYERS[config.backbone_type]
        self.layers = nn.ModuleList(layer(config) for _ in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(size, eps=eps) if layer.normalizes_input else nn.Identity()
        self.config = config

    def forward(self, rows: EmbeddedRows, output_attentions: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """The states ``(B, n, d)`` at the input and after each layer of each pass, and their attention weights.

        A base model that computes no weights on the way returns them only if they are asked for.
        """
        inputs = self.input_layers(rows.node_features)
        hidden_states, attentions = [inputs], []
        states = inputs
        for recurrence in range(self.config.num_recurrences):
            if recurrence > 0:
                # The inputs again, as in recurrent relational networks (Palm et al. 2018), at a norm that does not grow
                # with the number of passes. No weights, so that any model can be given another number of passes.
                states = F.layer_norm(states + inputs, states.shape[-1:], eps=self.config.layer_norm_eps)
            for layer in self.layers:
                states, weights = layer(
                    states, rows.orbital_features, rows.triple_features, rows.graph, output_attentions
                )
                hidden_states.append(states)
                attentions += [] if weights is None else [weights]
            states = hidden_states[-1] = self.final_norm(states)
        return hidden_states, attentions
