"""Initialise a new task from a trained one: which donor row every embedding row, and every output, is copied from."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .configuration_pairs import num_colours, relation_sizes
from .configuration_symmetries import seen_symmetry
from .configuration_task import TaskConfig
from .orbital_matching import OrbitalMatch, match_orbitals
from .orbits import orbit_labels
from .symmetry import SymmetryBreaker

Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class DonorRows:
    """The donor rows for the embedding tables of a new task.

    Attributes:
        rows: ``{table: donor rows}`` with tables such as ``"edge_embedders"``; int64, one donor row per row of the new
            table, or -1 for a freshly initialised row. Tables without an entry are freshly initialised.
        sentence: a warning about orbits that share a donor row or start fresh; empty if there are none.
    """

    rows: dict[str, Rows]
    sentence: str


def find_donor_rows(new: SymmetryBreaker, donor: SymmetryBreaker) -> DonorRows:
    """Match the orbits of a new task with the orbits of a trained task.

    If both tasks have equal orbit labels, tables are copied unchanged, unless orbital names differ. Otherwise, on
    complete supports, pair orbitals are matched by :func:`~asen_hf.model.orbital_matching.match_orbitals`, and node
    orbits are matched as diagonal orbitals. Orbitals of unequal supports and unequal orbits on triples start fresh.

    Raises:
        ValueError: a name is given to both diagonal and off-diagonal orbitals.
    """
    labels, donor_labels = ({"labels": side.compute_graph().labels, **side.compute_buffers()} for side in (new, donor))
    names, donor_names = new.task.orbital_names, donor.task.orbital_names
    is_complete = new.task.support == donor.task.support == "complete"
    has_all_pairs = "edge_index" not in labels and "edge_index" not in donor_labels  # a weak support is in the labels
    has_equal_support = has_all_pairs or _are_equal("edge_index", labels, donor_labels)
    order = new.task.point_order if new.task.point_order == donor.task.point_order else None
    if order == "grid" or "lift" in (new.task.symmetrization, donor.task.symmetrization):
        order = None  # signatures know lines and rings, and the points of a lift do not lie on that of the nodes
    rows: dict[str, Rows] = {}
    sentences = []

    are_names_equal = names is None or donor_names is None or names == donor_names
    if are_names_equal and has_equal_support and _are_equal("labels", labels, donor_labels):
        rows["edge_embedders"] = np.arange(new.num_pair_orbits)
    elif is_complete:
        match = match_orbitals(labels["labels"], donor_labels["labels"], names, donor_names, order)
        rows["edge_embedders"] = match.donor_rows
        sentences.append(match.sentence)
    else:
        sentences.append("orbitals of a support are copied only from an equal support, so they start fresh")

    tables = [side["node_rows"] for side in (labels, donor_labels) if "node_rows" in side]
    if _are_equal("node_rows", labels, donor_labels):
        rows["node_embedders"] = np.arange(new.num_node_rows)
    elif len(tables) == 2 and all(table.shape[1] == 1 for table in tables):  # lines of a grid share none
        orbitals, donor_orbitals = (orbit_labels(seen_symmetry(side.task).permutation_group()) for side in (new, donor))
        match = match_orbitals(orbitals, donor_orbitals, ordered=order)
        rows["node_embedders"], sentence = _node_rows(match, orbitals, donor_orbitals)
        sentences.append(sentence)
    elif "node_rows" in labels:
        sentences.append("node orbits start fresh: the donor has no features for them")

    if _are_equal("triple_labels", labels, donor_labels):
        rows["triple_embedders"] = np.arange(new.num_triple_orbits)
    elif "triple_labels" in labels:
        sentences.append("orbits on triples are copied only from equal orbits, so they start fresh")
    return DonorRows(rows, ". ".join(filter(None, sentences)))


def colour_rows(rows: Rows, new: TaskConfig, donor: TaskConfig) -> Rows | None:
    """Donor rows of orbitals to donor rows of their colours, orbital by orbital.

    Every colour takes the row of the donor's same colour, or of a donor without colours, which is as good a start for
    all of them; ``None`` if the donor has other colours.
    """
    kind, donor_kind = ((task.relations, task.pair_vocab_size, relation_sizes(task)) for task in (new, donor))
    number, has_colours = num_colours(new), num_colours(donor) > 1
    if has_colours and kind != donor_kind:
        return None
    if not has_colours:
        return rows.repeat(number)
    return np.where(rows[:, None] < 0, -1, rows[:, None] * number + np.arange(number)).ravel()


@torch.no_grad()
def copy_rows(table: nn.Embedding, donor: nn.Embedding, rows: Rows) -> None:
    """Copy the donor's rows into a table; rows of the table where ``rows`` is -1 stay unchanged."""
    known = torch.from_numpy(rows >= 0)
    table.weight[known.to(table.weight.device)] = donor.weight[torch.from_numpy(rows)[known].to(donor.weight.device)]


