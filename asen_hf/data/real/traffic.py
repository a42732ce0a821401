"""METR-LA, loop-detector speeds in Los Angeles: predict each sensor's next three 5-minute readings from its last three.

Protocol of the paper's traffic experiment and of DCRNN (Li et al., ICLR 2018): windows in time order, split 70/10/20,
z-scores with training statistics, missing readings masked. Predictions are relative to the last reading.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from datasets import DatasetDict

from ...model._messages import naming, shown
from ...model.configuration_asen import TaskConfig
from ...model.groups import to_cycles, young_subgroup
from ..features import to_dataset
from ..group_option import GroupOption, NamedGroup, resolve_group
from ..registry import register
from .traffic_files import DAY, INPUT_STEPS, TARGET_STEPS, Readings, read_readings, read_roads

_LABEL_NAMES = ["5 min", "10 min", "15 min"]
_SUPPORTS = ("complete", "sparse", "weak")


@register("traffic/metr_la")
@dataclass(kw_only=True)
class MetrLa:
    """Speeds of all n sensors, in miles per hour.

    Args:
        data_path: readings every five minutes without a gap, in one of three layouts. An ``.npz`` with ``speed_mph``
            ``(T, n)`` in time order (at most 150, 0 = no reading), ``timestamps`` ``(T,)`` (Unix seconds of naive local
            time; only ``time_of_day`` needs them), ``adjacency`` ``(n, n)`` (row = target), any number of sensor
            clusterings ``clusterK`` ``(n,)`` and, for maps, ``longitude`` and ``latitude`` ``(n,)``. DCRNN's
            ``metr-la.h5``, a pandas frame ``(T, n)`` under the key ``df``. A folder with ``train.npz``, ``val.npz`` and
            ``test.npz``, consecutive windows ``x`` and ``y`` ``(N, steps, n, channels)`` (speed, and the time of day as
            a fraction of a day), whose splits are kept.
        adjacency_path: an ``.npz`` with ``adjacency``, any ``clusterK`` and coordinates, if ``data_path`` holds no road
            graph.
        group: ``"clusters_K"`` for a clustering of the file (sensors of a cluster may be exchanged), ``"symmetric"``,
            ``"trivial"`` or another family, a ``PermutationGroup``, or generators as cycles.
        support: which sensors exchange messages, as in ``TaskConfig``; edges are the non-zero entries of
            ``adjacency``.
        symmetry_breaking: ``"pairs"`` or ``"nodes"``, as in ``TaskConfig``.
        time_of_day: add sine and cosine of the last reading's time of day to the inputs.

    Raises:
        ValueError: a file that is missing, has an unknown layout, lacks a key or holds an invalid array (names its
            first wrong row); no road graph or no times although the options need them; an unknown group or support.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    adjacency_path: str | os.PathLike[str] | None = None
    group: GroupOption = "clusters_2"
    support: Literal["complete", "sparse", "weak"] = "sparse"
    symmetry_breaking: Literal["nodes", "pairs"] = "pairs"
    time_of_day: bool = True
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.support not in _SUPPORTS:
            raise ValueError(f"{self.name}: support must be one of {', '.join(_SUPPORTS)}, got {self.support!r}")
        self._readings = read_readings(self.data_path)
        if self.time_of_day and self._readings.seconds is None:
            raise ValueError(f"{self.name}: {self.data_path} has no times; time_of_day must be False")
        degree = self._readings.speed.shape[1]
        roads_path = self.data_path if self.adjacency_path is None else self.adjacency_path
        roads = self._readings.roads if self.adjacency_path is None else read_roads(self.adjacency_path, degree)
        with naming(self.name):
            group, group_name = resolve_group(self.group, degree, _cluster_groups(roads))
        self._speeds, self._labels = _windows(self._readings.speed)
        num_train = self._split_sizes(len(self._labels))["train"]
        train_speeds = self._speeds[:num_train].astype(np.float64)
        change = self._labels[:num_train] - train_speeds[..., -1:]
        mean, scale = float(train_speeds.mean()), float(train_speeds.std())
        self.config = TaskConfig(
            degree=degree,
            generators=to_cycles(group),
            group_name=group_name,
            edges=_edges(roads, degree, roads_path) if "adjacency" in roads or self.support != "complete" else None,
            support=self.support,
            symmetry_breaking=self.symmetry_breaking,
            node_coordinates=_coordinates(roads),
            num_features=INPUT_STEPS + 2 * self.time_of_day,
            output_level="node",
            problem_type="regression",
            num_labels=len(_LABEL_NAMES),
            label_names=list(_LABEL_NAMES),
            input_mean=[mean] * INPUT_STEPS + [0.0, 0.0] if self.time_of_day else mean,
            input_scale=[scale] * INPUT_STEPS + [1.0, 1.0] if self.time_of_day else scale,
            label_mean=np.nanmean(change, axis=(0, 1)).tolist(),
            label_scale=float(np.nanstd(change)),  # a single scale keeps the loss proportional to the reported MAE
            residual_feature=INPUT_STEPS - 1,
            loss="l1",
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """All windows, or the first ``num_rows``, split in time order; ``seed`` has no effect.

        The split is 70/10/20, or the folder's own. The statistics in ``config`` are always computed on the training
        part of all windows.

        Returns:
            Splits with the columns ``inputs``, float32 ``(n, 3)`` mph (a missing reading repeats the sensor's last
            one), or ``(n, 5)`` with ``time_of_day``, and ``labels``, float32 ``(n, 3)`` mph (NaN where there is no
            reading). Where times are known, validation and test also have ``historical_average``, float32 ``(n, 3)``
            mph: the sensor's mean at that time of day over the train split (at a time not seen there, its mean over all
            times).

        Raises:
            ValueError: more rows than there are windows, or too few to split.
        """
        total = len(self._labels)
        num_rows = total if num_rows is None else num_rows
        if not 0 < num_rows <= total:
            raise ValueError(f"{self.name}: num_rows must be in 1 … {total}, got {shown(num_rows)}")
        sizes = self._split_sizes(num_rows)
        averages = _historical_averages(self._readings, sizes["train"])
        splits, start = DatasetDict(), 0
        for split, size in sizes.items():
            rows = slice(start, start + size)
            references = {} if split == "train" else {name: column[rows] for name, column in averages.items()}
            splits[split] = to_dataset(self.config, self._inputs(rows), self._labels[rows], predictions=references)
            start += size
        return splits

    def _inputs(self, rows: slice) -> np.ndarray:
        speeds, seconds = self._speeds[rows], self._readings.seconds
        if not self.time_of_day or seconds is None:
            return speeds
        angle = 2 * np.pi * seconds[INPUT_STEPS - 1 : -TARGET_STEPS][rows] / DAY
        clock = np.stack([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32)
        return np.concatenate([speeds, np.broadcast_to(clock[:, None], (*speeds.shape[:2], 2))], axis=-1)

    def _split_sizes(self, num_rows: int) -> dict[str, int]:
        train, test = (round(share * num_rows) for share in (self._readings.train_share, self._readings.test_share))
        sizes = {"train": train, "validation": num_rows - train - test, "test": test}
        if min(sizes.values()) < 1:
            raise ValueError(f"{self.data_path}: {num_rows} windows are too few to split: {sizes}")
        return sizes


def _edges(roads: Mapping[str, np.ndarray], degree: int, path: str | os.PathLike[str]) -> list[list[int]]:
    """The pairs ``[target, source]`` where ``adjacency`` is not zero."""
    if "adjacency" not in roads:
        raise ValueError(
            f"{path}: no key 'adjacency', the road graph; adjacency_path must be an .npz with adjacency ({degree}, "
            f"{degree}) and any clusterK ({degree},), or support must be 'complete'"
        )
    if not roads["adjacency"].any():
        raise ValueError(f"{path}: adjacency: every entry is 0; without roads, support must be 'complete'")
    return np.argwhere(roads["adjacency"]).tolist()


def _cluster_groups(roads: Mapping[str, np.ndarray]) -> dict[str, NamedGroup]:
    """For every ``clusterK`` the Young subgroup of its clusters, under the name ``clusters_K``."""
    offered = {}
    for key, clusters in roads.items():
        if key.startswith("cluster"):
            blocks = [np.flatnonzero(clusters == cluster).tolist() for cluster in np.unique(clusters)]
            name = " x ".join(f"S_{len(block)}" for block in blocks)
            offered[f"clusters_{key.removeprefix('cluster')}"] = (young_subgroup(blocks), name)
    return offered


def _coordinates(roads: Mapping[str, np.ndarray]) -> list | None:
    """``[longitude, latitude]`` of every sensor, if the file has both."""
    if not {"longitude", "latitude"} <= roads.keys():
        return None
    return np.stack([roads["longitude"], roads["latitude"]], axis=1).tolist()


def _windows(speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Input speeds and labels, both ``(T - 5, n, 3)``, of all windows of the series ``(T, n)``, in time order."""
    has_reading = speed > 0
    # A missing input would read as a halt, and the change predicted from it would be wrong: repeat the sensor's last
    # reading (before its first one: the mean of all readings).
    last_step = np.maximum.accumulate(np.where(has_reading, np.arange(len(speed))[:, None], 0), axis=0)
    known = np.take_along_axis(speed, last_step, axis=0)
    known = np.where(known > 0, known, speed[has_reading].mean())
    return _cut(known)[..., :INPUT_STEPS], _targets(np.where(has_reading, speed, np.nan))


def _cut(series: np.ndarray) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(series, INPUT_STEPS + TARGET_STEPS, axis=0)


def _targets(series: np.ndarray) -> np.ndarray:
    return _cut(series)[..., INPUT_STEPS:]


def _historical_averages(readings: Readings, num_train: int) -> dict[str, np.ndarray]:
    """``historical_average`` ``(T - 5, n, 3)`` of all windows from the readings in the first ``num_train``."""
    if readings.seconds is None:
        return {}
    times, time = np.unique(readings.seconds, return_inverse=True)
    seen = readings.speed[: num_train + INPUT_STEPS + TARGET_STEPS - 1]
    total, count = np.zeros((2, len(times), seen.shape[1]))
    np.add.at(total, time[: len(seen)], seen)  # a missing reading is 0 and adds nothing
    np.add.at(count, time[: len(seen)], seen > 0)
    overall_mean = np.full(seen.shape[1], total.sum() / max(count.sum(), 1))
    sensor_mean = _mean(total.sum(axis=0), count.sum(axis=0), overall_mean)
    averages = _mean(total, count, sensor_mean).astype(np.float32)
    return {"historical_average": _targets(averages[time])}


def _mean(total: np.ndarray, count: np.ndarray, default: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1), default)
