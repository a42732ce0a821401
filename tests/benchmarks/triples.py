"""What messages over triples cost beside those over pairs: ``python tests/benchmarks/triples.py``.

Whole models on one task with a dihedral group, d = 128, four layers, eight heads, gatv2_compile: forward, backward,
AdamW on one thread. CPU time, in turn, so that other programs disturb all alike; medians, and the median of the ratios.
Orbit labels are made once per task, when a model is built.
"""

import statistics
import time
from collections.abc import Callable

import torch
from base_models import milliseconds
from measuring import training_step

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, groups, orbit_labels
from asen_hf.training.loop import keep_freed_memory

ROWS = {8: 64, 16: 64, 32: 32, 64: 8}
KINDS = ("pairs", "triples")


def step(nodes: int, rows: int, kind: str) -> Callable[[], None]:
    torch.manual_seed(0)
    task = TaskConfig(group=f"D{nodes}", vocab_size=10, num_labels=10, symmetry_breaking=kind)
    model = AsenForMultitask(AsenConfig(tasks={"t": task}, attn_implementation="gatv2_compile"))
    inputs, labels = torch.randint(10, (2, rows, nodes)).unbind()
    return training_step(model, lambda: model(inputs, labels=labels).loss)


def labelling(nodes: int, order: int) -> float:
    """Milliseconds for the orbit labels of an order."""
    group, start = groups.dihedral(nodes), time.process_time()
    orbit_labels(group, order)
    return 1000 * (time.process_time() - start)


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    print("| | step, pairs, ms | step, triples, ms | ratio | labels of pairs, ms | labels of triples, ms |")
    print(f"| --- |{' ---: |' * 5}")
    for nodes, rows in ROWS.items():
        taken = milliseconds({kind: step(nodes, rows, kind) for kind in KINDS}, time.process_time)
        pairs, triples = (taken[kind] for kind in KINDS)
        ratio = statistics.median(ours / theirs for theirs, ours in zip(pairs, triples, strict=True))
        labels = " | ".join(f"{statistics.median(labelling(nodes, order) for _ in range(5)):.2g}" for order in (2, 3))
        times = f"{statistics.median(pairs):.0f} | {statistics.median(triples):.0f} | {ratio:.1f}"
        print(f"| n = {nodes} (B = {rows}) | {times} | {labels} |", flush=True)


if __name__ == "__main__":
    main()