@torch.no_grad()
def copy_orbitals(table: nn.Embedding, shared: nn.Embedding | None, classes: Tensor, donor: Tensor, rows: Rows) -> None:
    """Copy a donor's vectors of orbitals and colours into a table, or into the sum of a table and of shared rows.

    Args:
        table: ``(rank · colours, d)``.
        shared: ``(number of classes · colours, d)``; ``None`` if the task shares no rows.
        classes: int64 ``(rank · colours,)``, the row of ``shared`` that is added to each row of ``table``.
        donor: ``(donor's rank · colours, d)``.
        rows: donor rows, or -1 for rows that stay unchanged.
    """
    known = torch.from_numpy(rows >= 0).to(table.weight.device)
    vectors = donor[torch.from_numpy(rows).to(donor.device)[known]].to(table.weight)
    if shared is not None:
        members = classes[known]
        sums = torch.zeros_like(shared.weight).index_add_(0, members, vectors)
        counts = members.bincount(minlength=len(sums)).unsqueeze(-1)
        shared.weight.copy_(torch.where(counts > 0, sums / counts.clamp(min=1), shared.weight))
        vectors = vectors - shared.weight[members]
    table.weight[known] = vectors


def has_equal_inputs(new: TaskConfig, donor: TaskConfig) -> bool:
    """Whether both tasks take equally many tokens, or equally many features, and embed them alike."""
    fields = ("vocab_size", "num_features", "shared_token_embedding")
    return all(getattr(new, field) == getattr(donor, field) for field in fields)


def has_equal_pairs(new: TaskConfig, donor: TaskConfig) -> bool:
    """Whether both tasks take equally many pair features, between equally many quantiles."""
    return (new.pair_features, new.pair_buckets) == (donor.pair_features, donor.pair_buckets)


def equal_outputs(new: TaskConfig, donor: TaskConfig) -> list[int] | None:
    """For every output of a new task, the donor's output with the same meaning; ``None`` if the outputs differ."""
    kind, donor_kind = ((task.output_level, task.problem_type, task.output_size) for task in (new, donor))
    if kind != donor_kind:
        return None
    if new.label_names is None or donor.label_names is None:
        return list(range(new.output_size))
    if sorted(new.label_names) != sorted(donor.label_names):
        return None
    return [donor.label_names.index(name) for name in new.label_names]


def _are_equal(name: str, labels: dict[str, Tensor], donor_labels: dict[str, Tensor]) -> bool:
    return name in labels and name in donor_labels and torch.equal(labels[name], donor_labels[name])


def _node_rows(match: OrbitalMatch, orbitals: NDArray, donor_orbitals: NDArray) -> tuple[Rows, str]:
    """Turn a match of diagonal orbitals into a match of node orbits, which are numbered in the same order."""
    diagonal, donor_diagonal = np.unique(orbitals.diagonal()), np.unique(donor_orbitals.diagonal())
    rows = match.donor_rows[diagonal]
    number = {label: index for index, label in enumerate(diagonal.tolist())}
    node_match = OrbitalMatch(
        donor_rows=np.where(rows < 0, -1, np.searchsorted(donor_diagonal, rows)),
        distances=match.distances[diagonal],
        ties=tuple(tuple(number[orbital] for orbital in tie) for tie in match.ties if tie[0] in number),
    )
    return node_match.donor_rows, node_match.sentence.replace("orbitals", "node orbits")
