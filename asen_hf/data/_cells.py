"""What one cell of a table says: numbers, nested lists of numbers, names of classes, or nothing."""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ..model._messages import shortened, shown

# What pandas reads as missing, and the question mark of older collections.
MISSING_TEXTS = frozenset(
    [
        *("", "?", "None", "#N/A N/A", "#N/A", "#NA", "N/A", "n/a", "NA", "<NA>", "NULL", "null"),
        *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    ]
)
_TRUTHS = {"true": 1, "false": 0}
_PYTHON_TRUTH = re.compile(r"\b(True|False)\b")
_START = r"(?:[-+.\dni]|[tT]rue|[fF]alse)"  # of a number
_PRINTED = re.compile(
    rf"\s*(array|tensor)\s*\(|\s*\[[\[\s]*{_START}[^\s,\[\]]*\s+(?:{_START}|\[)|\s*\[.*\.\.\.", re.DOTALL
)


class Explained(ValueError):
    """A cell that cannot be read; the message is a remedy that follows "expected …, got …"."""


def parse(cell: Any, names: Mapping[str, int]) -> np.ndarray:
    """The numbers of a cell as float64, in the cell's own shape; what is missing is NaN.

    Args:
        cell: a number, a text, nested lists of both, or an array. A text is a JSON list, or words separated by blanks
            or commas. A word is a number, a name, true or false in any case, or a text for what is missing, such as
            ``NA``. Truths are 1 and 0.
        names: numbers of classes by name; a name that reads as a number counts as a name, and so do ``True`` and
            ``False``.

    Raises:
        Explained: a name that is not among ``names``, or a list that NumPy or torch has printed.
        TypeError, ValueError, OverflowError, RecursionError: a cell that holds something else, such as a date.
    """
    if isinstance(cell, str):
        cell = _of_text(cell, names)
    array = np.asarray(cell)
    if array.dtype.kind == "b":
        return truths_to_numbers(array, names).astype(np.float64)
    if array.dtype.kind in "iuf":
        return array.astype(np.float64)
    if array.dtype.kind not in "OU":  # complex numbers, times, bytes: NumPy would convert them with a loss
        raise TypeError
    numbers = [_number(value, names) for value in array.ravel().tolist()]
    return np.array(numbers, dtype=np.float64).reshape(array.shape)


def decimal_comma(cell: Any) -> str:
    """What to say of a cell that should hold one number and is a text with a decimal comma; empty of other cells."""
    is_one = isinstance(cell, str) and re.fullmatch(r"\s*[-+]?\d+,\d+\s*", cell) is not None
    return "a comma separates numbers: write a decimal point" if is_one else ""


def truths_to_numbers(truths: np.ndarray, names: Mapping[str, int]) -> np.ndarray:
    """1 for true and 0 for false, or the numbers of the classes of these names."""
    return np.where(truths, names.get("True", 1), names.get("False", 0))


def words_to_numbers(cells: Any) -> Any:
    """Texts that are each one number, or missing, as an array at once; all other columns unchanged."""
    if not isinstance(cells, list) or not all(type(cell) is str for cell in cells):
        return cells
    words = pa.compute.utf8_trim_whitespace(pa.array(cells, pa.string()))
    is_missing = pa.compute.is_in(words, pa.array(sorted(MISSING_TEXTS)))
    try:
        numbers = pa.compute.if_else(is_missing, None, words).cast(pa.float64())
    except pa.ArrowInvalid:  # reading cell by cell tells which
        return cells
    return numbers.to_numpy(zero_copy_only=False)


def _of_text(text: str, names: Mapping[str, int]) -> Any:
    if text.strip() in names or text.strip() in MISSING_TEXTS:
        return text
    if text.lstrip().startswith("["):
        if '"' not in text:  # else it may be a name
            text = _PYTHON_TRUTH.sub(lambda truth: truth[0].lower(), text)
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            if _PRINTED.match(text):
                raise Explained(_printed(text)) from None
            raise
    if _PRINTED.match(text):
        raise Explained(_printed(text))
    words: list[str] = []
    for part in text.split(","):
        is_one = not part.strip() or part.strip() in names  # nothing between two commas, or a name with blanks
        words += [part] if is_one else part.split()
    return words[0] if len(words) == 1 else words


def _printed(text: str) -> str:
    lost = "..." in text or "…" in text
    return (
        "NumPy or torch printed this list, "
        + ("and left out the values at the dots" if lost else "which is no list that JSON has")
        + ": write array.tolist() as JSON, or save the rows as .npz or .parquet"
    )


def _number(value: Any, names: Mapping[str, int]) -> float:
    if isinstance(value, str):
        return _number_of_word(value.strip(), names)
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # of pandas
        return np.nan
    if isinstance(value, bytes | bytearray) or (isinstance(value, np.generic) and value.dtype.kind not in "biuf"):
        raise TypeError
    if isinstance(value, bool | np.bool_):
        return float(truths_to_numbers(np.asarray(value), names))
    return float(value)


def _number_of_word(word: str, names: Mapping[str, int]) -> float:
    if word in names:
        return names[word]
    if word in MISSING_TEXTS:
        return np.nan
    if word.lower() in _TRUTHS:
        return _TRUTHS[word.lower()]
    try:
        if "_" in word:  # Python reads 1_0 as 10
            raise ValueError
        return float(word)
    except ValueError:
        if not names:
            raise
    close = difflib.get_close_matches(word[:100], names, 1)
    known = shortened([shown(name) for name in names], most=10)
    raise Explained(
        f"{shown(word)} is none of the label_names: " + (f"did you mean {shown(close[0])}?" if close else known)
    )
