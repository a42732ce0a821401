"""Equivariant ridge regression: the least-squares map that moves with a task's group, without a network."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.configuration_task import TaskConfig
from ..model.ridge import Ridge, fit_ridge
from .equivariant_features import EquivariantFeatures
from .output_features import Features, FeaturesFactory, Place, output_features

MAX_FEATURES = 6000
"""Most features of one regression."""
MAX_OPERATIONS = 4e10
"""Most multiplications of all regressions of a fit together, several seconds of one core; rows are left out to stay
below, evenly spaced, but never so many that fewer rows than ``MIN_ROWS`` remain."""
MIN_ROWS = 200
_BLOCK = 2**22  # numbers per block of features: 32 MiB

Array = NDArray[np.float64]
Predictor = Callable[[Any], Array]
"""Inputs in raw units to outputs of the shape of targets."""


@dataclasses.dataclass(frozen=True)
class EquivariantRidge:
    """A fitted map; ``ridge(inputs)`` gives outputs ``(N, K)``, ``(N, n, K)`` or ``(N, n, n, K)``.

    Attributes:
        task: its config.
        features: what it is linear in.
        maps: for node outputs, pairs of an orbit and its ``Ridge``s, each with the outputs k that it predicts; for
            pair outputs, those of every orbital; for graph outputs one entry, without an orbit.
        means: float64 ``(K,)``, mean of each target: the prediction where no label is known.
        note: what was left out and why, or "".
    """

    task: TaskConfig
    features: Features
    maps: list[tuple[Place, list[tuple[Ridge, NDArray[np.int64]]]]]
    means: Array
    note: str = ""

    def __call__(self, inputs: NDArray) -> Array:
        shape = (len(inputs), *self.task.output_shape(), len(self.means))
        outputs = _in_one_row(np.broadcast_to(self.means, shape).copy())
        for orbit, ridges in self.maps:
            for rows in row_blocks(self.features, orbit, len(inputs)):
                features = design(self.features, orbit, inputs[rows])
                for ridge, columns in ridges:
                    predicted = ridge.predict(features.reshape(-1, features.shape[-1]))
                    predicted = predicted.reshape(*features.shape[:-1], -1)
                    if orbit is None:
                        outputs[rows, columns] = predicted
                    else:
                        outputs[
                            rows.start + np.arange(len(features))[:, None, None], orbit.places[:, None], columns
                        ] = predicted
        return outputs.reshape(shape)


@dataclasses.dataclass
class _Problem:
    """One regression: outputs that share their features and the samples whose labels are known.

    Attributes:
        orbits: whose outputs they are; the features of all are those of the first. ``[None]`` for graph outputs.
        columns: for each orbit the outputs k.
    """

    orbits: list[Place]
    columns: list[NDArray[np.int64]]
    known: NDArray[np.bool_]


def fit_equivariant_ridge(
    task: TaskConfig, inputs: NDArray, targets: Array, features: FeaturesFactory = EquivariantFeatures
) -> EquivariantRidge:
    """Fit the least-squares equivariant map with penalties by cross-validation (:func:`.ridge.fit_ridge`).

    For node outputs there is one coefficient per orbital, channel and output, and one intercept per node orbit and
    output; for pair outputs, one regression per orbital, on the features of both nodes and of what is between them; for
    graph outputs, one coefficient per invariant feature and an intercept.

    Args:
        task: its config.
        inputs: rows in raw units, ``(N, n)`` tokens or ``(N, n, F)`` features; -1 or NaN where missing; or
            :class:`~asen_hf.evaluation.paired_rows.PairedRows`, for features that read pairs.
        targets: float64 ``(N,) + output_shape() + (K,)``, NaN where unknown (see
            :func:`~asen_hf.evaluation.targets.to_targets`).
        features: what the map is linear in.

    Returns:
        The map. It commutes with the elements of the group that map the support to itself.

    Raises:
        ValueError: there are more features than ``MAX_FEATURES``, or so many that not even ``MIN_ROWS`` rows are
            affordable.
    """
    made, places = output_features(task, inputs, MAX_FEATURES, features)
    targets = _in_one_row(targets)
    problems = list(_problems(made, places, targets))
    widest = max((width(made, problem.orbits[0]) for problem in problems), default=0)
    if widest > MAX_FEATURES:
        raise ValueError(f"{widest:,} features are more than {MAX_FEATURES:,} (MAX_FEATURES)")
    kept = _affordable_rows(made, problems, len(inputs))
    note = made.note
    if len(kept) < len(inputs):
        note = "; ".join(filter(None, [note, f"fitted on {len(kept):,} of {len(inputs):,} rows"]))
    maps: dict[int, tuple[Place, list[tuple[Ridge, NDArray[np.int64]]]]] = {}
    for problem in problems:
        ridge = _solve(made, problem, inputs[kept], targets[kept], problem.known[kept])
        if ridge is None:
            continue
        start = 0
        for orbit, columns in zip(problem.orbits, problem.columns, strict=True):
            part = slice(start, start + len(columns))
            one = dataclasses.replace(
                ridge,
                coefficients=ridge.coefficients[:, part],
                intercept=ridge.intercept[part],
                penalties=ridge.penalties[part],
                errors=ridge.errors[:, part],
            )
            maps.setdefault(id(orbit), (orbit, []))[1].append((one, columns))
            start += len(columns)
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(targets)
        axes = tuple(range(targets.ndim - 1))
        means = np.where(known, targets, 0).sum(axis=axes) / known.sum(axis=axes).clip(min=1)
    return EquivariantRidge(task, made, list(maps.values()), means, note)


def width(features: Features, orbit: Place) -> int:
    """Number of features of a node of the orbit, of a pair of the orbital, or of a row."""
    return features.graph_width if orbit is None else features.orbit_width(orbit)


def design(features: Features, orbit: Place, inputs: Any) -> Array:
    """Features ``(N, m, p)`` of the orbit's nodes or the orbital's pairs, or ``(N, p)`` of the rows."""
    return features.graph_design(inputs) if orbit is None else features.orbit_design(orbit, inputs)


def row_blocks(features: Features, orbit: Place, num_rows: int) -> Iterator[slice]:
    """Slices of rows whose features fit into a block."""
    numbers = width(features, orbit) * (1 if orbit is None else len(orbit.places))
    step = max(_BLOCK // numbers, 1)
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def _in_one_row(values: Array) -> Array:
    """Outputs of pairs ``(N, n, n, K)`` as ``(N, n², K)``; all else as it is."""
    return values.reshape(len(values), -1, values.shape[-1]) if values.ndim > 3 else values


def _problems(features: Features, orbits: Sequence[Place], targets: Array) -> Iterator[_Problem]:
    found: dict[tuple, _Problem] = {}
    for number, orbit in enumerate(orbits):
        own = targets if orbit is None else targets[:, orbit.places]
        groups: dict[bytes, list[int]] = defaultdict(list)
        masks: dict[bytes, NDArray[np.bool_]] = {}
        known = ~np.isnan(own)
        shared = np.asarray(known.all(axis=-1))
        # Outputs that miss few labels, or the same ones, are fitted together on the samples that have all of them.
        is_shared = shared.sum() >= 0.8 * known.any(axis=-1).sum()
        for output in range(own.shape[-1]):
            mask = shared if is_shared else np.asarray(known[..., output])
            groups[mask.tobytes()].append(output)
            masks[mask.tobytes()] = mask
        design_key = number if orbit is None or features.depends_on_target else orbit.key
        for key, outputs in groups.items():
            problem = found.setdefault((design_key, key), _Problem([], [], masks[key]))
            problem.orbits.append(orbit)
            problem.columns.append(np.array(outputs))
    yield from found.values()


def _affordable_rows(features: Features, problems: list[_Problem], num_rows: int) -> NDArray[np.int64]:
    """Numbers of the rows to fit on; ``ValueError`` if too few are affordable."""

    def operations(rows: int) -> float:
        total = 0.0
        for problem in problems:
            orbit = problem.orbits[0]
            samples = rows * (1 if orbit is None else len(orbit.places))
            p = width(features, orbit)
            small = min(samples, p)
            total += 2.0 * samples * small * (p + sum(map(len, problem.columns))) + 8.0 * small**2 * p
        return total

    rows = num_rows
    while rows > 1 and operations(rows) > MAX_OPERATIONS:
        rows = int(rows * 0.9)
        if rows < min(MIN_ROWS, num_rows):
            raise ValueError(
                f"{sum(width(features, problem.orbits[0]) for problem in problems):,} features in {len(problems):,} "
                f"regressions cost more than {MAX_OPERATIONS:.0e} multiplications (MAX_OPERATIONS)"
            )
    return np.linspace(0, num_rows - 1, rows).round().astype(np.int64)


def _solve(
    features: Features, problem: _Problem, inputs: NDArray, targets: Array, known: NDArray[np.bool_]
) -> Ridge | None:
    if not known.any():
        return None
    orbit = problem.orbits[0]

    def blocks() -> Iterator[tuple[Array, Array, NDArray[np.int64]]]:
        for rows in row_blocks(features, orbit, len(inputs)):
            if not known[rows].any():
                continue
            labels = [
                (targets[rows] if member is None else targets[rows][:, member.places])[..., columns]
                for member, columns in zip(problem.orbits, problem.columns, strict=True)
            ]
            where = known[rows]
            yield (
                design(features, orbit, inputs[rows])[where],
                np.concatenate(labels, axis=-1)[where],
                rows.start + np.nonzero(where)[0],
            )

    return fit_ridge(blocks())
