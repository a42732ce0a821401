"""Rivals of the network in speed, each written here as fast as it can be."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from asen_hf import AsenForMultitask
from asen_hf.model.attention import GATv2Attention
from asen_hf.model.symmetry import OrbitGraph


class SampleLoop(nn.Module):
    """The published implementation: the same network sample by sample, in PyG layers, one feature vector per edge.

    It takes the weights of ``model`` and gives the same logits.
    """

    def __init__(self, model: AsenForMultitask):
        super().__init__()
        self.model = model
        self.convs = nn.ModuleList(layer.attention.to_pyg() for layer in model.asen.backbone.layers)

    def logits(self, task: str, inputs: Tensor) -> Tensor:
        asen = self.model.asen
        targets, sources, labels = asen.symmetry_breakers[task]().to_edges()
        edge_index = torch.stack([sources, targets])
        edge_features = asen.orbital_features(task)[labels]
        outputs = []
        for sample in inputs:
            states = asen.backbone.input_layers(asen.token_embedders[task](sample))
            for layer, conv in zip(asen.backbone.layers, self.convs, strict=True):
                states = states + layer.norm(layer.projection(conv(states, edge_index, edge_features))).relu()
            outputs.append(self.model.heads[task](states))
        return torch.stack(outputs)

    def loss(self, batch: dict[str, dict[str, Tensor]]) -> Tensor:
        losses = [
            nn.functional.cross_entropy(self.logits(task, columns["inputs"]).flatten(0, 1), columns["labels"].flatten())
            for task, columns in batch.items()
        ]
        return torch.stack(losses).mean()


class BatchedPyG(nn.Module):
    """PyG's GATv2Conv over the disjoint union of all rows' graphs, one feature vector per edge."""

    def __init__(self, layer: GATv2Attention, graph: OrbitGraph, rows: int):
        super().__init__()
        self.conv: GATv2Conv = layer.to_pyg()
        targets, sources, self.labels = graph.to_edges()
        first = torch.arange(rows).repeat_interleave(len(targets)) * graph.num_nodes
        self.edge_index = torch.stack([sources.repeat(rows), targets.repeat(rows)]) + first
        self.rows = rows

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """``(B, n, d)`` states and the ``(rank, d)`` table to ``(B, n, d)``."""
        edge_features = table[self.labels].repeat(self.rows, 1)
        return self.conv(states.flatten(0, 1), self.edge_index, edge_features).view_as(states)


class Transformer(nn.Module):
    """``torch.nn.TransformerEncoder`` on tokens, with a head on each node."""

    def __init__(
        self, vocab_size: int, num_labels: int, size: int = 128, depth: int = 4, heads: int = 8, mlp_size: int = 512
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, size)
        layer = nn.TransformerEncoderLayer(size, heads, dim_feedforward=mlp_size, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth)
        self.head = nn.Linear(size, num_labels)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(inputs)))

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self(inputs).flatten(0, 1), labels.flatten())
