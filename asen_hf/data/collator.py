"""Convert rows into tensors, and batch rows of every task in an endless, resumable order."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset
from sympy.combinatorics import PermutationGroup

from ..model._messages import naming
from ..model.configuration_asen import TaskConfig
from ..model.configuration_rows import COSETS, MASK, PAIRS, WEIGHTS, check_weights
from ..model.configuration_symmetries import value_group
from ..model.groups import random_elements
from ..model.heads import without_padding
from ..model.row_actions import RowAction
from ..model.value_maps import Element
from ._array_table import check_real
from .features import exact, read_column
from .seeding import random_generator

_NUMBERS_AT_ONCE = 2**22
_AUGMENTING_ELEMENTS = 1000  # drawn once per task; covers small groups and samples large ones


def collate(
    config: TaskConfig, rows: Dataset | Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> dict[str, torch.Tensor]:
    """Validate rows of one task and turn them into tensors.

    Args:
        config: the task.
        rows: a list of ``{"inputs", "labels"}``, a dict of columns (lists, arrays or tensors), or a dataset; with
            ``"pairs"`` if the task has pair inputs; with ``"weights"`` and ``"attention_mask"``, if rows have them.

    Returns:
        ``{"inputs", "labels"}`` and, if there are any, ``"pairs"`` ``(N,) + config.pair_shape()``, ``"weights"``
        float32 ``(N,)`` and ``"attention_mask"`` bool ``(N, n)``: tokens int64 ``(N, n)`` or features ``(N, n, F)``;
        classes int64 or regressed values, ``(N,) + config.label_shape()``, unknown at nodes that a row lacks. Features
        and values are in raw units, float32 if that holds every value of their type and float64 if not.

    Raises:
        ValueError: no rows, a missing column, rows of different shapes, or entries that the task cannot take; names the
            row, counted from 0.
    """
    columns: list[tuple[str, Callable[..., None], bool]] = [
        ("inputs", config.check_inputs, config.vocab_size is None),
        ("labels", config.check_labels, config.is_regression),
    ]
    if config.has_pairs:
        columns.append((PAIRS, config.check_pairs, config.pair_vocab_size is None))
    batch = {}
    for name, check, is_number in columns:
        array = _to_array(_column(rows, name), name)
        check_real(array, name)
        num_rows = max(1, _NUMBERS_AT_ONCE // max(1, array[:1].size))  # at a time: the check's arrays are as large
        for start in range(0, len(array), num_rows):
            check(array[start : start + num_rows], first_row=start)
        array = exact(array, is_number)
        batch[name] = (
            _mapped(array) if isinstance(rows, Dataset) and rows.cache_files else torch.from_numpy(array.copy())
        )
    if _has_column(rows, WEIGHTS):
        batch[WEIGHTS] = _weights(_to_array(_column(rows, WEIGHTS), WEIGHTS))
    if _has_column(rows, MASK):
        mask = _to_array(_column(rows, MASK), MASK)
        config.check_attention_mask(mask)
        batch[MASK] = torch.from_numpy(mask.astype(bool))
    sizes = {name: len(tensor) for name, tensor in batch.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"{' and '.join(sizes)} must have equally many rows, got {sizes}")
    if MASK in batch:
        batch["labels"] = without_padding(config, batch["labels"], batch[MASK])
    return batch


class MultitaskBatches(torch.utils.data.Dataset):
    """``batches[k]``, k = 0, 1, 2, … without end, is ``{task: {"inputs", "labels"}}`` with rows of every task.

    A batch is a function of (seed, task name, k) alone, so a run resumes at any k without further state. Sample s of a
    task with N rows is row ``permutation[s % N]`` of epoch ``s // N``, each epoch having its own permutation; small
    tasks repeat.

    Args:
        datasets: ``{task: dataset}``, with the columns ``inputs`` and ``labels``.
        configs: ``{task: config}`` for the same tasks.
        rows_per_task: number of rows per task in a batch.
        seed: an integer of at least 0.
        augmentations: ``{task: group}``. Random elements of the group change each row and its labels: the classical
            alternative to building the symmetry into the network. The group is one of permutations, or that of a
            TaskConfig, with its value symmetries. Tasks that are left out are not augmented.
        cosets: whether rows of a task that is averaged over cosets get one of them at random, or all.

    Raises:
        ValueError: tasks without a config, no rows, or rows that a task cannot take.
    """

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        configs: Mapping[str, TaskConfig],
        rows_per_task: int,
        seed: int = 0,
        augmentations: Mapping[str, PermutationGroup | TaskConfig] | None = None,
        cosets: Literal["one", "all"] = "all",
    ) -> None:
        if rows_per_task < 1:
            raise ValueError(f"rows_per_task must be at least 1, got {rows_per_task}")
        missing = sorted(datasets.keys() - configs.keys())
        if not datasets:
            raise ValueError("datasets: expected the rows of at least one task, got none")
        if missing:
            raise ValueError(f"configs: no config for the rows of {', '.join(missing)}")
        self.rows_per_task = rows_per_task
        self.seed = seed
        self._columns = {task: _all_rows(task, datasets[task], configs[task]) for task in sorted(datasets)}
        self._actions = {
            task: _action(task, group, configs[task], seed) for task, group in (augmentations or {}).items()
        }
        self._num_cosets = {
            task: len(value_group(config).cosets)
            for task, config in configs.items()
            if cosets == "one" and config.symmetrization == "average"
        }
        self._last_permutation: dict[str, tuple[int, np.ndarray]] = {}

    def __getitem__(self, index: int) -> dict[str, dict[str, torch.Tensor]]:
        if index < 0:
            raise IndexError(f"batches are numbered from 0 without end, got {index}")
        samples = np.arange(index * self.rows_per_task, (index + 1) * self.rows_per_task)
        batch = {}
        for task, columns in self._columns.items():
            rows = torch.from_numpy(self._rows(task, samples, len(columns["inputs"])))
            batch[task] = {name: tensor[rows] for name, tensor in columns.items()}
            if task in self._actions:
                rng, action = random_generator(self.seed, "augmentation", task, index), self._actions[task]
                elements = torch.from_numpy(rng.integers(len(action), size=len(rows)))
                batch[task] = action.columns(batch[task], elements)
            if task in self._num_cosets:
                rng = random_generator(self.seed, COSETS, task, index)
                batch[task][COSETS] = torch.from_numpy(rng.integers(self._num_cosets[task], size=len(rows)))
        return batch

    def _rows(self, task: str, samples: np.ndarray, num_rows: int) -> np.ndarray:
        epochs, positions = np.divmod(samples, num_rows)
        return np.concatenate(
            [
                self._permutation(task, epoch, num_rows)[positions[epochs == epoch]]
                for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)
            ]
        )

    def _permutation(self, task: str, epoch: int, num_rows: int) -> np.ndarray:
        cached_epoch, permutation = self._last_permutation.get(task, (None, None))
        if permutation is None or cached_epoch != epoch:
            permutation = random_generator(self.seed, "batches", task, epoch).permutation(num_rows)
            self._last_permutation[task] = (epoch, permutation)
        return permutation


def _action(task: str, group: PermutationGroup | TaskConfig, config: TaskConfig, seed: int) -> RowAction:
    """Random elements of an augmentation's group."""
    if group.degree != config.degree:
        raise ValueError(f"{task}: augmented by a group of degree {group.degree}, not {config.degree}")
    if isinstance(group, TaskConfig):
        return RowAction(group, value_group(group).random_elements(_AUGMENTING_ELEMENTS, seed))
    return RowAction(config, [Element.move(points) for points in random_elements(group, _AUGMENTING_ELEMENTS, seed)])


