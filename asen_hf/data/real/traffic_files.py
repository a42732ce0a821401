"""METR-LA in its published layouts: one series in an ``.npz`` or a pandas store, or a folder of windows cut from it.

All three become the same :class:`Readings`, so the layout matters in this file only.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .npz_files import read_npz, take

INPUT_STEPS = 3
TARGET_STEPS = 3
DAY = 86_400  # seconds
_STEP = 300  # seconds from one reading to the next
_WINDOW_FILES = ("train", "val", "test")
_UNIT_OF_OLD = "datetime64[ns]"  # older versions of pandas know no other unit and do not store it


@dataclass(frozen=True)
class Readings:
    """One series of all sensors, T steps of five minutes.

    Attributes:
        speed: float32 ``(T, n)`` in miles per hour; 0 where there is no reading.
        seconds: int64 ``(T,)``, local time of day in seconds since midnight; ``None`` where the file has no times.
        train_share, test_share: fractions of the T - 5 windows: the first ones are for training, the last for testing.
        roads: ``adjacency`` and ``clusterK``, if the file holds them.
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


def read_roads(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` with ``adjacency`` and any ``clusterK``.

    Raises:
        ValueError: a file that is missing or not an ``.npz``, such as DCRNN's pickle.
    """
    if Path(path).suffix in (".pkl", ".pickle"):
        raise ValueError(
            f"{path}: a pickle can run any code and is not read here; expected an .npz with adjacency (n, n) and any "
            "clusterK (n,). DCRNN's adj_mx.pkl holds sensor ids, their order and the adjacency: save the third with "
            "np.savez(FILE, adjacency=…)"
        )
    return read_npz(path)


def _read_series(path: Path) -> Readings:
    arrays = read_npz(path)
    speed = _checked_speed(take(arrays, "speed_mph", 2, path), "speed_mph", path)
    seconds = None
    if "timestamps" in arrays:
        stamps = take(arrays, "timestamps", 1, path)
        if len(stamps) != len(speed) or not np.issubdtype(stamps.dtype, np.integer):
            raise ValueError(
                f"{path}: timestamps must be {len(speed)} integers, Unix seconds, got {len(stamps)} {stamps.dtype}"
            )
        seconds = _checked_seconds((stamps % DAY).astype(np.int64), path)
    return Readings(speed, seconds, roads=arrays)


def _read_store(path: Path) -> Readings:
    """DCRNN's ``metr-la.h5``, written by ``DataFrame.to_hdf(path, key="df")``: a row per step, a column per sensor."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{path}: an HDF5 file is read with h5py; pip install asen-hf[traffic]") from error
    try:
        with h5py.File(path) as file:
            frame = file.get("df")
            if not (
                isinstance(frame, h5py.Group)
                and frame.attrs.get("nblocks") == 1  # one block per number type
                and {"axis1", "block0_values"} <= frame.keys()
            ):
                raise ValueError(
                    f"{path}: key df must hold one pandas frame of numbers in fixed format; the file has "
                    f"{', '.join(file) or 'no key'}"
                )
            values, stamps, attributes = frame["block0_values"][()], frame["axis1"][()], dict(frame["axis1"].attrs)
    except OSError as error:
        raise ValueError(f"{path}: not a readable HDF5 file: {error}") from error
    kind = attributes.get("kind", "")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    speed = _checked_speed(values, "the frame", path)
    if (
        re.fullmatch(r"datetime64(\[(s|ms|us|ns)\])?", kind) is None
        or "tz" in attributes
        or stamps.shape != speed.shape[:1]
        or stamps.dtype != np.int64
    ):
        zone = " in a time zone" if "tz" in attributes else ""
        raise ValueError(
            f"{path}: the frame's index must be naive local times, one per row, got {stamps.shape} of kind "
            f"{kind or stamps.dtype}{zone}"
        )
    times = stamps.view(_UNIT_OF_OLD if kind == "datetime64" else kind)
    return Readings(speed, _checked_seconds(times.astype("datetime64[s]").astype(np.int64) % DAY, path))


def _read_windows(folder: Path) -> Readings:
    """DCRNN's ``train.npz``, ``val.npz`` and ``test.npz``, joined into the series that they were cut from.

    Of longer windows, only the last 3 input steps and the first 3 target steps are used.
    """
    parts = []
    for name in _WINDOW_FILES:
        path = folder / f"{name}.npz"
        arrays = read_npz(path)
        x, y = (take(arrays, key, 4, path) for key in ("x", "y"))
        if (
            len(x) != len(y)
            or x.shape[2:] != y.shape[2:]
            or x.shape[1] < INPUT_STEPS
            or y.shape[1] < TARGET_STEPS
            or not np.issubdtype(np.result_type(x, y), np.number)
        ):
            raise ValueError(
                f"{path}: x and y must be numbers of shape (windows, {INPUT_STEPS} or more steps, sensors, channels), "
                f"got {x.dtype} {x.shape} and {y.dtype} {y.shape}"
            )
        parts.append(np.concatenate([x[:, -INPUT_STEPS:], y[:, :TARGET_STEPS]], axis=1)[..., :2])
    if len({part.shape[1:] for part in parts}) > 1 or min(map(len, parts)) < 1 or parts[0].shape[-1] < 1:
        raise ValueError(
            f"{folder}: train, val and test must hold windows of the same sensors and channels, got "
            f"{', '.join(str(part.shape) for part in parts)}"
        )
    windows = np.concatenate(parts)
    series = np.concatenate([windows[:, 0], windows[-1, 1:]])
    steps = range(INPUT_STEPS + TARGET_STEPS)
    if any(not np.array_equal(windows[:, k], series[k:][: len(windows)], equal_nan=True) for k in steps):
        raise ValueError(f"{folder}: each window must begin one step after the last, through train, val and test")
    speed = _checked_speed(series[..., 0], "channel 0 of x and y", folder)
    train_share, test_share = len(parts[0]) / len(windows), len(parts[2]) / len(windows)
    return Readings(speed, _seconds_of_channel(series[..., 1:], folder), train_share, test_share)


def _seconds_of_channel(channels: np.ndarray, folder: Path) -> np.ndarray | None:
    """Times ``(T,)`` from the channels after the speed, ``(T, n, 0 or 1)``: fractions of a day."""
    if channels.shape[-1] == 0:
        return None
    fraction = channels[:, 0, 0]
    if not ((channels[..., 0] == fraction[:, None]).all() and (fraction >= 0).all() and (fraction < 1).all()):
        raise ValueError(
            f"{folder}: channel 1 of x and y must be the time of day as a fraction of a day, the same for all sensors"
        )
    return _checked_seconds(np.rint(fraction * DAY).astype(np.int64), folder)


def _checked_speed(speed: np.ndarray, name: str, path: Path) -> np.ndarray:
    if (
        speed.ndim != 2
        or not np.issubdtype(speed.dtype, np.number)
        or not (np.isfinite(speed) & (speed >= 0)).all()
        or not speed.any()
    ):
        raise ValueError(f"{path}: {name} must hold finite speeds of at least 0, not all 0, shape (steps, sensors)")
    if len(speed) < INPUT_STEPS + TARGET_STEPS:
        raise ValueError(f"{path}: {name} must have at least {INPUT_STEPS + TARGET_STEPS} steps, got {len(speed)}")
    return speed.astype(np.float32, copy=False)


def _checked_seconds(seconds: np.ndarray, path: Path) -> np.ndarray:
    intervals = np.diff(seconds) % DAY
    if (intervals != _STEP).any():
        step = int(np.argmax(intervals != _STEP))
        raise ValueError(
            f"{path}: steps must be {_STEP} seconds apart, got {intervals[step]} from step {step} to step {step + 1}"
        )
    return seconds
