"""Read ``.npz`` files without running code from them; errors name the file and the key."""

import os
import pickle
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

# NumPy's errors on broken files; tokenize.TokenError because it parses array headers with tokenize.
_UNREADABLE = (
    *(OSError, EOFError, ValueError, AttributeError, TypeError, KeyError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of the file by name. ``ValueError`` names a file that is missing or not an ``.npz``."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:  # np.load alone may leave it open
            return dict(arrays.items())
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable .npz file: {error}") from error


def take(arrays: Mapping[str, np.ndarray], key: str, ndim: int, path: str | os.PathLike[str]) -> np.ndarray:
    """The array ``key``; ``ValueError`` if it is missing or has a different number of dimensions."""
    if key not in arrays:
        raise ValueError(f"{path}: no key {key!r}; there are {', '.join(arrays) or 'none'}")
    if arrays[key].ndim != ndim:
        raise ValueError(f"{path}: {key} must have {ndim} dimensions, got shape {arrays[key].shape}")
    return arrays[key]


def read_pickled_entry(path: str | os.PathLike[str], key: str) -> Any:
    """The Python object that ``numpy.savez`` has pickled under a key, if it consists of plain containers and arrays.

    Unpickling can run any code. This function builds only dicts, lists, numbers, text and NumPy arrays.

    Raises:
        ValueError: the file is missing or not an ``.npz``, lacks the key, or its object holds other types.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as entry:
            is_version_1 = np.lib.format.read_magic(entry) == (1, 0)
            read_header = np.lib.format.read_array_header_1_0 if is_version_1 else np.lib.format.read_array_header_2_0
            shape, _, dtype = read_header(entry)
            if shape or dtype.kind != "O":
                raise ValueError(f"expected one pickled object, got an array of {dtype}, shape {shape}")
            return _PlainUnpickler(entry).load().item()
    except (*_UNREADABLE, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: no readable {key!r}: {error}") from error


class _PlainUnpickler(pickle.Unpickler):
    _ALLOWED = frozenset(
        (module, name)
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("ndarray", "dtype", "_reconstruct", "scalar")
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"refused to load {module}.{name} from a pickle")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
