"""METR-LA in its published layouts: one series in an ``.npz`` or a pandas store, or a folder of windows cut from it.

All three become the same :class:`Readings`, so the layout matters in this file only.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .._array_table import Array, check_arrays
from .._npz_files import read_npz

INPUT_STEPS = 3
TARGET_STEPS = 3
DAY = 86_400  # seconds
_STEP = 300  # seconds from one reading to the next
_WINDOW_FILES = ("train", "val", "test")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_SPEED = Array(
    key="speed_mph",
    shape=("steps", "sensors"),
    low=0,
    high=150,
    unit="miles per hour",
    missing=0,
    typical=(5, 85),
)
_TIMES = Array(
    key="timestamps",
    shape=("steps",),
    kind="integer",
    low=0,
    high=2**32,  # the year 2106; milliseconds are beyond it
    unit="seconds",
    step=_STEP,
)
ROADS = (
    Array(key="adjacency", shape=("sensors", "sensors"), low=0, optional=True),
    Array(key=r"cluster\d+", shape=("sensors",), kind="integer", low=0, optional=True),
    Array(key="longitude", shape=("sensors",), low=-180, high=180, unit="degrees", optional=True),
    Array(key="latitude", shape=("sensors",), low=-90, high=90, unit="degrees", optional=True),
)
SERIES = (_SPEED, dataclasses.replace(_TIMES, optional=True), *ROADS)
# Both channels lie in the range of speeds; the times of day are checked once the windows are joined.
WINDOWS = tuple(
    dataclasses.replace(_SPEED, key=key, shape=("windows", steps, "sensors", "channels"), unit="", typical=None)
    for key, steps in (("x", "input steps"), ("y", "target steps"))
)


def store_table(unit: str) -> tuple[Array, ...]:
    """What a pandas frame in fixed format holds, its index in ``unit``: s, ms, us or ns since 1970."""
    size = _PER_SECOND[unit]
    return (
        dataclasses.replace(_SPEED, key="block0_values"),
        dataclasses.replace(
            _TIMES, key="axis1", low=_TIMES.low * size, high=_TIMES.high * size, step=_STEP * size, unit=unit
        ),
    )


@dataclass(frozen=True)
class Readings:
    """One series of all sensors, T steps of five minutes.

    Attributes:
        speed: float32 ``(T, n)`` in miles per hour; 0 where there is no reading.
        seconds: int64 ``(T,)``, local time of day in seconds since midnight; ``None`` where the file has no times.
        train_share, test_share: fractions of the T - 5 windows: the first ones are for training, the last for testing.
        roads: ``adjacency``, ``clusterK``, ``longitude`` and ``latitude``, if the file holds them.
    """

    speed: np.ndarray
    seconds: np.ndarray | None
    train_share: float = 0.7
    test_share: float = 0.2
    roads: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_readings(path: str | os.PathLike[str]) -> Readings:
    """A folder of windows, an ``.h5`` or ``.hdf5`` of pandas, or an ``.npz``; see ``MetrLa`` for their content.

    Raises:
        ValueError: a file that is missing, unreadable, lacks a key or holds invalid values; h5py is not installed.
    """
    path = Path(path)
    if path.is_dir():
        return _read_windows(path)
    return _read_store(path) if path.suffix in (".h5", ".hdf5") else _read_series(path)


def read_roads(path: str | os.PathLike[str], num_sensors: int) -> dict[str, np.ndarray]:
    """The road graph, clusterings and coordinates of an ``.npz``.

    Raises:
        ValueError: a file that is missing or not an ``.npz``, such as DCRNN's pickle; invalid values, or other sensors.
    """
    if Path(path).suffix in (".pkl", ".pickle"):
        raise ValueError(
            f"{path}: a pickle can run any code and is not read here; expected an .npz with adjacency (n, n) and any "
            "clusterK (n,). DCRNN's adj_mx.pkl holds sensor ids, their order and the adjacency: save the third with "
            "np.savez(FILE, adjacency=…)"
        )
    return read_npz(path, ROADS, {"sensors": (num_sensors, "the readings")})


def _read_series(path: Path) -> Readings:
    arrays = read_npz(path, SERIES)
    speed = _long_enough(arrays.pop("speed_mph"), f"{path}: speed_mph")
    seconds = arrays.pop("timestamps", None)
    return Readings(speed, None if seconds is None else seconds % DAY, roads=arrays)


def _read_store(path: Path) -> Readings:
    """DCRNN's ``metr-la.h5``, written by ``DataFrame.to_hdf(path, key="df")``: a row per step, a column per sensor."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{path}: an HDF5 file is read with h5py; pip install asen-hf[traffic]") from error
    try:
        with h5py.File(path) as file:
            found, frame = ", ".join(file) or "no key", file.get("df")
            is_frame = (
                isinstance(frame, h5py.Group)
                and frame.attrs.get("nblocks") == 1  # one block per number type
                and {"axis0", "axis1", "block0_items", "block0_values"} <= frame.keys()
            )
            arrays = {key: frame[key][()] for key in frame} if is_frame else {}
            # h5py leaves pickled attributes as bytes, where pandas would load them.
            attributes = dict(frame["axis1"].attrs) if is_frame else {}
    except Exception as error:  # HDF5 raises anything on a broken file
        raise ValueError(f"{path}: not a readable HDF5 file: {error}") from error
    if not is_frame:
        raise ValueError(f"{path}: key df must hold one pandas frame of numbers in fixed format; the file has {found}")
    kind = attributes.get("kind", "")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    # Older versions of pandas know no other unit than nanoseconds, and do not store it.
    unit = re.fullmatch(r"datetime64(?:\[(s|ms|us|ns)\])?", kind)
    if unit is None or "tz" in attributes:
        zone = " in a time zone" if "tz" in attributes else ""
        raise ValueError(f"{path}: df/axis1, the index, must be naive local times, got kind {kind or 'none'}{zone}")
    if not np.array_equal(arrays["axis0"], arrays["block0_items"]):
        raise ValueError(
            f"{path}: df/block0_items must name the sensors in the order of df/axis0; store the frame anew"
        )
    checked = check_arrays(
        arrays, store_table(unit[1] or "ns"), f"{path}: df", {"sensors": (len(arrays["axis0"]), "axis0")}
    )
    speed = _long_enough(checked["block0_values"], f"{path}: df: block0_values")
    return Readings(speed, checked["axis1"] // _PER_SECOND[unit[1] or "ns"] % DAY)


def _read_windows(folder: Path) -> Readings:
    """DCRNN's ``train.npz``, ``val.npz`` and ``test.npz``, joined into the series that they were cut from.

    Of longer windows, only the last 3 input steps and the first 3 target steps are used. They overlap, so that a
    missing step shows, but hold no dates: days that were removed before they were cut cannot be noticed.
    """
    parts, sizes = {}, dict[str, tuple[int, str]]()
    for name in _WINDOW_FILES:
        path = folder / f"{name}.npz"
        sizes.pop("windows", None)
        arrays = read_npz(path, WINDOWS, sizes)
        for key, used in {"x": INPUT_STEPS, "y": TARGET_STEPS}.items():
            if arrays[key].shape[1] < used:
                raise ValueError(f"{path}: {key} must hold at least {used} steps, got shape {arrays[key].shape}")
        parts[path] = np.concatenate([arrays["x"][:, -INPUT_STEPS:], arrays["y"][:, :TARGET_STEPS]], axis=1)[..., :2]
    windows = np.concatenate(list(parts.values()))
    series = np.concatenate([windows[:, 0], windows[-1, 1:]])
    for step in range(INPUT_STEPS + TARGET_STEPS):
        wrong = (windows[:, step] != series[step:][: len(windows)]).any(axis=(1, 2))
        if wrong.any():
            path, row = _file_and_row(parts, int(wrong.argmax()))
            raise ValueError(
                f"{path}: {'x' if step < INPUT_STEPS else 'y'}, row {row}: each window must begin one step after the "
                "last, through train, val and test, with the same readings where they overlap"
            )
    name = f"{folder}: x and y, channel 0"
    speed = _long_enough(_SPEED.check(series[..., 0], name), name)
    train, _, test = map(len, parts.values())
    return Readings(speed, _seconds_of_channel(series[..., 1:], folder), train / len(windows), test / len(windows))


def _file_and_row(parts: Mapping[Path, np.ndarray], row: int) -> tuple[Path, int]:
    for path, part in parts.items():
        if row < len(part):
            return path, row
        row -= len(part)
    raise IndexError(row)


def _seconds_of_channel(channels: np.ndarray, folder: Path) -> np.ndarray | None:
    """Times of day ``(T,)`` from the channels after the speed, ``(T, n, 0 or 1)``: fractions of a day."""
    if channels.shape[-1] == 0:
        return None
    where, fraction = f"{folder}: x and y, channel 1", channels[:, 0, 0]
    wrong = (channels[..., 0] != fraction[:, None]).any(axis=1) | (fraction >= 1)
    if wrong.any():
        raise ValueError(
            f"{where}, row {int(wrong.argmax())}: expected the time of day as a fraction of a day, the same for all "
            f"sensors, got {channels[wrong.argmax(), :, 0].max():.6g}"
        )
    seconds = np.rint(fraction * DAY).astype(np.int64)
    days = np.cumsum(np.diff(seconds, prepend=seconds[:1]) < 0)  # no date is stored; time only goes forward
    return dataclasses.replace(_TIMES, key="channel 1").check(seconds + DAY * days, where) % DAY


def _long_enough(speed: np.ndarray, where: str) -> np.ndarray:
    if len(speed) < INPUT_STEPS + TARGET_STEPS:
        raise ValueError(f"{where} must have at least {INPUT_STEPS + TARGET_STEPS} steps, got {len(speed)}")
    return speed.astype(np.float32)
