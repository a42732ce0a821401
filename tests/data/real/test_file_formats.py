"""A fuzzer: what it puts into an array of a file is refused with file, key and row, or read exactly as it stands there.

Formats and their arrays come from the tables that the readers read by, so a new array is covered at once.
"""

import importlib
import pkgutil
import re
import warnings

import numpy as np
import pytest

import asen_hf.data.real
from asen_hf.data._array_table import MAX_MAGNITUDE, Array
from tests.data.real.made_files import FORMATS

ROW = 1  # changed values stand here; it is neither the first nor the last row of a piece, a recording or a series
CASES = [pytest.param(name, array, id=f"{name}, {array.key}") for name, form in FORMATS.items() for array in form.table]
every_array = pytest.mark.parametrize(("name", "array"), CASES)


def tables():
    """All arrays that modules of real data list."""
    for module in pkgutil.iter_modules(asen_hf.data.real.__path__):
        for name, value in vars(importlib.import_module(f"asen_hf.data.real.{module.name}")).items():
            if not name.startswith("_"):
                yield from (entry for entry in (value if isinstance(value, tuple) else (value,)))


def test_every_table_is_fuzzed():
    listed = {array for array in tables() if isinstance(array, Array)}
    fuzzed = {array for form in FORMATS.values() for array in form.table}
    assert len(listed) >= 14 and listed <= fuzzed
    for form in FORMATS.values():
        assert all(any(re.fullmatch(array.key, key) for key in form.arrays) for array in form.table)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_valid_file_is_read_as_it_stands(tmp_path, form):
    form.read_and_compare(tmp_path, form.arrays)


def tmp_path_of(folder, name):
    """A folder of its own for one of several files."""
    path = folder / str(name)
    path.mkdir()
    return path


def key_of(form, array):
    return next(key for key in form.arrays if re.fullmatch(array.key, key))


def check(folder, name, array, changed, must_refuse, row=None, keys=()):
    """Arrays, some of them changed, are refused by the name of this array or one of the keys, or read as they are."""
    form = FORMATS[name]
    try:
        form.read_and_compare(folder, {**form.arrays, **changed})
    except ValueError as error:
        message = str(error)
        names = "|".join([key_of(form, array), "x and y", *keys])
        assert form.file in message and re.search(rf"\b({names})\b", message), message
        assert row is None or re.search(rf"row {row}\b", message), message
    else:
        assert not must_refuse, f"{array.key} was accepted"


