"""Read ``.npz`` files without running code from them; errors name the file and the key."""

import math
import os
import pickle
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._array_table import Array, check_arrays


def read_npz(
    path: str | os.PathLike[str], table: Sequence[Array], sizes: dict[str, tuple[int, str]] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of the file that the table lists.

    Args:
        path: the file.
        table, sizes: as for :func:`~asen_hf.data._array_table.check_arrays`.

    Raises:
        ValueError: a file that is missing or not an ``.npz``, or an array that is missing or not what the table says.
    """
    return check_arrays(read_arrays(path), table, path, sizes)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of the file by key, unchecked; an array of Python objects is left unread, as an empty object array.

    Raises:
        ValueError: a file that is missing or not an ``.npz``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _read_array(archive, name) for name in names}
    except Exception as error:  # zipfile, its decompressors and NumPy raise anything on a broken file
        raise ValueError(f"{path}: not a readable .npz file: {error}") from error


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as entry:
        shape, dtype = _read_header(entry)
    if dtype.hasobject:
        return np.empty(0, dtype=object)
    if math.prod(shape) * dtype.itemsize > archive.getinfo(name).file_size:  # before NumPy allocates that much
        raise ValueError(f"{name} ends early")
    with archive.open(name) as entry:
        return np.lib.format.read_array(entry, allow_pickle=False)


def _read_header(entry: Any) -> tuple[tuple[int, ...], np.dtype]:
    is_version_1 = np.lib.format.read_magic(entry) == (1, 0)
    read_header = np.lib.format.read_array_header_1_0 if is_version_1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(entry)
    return shape, dtype


def read_pickled_entry(path: str | os.PathLike[str], key: str) -> Any:
    """The Python object that ``numpy.savez`` has pickled under a key, if it consists of plain containers and arrays.

    Unpickling can run any code. This function builds only dicts, lists, numbers, text and NumPy arrays.

    Raises:
        ValueError: the file is missing or not an ``.npz``, lacks the key, or its object holds other types.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as entry:
            shape, dtype = _read_header(entry)
            if shape or dtype.kind != "O":
                raise ValueError(f"expected one pickled object, got an array of {dtype}, shape {shape}")
            return _PlainUnpickler(entry).load().item()
    except Exception as error:  # as above, and broken pickles raise anything, too
        raise ValueError(f"{path}: no readable {key!r}: {error}") from error


class _PlainUnpickler(pickle.Unpickler):
    _ALLOWED = frozenset(
        (module, name)
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("ndarray", "dtype", "_reconstruct", "scalar")
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # bytes in pickles of protocol 2, which NumPy wrote until 1.16
            return _encode_latin1
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"refused to load {module}.{name} from a pickle")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _encode_latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # any other name would be looked up among modules
        raise pickle.UnpicklingError(f"refused to encode bytes as {encoding}")
    return text.encode("latin1")
