"""Reference predictions by scikit-learn, if it is installed: gradient-boosted trees and logistic regression.

- Trees on graph outputs read whole rows, one column per node and feature. Trees on node outputs read one sample per
  node: its own inputs, its node orbit, and the mean over each orbital that starts at it (over all nodes and over its
  edges, where there are many orbitals): what a practitioner would tabulate. Trees on pair outputs read one sample per
  pair: the lines of both nodes, the pair's orbital, and the structural features of what is between the two.
- Logistic regression reads whole rows, tokens as indicators; for node outputs, it is fitted per node orbit on the
  features of the equivariant ridge, and for pair outputs, per orbital on the structural features.

Both are bounded: rows beyond ``MAX_SAMPLES`` samples are left out, evenly spaced.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..model.configuration_task import TaskConfig
from .equivariant_features import Channels, EquivariantFeatures
from .equivariant_ridge import MAX_FEATURES, Predictor, row_blocks
from .output_features import FeaturesFactory, output_features
from .pair_colours import NodeOrbit, Orbital, PairColours, pair_colours
from .paired_rows import PairedRows
from .structural_features import StructuralFeatures

MAX_SAMPLES = 20_000
"""Most samples of one fit; the rows of node outputs have one sample per node, those of pair outputs one per pair."""
MAX_COLUMNS = 256
"""Most columns of the trees' table of nodes, beyond which orbitals are not told apart."""
MAX_MODELS = 64
"""Most fits of one reference: one per regressed value or label, and per node orbit in a logistic regression."""
MAX_NUMBERS = 2e7
"""Most numbers of the table of one fit; rows are left out to stay below."""
ITERATIONS = 100

Array = NDArray[np.float64]


def has_sklearn() -> bool:
    """Whether scikit-learn can be imported."""
    return importlib.util.find_spec("sklearn") is not None


