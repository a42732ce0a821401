"""The inputs, labels, pairs, weights or mask of a task: their columns in a table, their shape and their range."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..model._messages import one_line, shortened, shown
from ..model._named_columns import has_no_names
from ..model.configuration_rows import IGNORED_CLASS, MASK, MISSING_TOKEN, PAIRS, WEIGHTS
from ..model.configuration_statistics import Statistic, largest_value
from ..model.configuration_task import TaskConfig
from ._array_table import BEYOND, MAX_MAGNITUDE
from ._cells import Explained, decimal_comma, parse, truths_to_numbers, words_to_numbers
from .column_names import Arranged, arranged, arranged_as
from .features import exact

_NUMBERS_AT_ONCE = 2**22  # checked at a time: the check's own arrays are as large as the rows


class Rows(NamedTuple):
    """What a field reads: values ``(N,) + shape``, and the number of nodes of each row, ``(N,)``; ``None`` for all."""

    values: np.ndarray
    sizes: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Field:
    """How the inputs, the labels, the pairs, the weights or the mask of a task stand in columns of cells.

    A cell of a whole row may hold fewer nodes than the task has, along all of its node axes. The nodes behind its own
    are then ``unknown``.

    Attributes:
        name: ``"inputs"``, ``"labels"``, ``"pairs"``, ``"weights"`` or ``"attention_mask"``.
        shape: of one row.
        top: values are integers 0 … top; ``None`` for real numbers.
        largest: bound on the absolute value of real numbers.
        least: the smallest real number; ``None`` for any.
        unknown: the value that marks a missing entry.
        takes_blanks: whether an empty cell, NaN or a text such as ``NA`` is such an entry, too.
        classes: numbers of the classes by name.
        num_node_axes: number of leading axes of the shape that stand for nodes.
        repeated: a feature that must be known everywhere: it is the first node's, where a row lacks a node.
        known_names: the names of its columns in the order of nodes and features, if they have been given before.
        value_names: the names of the label values, if there are several.
        refusal: why a row, by its number, may not have only this number of nodes; "" if it may.
    """

    name: str
    shape: tuple[int, ...]
    top: int | None
    largest: float
    unknown: float
    takes_blanks: bool = True
    classes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    num_node_axes: int = 0
    repeated: int | None = None
    known_names: Sequence[str] | None = None
    value_names: Sequence[str] | None = None
    least: float | None = None
    refusal: Callable[[int, int], str] = lambda row, size: ""

    def read(self, columns: Mapping[str, Any], names: Sequence[str], where: str, first_row: int = 1) -> Rows:
        """All rows ``(N,) + shape``: int64, or float32 or float64 as the columns are; and how many nodes each has.

        Args:
            columns: arrays of numbers ``(N, …)``, or sequences of cells, by name.
            names: one column of whole rows; one per entry of the first axis; or one per number; in order, see
                :meth:`arranged`.
            where: origin of the columns, for messages.
            first_row: number of the first row, for messages.

        Raises:
            ValueError: a column that does not exist, no rows, or a cell that the task cannot take.
        """
        shape = self._cell_shape(names, where)
        if absent := [name for name in names if name not in columns]:
            known = shortened(one_line(name, 100) for name in columns) or "none"
            raise ValueError(
                f"{where}: no column {shortened(one_line(name, 100) for name in absent)}; there are {known}"
            )
        parts = [self.read_column(columns[name], shape, where, name, first_row) for name in names]
        rows = np.stack([part.values for part in parts], axis=1) if len(parts) > 1 else parts[0].values
        return Rows(rows.reshape(len(rows), *self.shape), parts[0].sizes if len(parts) == 1 else None)

    def arranged(self, names: Sequence[str], where: str, of_nodes: Sequence[str] | None = None) -> Arranged:
        """The columns in the order of nodes and features, see :mod:`asen_hf.data.column_names`.

        Args:
            names, where: as for :meth:`read`.
            of_nodes: the names of the nodes by the inputs, for labels.

        Raises:
            ValueError: a wrong number of columns, or other names than those that are known.
        """
        self._cell_shape(names, where)
        if len(names) == 1 or not self.num_node_axes:
            values = self.value_names
            in_order = names if values is None or {*values} != {*names} else values
            return Arranged([names.index(name) for name in in_order], None)
        num_nodes = self.shape[0]
        if self.known_names is None or has_no_names(names):
            return arranged(names, num_nodes, len(names) // num_nodes, of_nodes, self.value_names)
        return arranged_as(names, self.known_names, num_nodes, where)

    def _cell_shape(self, names: Sequence[str], where: str) -> tuple[int, ...]:
        num_entries, num_numbers = self.shape[0] if self.shape else 1, math.prod(self.shape)
        if len(names) == 1:
            return self.shape
        if len(names) == num_entries:
            return self.shape[1:]
        if len(names) == num_numbers:
            return ()
        counts = dict.fromkeys(f"in {count}" for count in (num_entries, num_numbers) if count > 1)
        raise ValueError(
            f"{where}{': ' * bool(where)}{self.name} must be in one column{''.join(f' or {count}' for count in counts)}"
            f", got {shortened(one_line(name, 100) for name in names) or 'none'}"
        )

    def takes_columns(self, number: int) -> bool:
        """Whether rows can stand in so many columns."""
        return number in (1, self.shape[0] if self.shape else 1, math.prod(self.shape))

    def read_column(self, column: Any, shape: tuple[int, ...], where: str, name: str, first_row: int) -> Rows:
        """One column of cells of this shape."""
        if len(column) == 0:
            raise ValueError(f"{where}: no rows")
        numbers = words_to_numbers(column) if math.prod(shape) == 1 and not self.classes else column
        if isinstance(numbers, np.ndarray) and numbers.dtype.kind in "biuf":
            if numbers.dtype.kind == "b" and self.classes:
                numbers = truths_to_numbers(numbers, self.classes)
            return self._read_array(numbers, column, shape, where, name, first_row)
        known: dict[str, np.ndarray] = {}  # names of classes come again and again
        rows = np.empty((len(column), *shape), np.int64 if self.top is not None else np.float64)
        sizes = np.full(len(column), shape[0] if shape else 1)
        for number, cell in enumerate(column):
            values = known.get(cell) if self.classes and isinstance(cell, str) else None
            if values is None:
                values = self.read_cell(cell, shape, where, first_row + number, name)
                if self.classes and isinstance(cell, str):
                    known[cell] = values
            if values.shape != shape:
                sizes[number] = len(values)
                values = self.padded(values[None])[0]
            rows[number] = values
        return Rows(rows, sizes if shape == self.shape and self.num_node_axes else None)

    def _read_array(
        self, array: np.ndarray, cells: Any, shape: tuple[int, ...], where: str, name: str, first_row: int
    ) -> Rows:
        """All rows at once; a row that is wrong is then read as a cell, for the message."""

        def refuse(row: int) -> None:
            cell = cells[row]
            cell = cell.tolist() if hasattr(cell, "tolist") else cell
            self.read_cell(cell, shape, where, first_row + row, name)

        sizes = None
        if not self.fits(array.shape[1:], shape):
            short = self._short(array.shape[1:], shape)
            if short is None or self.refusal(first_row, short[0]):
                refuse(0)
            assert short is not None
            shape, sizes = short, np.full(len(array), short[0])
        rows = array.reshape(len(array), *shape)
        result = exact(rows, True) if self.top is None else np.empty(rows.shape, np.int64)
        num_rows = max(1, _NUMBERS_AT_ONCE // math.prod(shape))
        for start in range(0, len(rows), num_rows):
            values = rows[start : start + num_rows]
            values = values.astype(np.float64, copy=False) if values.dtype.kind in "bf" else values
            allowed = self._allowed(values)
            if not allowed.all():
                refuse(start + int(np.flatnonzero(~allowed.reshape(len(allowed), -1).all(axis=1))[0]))
            if self.top is not None:
                is_float = values.dtype.kind == "f"
                result[start : start + num_rows] = (
                    np.where(np.isnan(values), self.unknown, values) if is_float else values
                )
        return Rows(self.padded(result), sizes)

    def read_cell(self, cell: Any, shape: tuple[int, ...], where: str, row: int, name: str) -> np.ndarray:
        """One cell as an array of this shape, or of a shorter one if the row may lack nodes.

        Raises:
            ValueError: names origin, row and column, the expected and the found value.
        """
        where = f"{where}, row {row}, column {name!r}"
        try:
            values = parse(cell, self.classes)
        except Explained as reason:
            raise ValueError(f"{where}: expected {self._expected(shape)}, got {shown(cell)}; {reason}") from None
        except (TypeError, ValueError, OverflowError, RecursionError, RuntimeError, MemoryError):
            remedy = ""
            if self.name == "labels" and self.top is not None and not self.classes and isinstance(cell, str):
                remedy = "; names of classes are read if the task's config lists them as label_names"
            raise ValueError(f"{where}: expected {self._expected(shape)}, got {shown(cell)}{remedy}") from None
        if not self.fits(values.shape, shape):
            short = self._short(values.shape, shape)
            refusal = "" if short is None else self.refusal(row, short[0])
            if short is None or refusal:
                found = "x".join(map(str, values.shape)) + " values" if values.ndim else "one value"
                cause = refusal or decimal_comma(cell) * (math.prod(shape) == 1)
                raise ValueError(
                    f"{where}: expected {self._expected(shape)}, got {found}: {shown(cell)}"
                    + f"; {cause}" * bool(cause)
                )
            shape = short
        wrong = ~self._allowed(values)
        if wrong.any():
            found = f"{values[wrong][0]:.10g} in {shown(cell)}"
            found += f"; {BEYOND}" * bool(self.top is None and self.largest < abs(values[wrong][0]) < math.inf)
            raise ValueError(f"{where}: expected {self._expected(shape)}, got {found}")
        return np.where(np.isnan(values), self.unknown, values).reshape(shape)

    def fits(self, found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
        """Whether a cell of the shape ``found`` holds a row.

        Sizes of 1 may be left out, features may be nested, and nodes may stand as a board of several axes, row by row.
        """
        is_same = [size for size in found if size != 1] == [size for size in shape if size != 1]
        nested = len(shape) == 2 and len(found) > 2 and found[0] == shape[0] and math.prod(found) == math.prod(shape)
        is_board = self.num_node_axes == 1 and any(
            found[cut:] == shape[1:] or (found[cut:] == () and shape[1:] == (1,))
            for cut in range(2, len(found) + 1)
            if math.prod(found[:cut]) == shape[0]
        )
        return is_same or is_board or (self.name == "inputs" and nested)

    def _short(self, found: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of a row with fewer nodes, if a cell of the shape ``found`` is one."""
        size = found[0] if found else 0  # a single number is no row: it may be one of several columns
        if shape != self.shape or not self.num_node_axes or not 0 < size < shape[0]:
            return None
        short = (size,) * self.num_node_axes + shape[self.num_node_axes :]
        return short if self.fits(found, short) else None

    def padded(self, rows: np.ndarray) -> np.ndarray:
        """Rows ``(N, m, …)`` of fewer nodes as ``(N,) + shape``, unknown behind their own nodes; others unchanged."""
        size = rows.shape[1] if rows.ndim > 1 else 0
        short = (size,) * self.num_node_axes + self.shape[self.num_node_axes :]
        if rows.shape[1:] != short or not 0 < size < self.shape[0] or rows.dtype.kind not in "iuf":
            return rows
        if rows.dtype.kind != "f":  # no unsigned integer is -1, and none is NaN
            rows = rows.astype(np.float64 if math.isnan(self.unknown) else np.int64)
        padded = np.full((len(rows), *self.shape), self.unknown, rows.dtype)
        padded[(slice(None), *(slice(size),) * self.num_node_axes)] = rows
        if self.repeated is not None:
            padded[:, size:, self.repeated] = rows[:, :1, self.repeated]
        return padded

    def _allowed(self, values: np.ndarray) -> np.ndarray:
        is_blank = np.isnan(values) if values.dtype.kind == "f" and self.takes_blanks else np.zeros((), dtype=bool)
        if self.top is None:
            if values.dtype.kind != "f":
                values = values.astype(np.float64)
            is_large = values >= (-self.largest if self.least is None else self.least)
            return (is_large & (values <= self.largest)) | is_blank
        whole = values == np.floor(values) if values.dtype.kind == "f" else np.ones((), dtype=bool)
        return ((values >= 0) & (values <= self.top) & whole) | (values == self.unknown) | is_blank

    def _expected(self, shape: tuple[int, ...]) -> str:
        count = "x".join(map(str, shape)) if math.prod(shape) > 1 else "one"
        plural = "s" if math.prod(shape) > 1 else ""
        kind = f"finite number{plural}" if self.top is None else f"integer{plural} in 0 … {self.top}"
        kind += "" if self.least is None else f" of at least {self.least:g}"
        unknown = f" ({self.unknown:g} where unknown)" if self.name == "labels" else ""
        return f"{count} {kind}{unknown}"


