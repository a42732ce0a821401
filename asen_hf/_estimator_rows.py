"""Rows as scikit-learn's users have them, arrays and DataFrames, turned into the inputs and labels of a task."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, column_or_1d
from sympy.combinatorics import PermutationGroup

from .data.column_names import arranged, odd_names
from .data.frames import arranged_frame, frame_to_array
from .model._messages import one_line, shortened, shown
from .model._named_columns import column_text, is_frame
from .model.configuration_rows import IGNORED_CLASS, MISSING_TOKEN
from .model.configuration_task import TaskConfig


@dataclasses.dataclass(frozen=True)
class Targets:
    """What ``y`` asks for.

    Attributes:
        labels: as the task takes them (see ``TaskConfig.label_shape``).
        fields: what they say of the task: ``output_level``, ``problem_type``, ``num_labels`` and ``label_names``.
        classes: the sorted classes; ``None`` for regressed values.
    """

    labels: np.ndarray
    fields: dict[str, Any]
    classes: np.ndarray | None = None


def restored(group: Any) -> Any:
    """The group, rebuilt from its generators if ``clone`` or joblib copied it: SymPy 1.14 copies no attributes."""
    if isinstance(group, PermutationGroup) and not hasattr(group, "_degree"):
        return PermutationGroup(list(group.args))
    return group


def degree_of(group: Any, degree: int | None, shape: tuple[int, ...]) -> int:
    """Number of nodes: as stated, or the second axis of ``X`` if it has three, or what the group acts on.

    The group also decides if the nodes of ``X`` are a board, of several axes whose product is its number of points.

    Args:
        group: as for ``TaskConfig``; ``None`` for the trivial group.
        degree: as stated by the user.
        shape: of ``X``.
    """
    if degree is None and group is not None and len(shape) > 2:
        with contextlib.suppress(ValueError):  # a group that does not say on how many points it acts
            own = TaskConfig(group=group, vocab_size=1).degree
            degree = own if _board_axes(shape, own) else None
    if degree is None and (group is None or len(shape) > 2):
        degree = shape[1]
    return TaskConfig(degree=degree or 0, group=group, vocab_size=1).degree


def _board_axes(shape: tuple[int, ...], degree: int) -> int:
    """How many axes after the rows make a board of the nodes: at least two; 0 if none do."""
    return next((cut - 1 for cut in range(3, len(shape) + 1) if math.prod(shape[1:cut]) == degree), 0)


@dataclasses.dataclass(frozen=True)
class Names:
    """The columns of a DataFrame ``X``.

    Attributes:
        inputs: all names, in the order of nodes and features, as :attr:`TaskConfig.input_names`; ``None`` of arrays.
        order: of the columns.
        nodes: the names of the nodes, if the columns say so.
    """

    inputs: list[str] | None = None
    order: list[int] | None = None
    nodes: list[str] | None = None


def names_of_inputs(X: Any, degree: int, vocab_size: int | None, known: Sequence[str] | None) -> Names:
    """The columns of ``X`` in order.

    Args:
        X, degree, vocab_size: as for :func:`node_inputs`.
        known: the names in the order of the rows that the networks were trained on.

    Raises:
        ValueError: columns that cannot be divided among the nodes, or that have other names than those that are known.
    """
    if not is_frame(X):
        return Names()
    _check_divides(X, degree)
    found = arranged_frame(X, degree, _num_features(X, degree, vocab_size), known)
    return Names([column_text(X.columns[index]) for index in found.order], found.order, found.nodes)


def node_inputs(X: Any, degree: int, vocab_size: int | None, names: Names) -> np.ndarray:
    """Tokens ``(rows, n)`` or features ``(rows, n, F)``.

    Args:
        X: ``(rows, n, …)``, or ``(rows, n · F)`` with the features of node 0 first, or a DataFrame with such columns
            (see :mod:`asen_hf.data.column_names`). Nodes may stand as a board of several axes, read row by row.
        degree: number of nodes n.
        vocab_size: number of tokens; ``None`` for features.
        names: of ``X``.

    Raises:
        ValueError: columns that cannot be divided among the nodes, or numbers that are not tokens.
    """
    X = _without_board(X, degree)
    _check_divides(X, degree)
    if is_frame(X):
        X = frame_to_array(X, degree, _num_features(X, degree, vocab_size), names.order)
        X = check_array(X, allow_nd=True, ensure_all_finite="allow-nan")
    features = X.reshape(len(X), degree, -1)
    return features if vocab_size is None else _tokens(features, vocab_size)


def named_outputs(y: Any, degree: int, output_level: str, names: Names) -> Any:
    """``y`` as it is, or the columns of a DataFrame, one per node, in the order of the nodes of ``X`` as an array.

    Args:
        y, degree, output_level: as for :func:`class_targets`.
        names: of ``X``.
    """
    if not is_frame(y) or len(y.columns) != degree or output_level not in ("auto", "node"):
        return y
    return y.to_numpy()[:, arranged(list(y.columns), degree, 1, names.nodes).order]


def _num_features(X: Any, degree: int, vocab_size: int | None) -> int | None:
    return None if vocab_size is not None and X.shape[1] == degree else X.shape[1] // degree


def _check_divides(X: Any, degree: int) -> None:
    shape = X.shape
    if (len(shape) == 2 and shape[1] % degree) or (len(shape) > 2 and shape[1] != degree):
        odd = odd_names(list(X.columns), degree) if is_frame(X) else []
        listed = shortened(one_line(name, 100) for name in odd)
        raise ValueError(
            f"X has {shape[1]} {'columns' if len(shape) == 2 else 'nodes'}, but the group acts on {degree} nodes: "
            + (f"leave out {listed}, or " if odd else "")
            + f"give an array (rows, {degree}), (rows, {degree}, …), or the same number of columns per node"
        )


def _without_board(array: Any, degree: int) -> Any:
    """Nodes on one axis, if they stand on several."""
    axes = _board_axes(array.shape, degree) if array.ndim > 2 and array.shape[1] != degree else 0
    return array.reshape(len(array), degree, *array.shape[1 + axes :]) if axes else array


def _tokens(features: np.ndarray, vocab_size: int) -> np.ndarray:
    if features.shape[2] != 1:
        raise ValueError(f"with vocab_size, X must hold one token per node, got {features.shape[2]} numbers per node")
    numbers = features[..., 0]
    if numbers.dtype.kind == "f":  # a column of integers becomes one of floats where a token is missing
        numbers = np.where(np.isnan(numbers), MISSING_TOKEN, numbers)
    tokens = numbers.astype(np.int64)
    wrong = (tokens != numbers) | (tokens < MISSING_TOKEN) | (tokens >= vocab_size)
    if wrong.any():
        row = int(wrong.any(axis=1).argmax())
        raise ValueError(
            f"X, row {row}: expected tokens in 0 … {vocab_size - 1} (NaN or -1 where missing), got "
            f"{numbers[row][wrong[row]][0]}"
        )
    return tokens


def class_targets(y: Any, degree: int, output_level: str) -> Targets:
    """Classes of rows, nodes or pairs, ``(rows,)``, ``(rows, n)`` or ``(rows, n, n)``, or indicators ``(rows, K)``.

    Args:
        y: classes of any type that can be sorted, or 0 and 1 of several labels. Of nodes and pairs, NaN, ``None`` and
            -100 are unknown.
        degree: number of nodes n.
        output_level: ``"auto"``, ``"node"``, ``"pair"`` or ``"graph"``.

    Raises:
        ValueError: ``y`` does not suit the level, could mean two levels, is continuous, or holds a single class.
    """
    y = _array(y, degree, output_level)
    is_indicator = y.ndim == 2 and not is_unknown(y, "graph").any() and type_of_target(y) == "multilabel-indicator"
    level = _level(y, degree, output_level, may_be_graph=is_indicator, may_have_values=False)
    known = ~is_unknown(y, level)
    if level == "graph" and y.ndim == 2:
        if not is_indicator:
            raise ValueError(
                "y with several columns must be an indicator matrix of 0 and 1 (multilabel), or hold the classes of "
                f"{degree} nodes; got shape {y.shape}"
            )
        fields = {"output_level": level, "problem_type": "multi_label_classification", "num_labels": y.shape[1]}
        return Targets(y.astype(np.int64), fields, np.arange(y.shape[1]))
    if level == "graph" and not known.all():
        raise ValueError("Input y contains NaN: leave out rows without a class")
    values = y[known]
    if values.dtype.kind == "O" and all(isinstance(value, int | np.integer) for value in values):
        values = values.astype(np.int64)  # integers beside unknown classes
    check_classification_targets(values)
    classes, numbers = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"a classifier needs at least 2 classes in y, got {len(classes)} class: {classes.tolist()}")
    labels = np.full(y.shape, IGNORED_CLASS)
    labels[known] = numbers.reshape(-1)
    names = [str(name) for name in classes.tolist()]
    fields = {"output_level": level, "problem_type": "single_label_classification", "num_labels": len(classes)}
    if len(set(names)) == len(names):
        fields["label_names"] = names
    return Targets(labels, fields, classes)


def value_targets(y: Any, degree: int, output_level: str) -> Targets:
    """Regressed values of rows, nodes or pairs, ``(rows,)``, ``(rows, n)`` or ``(rows, n, n)``, or with a last axis K.

    Args:
        y: numbers. Of nodes and pairs, NaN is unknown.
        degree, output_level: as for :func:`class_targets`.

    Raises:
        ValueError: ``y`` does not suit the level, could mean two levels, or is not numbers.
    """
    y = _array(y, degree, output_level)
    level = _level(y, degree, output_level, may_be_graph=y.ndim < 3, may_have_values=True)
    y = check_array(
        y,
        ensure_2d=False,
        allow_nd=True,
        dtype=np.float64,
        ensure_all_finite=True if level == "graph" else "allow-nan",
        input_name="y",
    )
    has_several = y.ndim > {"graph": 1, "node": 2, "pair": 3}[level]
    labels = y[..., 0] if has_several and y.shape[-1] == 1 else y
    fields = {"output_level": level, "problem_type": "regression", "num_labels": y.shape[-1] if has_several else 1}
    return Targets(labels, fields)


def _array(y: Any, degree: int, output_level: str) -> np.ndarray:
    y = y.to_numpy() if hasattr(y, "to_numpy") else y
    y = check_array(
        y, ensure_2d=False, allow_nd=True, dtype=None, ensure_all_finite=False, ensure_min_samples=0, input_name="y"
    )
    is_of_rows = output_level in ("auto", "graph")
    y = _without_board(y, degree) if output_level in ("auto", "node") else y
    if y.ndim == 2 and y.shape[1] == 1 and is_of_rows:
        y = column_or_1d(y, warn=True)
    if y.ndim == 1 and y.dtype.kind in "fO" and is_of_rows:
        check_array(y, ensure_2d=False, dtype=None, input_name="y")  # with its message for NaN and infinity
    return y


def _level(y: np.ndarray, degree: int, asked: str, may_be_graph: bool, may_have_values: bool) -> str:
    """The output level that ``asked`` and the shape of ``y`` agree on; ``y`` may have a last axis of values."""
    shapes = {"graph": (), "node": (degree,), "pair": (degree, degree)}
    if asked not in ("auto", *shapes):
        raise ValueError(f'output_level must be "auto", "node", "pair" or "graph", got {shown(asked)}')
    fits = {
        level: y.shape[1 : 1 + len(shape)] == shape and y.ndim in (1 + len(shape), 1 + len(shape) + may_have_values)
        for level, shape in shapes.items()
    }
    fits["graph"] = fits["graph"] or may_be_graph
    possible = [level for level in ("node", "pair", "graph") if fits[level]]
    if asked == "auto" and len(possible) > 1:
        meanings = {
            "node": "one output per node" if y.ndim < 3 else f"{degree} outputs per node",
            "pair": "one output per pair of nodes",
            "graph": f"{degree} outputs per row",
        }
        raise ValueError(
            f"y of shape {y.shape} may hold {' or '.join(meanings[level] for level in possible)}: set output_level to "
            + " or ".join(f'"{level}"' for level in possible)
        )
    if asked in ("node", "pair") and not fits[asked]:
        shape = ", ".join(["rows", *map(str, shapes[asked])])
        values = f" or ({shape}, K)" if may_have_values else ""
        raise ValueError(f'output_level="{asked}" needs y of shape ({shape}){values}, got {y.shape}')
    if y.ndim > 2 and (asked == "graph" or not possible):
        raise ValueError(
            f"y must have shape (rows,), (rows, K), (rows, {degree}, …) or (rows, {degree}, {degree}, …), got {y.shape}"
        )
    return asked if asked != "auto" else possible[0] if possible else "graph"


def is_unknown(y: np.ndarray, output_level: str) -> np.ndarray:
    """Where classes are NaN or ``None``, or -100 if they are of nodes or pairs; bool in the shape of ``y``."""
    is_ignored = np.zeros(y.shape, bool)
    if output_level != "graph" and y.dtype.kind in "ifO":
        is_ignored |= y == IGNORED_CLASS
    if y.dtype.kind == "f":
        return np.isnan(y) | is_ignored
    if y.dtype.kind != "O":
        return is_ignored
    return is_ignored | np.array([value is None or value != value for value in y.flat], bool).reshape(y.shape)
