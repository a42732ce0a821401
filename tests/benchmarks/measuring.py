"""How benchmarks measure: contestants in turn, medians, and peak memory in a process of its own."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


def measure(contestants: Mapping[str, Callable[[], Any]], budget: float = 3.0) -> dict[str, float]:
    """Median seconds of every contestant; they run in turn, so that a drift of the machine's speed affects all alike.

    Every turn is two runs, the second of which is timed: in use, a step follows a step of the same kind.

    Args:
        contestants: what to run, by name.
        budget: seconds per contestant, from which 3 to 25 rounds follow.
    """
    slowest = 0.0
    for run in contestants.values():
        run()
        start = time.perf_counter()
        run()
        slowest = max(slowest, time.perf_counter() - start)
    rounds = min(25, max(3, int(budget / max(slowest, 1e-9))))
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            run()
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def training_step(module: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """Forward, backward and AdamW."""
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def without_gradients(run: Callable[[], Any]) -> Callable[[], Any]:
    return torch.no_grad()(run)


def peak_memory(script: Path, *arguments: str) -> int | None:
    """Bytes that a script reports by :func:`report_peak`, run in a process of its own; ``None`` if it died."""
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def report_peak(run: Callable[[], Any]) -> None:
    """Print how many bytes a run adds, at its peak, to the process's memory before it (Linux only)."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets earlier peaks
    before = _status("VmRSS")
    run()
    print(json.dumps(_status("VmHWM") - before))


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024
