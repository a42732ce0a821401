"""The prior as an endless stream of batches: several random tasks each, with rows of their own."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..registry import register_stream
from ..seeding import random_generator
from .prior import PriorTask, prior_task

CONTEXT_SIZES = (5, 10, 20, 50)
"""How many rows of a task have labels that are given; one is drawn per task and batch."""
_WINDOW = 8  # batches that share a window of tasks, sorted by degree: tasks of one degree are computed as one


@dataclasses.dataclass(frozen=True)
class Episode:
    """Rows of one random task: labels are given for the first ``num_context``, and asked for the others.

    Attributes:
        task: the task.
        inputs: tokens ``(N, n)`` or features ``(N, n, 1)``.
        labels: as :meth:`.prior.PriorTask.label` gives them, with noise.
        num_context: number of rows with given labels.
        seed: of the codes of its tokens.
    """

    task: PriorTask
    inputs: NDArray
    labels: NDArray
    num_context: int
    seed: int


@register_stream("prior")
@dataclasses.dataclass(kw_only=True)
class PriorStream:
    """Random tasks with outputs of nodes or of the graph (see :mod:`.prior`), none of them twice.

    Args:
        tasks_per_batch: number of tasks in a batch, on average.
        num_tasks: how many tasks there are, again and again with new rows; ``None`` for endless ones.
    """

    name: ClassVar[str]
    tasks_per_batch: int = 8
    num_tasks: int | None = None

    def __post_init__(self) -> None:
        for option in ("tasks_per_batch", "num_tasks"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(f"{self.name}: {option} must be at least 1, got {value}")

    def batch(self, index: int, num_rows: int, seed: int) -> list[Episode]:
        """Batch number ``index``, the same whenever it is asked for, in any process.

        Args:
            index: number of the batch.
            num_rows: rows per task.
            seed: of the stream.
        """
        window, place = divmod(index, _WINDOW)
        parts = self._window(window, seed)
        return [self._episode(number, task, num_rows, seed) for number, task in parts[place]]

    def _episode(self, number: int, task: PriorTask, num_rows: int, seed: int) -> Episode:
        visit = 0 if self.num_tasks is None else number // self.num_tasks
        inputs, labels = task.sample(num_rows, seed=visit)
        rng = random_generator(seed, "prior episode", number)
        sizes = [size for size in CONTEXT_SIZES if size < num_rows] or [max(1, num_rows // 2)]
        return Episode(task, inputs, labels, int(rng.choice(sizes)), number)

    def _window(self, window: int, seed: int) -> list[list[tuple[int, PriorTask]]]:
        return _windows(self.tasks_per_batch, self.num_tasks, window, seed)


@functools.lru_cache(maxsize=4)
def _windows(tasks_per_batch: int, num_tasks: int | None, window: int, seed: int) -> list[list[tuple[int, PriorTask]]]:
    """The batches of a window: its tasks in order of their degree, cut into equal parts, in random order."""
    size = tasks_per_batch * _WINDOW
    tasks: list[tuple[int, PriorTask]] = []
    for number in range(window * size, (window + 1) * size):
        task = _task_of_nodes_or_graph(number if num_tasks is None else number % num_tasks, seed)
        tasks.append((number, task))
    tasks.sort(key=lambda item: item[1].structure.degree)
    cuts = np.array_split(np.arange(len(tasks)), _WINDOW)
    order: Any = random_generator(seed, "prior window", window).permutation(_WINDOW)
    return [[tasks[place] for place in cuts[part]] for part in order]


def _task_of_nodes_or_graph(number: int, seed: int) -> PriorTask:
    """Task ``number`` of those without outputs of pairs, which have no ridge read-out of their own."""
    attempt = 0
    while (task := prior_task(number + attempt * 2**32, seed)).output == "pair":
        attempt += 1
    return task