def with_value(form, array, value):
    """The array with a value in row 1, in a type that can hold it."""
    changed = form.arrays[key_of(form, array)]
    integers = isinstance(value, int) and changed.dtype.kind in "iub"
    changed = changed.astype(np.int64 if integers else np.float64)
    changed[(ROW, *(size // 2 for size in changed.shape[1:]))] = value
    return {key_of(form, array): changed}


def bounds(array):
    low, high = (0, 1) if array.kind == "flag" else (array.low, array.high)
    return [value for value, bound in ((low - 1, low), (high + 1, high)) if abs(bound) != MAX_MAGNITUDE]


@every_array
def test_a_value_beyond_the_range_is_refused_with_its_row(tmp_path, name, array):
    for value in [*bounds(array), float("nan"), float("inf"), -float("inf"), 9.96921e36, -1e20]:
        changed = with_value(FORMATS[name], array, value)
        check(tmp_path_of(tmp_path, value), name, array, changed, must_refuse=True, row=ROW)


@every_array
@pytest.mark.parametrize("value", [-1, 0.5, 1.7, -9999, 0, 99, "largest + 1"])
def test_any_other_value_is_refused_or_read(tmp_path, name, array, value):
    form = FORMATS[name]
    if value == "largest + 1":
        value = int(np.nanmax(form.arrays[key_of(form, array)])) + 1
    is_fraction = array.kind != "number" and isinstance(value, float)
    check(tmp_path, name, array, with_value(form, array, value), is_fraction, ROW if is_fraction else None)


@every_array
@pytest.mark.parametrize("factor", [1000, 1 / 1000])
def test_another_unit_is_refused(tmp_path, name, array, factor):
    form = FORMATS[name]
    values = form.arrays[key_of(form, array)]
    values = values.astype(np.int64 if values.dtype.kind in "iub" else np.float64)
    scaled = [values * factor, np.floor(values * factor).astype(np.int64)]
    # Small degrees are places, too, and bases have no unit.
    must_refuse = bool(array.unit) and array.unit not in ("degrees", "A, C, G, T")
    for number, changed in enumerate(scaled):
        check(tmp_path_of(tmp_path, number), name, array, {key_of(form, array): changed}, must_refuse)


def is_shared(form, array, axis):
    """Whether the length of an axis is fixed, or shared with another axis of the file."""
    size = array.shape[axis]
    axes = [axis for other in form.table for axis in other.shape]
    return not isinstance(size, str) or axes.count(size) > 1


@every_array
def test_a_gap_is_refused_or_all_else_is_read(tmp_path, name, array):
    form = FORMATS[name]
    alone = {key_of(form, array): np.delete(form.arrays[key_of(form, array)], ROW, axis=0)}
    check(tmp_path_of(tmp_path, "alone"), name, array, alone, is_shared(form, array, 0), keys=form.arrays)
    together = [other for other in form.table if other.shape[0] == array.shape[0]]
    changed = {key_of(form, other): np.delete(form.arrays[key_of(form, other)], ROW, axis=0) for other in together}
    timed = [other for other in together if other.step is not None]
    named = timed[0] if timed else array
    check(tmp_path_of(tmp_path, "together"), name, named, changed, bool(timed), ROW if timed else None, keys=changed)


@every_array
def test_a_foreign_layout_is_refused_or_read(tmp_path, name, array):
    form = FORMATS[name]
    values = form.arrays[key_of(form, array)]
    for axis in range(1, values.ndim):
        narrow, wide = np.delete(values, 1, axis=axis), np.concatenate([values, values.take([1], axis)], axis)
        for number, changed in enumerate((narrow, wide)):
            # Of 17 joints, 16 are a layout too; what is then wrong with them is for the skeleton's check to find.
            must_refuse = is_shared(form, array, axis)
            folder = tmp_path_of(tmp_path, f"{axis}{number}")
            check(folder, name, array, {key_of(form, array): changed}, must_refuse)
        swapped = np.swapaxes(values, 0, axis)
        check(tmp_path_of(tmp_path, f"{axis}s"), name, array, {key_of(form, array): swapped}, array.key != "adjacency")
    for changed in (values[None], values[..., None], values.ravel() if values.ndim > 1 else values[0], values[:0]):
        folder = tmp_path_of(tmp_path, f"{changed.shape}")
        check(folder, name, array, {key_of(form, array): changed}, must_refuse=True)


TYPES = {
    "text": lambda values: values.astype("S"),
    "objects": lambda values: values.astype(object),
    "complex": lambda values: values + 1j,
    "truth": lambda values: values.astype(bool),
    "times": lambda values: values.astype(np.int64).astype("datetime64[s]"),
    "records": lambda values: values.view([("value", values.dtype)]),
    "half": lambda values: values.astype(np.float16),
    "wide": lambda values: values.astype(np.longdouble),
    "swapped bytes": lambda values: values.astype(values.dtype.newbyteorder()),
}


@every_array
@pytest.mark.parametrize("change", TYPES)
def test_another_type_is_refused_or_read(tmp_path, name, array, change):
    form = FORMATS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nanoseconds overflow float16
        changed = TYPES[change](form.arrays[key_of(form, array)])
    if name.startswith("store") and change in ("objects", "times"):
        pytest.skip("HDF5 has no such type")
    must_refuse = change in ("text", "objects", "complex", "times", "records")
    must_refuse &= not (name == "human3.6m" and change == "objects")  # there, all are objects: lists of numbers
    check(tmp_path, name, array, {key_of(form, array): changed}, must_refuse)
