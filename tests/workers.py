"""A worker of an experiment that works in this process, since importing torch for each would take most of the time."""

import contextlib
import io
import sys
from collections.abc import Iterator
from unittest import mock

import torch

from asen_hf.experiments import runner
from asen_hf.experiments.grid import Grid


class Worker:
    """What ``runner.start_worker`` returns, as far as ``runner.run_jobs`` asks it; jobs go through ``runner.serve``."""

    def __init__(self, grid: Grid, number: int) -> None:
        self.grid, self.asked = grid, ""
        self.stdin = self.stdout = self

    def write(self, text: str) -> None:
        self.asked += text

    def flush(self) -> None:
        pass

    def readline(self) -> str:
        jobs, self.asked, threads = io.StringIO(self.asked), "", torch.get_num_threads()
        torch.set_num_threads(1)  # as OMP_NUM_THREADS=1 does for a process
        try:
            with mock.patch.object(sys, "stdin", jobs), contextlib.redirect_stdout(io.StringIO()) as answers:
                runner.serve(self.grid)
        finally:
            torch.set_num_threads(threads)
        return answers.getvalue()

    def communicate(self) -> None:
        pass


@contextlib.contextmanager
def workers_in_process() -> Iterator[None]:
    """Within it, grids that are run by one worker start no process."""
    with mock.patch.object(runner, "start_worker", Worker):
        yield
