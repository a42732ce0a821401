"""The layers of rival networks: from inputs ``(B, n)`` or ``(B, n, F)`` of one task to node states ``(B, n, d)``."""

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import GCNConv
from transformers.activations import ACT2FN

from ..model.configuration_asen import AsenConfig, TaskConfig
from ..model.normalization import embed_inputs, input_embedder, missing_embedder, normalized_features, normalized_inputs
from ..model.orbits import orbit_labels


class InputLayers(nn.Module):
    """ASEN's input layers (LayerNorm → ReLU → Linear → LayerNorm), after learned positions if asked for.

    ReLU is fixed, whatever ``hidden_act`` says.
    """

    def __init__(self, config: AsenConfig, task: TaskConfig, has_positions: bool):
        super().__init__()
        size = config.hidden_size
        self.task = task
        self.embedder, self.missing = input_embedder(task, size), missing_embedder(task, size)
        self.positions = nn.Embedding(task.degree, size) if has_positions else None
        self.layers = nn.Sequential(nn.LayerNorm(size), nn.ReLU(), nn.Linear(size, size), nn.LayerNorm(size))

    def forward(self, inputs: Tensor) -> Tensor:
        states = embed_inputs(self.task, self.embedder, self.missing, normalized_inputs(self.task, inputs))
        return self.layers(states if self.positions is None else states + self.positions.weight)


class Mlp(nn.Module):
    """Residual layers (Linear → LayerNorm → ReLU) on each node alone, with learned positions."""

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__()
        size = config.hidden_size
        self.inputs = InputLayers(config, task, has_positions=True)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(size, size), nn.LayerNorm(size), nn.ReLU()) for _ in range(config.num_hidden_layers)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        states = self.inputs(inputs)
        for layer in self.layers:
            states = states + layer(states)
        return states


class RowMlp(nn.Module):
    """The plain multilayer perceptron (Linear → ReLU) on a row's flattened inputs, tokens as indicators.

    Its last layer gives one state for a graph output, and a state per node for outputs of nodes.
    """

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__()
        self.task, self.size = task, config.hidden_size
        width = task.degree * (task.vocab_size or task.num_features or 0)
        widths = [width, *[self.size] * config.num_hidden_layers]
        self.layers = nn.Sequential(
            *(part for pair in itertools.pairwise(widths) for part in (nn.Linear(*pair), nn.ReLU()))
        )
        self.states = nn.Identity() if task.output_level == "graph" else nn.Linear(self.size, task.degree * self.size)

    def forward(self, inputs: Tensor) -> Tensor:
        rows = _numbers(self.task, inputs, next(self.parameters()).dtype).flatten(1)
        states = self.states(self.layers(rows))
        return states.reshape(len(states), -1, self.size)


class EquivariantMlp(nn.Module):
    """The multilayer perceptron whose linear maps commute with the task's group (paper, Section 4, of order 1)."""

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__()
        self.task, self.activation = task, ACT2FN[config.hidden_act]
        labels = orbit_labels(task.permutation_group())
        widths = [task.vocab_size or task.num_features or 0, *[config.hidden_size] * config.num_hidden_layers]
        self.layers = nn.ModuleList(OrbitalLinear(labels, *pair) for pair in itertools.pairwise(widths))

    def forward(self, inputs: Tensor) -> Tensor:
        states = _numbers(self.task, inputs, next(self.parameters()).dtype)
        for layer in self.layers:
            states = self.activation(layer(states))
        return states


class OrbitalLinear(nn.Module):
    """The general linear map between states ``(B, n, F)`` and ``(B, n, K)`` that commutes with a group.

    Args:
        labels: orbital labels ``(n, n)``; each orbital has a weight matrix, each orbit of nodes a bias.
        num_inputs, num_outputs: F and K.
    """

    def __init__(self, labels: NDArray, num_inputs: int, num_outputs: int):
        super().__init__()
        self.labels, self.orbits = labels, np.unique(labels.diagonal(), return_inverse=True)[1]
        self.weight = nn.Parameter(torch.empty(labels.max() + 1, num_inputs, num_outputs))
        self.bias = nn.Parameter(torch.empty(self.orbits.max() + 1, num_outputs))

    def forward(self, states: Tensor) -> Tensor:
        return torch.einsum("bjf,ijfk->bik", states, self.weight[self.labels]) + self.bias[self.orbits]


