"""What the arrays of a file hold: a table per file format, an :class:`Array` per array, checked in one place.

Errors name the file, the key and the first wrong row, counted from 0 as in NumPy.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

# Squares of larger numbers overflow float32. Fill values do, such as netCDF's 9.97e36.
MAX_MAGNITUDE = 10**18
BEYOND = (
    f"beyond ±{MAX_MAGNITUDE:.0e} squares overflow float32: leave out rows with fill values (an unknown label is NaN), "
    "or choose a larger unit"
)


@dataclass(frozen=True, kw_only=True)
class Array:
    """What one array of a file holds, and what must hold between it and the file's other arrays.

    Attributes:
        key: its key in the file, as a regular expression.
        shape: per axis a size, the sizes to choose from, or a name; axes of one name have one size.
        kind: ``"number"`` (read as float64), ``"integer"`` (int64) or ``"flag"`` (0 and 1, bool).
        low, high: the smallest and the largest value.
        unit: for messages.
        missing: the value within the range that marks a missing entry.
        typical: range of the median of the known values; another median means another unit.
        step: the difference between entries that follow each other, where it is always the same.
        together: whether equal values stand on consecutive rows.
        within: key of the array on whose equal values this one is constant.
        optional: whether a file may lack it.
    """

    key: str
    shape: tuple[int | str | tuple[int, ...], ...]
    kind: Literal["number", "integer", "flag"] = "number"
    low: int = -MAX_MAGNITUDE
    high: int = MAX_MAGNITUDE
    unit: str = ""
    missing: int | None = None
    typical: tuple[float, float] | None = None
    step: int | None = None
    together: bool = False
    within: str | None = None
    optional: bool = False

    def allowed(self, values: np.ndarray) -> np.ndarray:
        """Which entries of an array of real numbers this array may hold, by themselves."""
        low, high = (0, 1) if self.kind == "flag" else (self.low, self.high)
        if values.dtype.kind == "f":
            values = values.astype(np.float64, copy=False)  # float16 cannot be compared with 1e18
        with np.errstate(invalid="ignore"):  # NaN compares unequal, which is meant
            return (values >= low) & (values <= high) & (self.kind == "number" or values == np.floor(values))

    def expected(self) -> str:
        """The allowed values in words."""
        if self.kind == "flag":
            return "0 or 1"
        noun = "an integer" if self.kind == "integer" else "a number"
        low, high = (f"{bound:.0e}" if abs(bound) == MAX_MAGNITUDE else str(bound) for bound in (self.low, self.high))
        missing = "" if self.missing is None else f", {self.missing} where missing"
        return f"{noun} in {low} … {high}{f' ({self.unit}{missing})' if self.unit else ''}"

    def check(self, values: np.ndarray, where: str, sizes: dict[str, tuple[int, str]] | None = None) -> np.ndarray:
        """The values as float64, int64 or bool.

        Args:
            values: the array.
            where: the file and the key, for messages.
            sizes: by name of axis, its size and the array that has it; names that are new are added.

        Raises:
            ValueError: another shape or type, or a value that is not allowed; names its row.
        """
        kinds = "biuf" if self.kind != "integer" else "iuf"
        if values.dtype.kind not in kinds:
            remedy = "; save it as such, not as Python objects, which can run any code" * (values.dtype.kind == "O")
            raise ValueError(f"{where}: every entry must be {self.expected()}, got type {values.dtype}{remedy}")
        self._check_shape(values.shape, where, {} if sizes is None else sizes)
        allowed = self.allowed(values)
        if not allowed.all():
            entry = tuple(int(index) for index in np.argwhere(~allowed)[0])
            at = f" at {entry[1:]}" if len(entry) > 1 else ""
            raise ValueError(f"{where}, row {entry[0]}: expected {self.expected()}, got {values[entry]}{at}")
        self._check_median(values, where)
        values = values.astype({"number": np.float64, "integer": np.int64, "flag": np.bool_}[self.kind], copy=False)
        if self.step is not None and (wrong := np.diff(values) != self.step).any():
            row = int(wrong.argmax())
            raise ValueError(
                f"{where}, row {row + 1}: expected {self.step} {self.unit} after row {row}, got "
                f"{values[row + 1] - values[row]}; rows must follow each other without a gap"
            )
        if self.together:
            starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
            _, first = np.unique(values[starts], return_index=True)
            if len(first) < len(starts):
                row = int(np.delete(starts, first)[0])
                raise ValueError(f"{where}, row {row}: {values[row]} comes again; its rows must follow each other")
        return values

    def _check_shape(self, shape: tuple[int, ...], where: str, sizes: dict[str, tuple[int, str]]) -> None:
        fits, found = len(shape) == len(self.shape) and 0 not in shape, dict(sizes)
        for size, axis in zip(shape, self.shape, strict=False):
            if isinstance(axis, str):
                fits &= size == found.setdefault(axis, (size, where.rpartition("/")[2]))[0]
            else:
                fits &= size in (axis if isinstance(axis, tuple) else (axis,))
        if not fits:
            axes = [" or ".join(map(str, axis)) if isinstance(axis, tuple) else str(axis) for axis in self.shape]
            known = dict.fromkeys(f", {sizes[axis][0]} {axis} as in {sizes[axis][1]}" for axis in axes if axis in sizes)
            raise ValueError(
                f"{where}: expected shape ({', '.join(axes)}{',' * (len(axes) == 1)}){''.join(known)}, got {shape}"
            )
        sizes |= found

    def _check_median(self, values: np.ndarray, where: str) -> None:
        if self.typical is None:
            return
        known = values if self.missing is None else values[values != self.missing]
        if not known.size:
            raise ValueError(f"{where}: every entry is {self.missing}, missing")
        if not self.typical[0] <= (median := float(np.median(known))) <= self.typical[1]:
            low, high = self.typical
            raise ValueError(
                f"{where}: the median is {median:.4g}, not in {low} … {high}; the unit must be {self.unit}"
            )


def check_arrays(
    arrays: Mapping[str, np.ndarray],
    table: Sequence[Array],
    path: object,
    sizes: dict[str, tuple[int, str]] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays that the table lists, checked and converted; other arrays are left out.

    Args:
        arrays: the file's arrays by key.
        table: what the format holds.
        path: the file, for messages.
        sizes: as for :meth:`Array.check`.

    Raises:
        ValueError: an array is missing, or is not what the table says; names the file, the key and the row.
    """
    sizes = {} if sizes is None else sizes
    checked: dict[str, np.ndarray] = {}
    for array in table:
        keys = [key for key in arrays if re.fullmatch(array.key, key)]
        if not keys and not array.optional:
            raise ValueError(f"{path}: no key {array.key!r}; there are {', '.join(arrays) or 'none'}")
        for key in keys:
            checked[key] = array.check(arrays[key], f"{path}: {key}", sizes)
    for array in table:
        if array.within is not None:
            _check_constant(checked[array.key], checked[array.within], f"{path}: {array.key}", array.within)
    return checked


def _check_constant(values: np.ndarray, parts: np.ndarray, where: str, name: str) -> None:
    _, first, part = np.unique(parts, return_index=True, return_inverse=True)
    if (wrong := values != values[first[part]]).any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{where}, row {row}: {values[row]}, but row {first[part[row]]} of the same {name} has another value"
        )


def check_real(array: np.ndarray, where: str) -> None:
    """Refuse complex numbers, whose imaginary part no task can take, by a ``ValueError``."""
    if array.dtype.kind == "c":
        raise ValueError(f"{where}: expected real numbers, got {array.dtype}; give both parts as two features")
