"""A visitor's table: bounded, checked cell by cell, kept in memory only, with a guess at what its columns mean."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data._cells import MISSING_TEXTS, parse
from ..data.table import load_table
from ..data.table_files import read_tables
from ..model._messages import one_line, shown
from ..model.configuration_rows import IGNORED_CLASS
from ..model.configuration_task import TaskConfig
from .group_view import read_group
from .offers import MAX_UPLOAD_BYTES

MIN_ROWS, MAX_ROWS, MAX_NUMBERS = 20, 2_000, 256
MAX_POINTS = 64  # of the group: a step's memory grows with their square
TABLE, TASK = "table.csv", "table.json"  # files of a training; the task is called "table"
_SHOWN = 6  # columns of the preview
_MOST_KINDS = 20  # different whole numbers that still pass for tokens or classes
_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@dataclasses.dataclass(frozen=True)
class Upload:
    """A table, and what its columns seem to mean.

    Attributes:
        name: for the page.
        content: the CSV.
        num_rows, num_inputs, num_labels: rows, and numbers per row.
        vocab_size: number of tokens, if the inputs can be tokens; else ``None``.
        classes: names of the labels' classes, or their number; ``None`` if labels must be amounts.
        preview: the header and the first rows, shortened.
    """

    name: str
    content: bytes
    num_rows: int
    num_inputs: int
    num_labels: int
    vocab_size: int | None
    classes: list[str] | int | None
    preview: list[list[str]]

    @property
    def summary(self) -> str:
        """The table in one sentence."""
        return (
            f"{self.name}: {self.num_rows:,} rows of {self.num_inputs} inputs, "
            f"{self.num_labels} label{'s' * (self.num_labels > 1)} per row."
        )


def read_upload(path: Path, name: str) -> Upload:
    """Read a CSV with a column ``labels``, and ``inputs`` or a column per point (and feature).

    Raises:
        ValueError: too large a table, no such columns, or a cell that cannot be read.
    """
    if path.stat().st_size > MAX_UPLOAD_BYTES:
        raise ValueError(
            f"{name}: a table may have {MAX_UPLOAD_BYTES / 1e6:g} MB here, not {path.stat().st_size / 1e6:.1f} MB"
        )
    content = path.read_bytes()
    try:
        columns = {key: list(column) for key, column in read_tables(path)["train"].columns.items()}
    except ValueError as error:
        raise ValueError(one_line(str(error).replace(str(path), name))) from None
    if "labels" not in columns:
        raise ValueError(f"{name}: no column labels; there are {', '.join(columns)[:200] or 'none'}")
    num_rows = len(columns["labels"])
    if not MIN_ROWS <= num_rows <= MAX_ROWS:
        raise ValueError(f"{name}: expected {MIN_ROWS} to {MAX_ROWS:,} rows, got {num_rows:,}")
    preview = [[*columns][:_SHOWN], *zip(*[*columns.values()][:_SHOWN], strict=True)][:4]
    labels, classes = _labels(columns.pop("labels"), name)
    given = {"inputs": columns["inputs"]} if "inputs" in columns else columns
    if not given:
        raise ValueError(f"{name}: no inputs: expected a column inputs, or one column per point")
    inputs = np.concatenate([_numbers(column, f"{name}, column {key}") for key, column in given.items()], axis=1)
    if inputs.shape[1] > MAX_NUMBERS:
        raise ValueError(f"{name}: expected at most {MAX_NUMBERS} inputs per row, got {inputs.shape[1]}")
    return Upload(
        name,
        content,
        num_rows,
        inputs.shape[1],
        labels.shape[1],
        _number_of_kinds(inputs),
        classes,
        [[cell if len(cell) <= 32 else f"{cell[:31]}…" for cell in row] for row in preview],
    )


def boards(num_rows: int = 100) -> Upload:
    """The example: tic-tac-toe boards (0 empty, 1 cross, 2 nought); which cells lie on a finished line?"""
    rng = np.random.default_rng(0)
    lines = ["inputs,labels"]
    for number, board in enumerate(rng.integers(3, size=(num_rows, 9))):
        if number % 2:  # every second board has a finished line
            board[list(_LINES[rng.integers(8)])] = rng.integers(1, 3)
        finished = {cell for line in _LINES if board[line[0]] and len({*board[list(line)]}) == 1 for cell in line}
        lines.append(f'"{board.tolist()}","{[int(cell in finished) for cell in range(9)]}"')
    with tempfile.TemporaryDirectory(prefix="asen_hf_") as folder:
        path = Path(folder, "boards.csv")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_upload(path, "boards.csv")


def task_fields(upload: Upload, group: str, inputs_are: str, labels_are: str) -> dict[str, Any]:
    """Fields of the table's TaskConfig.

    Args:
        upload: the table.
        group: in notation.
        inputs_are: ``"tokens"`` or ``"amounts"``.
        labels_are: ``"classes"`` or ``"amounts"``.

    Raises:
        ValueError: an ill-formed group, or one that does not suit the table.
    """
    degree = read_group(group)[0].degree
    if degree > MAX_POINTS:
        raise ValueError(f"a fit on this page takes at most {MAX_POINTS} points, and the group has {degree}")
    num_features, rest = divmod(upload.num_inputs, degree)
    if rest or not num_features:
        raise ValueError(f"the group acts on {degree} points, but rows have {upload.num_inputs} inputs")
    if upload.num_labels not in (1, degree):
        raise ValueError(f"expected 1 or {degree} labels per row, for {degree} points, got {upload.num_labels}")
    fields: dict[str, Any] = {"group": group, "output_level": "graph" if upload.num_labels == 1 else "node"}
    if inputs_are == "tokens" and upload.vocab_size is not None and num_features == 1:
        fields["vocab_size"] = upload.vocab_size
    else:
        fields["num_features"] = num_features
    if labels_are == "amounts" or upload.classes is None:
        if isinstance(upload.classes, list):
            raise ValueError(f"labels are texts, such as {shown(upload.classes[0])}, which are classes, not amounts")
        return {**fields, "problem_type": "regression"}
    return {**fields, ("label_names" if isinstance(upload.classes, list) else "num_labels"): upload.classes}


def write_training(folder: Path, upload: Upload, fields: dict[str, Any]) -> None:
    """Write the table and its task for a training; ``ValueError`` names the cell that does not suit the task."""
    path = folder / TABLE
    path.write_bytes(upload.content)
    try:
        load_table(path, TaskConfig(**fields))
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), upload.name)) from None
    (folder / TASK).write_text(json.dumps(fields), encoding="utf-8")


def _labels(column: Sequence[Any], name: str) -> tuple[NDArray[np.float64], list[str] | int | None]:
    """Labels ``(rows, …)``, and their classes: names of texts, or the number of whole numbers."""
    try:
        labels = _numbers(column, f"{name}, column labels")
    except ValueError:
        names = sorted({str(cell).strip() for cell in column} - MISSING_TEXTS)
        if len(names) > _MOST_KINDS or any(cell.lstrip().startswith("[") for cell in map(str, column)):
            raise
        if len(names) < 2:
            raise ValueError(f"{name}: there are no two classes: all labels are {shown(names[0])}") from None
        return np.zeros((len(column), 1)), names
    if np.isnan(labels).all():
        raise ValueError(f"{name}: all labels are missing")
    return labels, _number_of_kinds(labels)


def _numbers(column: Sequence[Any], where: str) -> NDArray[np.float64]:
    """A column as an array ``(rows, numbers per cell)``."""
    rows: list[NDArray[np.float64]] = []
    for number, cell in enumerate(column, 1):
        try:
            rows.append(parse(cell, {}).ravel())
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise ValueError(f"{where}, row {number}: expected numbers, got {shown(cell)}") from None
        if rows[-1].size != rows[0].size:
            raise ValueError(f"{where}, row {number}: expected {rows[0].size} numbers, got {rows[-1].size}")
    return np.array(rows)


def _number_of_kinds(values: NDArray[np.float64]) -> int | None:
    """One more than the largest of a few whole numbers from 0; ``None`` if they can only be amounts."""
    known = values[~np.isnan(values) & (values != IGNORED_CLASS)]
    is_few = known.size and (known >= 0).all() and (known % 1 == 0).all() and known.max() < _MOST_KINDS
    return max(2, int(known.max()) + 1) if is_few else None
