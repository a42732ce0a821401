"""METR-LA, loop-detector speeds in Los Angeles: three 5-minute readings a sensor in, the next three out.

Protocol of the paper's traffic experiment and of DCRNN (Li et al., ICLR 2018): windows in time order, split 70/10/20,
z-scores with training statistics, missing readings masked. Predictions are relative to the last reading.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from datasets import DatasetDict

from ..configuration_asen import TaskConfig
from ..groups import to_cycles, young_subgroup
from .features import to_dataset
from .group_option import GroupOption, NamedGroup, resolve_group
from .npz_files import read_npz
from .registry import register

_NUM_INPUT_STEPS = 3
_LABEL_NAMES = ["5 min", "10 min", "15 min"]
_SUPPORTS = ("road", "complete")


@register("traffic/metr_la")
@dataclass(kw_only=True)
class MetrLa:
    """Speeds of all n sensors, in miles per hour.

    Args:
        data_path: an ``.npz`` with ``speed_mph`` ``(T, n)`` in time order (0 = no reading), ``adjacency`` ``(n, n)``
            (row = target), and any number of sensor clusterings ``clusterK`` ``(n,)``.
        group: ``"clusters_K"`` for a clustering of the file (sensors of a cluster may be exchanged), ``"symmetric"``,
            ``"trivial"`` or another family, a ``PermutationGroup``, or generators as cycles.
        support: ``"road"``, messages along the non-zero entries of ``adjacency``; ``"complete"``, between all sensors.
        symmetry_breaking: ``"pairs"`` or ``"nodes"``, as in ``TaskConfig``.

    Raises:
        ValueError: a file that is missing, is no ``.npz`` or lacks a key or its shape; an unknown group or support.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "clusters_2"
    support: str = "road"
    symmetry_breaking: Literal["nodes", "pairs"] = "pairs"
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.support not in _SUPPORTS:
            raise ValueError(f"{self.name}: support must be one of {', '.join(_SUPPORTS)}, got {self.support!r}")
        arrays = read_npz(self.data_path)
        speed, adjacency = self._checked_arrays(arrays)
        degree = speed.shape[1]
        try:
            group, group_name = resolve_group(self.group, degree, _cluster_groups(arrays, degree, self.data_path))
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        self._inputs, self._labels = _windows(speed)
        num_train = _split_sizes(len(self._inputs))["train"]
        train_inputs = self._inputs[:num_train].astype(np.float64)
        change = self._labels[:num_train] - train_inputs[..., -1:]
        self.config = TaskConfig(
            degree=degree,
            generators=to_cycles(group),
            group_name=group_name,
            edges=np.argwhere(adjacency).tolist() if self.support == "road" else None,
            symmetry_breaking=self.symmetry_breaking,
            node_coordinates=_coordinates(arrays, degree, self.data_path),
            num_features=_NUM_INPUT_STEPS,
            output_level="node",
            problem_type="regression",
            num_labels=len(_LABEL_NAMES),
            label_names=list(_LABEL_NAMES),
            input_mean=float(train_inputs.mean()),
            input_scale=float(train_inputs.std()),
            label_mean=np.nanmean(change, axis=(0, 1)).tolist(),
            label_scale=float(np.nanstd(change)),  # a single one, so that the loss is the reported MAE up to a factor
            residual_feature=_NUM_INPUT_STEPS - 1,
            loss="l1",
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """All windows, or the first ``num_rows``, split 70/10/20 in time order; ``seed`` has nothing to decide here.

        The statistics in ``config`` are always those of the training part of all windows.

        Returns:
            Splits with the columns ``inputs``, float32 ``(n, 3)`` mph (a missing one repeats the sensor's last),
            and ``labels``, float32 ``(n, 3)`` mph (NaN where there is no reading).

        Raises:
            ValueError: more rows than there are windows, or too few to split.
        """
        total = len(self._inputs)
        num_rows = total if num_rows is None else num_rows
        if not 0 < num_rows <= total:
            raise ValueError(f"{self.name}: num_rows must be in 1 … {total}, got {num_rows}")
        splits, start = DatasetDict(), 0
        for split, size in _split_sizes(num_rows).items():
            rows = slice(start, start + size)
            splits[split] = to_dataset(self.config, self._inputs[rows], self._labels[rows])
            start += size
        return splits

    def _checked_arrays(self, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        for key in ("speed_mph", "adjacency"):
            if key not in arrays:
                raise ValueError(f"{self.data_path}: no key {key!r}; there are {', '.join(arrays) or 'none'}")
        speed, adjacency = arrays["speed_mph"], arrays["adjacency"]
        if (
            speed.ndim != 2
            or not np.issubdtype(speed.dtype, np.number)
            or not (np.isfinite(speed) & (speed >= 0)).all()
        ):
            raise ValueError(
                f"{self.data_path}: speed_mph must hold finite speeds of at least 0, shape (steps, sensors)"
            )
        square = (speed.shape[1], speed.shape[1])
        if adjacency.shape != square:
            raise ValueError(f"{self.data_path}: adjacency must have shape {square}, got {adjacency.shape}")
        return speed.astype(np.float32, copy=False), adjacency


def _cluster_groups(arrays: Mapping[str, np.ndarray], degree: int, path: object) -> dict[str, NamedGroup]:
    """For every ``clusterK`` the Young subgroup of its clusters, under the name ``clusters_K``."""
    offered = {}
    for key, clusters in arrays.items():
        match = re.fullmatch(r"cluster(\d+)", key)
        if match is None:
            continue
        if clusters.shape != (degree,):
            raise ValueError(f"{path}: {key} must have shape ({degree},), got {clusters.shape}")
        blocks = [np.flatnonzero(clusters == cluster).tolist() for cluster in np.unique(clusters)]
        name = " x ".join(f"S_{len(block)}" for block in blocks)
        offered[f"clusters_{match[1]}"] = (young_subgroup(blocks), name)
    return offered


def _coordinates(arrays: Mapping[str, np.ndarray], degree: int, path: object) -> list | None:
    """``[longitude, latitude]`` of every sensor, where the file has both."""
    degrees = [arrays[key] for key in ("longitude", "latitude") if key in arrays]
    if len(degrees) < 2:
        return None
    if not all(each.shape == (degree,) and each.dtype.kind in "iuf" and np.isfinite(each).all() for each in degrees):
        raise ValueError(f"{path}: longitude and latitude must hold finite numbers, shape ({degree},)")
    return np.stack(degrees, axis=1).tolist()


def _windows(speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All windows of the series ``(T, n)`` as inputs and labels ``(T - 5, n, 3)``, in time order."""
    steps = _NUM_INPUT_STEPS + len(_LABEL_NAMES)
    if len(speed) < steps:
        raise ValueError(f"speed_mph must have at least {steps} steps, got {len(speed)}")
    has_reading = speed > 0
    # A missing input would read as a halt, and the change predicted from it would be wrong: repeat the sensor's last
    # reading (before its first one: the mean of all).
    last_step = np.maximum.accumulate(np.where(has_reading, np.arange(len(speed))[:, None], 0), axis=0)
    known = np.take_along_axis(speed, last_step, axis=0)
    known = np.where(known > 0, known, speed[has_reading].mean())
    future = np.where(has_reading, speed, np.nan)
    inputs = np.lib.stride_tricks.sliding_window_view(known, steps, axis=0)[..., :_NUM_INPUT_STEPS]
    labels = np.lib.stride_tricks.sliding_window_view(future, steps, axis=0)[..., _NUM_INPUT_STEPS:]
    return inputs, labels


def _split_sizes(num_rows: int) -> dict[str, int]:
    train, test = round(0.7 * num_rows), round(0.2 * num_rows)
    sizes = {"train": train, "validation": num_rows - train - test, "test": test}
    if min(sizes.values()) < 1:
        raise ValueError(f"{num_rows} windows are too few to split 70/10/20: {sizes}")
    return sizes
