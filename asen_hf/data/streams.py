"""Streams of rows, written through to memory-mapped files: data that does not fit into memory is data like any other.

Rows are read, checked and written batch by batch. Each split becomes one Arrow file of one record batch, so that its
columns are views of the file: what reads some rows reads only their pages. The files lie in the temporary folder of
``datasets`` (``TMPDIR`` chooses its disk) and vanish with the program.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset
from datasets.fingerprint import get_temporary_cache_files_directory

from ..model._messages import one_line
from ..model.configuration_rows import MASK, PAIRS, WEIGHTS
from ..model.configuration_task import TaskConfig
from ._arrow_columns import to_cells
from ._task_columns import Arrays, read_rows, taken
from .features import column_features, exact, to_arrow
from .seeding import random_generator
from .splits import HELD_OUT_PERCENT, SPLITS, group_texts, named_splits, row_keys

_ROWS_AT_ONCE = 1024


def write_splits(
    config: TaskConfig, streams: Mapping[str, IterableDataset], seed: int, by: Mapping[str, str]
) -> DatasetDict:
    """Write streams into files, in bounded memory, and open them as splits train, validation and test.

    Args:
        config: the task.
        streams: by split, at least train; the columns are as for :func:`asen_hf.load_table`. Each is read once.
        seed: seed of the choice of rows for splits that have no stream.
        by: ``{}``, or ``{"groups": name}`` for a column that splits the rows.

    Returns:
        A split without a stream is about 15 % of train's rows. A row's split depends only on its inputs, or its group,
        and the seed.

    Raises:
        ValueError: a row that the task cannot take (named by split and row, counted from 0), a split without rows, or a
            split by time: only the end of a stream shows which rows are the latest.
    """
    held_out = [split for split in SPLITS[1:] if split not in streams]
    if "times" in by:
        raise ValueError(
            "data: a stream cannot be split by time: give streams of train, validation and test, as IterableDatasetDict"
        )
    if by and not held_out:
        raise ValueError("data: train, validation and test are given already, so no column can split the rows")
    files = _files(config, SPLITS)
    for split, stream in streams.items():
        where = f"data, {split} split"
        for first_row, columns, arrays in _read(config, stream, where):
            chosen = {split: np.arange(len(arrays["inputs"]))}
            if split == "train" and held_out:
                chosen = _chosen(arrays, columns, held_out, seed, by, where, first_row)
            for name, rows in chosen.items():
                files[name].append(taken(arrays, rows))
    if empty := [split for split in SPLITS if not files[split].num_rows]:
        raise ValueError(f"data: no rows for {', '.join(empty)}: the streams are too short to be split")
    return DatasetDict({split: files[split].close() for split in SPLITS})


def write_rows(config: TaskConfig, stream: IterableDataset) -> Dataset:
    """Write one stream into a file, unsplit. ``ValueError`` as for :func:`write_splits`."""
    (file,) = _files(config, ["all"]).values()
    for _, _, arrays in _read(config, stream, "data"):
        file.append(arrays)
    if not file.num_rows:
        raise ValueError("data: no rows")
    return file.close()


def _files(config: TaskConfig, names: Sequence[str]) -> dict[str, _SplitFile]:
    folder = Path(tempfile.mkdtemp(prefix="rows-", dir=get_temporary_cache_files_directory()))
    return {name: _SplitFile(folder / name, config) for name in names}


def _read(config: TaskConfig, stream: IterableDataset, where: str) -> Iterator[tuple[int, dict[str, Any], Arrays]]:
    """The number of the first row, the columns and what the task reads of them, of some rows at a time."""
    for first_row, columns in _batches(stream, where):
        yield first_row, columns, read_rows(config, columns, where, first_row=first_row)


def _batches(stream: IterableDataset, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of the first row, and the columns of some rows."""
    first_row = 0
    for batch in stream.with_format("arrow").iter(_ROWS_AT_ONCE):
        columns = {name: to_cells(batch[name]) for name in batch.column_names}
        if absent := [name for name in ("inputs", "labels") if name not in columns]:
            found = ", ".join(one_line(name, 100) for name in columns) or "none"
            raise ValueError(f"{where}: no column {', '.join(absent)}; there are {found}")
        yield first_row, columns
        first_row += len(batch)