def input_field(config: TaskConfig, is_bounded: bool = True) -> Field:
    """The inputs of a task; ``is_bounded`` refuses numbers that statistics of the rows cannot include."""
    is_token = config.vocab_size is not None
    largest = _largest(config.input_mean, config.input_scale) if is_bounded else math.inf
    top = None if config.vocab_size is None else config.vocab_size - 1
    return Field(
        "inputs",
        config.input_shape(),
        top,
        largest,
        MISSING_TOKEN if is_token else math.nan,
        num_node_axes=1,
        repeated=config.residual_feature,
        known_names=config.input_names,
        refusal=_refusal(config),
    )


def label_field(config: TaskConfig, is_bounded: bool = True) -> Field:
    """The labels of a task; ``is_bounded`` as for :func:`input_field`."""
    shorter: dict[str, Any] = {"num_node_axes": len(config.output_shape()), "refusal": _refusal(config)}
    largest = _largest(config.label_mean, config.label_scale) if is_bounded else math.inf
    if config.is_regression or config.is_multi_label:
        shorter["value_names"] = config.label_names
    if config.is_regression:
        return Field("labels", config.label_shape(), None, largest, math.nan, **shorter)
    # With several labels, a name is that of a column, and not of an entry, which is 0 or 1.
    names = () if config.is_multi_label else config.label_names or ()
    shorter["classes"] = {name: number for number, name in enumerate(names)}
    shorter["takes_blanks"] = config.output_level != "graph"  # a row without a class is no row
    return Field("labels", config.label_shape(), config.top_class, largest, IGNORED_CLASS, **shorter)


