"""Splits that are drawn once and then read from the cache folder of ``datasets``.

A file's name holds the digest of its content, so a file that is cut off, damaged or foreign is noticed and drawn anew.
Equal rows are equal files: processes that draw at the same time need no lock.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
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
        draw: returns inputs and labels; called only if the cache lacks a split.

    Returns:
        The splits, memory-mapped; in memory where the cache cannot be written.
    """
    text = json.dumps({"key": key, "columns": task_features(config).to_dict(), "sizes": sizes}, sort_keys=True)
    name = "asen_hf_" + task_name.replace("/", "_")
    folder = Path(datasets.config.HF_DATASETS_CACHE) / name / version / _digest(text.encode())[:16]
    paths = {split: _intact_file(folder, split) for split in sizes}
    if None in paths.values():
        inputs, labels = draw()
        ends = np.cumsum(list(sizes.values()))[:-1]
        parts = zip(np.split(inputs, ends), np.split(labels, ends), strict=True)
        tables = {split: to_table(config, *columns) for split, columns in zip(sizes, parts, strict=True)}
        try:
            paths = {split: _write(folder, split, table) for split, table in tables.items()}
        except OSError:  # a full disk or a read-only folder costs the next load some time, and this one nothing
            return datasets.DatasetDict(
                {split: datasets.Dataset(table, split=datasets.NamedSplit(split)) for split, table in tables.items()}
            )
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_file(str(path), split=datasets.NamedSplit(split))
            for split, path in paths.items()
        }
    )


def _intact_file(folder: Path, split: str) -> Path | None:
    for path in sorted(folder.glob(f"{split}-*.arrow")):
        try:
            if path.name == f"{split}-{_digest(path.read_bytes())}.arrow":
                return path
        except OSError:
            continue
    return None


def _write(folder: Path, split: str, table: pa.Table) -> Path:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    content = sink.getvalue().to_pybytes()
    path = folder / f"{split}-{_digest(content)}.arrow"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{split}-", suffix=".tmp", delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, path)
        except OSError:
            os.unlink(file.name)
            raise
    return path


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