def _all_rows(task: str, dataset: Dataset, config: TaskConfig) -> dict[str, torch.Tensor]:
    with naming(task):
        return collate(config, dataset)


def _has_column(rows: Dataset | Mapping[str, Any] | Sequence[Mapping[str, Any]], name: str) -> bool:
    if isinstance(rows, Dataset):
        return name in rows.column_names
    return name in (rows if isinstance(rows, Mapping) else rows[0] if len(rows) else {})


def _weights(array: np.ndarray) -> torch.Tensor:
    check_weights(array)
    return torch.from_numpy(array.astype(np.float32))


def _mapped(array: np.ndarray) -> torch.Tensor:
    """A tensor on the array's memory: rows of a memory-mapped file stay on disk. It must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _column(rows: Dataset | Mapping[str, Any] | Sequence[Mapping[str, Any]], name: str) -> Any:
    if isinstance(rows, Dataset):
        if name not in rows.column_names:
            raise ValueError(f"no column {name!r}; there are {', '.join(rows.column_names)}")
        return read_column(rows, name)
    if isinstance(rows, Mapping):
        if name not in rows:
            raise ValueError(f"no column {name!r}; there are {', '.join(rows)}")
        return rows[name]
    absent = next((number for number, row in enumerate(rows) if name not in row), None)
    if absent is not None:
        raise ValueError(f"row {absent} has no {name!r}; it has {', '.join(rows[absent])}")
    return [row[name] for row in rows]


def _to_array(column: Any, name: str) -> np.ndarray:
    if len(column) == 0:
        raise ValueError(f"{name}: no rows")
    try:
        return np.asarray(column)
    except ValueError:  # NumPy's message does not name the row
        shapes = [np.shape(cell) for cell in column]
        row = next(number for number, shape in enumerate(shapes) if shape != shapes[0])
        raise ValueError(f"{name}: row {row} has shape {shapes[row]}, but row 0 has {shapes[0]}") from None