def _chosen(
    arrays: Arrays,
    columns: Mapping[str, Any],
    held_out: Sequence[str],
    seed: int,
    by: Mapping[str, str],
    where: str,
    first_row: int,
) -> dict[str, np.ndarray]:
    """Row numbers by split; equal keys come into one split."""
    keys = row_keys(arrays["inputs"], arrays.get(PAIRS))
    if by:
        name = by["groups"]
        if name not in columns:
            raise ValueError(f"{where}: no column {one_line(name, 100)}; there are {', '.join(columns)}")
        texts = group_texts(columns[name], f"{where}, column {name!r}", first_row)
        if set(texts.tolist()) & set(SPLITS):
            return named_splits(texts, is_part=True) or {}
        keys = pandas.util.hash_array(texts)
    salt = random_generator(seed, "stream").integers(2**63, dtype=np.uint64)
    place = pandas.util.hash_array(keys ^ salt) / 2.0**64 * 100  # uniform in 0 … 100
    number = np.ceil(len(held_out) - place / HELD_OUT_PERCENT).clip(0).astype(int)  # 0 is train
    return {split: np.flatnonzero(number == index) for index, split in enumerate(["train", *held_out])}


class _SplitFile:
    """One split: raw columns while rows are appended, then one Arrow file."""

    def __init__(self, path: Path, config: TaskConfig):
        self.path, self.config, self.num_rows = path, config, 0
        self.types: dict[str, np.dtype] = {}
        self.is_masked = False

    def append(self, rows: Arrays) -> None:
        """Append rows."""
        are_numbers = {
            "inputs": self.config.vocab_size is None,
            "labels": self.config.is_regression,
            PAIRS: self.config.pair_features is not None,
            WEIGHTS: True,
        }
        num_rows = len(rows["inputs"])
        self.is_masked |= MASK in rows
        mask = rows.get(MASK, np.ones((num_rows, self.config.degree))).astype(np.int8)  # later rows may need one
        columns = {name: exact(values, are_numbers[name]) for name, values in rows.items() if name != MASK}
        for name, values in {**columns, MASK: mask}.items():
            dtype = self.types.setdefault(name, values.dtype)
            # Lists of unequal lengths are read as float64, whatever their type.
            if not np.can_cast(values.dtype, dtype) and not np.array_equal(
                values.astype(dtype), values, equal_nan=True
            ):
                raise ValueError(
                    f"data: {name} are {dtype} in the first rows and {values.dtype} in later ones: give all "
                    "rows of a stream one type, by IterableDataset.cast"
                )
            with self._raw(name).open("ab") as file:
                values.astype(dtype, copy=False).tofile(file)
        self.num_rows += num_rows

    def close(self) -> Dataset:
        """Turn the columns into a memory-mapped dataset."""
        config = self.config
        shapes = {"inputs": config.input_shape(), "labels": config.label_shape()}
        shapes |= {PAIRS: config.pair_shape(), MASK: (config.degree,), WEIGHTS: ()}
        kept = {name: dtype for name, dtype in self.types.items() if name != MASK or self.is_masked}
        schema = column_features(config, kept, with_lists=True).arrow_schema
        columns = [
            to_arrow(
                np.memmap(self._raw(name), dtype=dtype, mode="r", shape=(self.num_rows, *shapes[name])),
                schema.field(name).type,
            )
            for name, dtype in kept.items()
        ]
        path = self.path.with_suffix(".arrow")
        with path.open("wb") as file, pa.ipc.new_stream(file, schema) as writer:
            writer.write_batch(pa.record_batch(columns, schema=schema))  # of views: Arrow copies from file to file
        del columns
        for name in self.types:
            self._raw(name).unlink()
        return Dataset.from_file(str(path))

    def _raw(self, name: str) -> Path:
        return self.path.with_suffix(f".{name}")
