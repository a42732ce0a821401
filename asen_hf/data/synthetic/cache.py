"""Splits that ``datasets`` generates once and then reads from its cache on disk."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ...model.configuration_asen import TaskConfig
from ..features import task_features, to_table


def cached_splits(
    task_name: str,
    config: TaskConfig,
    key: dict[str, Any],
    version: str,
    sizes: dict[str, int],
    draw: Callable[[], tuple[np.ndarray, np.ndarray]],
) -> datasets.DatasetDict:
    """Cut the rows of ``draw`` into splits, or read the splits from the cache of ``datasets``.

    Args:
        task_name, key, version: identify the rows. The key holds JSON values; with the columns' types, it names the
            cache folder.
        config: gives the columns' types.
        sizes: number of rows per split, in the order of the rows.
        draw: returns inputs and labels; called only if the cache lacks them.
    """
    with _without_progress_bars():
        builder = _SplitsBuilder(task_name, config, key, version, sizes, draw)
        builder.download_and_prepare()
        return builder.as_dataset()


class _SplitsBuilder(datasets.ArrowBasedBuilder):
    """One draw, written as one Arrow file per split; ``datasets`` provides locks, atomic renames and memory maps."""

    def __init__(
        self,
        task_name: str,
        config: TaskConfig,
        key: dict[str, Any],
        version: str,
        sizes: dict[str, int],
        draw: Callable[[], tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self._task_config, self._sizes, self._draw = config, sizes, draw
        columns = task_features(config)
        text = json.dumps({"key": key, "columns": columns.to_dict(), "sizes": sizes}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        name = "asen_hf_" + task_name.replace("/", "_")
        super().__init__(dataset_name=name, config_id=digest, version=version)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=task_features(self._task_config))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        inputs, labels = self._draw()
        splits, start = [], 0
        for name, size in self._sizes.items():
            rows = {"inputs": inputs[start : start + size], "labels": labels[start : start + size]}
            splits.append(datasets.SplitGenerator(name=name, gen_kwargs=rows))
            start += size
        return splits

    def _generate_tables(self, inputs: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, pa.Table]]:
        yield 0, to_table(self._task_config, inputs, labels)


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    # The rows take milliseconds, so a bar per split is noise. datasets can disable bars only for the whole process.
    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
