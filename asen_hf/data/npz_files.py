"""``.npz`` files of users: read whole, without pickles, with errors that say which file and key."""

import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

# What NumPy raises on broken files; it reads an array's header with tokenize.
_UNREADABLE = (
    *(OSError, EOFError, ValueError, AttributeError, TypeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of the file by name. ``ValueError`` names a file that is missing or no ``.npz``."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:  # np.load alone may leave it open
            return dict(arrays.items())
    except _UNREADABLE as error:
        raise ValueError(f"{path}: not a readable .npz file: {error}") from error


def take(arrays: Mapping[str, np.ndarray], key: str, ndim: int, path: str | os.PathLike[str]) -> np.ndarray:
    """One of the arrays. ``ValueError`` for one that is missing or has another number of dimensions."""
    if key not in arrays:
        raise ValueError(f"{path}: no key {key!r}; there are {', '.join(arrays) or 'none'}")
    if arrays[key].ndim != ndim:
        raise ValueError(f"{path}: {key} must have {ndim} dimensions, got shape {arrays[key].shape}")
    return arrays[key]