def fit_trees(task: TaskConfig, inputs: NDArray, targets: Array) -> Predictor:
    """Histogram gradient boosting with scikit-learn's defaults, 100 iterations; missing inputs are its own.

    Args:
        task: its config.
        inputs: rows in raw units, ``(N, n)`` tokens or ``(N, n, F)`` features; -1 or NaN where missing; for pair
            outputs of rows with pairs, :class:`~asen_hf.evaluation.paired_rows.PairedRows`.
        targets: float64 ``(N,) + output_shape() + (K,)``, NaN where unknown.

    Returns:
        A function of inputs to outputs of the targets' shape.

    Raises:
        ValueError: there are more than ``MAX_MODELS`` outputs.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    made = _table(task, inputs)
    rows = _spaced(len(inputs), MAX_SAMPLES // math.prod(task.output_shape()))
    first = made(inputs[rows])
    is_measured = ~np.isnan(first).all(axis=0)  # scikit-learn finds no bins for a column that is missing throughout
    settings: dict[str, Any] = {"max_iter": ITERATIONS, "random_state": 0}
    if task.is_regression:
        settings["loss"] = "absolute_error" if task.loss == "l1" else "squared_error"

    def estimator() -> Any:
        return (HistGradientBoostingRegressor if task.is_regression else HistGradientBoostingClassifier)(**settings)

    outputs = _fit_outputs(task, estimator, first[:, is_measured], targets[rows].reshape(-1, targets.shape[-1]))

    def predict(new: NDArray) -> Array:
        step = max(int(MAX_NUMBERS) // (task.degree ** max(len(task.output_shape()), 1) * MAX_COLUMNS), 1)
        parts = [outputs(made(new[start : start + step])[:, is_measured]) for start in range(0, len(new), step)]
        return np.concatenate(parts).reshape(len(new), *targets.shape[1:])

    return predict


def fit_logistic(task: TaskConfig, inputs: NDArray, targets: Array) -> Predictor:
    """Logistic regression with scikit-learn's default penalty, on standardised features; for classes and labels.

    Args:
        task, inputs, targets: as for :func:`fit_trees`.

    Returns:
        A function of inputs to probabilities of the targets' shape.

    Raises:
        ValueError: there are more than ``MAX_MODELS`` node orbits or orbitals, or more features than ``MAX_FEATURES``.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def estimator() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))

    if task.output_level == "graph":
        channels = Channels(task, pair_colours(task), inputs)

        def whole(new: NDArray) -> Array:
            return channels(new).reshape(len(new), -1)

        _refuse_wide(task.degree * channels.number)
        rows = _spaced(len(inputs), min(MAX_SAMPLES, int(MAX_NUMBERS) // (task.degree * channels.number)))
        outputs = _fit_outputs(task, estimator, whole(inputs[rows]), targets[rows])
        return lambda new: outputs(whole(new))
    make: FeaturesFactory = StructuralFeatures if task.output_level == "pair" else EquivariantFeatures
    features, places = output_features(task, inputs, MAX_FEATURES, make)
    if len(places) > MAX_MODELS:
        kind = "orbitals" if task.output_level == "pair" else "node orbits"
        raise ValueError(f"{len(places):,} {kind} are more than {MAX_MODELS} (MAX_MODELS)")
    fitted: list[tuple[NodeOrbit | Orbital, Any]] = []
    by_place = targets.reshape(len(targets), -1, targets.shape[-1])
    for orbit in places:
        assert orbit is not None
        p = features.orbit_width(orbit)
        _refuse_wide(p)
        rows = _spaced(len(inputs), min(MAX_SAMPLES, int(MAX_NUMBERS) // p) // len(orbit.places))
        design = features.orbit_design(orbit, inputs[rows]).reshape(-1, p)
        labels = by_place[rows][:, orbit.places].reshape(-1, targets.shape[-1])
        fitted.append((orbit, _fit_outputs(task, estimator, design, labels)))

    def predict(new: NDArray) -> Array:
        result = np.empty((len(new), *by_place.shape[1:]))
        for orbit, outputs in fitted:
            for rows in row_blocks(features, orbit, len(new)):
                design = features.orbit_design(orbit, new[rows])
                probabilities = outputs(design.reshape(-1, design.shape[-1]))
                result[rows, orbit.places] = probabilities.reshape(len(design), len(orbit.places), -1)
        return result.reshape(len(new), *targets.shape[1:])

    return predict


def _table(task: TaskConfig, inputs: NDArray | PairedRows) -> Callable[[Any], Array]:
    """What the trees read: a function of rows to one line per output."""
    if task.output_level == "graph":
        return _flat
    return _NodeTable(task) if task.output_level == "node" else _PairTable(task, inputs)


class _NodeTable:
    """One line per node of every row: what the trees read for node outputs."""

    def __init__(self, task: TaskConfig):
        self.is_token, self.colours = task.vocab_size is not None, pair_colours(task)
        size = 1 if self.is_token else int(task.num_features or 0)
        slots = max(orbit.num_slots for orbit in self.colours.orbits)
        self.matrices = (
            _slot_means(self.colours, slots) if slots * size <= MAX_COLUMNS else _plain_means(task, self.colours)
        )

    def __call__(self, inputs: NDArray) -> Array:
        values = _with_nan(inputs, self.is_token)  # (N, n, F)
        rows, degree, size = values.shape
        orbit = np.broadcast_to(self.colours.node_labels[:, None].astype(np.float64), (rows, degree, 1))
        by_node = values.transpose(1, 0, 2).reshape(degree, -1)
        known = ~np.isnan(by_node)
        filled = np.where(known, by_node, 0)
        parts = [values, orbit]
        for matrix in self.matrices:
            count = matrix @ known.astype(np.float64)
            means = np.where(count > 0, (matrix @ filled) / np.where(count > 0, count, 1), np.nan)
            parts.append(means.reshape(degree, rows, size).transpose(1, 0, 2))
        return np.concatenate(parts, axis=-1).reshape(rows * degree, -1)


class _PairTable:
    """One line per pair of nodes of every row: what the trees read for pair outputs."""

    def __init__(self, task: TaskConfig, rows: NDArray | PairedRows):
        self.nodes = _NodeTable(task)
        colours, self.degree = self.nodes.colours, task.degree
        self.between = StructuralFeatures(task, colours, rows, MAX_FEATURES)
        _refuse_wide(self.between.pair_width)
        self.targets, self.sources, self.labels = colours.targets, colours.sources, colours.labels

    def __call__(self, rows: NDArray | PairedRows) -> Array:
        inputs = rows.inputs if isinstance(rows, PairedRows) else rows
        lines = self.nodes(inputs).reshape(len(inputs), self.degree, -1)
        orbital = np.broadcast_to(self.labels[:, None].astype(np.float64), (len(inputs), len(self.labels), 1))
        between = self.between.pair_design(rows, self.targets, self.sources)
        table = np.concatenate([lines[:, self.targets], lines[:, self.sources], orbital, between], axis=-1)
        return table.reshape(-1, table.shape[-1])


def _slot_means(colours: PairColours, slots: int) -> list[csr_array]:
    """For each slot the 0/1 matrix ``(n, n)`` of its pairs: the s-th orbital of every node orbit."""
    matrices = []
    for slot in range(slots):
        pairs = [
            (orbit.nodes[orbit.targets[orbit.slots == slot]], orbit.sources[orbit.slots == slot])
            for orbit in colours.orbits
        ]
        targets, sources = (np.concatenate(side) for side in zip(*pairs, strict=True))
        if not np.array_equal(targets, sources):  # a node's own inputs are in the table already
            matrices.append(_indicator(targets, sources, len(colours.node_labels)))
    return matrices


def _plain_means(task: TaskConfig, colours: PairColours) -> list[csr_array]:
    """0/1 matrices of all nodes, and of the task's edges."""
    degree = len(colours.node_labels)
    nodes = np.arange(degree)
    pairs = [(np.repeat(nodes, degree), np.tile(nodes, degree))]
    if task.edges is not None:
        pairs.append(tuple(np.array(task.edges).T))
    return [_indicator(*pair, degree) for pair in pairs]


def _indicator(targets: NDArray, sources: NDArray, degree: int) -> csr_array:
    return csr_array((np.ones(len(targets)), (targets, sources)), shape=(degree, degree))


def _flat(inputs: NDArray) -> Array:
    """Whole rows ``(N, n · F)``."""
    return _with_nan(inputs, inputs.dtype.kind in "iu").reshape(len(inputs), -1)


def _with_nan(inputs: NDArray, is_token: bool) -> Array:
    """Inputs ``(N, n, F)`` with NaN where missing."""
    if is_token:
        return np.where(inputs < 0, np.nan, inputs.astype(np.float64))[..., None]
    return inputs.astype(np.float64)


def _fit_outputs(task: TaskConfig, estimator: Any, table: Array, targets: Array) -> Predictor:
    """Fit one estimator to classes, or one per regressed value or label; targets ``(samples, K)``."""
    known = ~np.isnan(targets)
    num_outputs = targets.shape[1]
    if task.problem_type == "single_label_classification":
        seen = known.all(axis=1)
        classes = np.flatnonzero(targets[seen].sum(axis=0))
        if len(classes) < 2:
            constant = np.eye(num_outputs)[classes[0] if len(classes) else 0]
            return lambda new: np.broadcast_to(constant, (len(new), num_outputs))
        fitted = _quietly_fitted(estimator(), table[seen], targets[seen].argmax(axis=1))

        def probabilities(new: NDArray) -> Array:
            result = np.zeros((len(new), num_outputs))
            result[:, classes] = fitted.predict_proba(new)
            return result

        return probabilities
    if num_outputs > MAX_MODELS:
        raise ValueError(f"{num_outputs:,} outputs need as many fits, more than {MAX_MODELS} (MAX_MODELS)")
    columns: list[Any] = []
    for output in range(num_outputs):
        seen, values = known[:, output], targets[known[:, output], output]
        if not task.is_regression:
            values = values.astype(np.int64)
        if not len(values) or (values == values[0]).all():
            columns.append(float(values[0]) if len(values) else 0.0)
        else:
            columns.append(_quietly_fitted(estimator(), table[seen], values))

    def outputs(new: NDArray) -> Array:
        parts = [
            np.full(len(new), column)
            if isinstance(column, float)
            else (column.predict(new) if task.is_regression else column.predict_proba(new)[:, 1])
            for column in columns
        ]
        return np.stack(parts, axis=1)

    return outputs


def _quietly_fitted(estimator: Any, table: Array, targets: NDArray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the iterations ended before convergence: they are bounded on purpose
        return estimator.fit(table, targets)


def _refuse_wide(num_features: int) -> None:
    if num_features > MAX_FEATURES:
        raise ValueError(f"{num_features:,} features are more than {MAX_FEATURES:,} (MAX_FEATURES)")


def _spaced(num_rows: int, most: int) -> NDArray[np.int64]:
    """Numbers of at most ``most`` rows (but one), evenly spaced."""
    return np.linspace(0, num_rows - 1, min(num_rows, max(most, 1))).round().astype(np.int64)
