"""What is known of a task's orbitals, colours, tokens and features before any row is seen, as numbers.

The numbers are comparable between tasks of other groups, degrees and vocabularies, so that one embedder
(:mod:`.structure_embedder`) can learn what they mean, and serve groups that it has never seen.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .configuration_pairs import relation_sizes
from .configuration_symmetries import seen_symmetry
from .configuration_task import TaskConfig
from .groups import MAX_PAIRS, from_cycles, symmetric
from .orbital_signatures import NUM_STRUCTURAL, orbital_signatures
from .orbits import orbit_labels
from .symmetry import OrbitGraph

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NUM_CODES = 16  # random numbers that tell tokens, features and pair categories apart
_NUM_WAVES = 4
_LARGEST_CACHED = 32  # a degree: n² labels and up to n² rows are kept
_ORDERS = ("line", "ring", "grid")
_NUM_ORDER = 8
_NUM_SUPPORT = 2
_NUM_COLOURS = 16 + NUM_CODES
NUM_ORBITAL_COLUMNS = NUM_STRUCTURAL + 1 + len(_ORDERS) + _NUM_ORDER + _NUM_SUPPORT
NUM_TIE_CODES = 8  # random numbers that tell apart orbitals that nothing else does, such as one and its converse
NUM_PAIR_COLUMNS = NUM_ORBITAL_COLUMNS + NUM_TIE_CODES + _NUM_COLOURS
NUM_INPUT_COLUMNS = 4 + _NUM_WAVES + NUM_CODES


def pair_columns(task: TaskConfig, labels: Ints, edge_index: Ints | None, codes: np.random.Generator) -> Floats:
    """Numbers that describe every orbital and colour of a task, in the order of its table's rows.

    Args:
        task: its config.
        labels: ``(n, n)``, or ``(E,)`` with an edge list: the orbital label of every pair of the support.
        edge_index: ``(2, E)``, targets then sources; ``None`` on the complete support.
        codes: draws the random numbers that tell pair categories apart, and orbitals that are alike.

    Returns:
        float64 ``(rank · colours, NUM_PAIR_COLUMNS)``.

    Raises:
        ValueError: more than ``MAX_PAIRS`` pairs of points, which a sparse support allows.
    """
    orbitals, is_unique = _orbital_columns(task, labels, edge_index)
    ties = codes.standard_normal((len(orbitals), NUM_TIE_CODES))
    ties[is_unique] = 0
    orbitals = np.concatenate([orbitals, ties], axis=1)
    colours = _colour_columns(task, codes)
    return np.concatenate(
        [orbitals.repeat(len(colours), axis=0), np.tile(colours, (len(orbitals), 1))], axis=1, dtype=np.float64
    )


def input_columns(task: TaskConfig, codes: np.random.Generator) -> Floats:
    """Numbers that describe every token of a vocabulary, or every feature and then their common bias.

    A token has its place in its vocabulary, slow waves of it, and random numbers: a network may read tokens as ordinal
    or as names. A feature has random numbers only.

    Returns:
        float64 ``(V, NUM_INPUT_COLUMNS)`` or ``(F + 1, NUM_INPUT_COLUMNS)``.
    """
    is_tokens = task.vocab_size is not None
    vocabulary = 1 if task.shared_token_embedding else task.vocab_size or 0
    number = vocabulary if is_tokens else task.input_shape()[-1]
    columns = np.zeros((number + (not is_tokens), NUM_INPUT_COLUMNS))
    columns[:number, 0 if is_tokens else 1] = 1
    columns[number:, 2] = 1  # the bias
    if number > 1:  # a single one is known by being alone
        columns[:number, -NUM_CODES:] = codes.standard_normal((number, NUM_CODES))
        place = np.linspace(0, 1, number)[:, None] * is_tokens
        columns[:number, 3] = (2 * place[:, 0] - 1) * is_tokens
        columns[:number, 4 : 4 + _NUM_WAVES] = np.cos(np.pi * place * np.arange(1, _NUM_WAVES + 1)) * is_tokens
    return columns


def _orbital_columns(task: TaskConfig, labels: Ints, edge_index: Ints | None) -> tuple[Floats, NDArray[np.bool_]]:
    """The columns of every label, and whether no other label has the same."""
    seen = seen_symmetry(task)
    if seen.degree**2 > MAX_PAIRS:
        raise ValueError(
            f'init_from="prior" describes an orbital by walks along its pairs, at most {MAX_PAIRS:,} (MAX_PAIRS), '
            f"and {seen.degree:,} points have {seen.degree**2:,}: add it without init_from"
        )
    is_own = seen.degree == task.degree  # points of a lift have no order
    order = task.point_order if is_own else None
    coordinates = task.node_coordinates if order == "grid" else None
    edges = seen.edges if task.support == "weak" else None
    describe = _described if seen.degree <= _LARGEST_CACHED else _described.__wrapped__
    described, orbitals, is_unique = describe(
        json.dumps([seen.degree, seen.generators, task.symmetry_breaking == "nodes", order, coordinates])
    )
    if edge_index is None and edges is None and np.array_equal(labels, orbitals):
        return described, is_unique
    degree = seen.degree
    pairs = np.arange(degree**2) if edge_index is None else edge_index[0] * degree + edge_index[1]
    first = np.unique(labels.ravel(), return_index=True)[1]  # one pair per label
    of_labels = pairs[first]
    on_edge = np.zeros(degree**2)
    if edges is not None:
        targets, sources = np.array(edges, dtype=np.int64).reshape(-1, 2).T
        on_edge[targets * degree + sources] = 1
    support = np.stack([np.full(len(first), float(edge_index is not None)), on_edge[of_labels]], axis=1)
    columns = described[orbitals.ravel()[of_labels]]
    columns[:, -_NUM_SUPPORT:] = support
    return columns, _is_unique(columns)


@functools.lru_cache(maxsize=4096)  # a stream of random tasks has some thousand groups
def _described(key: str) -> tuple[Floats, Ints, NDArray[np.bool_]]:
    """The columns of every orbital of a group on the complete support, the orbital of every pair, and which are unique.

    The arrays are shared by all tasks of the group and must not be written to.
    """
    degree, generators, is_blind, order, coordinates = json.loads(key)
    group = symmetric(degree) if is_blind else from_cycles(generators, degree)
    orbitals = orbit_labels(group).astype(np.int64)
    signatures = orbital_signatures(orbitals, None if order == "grid" else order)
    columns = np.zeros((len(signatures), NUM_ORBITAL_COLUMNS))
    columns[:, :NUM_STRUCTURAL] = signatures[:, :NUM_STRUCTURAL]
    columns[:, 2] = np.log1p(signatures[:, 2]) / 4  # the valency is not bounded
    columns[:, 4] /= 4
    columns[:, NUM_STRUCTURAL] = np.log(degree) / 4
    start = NUM_STRUCTURAL + 1
    if order is not None:
        columns[:, start + _ORDERS.index(order)] = 1
        ordered = _grid_columns(orbitals, coordinates) if order == "grid" else signatures[:, NUM_STRUCTURAL:]
        columns[:, start + len(_ORDERS) : start + len(_ORDERS) + ordered.shape[1]] = ordered
    return columns, orbitals, _is_unique(columns)


def _is_unique(columns: Floats) -> NDArray[np.bool_]:
    """Whether no other row is the same, ``(rows,)``."""
    _, kind, counts = np.unique(columns.round(9), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(counts[kind.reshape(-1)] == 1)


def _grid_columns(orbitals: Ints, coordinates: Sequence[Sequence[float]]) -> Floats:
    """Means, over the pairs of every orbital, of the offset along both axes, its size, and the distance."""
    places = np.asarray(coordinates, dtype=np.float64)
    offsets = places[None] - places[:, None]
    smallest = np.min(np.abs(offsets)[np.abs(offsets) > 0], initial=1.0)
    offsets = np.sign(offsets) * np.log1p(np.abs(offsets) / smallest)
    distances = np.linalg.norm(offsets, axis=-1, keepdims=True)
    values = np.concatenate([offsets, np.abs(offsets), distances], axis=-1).reshape(len(places) ** 2, -1)
    flat = orbitals.ravel()
    return np.stack([np.bincount(flat, column) for column in values.T], axis=1) / np.bincount(flat)[:, None]


def _colour_columns(task: TaskConfig, codes: np.random.Generator) -> Floats:
    """Numbers of every colour: what each relation says, and the code of a pair category."""
    rows = np.zeros((1, _NUM_COLOURS))
    start = {"equal": 0, "order": 3, "sum": 7, "difference": 11}
    for relation, size in zip(task.relations, relation_sizes(task), strict=True):
        values = np.zeros((size, _NUM_COLOURS))
        known, place = np.arange(size - 1), start[relation]
        if relation in ("equal", "order"):
            values[np.arange(size), place + np.arange(size)] = 1
        elif relation == "sum":
            values[:-1, place : place + 3] = _of_numbers(known, size - 1)
            values[-1, place + 3] = 1
        else:
            values[:-1, place : place + 4] = _of_differences(known - (size - 1) // 2)
            values[-1, place + 4] = 1
        rows = (rows[:, None] + values[None]).reshape(-1, _NUM_COLOURS)
    if task.pair_vocab_size is not None:
        values = np.zeros((task.pair_vocab_size + 1, _NUM_COLOURS))
        values[:-1, -NUM_CODES:] = codes.standard_normal((task.pair_vocab_size, NUM_CODES))
        rows = (rows[:, None] + values[None]).reshape(-1, _NUM_COLOURS)
    return rows


def _of_numbers(values: Ints, number: int) -> Floats:
    return np.stack([2 * values / max(number - 1, 1) - 1, np.log1p(values) / 4, values % 2], axis=1)


def _of_differences(values: Ints) -> Floats:
    most = max(np.abs(values).max(initial=0), 1)
    return np.stack(
        [values / most, np.sign(values), values == 0, np.sign(values) * np.log1p(np.abs(values)) / 4], axis=1
    )


@dataclasses.dataclass(frozen=True)
class StructureColumns:
    """What the structure embedder reads of a task.

    Attributes:
        pairs: float64 ``(rank · colours, NUM_PAIR_COLUMNS)``.
        inputs: float64 ``(V or F, NUM_INPUT_COLUMNS)``.
    """

    pairs: Floats
    inputs: Floats

    @classmethod
    def of(cls, task: TaskConfig, graph: OrbitGraph, seed: int) -> StructureColumns:
        """The columns of a task.

        Args:
            task: its config.
            graph: of the task's group, with labels of its orbitals only.
            seed: draws the codes of tokens, features and pair categories.
        """
        codes = np.random.default_rng(seed)
        edge_index = None if graph.edge_index is None else graph.edge_index.cpu().numpy()
        return cls(pair_columns(task, graph.labels.cpu().numpy(), edge_index, codes), input_columns(task, codes))
