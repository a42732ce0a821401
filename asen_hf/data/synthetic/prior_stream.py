"""The prior as an endless stream of batches: several random tasks each, with rows of their own."""

from __future__ import annotations

import dataclasses
import functools
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..registry import register_stream
from ..seeding import random_generator
from .prior import PriorTask, prior_structure, prior_task

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
    """Random tasks (see :mod:`.prior`), none of them twice.

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
        numbers = _windows(self.tasks_per_batch, self.num_tasks, window, seed)[place]
        return [self._episode(number, num_rows, seed) for number in numbers]

    def _episode(self, number: int, num_rows: int, seed: int) -> Episode:
        visit, own = (0, number) if self.num_tasks is None else divmod(number, self.num_tasks)
        task = prior_task(own, seed)
        inputs, labels = task.sample(num_rows, seed=visit)
        rng = random_generator(seed, "prior episode", number)
        sizes = [size for size in CONTEXT_SIZES if size < num_rows] or [max(1, num_rows // 2)]
        return Episode(task, inputs, labels, int(rng.choice(sizes)), number)


@functools.lru_cache(maxsize=4)
def _windows(tasks_per_batch: int, num_tasks: int | None, window: int, seed: int) -> list[list[int]]:
    """The batches of a window: its tasks in order of their degree, cut into equal parts, in random order."""
    size = tasks_per_batch * _WINDOW
    numbers = range(window * size, (window + 1) * size)
    own = numbers if num_tasks is None else [number % num_tasks for number in numbers]
    # Of the tasks of all processes' batches only the groups are drawn here, their rules where they are trained on.
    degrees = [prior_structure(number, seed).degree for number in own]
    cuts = np.array_split(np.argsort(degrees, kind="stable"), _WINDOW)
    order = random_generator(seed, "prior window", window).permutation(_WINDOW)
    return [[numbers[place] for place in cuts[part]] for part in order]