def pair_field(config: TaskConfig, is_bounded: bool = True) -> Field:
    """The pair inputs of a task that has them; ``is_bounded`` as for :func:`input_field`."""
    is_category = config.pair_vocab_size is not None
    return Field(
        PAIRS,
        config.pair_shape(),
        None if config.pair_vocab_size is None else config.pair_vocab_size - 1,
        MAX_MAGNITUDE if is_bounded else math.inf,
        MISSING_TOKEN if is_category else math.nan,
        num_node_axes=2,
        refusal=_refusal(config),
    )


def mask_field(config: TaskConfig) -> Field:
    """The nodes that a row has, 0 or 1; a mask may end with the last 1."""
    return Field(MASK, (config.degree,), 1, math.inf, 0, takes_blanks=False, num_node_axes=1)


def weight_field() -> Field:
    """The weight of a row in the loss, at least 0."""
    return Field(WEIGHTS, (), None, MAX_MAGNITUDE, math.nan, takes_blanks=False, least=0)


def _refusal(config: TaskConfig) -> Callable[[int, int], str]:
    """What the task says of a row that has the first nodes only."""
    allowed: set[int] = set()

    def refusal(row: int, size: int) -> str:
        if size not in allowed:
            try:
                config.check_attention_mask((np.arange(config.degree) < size)[None], first_row=row)
            except ValueError as error:
                return str(error)
            allowed.add(size)
        return ""

    return refusal


def _largest(mean: Statistic, scale: Statistic) -> float:
    """A bound on real numbers: a fill value must not enter statistics that are computed from the rows."""
    return MAX_MAGNITUDE if mean is None or scale is None else largest_value(mean, scale)
