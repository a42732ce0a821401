"""Rows of unequal length and their pairs as scikit-learn's users have them: lists of arrays, padded and cut again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .model._messages import shown
from .model._named_columns import is_frame
from .model.configuration_rows import MISSING_TOKEN, PAIRS
from .model.configuration_task import TaskConfig


def padded_rows(X: Any, group: Any, degree: int | None) -> tuple[Any, np.ndarray | None]:
    """Rows as an array ``(N, n, …)``, NaN behind the nodes that they have, and a mask ``(N, n)`` of these nodes.

    Args:
        X: a list of arrays ``(m,)`` or ``(m, F)``, or an array ``(N, m, …)``, with m of at most n; all else is returned
            as it is, with ``None``.
        group: as for ``TaskConfig``; ``None`` for the trivial group, under which no row lacks a node.
        degree: number of nodes n, as stated by the user.

    Raises:
        ValueError: rows of unequal length that the group does not allow, or that are not numbers of one shape.
    """
    if is_frame(X) or not hasattr(X, "__len__") or len(X) == 0:
        return X, None
    if group is None and degree is None:
        sizes = _lengths(X)
        if sizes is not None and len(set(sizes.tolist())) > 1:
            raise ValueError(
                f"X has rows of {sizes.min()} to {sizes.max()} nodes, and there is no group that exchanges them: state "
                f'one, such as group="S{sizes.max()}", or give the nodes that a row lacks as NaN'
            )
        return X, None
    is_array = hasattr(X, "shape") and len(X.shape) > 1
    sizes = np.full(len(X), X.shape[1]) if is_array else _lengths(X)
    if sizes is None:
        return X, None
    task = TaskConfig(degree=degree or 0, group=group, vocab_size=1)
    is_uneven = len(np.unique(sizes)) > 1
    if not is_uneven and sizes[0] >= task.degree:
        return X, None
    for row in np.flatnonzero(sizes > task.degree).tolist():
        raise ValueError(f"X, row {row}: expected at most {task.degree} nodes, as the group has, got {sizes[row]}")
    mask = np.arange(task.degree) < sizes[:, None]
    try:
        task.check_attention_mask(mask, where="X, ")
    except ValueError:
        if is_uneven:
            raise
        return X, None  # a wrong number of columns, which is refused later
    return _stacked(X, sizes, task.degree, 1, "X"), mask


def padded_outputs(y: Any, mask: np.ndarray | None, output_level: str) -> Any:
    """Outputs of nodes or pairs, given as one array per row, as one array: NaN or ``None`` behind a row's nodes.

    Args:
        y: a list of arrays ``(m,)`` or ``(m, K)``, of pairs ``(m, m)`` or ``(m, m, K)``; all else is returned as it is.
        mask: of the rows; ``None`` if all have all nodes.
        output_level: what the outputs are of; ``"auto"`` for nodes.

    Returns:
        ``(N, n, …)``, or ``(N, n, n, …)`` of pairs.

    Raises:
        ValueError: another number of outputs than of nodes.
    """
    sizes = None if mask is None else _lengths(y)
    if mask is None or sizes is None or len(y) != len(mask) or (sizes == mask.shape[1]).all():
        return y
    for row in np.flatnonzero(sizes != mask.sum(axis=1)).tolist():
        raise ValueError(f"y, row {row}: expected {mask[row].sum()} outputs, one per node of X, got {sizes[row]}")
    cells, num_axes = [np.asarray(cell) for cell in y], 2 if output_level == "pair" else 1
    for row, (cell, size) in enumerate(zip(cells, sizes.tolist(), strict=True)):
        if cell.shape[:num_axes] != (size,) * num_axes or cell.shape[num_axes:] != cells[0].shape[num_axes:]:
            raise ValueError(f"y, row {row}: expected shape {(size,) * num_axes}, got {cell.shape}")
    if all(cell.dtype.kind == "f" for cell in cells):
        return _stacked(cells, sizes, mask.shape[1], num_axes, "y")
    padded = np.full((len(mask), *mask.shape[1:] * num_axes, *cells[0].shape[num_axes:]), None, dtype=object)
    for row, cell in enumerate(cells):
        padded[row][(slice(len(cell)),) * num_axes] = cell
    return padded


def pair_inputs(pairs: Any, sizes: np.ndarray, degree: int, is_category: bool | None) -> np.ndarray:
    """Pairs ``(N, n, n)`` of integer categories, -1 where missing, or of numbers ``(N, n, n, …)``, NaN where missing.

    Args:
        pairs: an array, or a list of arrays ``(m, m)`` or ``(m, m, P)``.
        sizes: ``(N,)``, the number of nodes of every row.
        degree: number of nodes n.
        is_category: whether they are categories; ``None``: if they are integers.

    Raises:
        ValueError: other shapes than the rows', or categories that are no integers.
    """
    if len(pairs) != len(sizes):
        raise ValueError(f"pairs must have as many rows as X, {len(sizes)}, got {len(pairs)}")
    cells = [np.asarray(cell) for cell in pairs]
    for row, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        if cell.shape[:2] != (size, size) and cell.shape[:2] != (degree, degree):
            raise ValueError(f"pairs, row {row}: expected {size} x {size} pairs of nodes, got shape {cell.shape}")
    if is_category is None:
        is_category = all(cell.dtype.kind in "iu" for cell in cells)
    lengths = np.array([len(cell) for cell in cells])
    stacked = _stacked(cells, lengths, degree, 2, PAIRS)
    if not is_category:
        return stacked
    numbers = np.where(np.isnan(stacked), MISSING_TOKEN, stacked)
    categories = numbers.astype(np.int64)
    for number in np.flatnonzero((categories != numbers).reshape(len(numbers), -1).any(axis=1)):
        wrong = numbers[number][categories[number] != numbers[number]][0]
        raise ValueError(f"pairs, row {number}: expected integer categories, got {wrong}; floats are pair_features")
    return categories


def pair_fields(pairs: np.ndarray | None, stated: Mapping[str, int | None]) -> dict[str, int]:
    """``pair_vocab_size`` or ``pair_features`` of a task: as stated, or as the pairs are."""
    given = {name: value for name, value in stated.items() if value is not None}
    if pairs is None:
        if given:
            raise ValueError(f"{', '.join(given)}: there are no pairs; give fit(X, y, pairs=…)")
        return {}
    if given:
        return given
    if pairs.dtype.kind in "iu":
        return {"pair_vocab_size": max(int(pairs.max()), 0) + 1}
    return {"pair_features": pairs.shape[3] if pairs.ndim > 3 else 1}


def per_row(values: np.ndarray, mask: np.ndarray | None, output_level: str) -> Any:
    """Outputs of nodes or pairs as one array per row, of the nodes that it has, if any row lacks nodes."""
    if mask is None or output_level == "graph":
        return values
    is_of_pairs = output_level == "pair"
    return [row[own][:, own] if is_of_pairs else row[own] for row, own in zip(values, mask, strict=True)]


def _lengths(rows: Any) -> np.ndarray | None:
    """The length of every row of a list of lists or arrays; ``None`` of anything else."""
    if not isinstance(rows, list | tuple | np.ndarray) or (isinstance(rows, np.ndarray) and rows.dtype != object):
        return None
    if any(isinstance(row, str | bytes) or not hasattr(row, "__len__") for row in rows):
        return None
    return np.array([len(row) for row in rows])


def _stacked(rows: Any, sizes: np.ndarray, degree: int, num_node_axes: int, name: str) -> np.ndarray:
    """Rows of unequal length as one array of floats, NaN behind each row's own nodes."""
    cells = [np.asarray(row) for row in rows]
    trailing = cells[0].shape[num_node_axes:]
    dtype = np.float32 if all(cell.dtype == np.float32 for cell in cells) else np.float64
    stacked = np.full((len(cells), *(degree,) * num_node_axes, *trailing), np.nan, dtype)
    for row, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        if cell.shape[num_node_axes:] != trailing or cell.dtype.kind not in "biuf":
            raise ValueError(
                f"{name}, row {row}: expected numbers of shape {(size, *trailing)}, got {cell.dtype} of shape "
                f"{cell.shape}: {shown(cell.tolist())}"
            )
        own = slice(int(size))
        if num_node_axes == 2:
            stacked[row, own, own] = cell
        else:
            stacked[row, own] = cell
    return stacked
