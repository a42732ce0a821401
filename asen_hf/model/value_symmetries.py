"""Value symmetries: an equivariant network from one that is equivariant to permutations only.

Elements g = (π, ρ, σ) of a task's group move points by π and change inputs by ρ and outputs by σ (see
:mod:`asen_hf.model.value_maps`). Two constructions, around the unchanged network, make it equivariant to them. Both
give the network *sheets* of points ``(i, v)``: node i, seen through a value map v = (ρ, σ). Their inputs are
``ρ⁻¹ x[i]``, and the output of node i is the mean of ``σ h(i, v)`` over the v at i.

average: f(x) is the mean of ``t · f_K(t⁻¹ x)`` over representatives t of the cosets of K, the elements that change no
value. The network f_K knows K only and sees every coset as a row of its own, with the points (π_t(i), (ρ, σ)_t at i).
In training, one random coset per row costs a fraction; the mean over all of them is what is learned either way.

lift: all points (i, v), v running over the value maps that can occur at node i, are the points of one row. The group
acts on them by (i, v) ↦ (π(i), (ρ, σ)_i v), an ordinary permutation group whose orbits the network sees.

Reading one sheet without averaging is not equivariant.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .configuration_symmetries import seen_symmetry, value_gathers, value_group
from .configuration_task import TaskConfig
from .orbits import orbit_labels
from .symmetry import ComputedBuffers
from .value_maps import Numbers


class ValueSheets(ComputedBuffers):
    """The sheets of a task with value symmetries: R rows of N points, for every row of inputs.

    Args:
        task: with value symmetries.

    Attributes:
        num_rows: R, the number of cosets, or 1 for the lift.
        nodes: ``(R, N)``, the node of every point.
        maps, inverses: ``(R, N)``, numbers of its value map and of the inverse.
        readers: ``(n, c)``, the points of every node, padded; ``is_reader``, bool ``(n, c)``, tells them from padding.
        sheets: ``(q, R · N / q)``, the points that one graph output is read from; they share an output map.
        sheet_maps: ``(q,)``, numbers of value maps with that output map.
        orbits: positions in a sheet of the points of each node orbit, if the task tells node orbits apart.
    """

    nodes: Tensor
    maps: Tensor
    inverses: Tensor
    readers: Tensor
    is_reader: Tensor
    sheets: Tensor
    sheet_maps: Tensor
    input_sources: Tensor
    input_signs: Tensor
    output_sources: Tensor
    output_signs: Tensor

    def __init__(self, task: TaskConfig):
        super().__init__(task)
        buffers = self.compute_buffers()
        self.num_rows, num_points = buffers["nodes"].shape
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)
        labels = orbit_labels(seen_symmetry(task).permutation_group(), 1)[buffers["sheets"][0].numpy() % num_points]
        self.orbits = [np.flatnonzero(labels == orbit).tolist() for orbit in np.unique(labels)]

    def compute_buffers(self) -> dict[str, Tensor]:
        group = value_group(self.task)
        if self.task.symmetrization == "average":
            nodes = np.stack([coset.points for coset in group.cosets])
            maps = np.stack([coset.maps for coset in group.cosets])
            sheets = np.arange(nodes.size).reshape(nodes.shape)
        else:
            nodes, maps = group.lift.nodes[None], group.lift.maps[None]
            sheets = self._lifted_sheets(maps[0])
        inverses = group.maps.inverse(maps)  # before the gathers: it may number new maps
        inputs, outputs = value_gathers(self.task)
        readers, is_reader = _readers(nodes.ravel())
        arrays = {
            "nodes": nodes,
            "maps": maps,
            "inverses": inverses,
            "readers": readers,
            "is_reader": is_reader,
            "sheets": sheets,
            "sheet_maps": maps.ravel()[sheets[:, 0]],
            "input_sources": inputs[0],
            "input_signs": inputs[1],
            "output_sources": outputs[0],
            "output_signs": outputs[1],
        }
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def _lifted_sheets(self, maps: Numbers) -> Numbers:
        """The points with each output map, by node orbit. There are equally many, because G permutes the sheets.

        Outputs of nodes are not read from sheets: their maps may differ from node to node, and all points are one.
        """
        if self.task.output_level == "node":
            return np.arange(len(maps))[None]
        sources, signs = value_gathers(self.task, maps)[1]
        output_maps = np.unique(np.concatenate([sources, signs], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        order = np.lexsort((orbit_labels(seen_symmetry(self.task).permutation_group(), 1), output_maps))
        return order.reshape(int(output_maps.max()) + 1, -1)

    def expand(self, inputs: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Tokens or features to the points of all rows of sheets.

        Args:
            inputs: ``(B, n)`` tokens, -1 where missing, or ``(B, n, F)`` normalised features, NaN where missing.
            chosen: ``(B,)``, which one of the R rows each row of inputs gets; by default all.

        Returns:
            ``(B · R, N)`` or ``(B · R, N, F)``; with ``chosen``, ``(B, N, …)``.
        """
        nodes, maps, inverses = (_rows(numbers, chosen) for numbers in (self.nodes, self.maps, self.inverses))
        values = inputs[torch.arange(inputs.shape[0], device=inputs.device)[:, None, None], nodes]
        if inputs.ndim == 2:  # the inverse of a permutation is the gather that stands for it
            mapped = torch.where(values < 0, values, self.input_sources[maps, values.clamp(min=0)])
        else:
            mapped = _gather(values, self.input_sources[inverses], self.input_signs[inverses])
        return mapped.flatten(0, 1)

    def expand_nodes(self, values: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Values of nodes ``(B, n)`` that no value map changes, as :meth:`expand`."""
        nodes = _rows(self.nodes, chosen)
        return values[torch.arange(values.shape[0], device=values.device)[:, None, None], nodes].flatten(0, 1)

    def expand_pairs(self, pairs: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Pair inputs ``(B, n, n, …)``, which move with their nodes, as :meth:`expand`: ``(B · R, N, N, …)``."""
        nodes = _rows(self.nodes, chosen)
        rows = torch.arange(pairs.shape[0], device=pairs.device)[:, None, None, None]
        return pairs[rows, nodes.unsqueeze(3), nodes.unsqueeze(2)].flatten(0, 1)

    def expand_labels(self, labels: Tensor) -> Tensor:
        """Normalised labels ``(B, n, K)`` or ``(B, K)`` of a regression to the rows of all cosets, ``(B · R, …)``."""
        is_node = labels.ndim == 3
        inverses = self.inverses if is_node else self.inverses[:, 0]
        values = labels[:, self.nodes] if is_node else labels.unsqueeze(1)
        return _gather(values, self.output_sources[inverses], self.output_signs[inverses]).flatten(0, 1)

    def mean_states(self, states: Tensor) -> Tensor:
        """States ``(B · R, N, d)`` of the points to states ``(B, n, d)`` of the nodes, means without value maps."""
        return self._mean(states.unflatten(0, (-1, self.num_rows)).flatten(1, 2))

    def node_outputs(self, outputs: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Outputs ``(B · R, N, K)`` of the points to outputs ``(B, n, K)`` of the nodes."""
        maps = _rows(self.maps, chosen)
        outputs = outputs.unflatten(0, (-1, maps.shape[1]))
        mapped = _gather(outputs, self.output_sources[maps], self.output_signs[maps]).flatten(1, 2)
        if chosen is None:
            return self._mean(mapped)
        return mapped.take_along_dim(self.nodes[chosen].argsort(dim=-1).unsqueeze(-1), dim=1)

    def pair_outputs(self, outputs: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Outputs ``(B · R, N, N, K)`` of pairs of points to outputs ``(B, n, n, K)``; of an average over cosets."""
        nodes = _rows(self.nodes, chosen)
        outputs = outputs.unflatten(0, (-1, nodes.shape[1]))
        maps = _rows(self.maps, chosen)[..., 0, None, None]  # outputs of pairs have one map for all
        mapped = _gather(outputs, self.output_sources[maps], self.output_signs[maps])
        points = nodes.argsort(dim=-1)  # in every coset, the point of every node
        mapped = mapped.take_along_dim(points[..., None, None], dim=2).take_along_dim(points[..., None, :, None], dim=3)
        return mapped.mean(dim=1)

    def graph_outputs(self, states: Tensor, read: Callable[[Tensor], Tensor], chosen: Tensor | None = None) -> Tensor:
        """States ``(B · R, N, d)`` of the points to outputs ``(B, K)`` of the graph.

        Args:
            states: of all rows, or of the chosen ones.
            read: pools the states of one sheet ``(b, m, d)`` and maps them to outputs ``(b, K)``.
            chosen: as for :meth:`expand`.
        """
        if chosen is None:
            points = states.unflatten(0, (-1, self.num_rows)).flatten(1, 2)
            outputs = read(points[:, self.sheets].flatten(0, 1)).unflatten(0, (-1, len(self.sheets)))
            maps = self.sheet_maps.unsqueeze(0)
        else:
            outputs, maps = read(states).unsqueeze(1), self.sheet_maps[chosen].unsqueeze(1)
        return _gather(outputs, self.output_sources[maps], self.output_signs[maps]).mean(dim=1)

    def _mean(self, points: Tensor) -> Tensor:
        """The mean of ``(B, R · N, K)`` over the points of every node."""
        weights = self.is_reader.to(points.dtype).unsqueeze(-1)
        return (points[:, self.readers] * weights).sum(dim=2) / weights.sum(dim=1)


def _rows(numbers: Tensor, chosen: Tensor | None) -> Tensor:
    """``(R, N)`` to ``(1, R, N)``, or to the chosen row for each of B, ``(B, 1, N)``."""
    return numbers.unsqueeze(0) if chosen is None else numbers[chosen].unsqueeze(1)


def _gather(values: Tensor, sources: Tensor, signs: Tensor) -> Tensor:
    """``sign[k] · value[source[k]]`` along the last dimension."""
    shape = torch.broadcast_shapes(values.shape[:-1], sources.shape[:-1])
    # Not take_along_dim: torch 2.13's makes the batch size a constant of an exported program.
    gathered = values.expand(*shape, -1).gather(-1, sources.expand(*shape, -1))
    return gathered * signs.to(values.dtype)


def _readers(nodes: Numbers) -> tuple[Numbers, np.ndarray]:
    """The points of every node ``(n, c)``, padded by its first point, and which of them are not padding."""
    order, counts = np.argsort(nodes, kind="stable"), np.bincount(nodes)
    places = np.arange(counts.max())
    is_point = places < counts[:, None]
    starts = np.cumsum(counts) - counts
    return order[starts[:, None] + np.where(is_point, places, 0)], is_point
