"""Which rows of a trained task's embedding tables a new task starts from."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .orbital_matching import OrbitalMatch, match_orbitals
from .orbits import orbit_labels
from .symmetry import SymmetryBreaker

Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class DonorRows:
    """Where the rows of a new task's tables come from.

    Attributes:
        rows: by table (``"edge_embedders"``, …) the donor's row for each row, int64, or -1 for a fresh one; tables that
            are not named here stay fresh.
        sentence: what people should know: which orbits tie and which start fresh; empty if there is nothing to say.
    """

    rows: dict[str, Rows]
    sentence: str


def find_donor_rows(own: SymmetryBreaker, donor: SymmetryBreaker) -> DonorRows:
    """Match the orbits of a new task with those of one trained task.

    Tables for equal orbits are copied as they are, unless names say otherwise. Else pair orbitals are matched on
    complete supports by :func:`~asen_hf.model.orbital_matching.match_orbitals`, and node orbits as diagonal
    orbitals. Other orbitals of a support, and orbits on triples, start fresh.

    Raises:
        ValueError: if a name is given to diagonal orbitals on one side and to others on the other.
    """
    labels, donor_labels = own.compute_labels(), donor.compute_labels()
    names, donor_names = own.task.orbital_names, donor.task.orbital_names
    is_complete = own.task.support == donor.task.support == "complete"
    has_equal_support = is_complete or _are_equal("edge_index", labels, donor_labels)
    order = own.task.point_order if own.task.point_order == donor.task.point_order else None
    rows: dict[str, Rows] = {}
    sentences = []

    agree = names is None or donor_names is None or names == donor_names
    if agree and has_equal_support and _are_equal("labels", labels, donor_labels):
        rows["edge_embedders"] = np.arange(own.num_pair_orbits)
    elif is_complete:
        match = match_orbitals(labels["labels"], donor_labels["labels"], names, donor_names, order)
        rows["edge_embedders"] = match.donor_rows
        sentences.append(match.sentence)
    else:
        sentences.append("orbitals on a support are matched with equal ones only and start fresh")

    if _are_equal("node_labels", labels, donor_labels):
        rows["node_embedders"] = np.arange(own.num_node_orbits)
    elif "node_labels" in labels and "node_labels" in donor_labels:
        orbitals, donor_orbitals = (orbit_labels(side.task.permutation_group()) for side in (own, donor))
        match = match_orbitals(orbitals, donor_orbitals, ordered=order)
        rows["node_embedders"], sentence = _node_rows(match, orbitals, donor_orbitals)
        sentences.append(sentence)
    elif "node_labels" in labels:
        sentences.append("node orbits start fresh: the donor has no features for them")

    if _are_equal("triple_labels", labels, donor_labels):
        rows["triple_embedders"] = np.arange(own.num_triple_orbits)
    elif "triple_labels" in labels:
        sentences.append("orbits on triples are matched with equal ones only and start fresh")
    return DonorRows(rows, ". ".join(filter(None, sentences)))


@torch.no_grad()
def copy_rows(table: nn.Embedding, donor: nn.Embedding, rows: Rows) -> None:
    """Write the donor's rows into a table, but leave it as it is where ``rows`` is -1."""
    known = torch.from_numpy(rows >= 0)
    table.weight[known.to(table.weight.device)] = donor.weight[torch.from_numpy(rows)[known].to(donor.weight.device)]


def _are_equal(name: str, labels: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return name in labels and name in others and torch.equal(labels[name], others[name])


def _node_rows(match: OrbitalMatch, orbitals: NDArray, donor_orbitals: NDArray) -> tuple[Rows, str]:
    """A match of diagonal orbitals as one of node orbits, which are numbered in the same order."""
    diagonal, donor_diagonal = np.unique(orbitals.diagonal()), np.unique(donor_orbitals.diagonal())
    rows = match.donor_rows[diagonal]
    number = {label: index for index, label in enumerate(diagonal.tolist())}
    node_match = OrbitalMatch(
        donor_rows=np.where(rows < 0, -1, np.searchsorted(donor_diagonal, rows)),
        distances=match.distances[diagonal],
        ties=tuple(tuple(number[each] for each in tie) for tie in match.ties if tie[0] in number),
    )
    return node_match.donor_rows, node_match.sentence.replace("orbitals", "node orbits")