def _numbers(task: TaskConfig, inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Inputs as numbers ``(B, n, F)``: features normalised and a missing one at its mean, tokens as indicators."""
    rows = normalized_inputs(task, inputs)
    if task.vocab_size is not None:
        rows = rows.unsqueeze(-1) == torch.arange(task.vocab_size, device=rows.device)  # a missing token: all zeros
    rows = rows.to(dtype)
    return torch.where(rows.isnan(), 0, rows)


class Gcn(nn.Module):
    """Residual graph convolutions (Kipf and Welling, ICLR 2017) → LayerNorm → ReLU, without positions."""

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__()
        size = config.hidden_size
        self.inputs = InputLayers(config, task, has_positions=False)
        self.edges = _edges(task)
        self.convolutions = nn.ModuleList(GCNConv(size, size) for _ in range(config.num_hidden_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(config.num_hidden_layers))

    def forward(self, inputs: Tensor) -> Tensor:
        states = self.inputs(inputs)
        edge_index = torch.tensor(self.edges, device=inputs.device).flip(1).T  # PyG wants sources first
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            states = states + norm(convolution(states, edge_index)).relu()
        return states


class Transformer(nn.Module):
    """PyTorch's pre-norm encoder with learned positions; feed-forward layers of twice the width."""

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__()
        size = config.hidden_size
        self.inputs = InputLayers(config, task, has_positions=True)
        layer = nn.TransformerEncoderLayer(
            size, config.num_attention_heads, 2 * size, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.num_hidden_layers, norm=nn.LayerNorm(size), enable_nested_tensor=False
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.encoder(self.inputs(inputs))


class DiffusionGru(nn.Module):
    """DCRNN's encoder and decoder: GRU cells whose maps are diffusion convolutions along and against the edges.

    The encoder takes one reading per step, together with the features that follow the residual one. The decoder takes
    no input; the head reads a linear map of its states at all steps. Edges have no weights, as in ASEN.
    """

    def __init__(self, config: AsenConfig, task: TaskConfig):
        super().__init__()
        if task.residual_feature is None or task.num_features is None:
            raise ValueError("diffusion_gru is for forecasts: it needs a residual_feature, the last reading")
        self.task, self.num_readings = task, task.residual_feature + 1
        self.steps, self.size = task.output_size, config.hidden_size
        self.edges = _edges(task)
        self.encoder = DiffusionCell(1 + task.num_features - self.num_readings, self.size)
        self.decoder = DiffusionCell(0, self.size)
        self.outputs = nn.Linear(self.steps * self.size, self.size)

    def forward(self, inputs: Tensor) -> Tensor:
        features = normalized_features(self.task, inputs).to(self.encoder.gates.weight.dtype)
        features = torch.where(features.isnan(), 0, features)  # missing: at the mean
        readings, constants = features[..., : self.num_readings], features[..., self.num_readings :]
        walks = self._walks(features)
        state = features.new_zeros(*features.shape[:2], self.size)
        for step in range(self.num_readings):
            state = self.encoder(torch.cat([readings[..., step : step + 1], constants], dim=-1), state, walks)
        states = []
        for _ in range(self.steps):
            state = self.decoder(features[..., :0], state, walks)
            states.append(state)
        return self.outputs(torch.cat(states, dim=-1))

    def _walks(self, like: Tensor) -> list[Tensor]:
        """Transition matrices ``(n, n)`` of the random walks along the edges and against them."""
        targets, sources = torch.tensor(self.edges, device=like.device).T
        adjacency = like.new_zeros(self.task.degree, self.task.degree)
        adjacency[targets, sources] = 1
        return [walk / walk.sum(dim=1, keepdim=True).clamp(min=1) for walk in (adjacency, adjacency.T)]


class DiffusionCell(nn.Module):
    """A GRU cell on states ``(B, n, d)``; every map sees 0, 1 and 2 steps of both random walks."""

    def __init__(self, num_inputs: int, size: int):
        super().__init__()
        width = 5 * (num_inputs + size)
        self.gates = nn.Linear(width, 2 * size)
        self.candidate = nn.Linear(width, size)

    def forward(self, inputs: Tensor, state: Tensor, walks: list[Tensor]) -> Tensor:
        reset, update = self.gates(_diffused(torch.cat([inputs, state], dim=-1), walks)).sigmoid().chunk(2, dim=-1)
        candidate = self.candidate(_diffused(torch.cat([inputs, reset * state], dim=-1), walks)).tanh()
        return update * state + (1 - update) * candidate


def _diffused(features: Tensor, walks: list[Tensor]) -> Tensor:
    seen = [features]
    for walk in walks:
        once = walk @ features
        seen += [once, walk @ once]
    return torch.cat(seen, dim=-1)


def _edges(task: TaskConfig) -> list:
    if task.edges is None:
        raise ValueError("this architecture passes messages along edges, and the task has none")
    return task.edges


ARCHITECTURES = {
    "mlp": Mlp,
    "row_mlp": RowMlp,
    "equivariant_mlp": EquivariantMlp,
    "gcn": Gcn,
    "transformer": Transformer,
    "diffusion_gru": DiffusionGru,
}
TITLES = {
    "mlp": "MLP, node by node",
    "row_mlp": "MLP",
    "equivariant_mlp": "Equivariant MLP",
    "gcn": "GCN",
    "transformer": "Transformer with positions",
    "diffusion_gru": "Diffusion GRU (DCRNN)",
}
