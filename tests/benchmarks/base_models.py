"""A training step of the base models beside ``torch.nn.TransformerEncoder`` of the same d and depth.

    python tests/benchmarks/base_models.py
    python tests/benchmarks/base_models.py --cuda
    python tests/benchmarks/base_models.py --gates

Whole models on one task with a cyclic group (n orbitals), d = 128, four layers, eight heads: forward, backward, AdamW
on one thread. CPU time, in turn, so that other programs disturb all alike; medians, and the median of the ratios. The
encoder's MLPs are as wide as the transformer's (256), or of the usual width 4d (512). At n = 4,096 a task that breaks
the symmetry by nodes: peak memory of one step, in a process of its own. With ``--cuda``, wall time on the first CUDA
device, also of more rows. With ``--gates``, what gates of messages bring:
accuracy on new rows after a short training, means over two seeds.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import peak_memory, report_peak, training_step
from rivals import Transformer

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, get_task
from asen_hf.training.loop import keep_freed_memory

STEPS, WARM_UP = 11, 2
ROWS = {10: 64, 207: 4, 512: 1}
MORE_ROWS = {10: 4096, 207: 64, 512: 16}
MODELS = {
    "transformer": {"backbone_type": "transformer"},
    "transformer, gated": {"backbone_type": "transformer", "gated_messages": True},
    "gatv2_compile": {"attn_implementation": "gatv2_compile"},
}
ENCODERS = {"TransformerEncoder, 512": 512, "TransformerEncoder, 256": 256}
LARGE = 4096


def steps(nodes: int, rows: int, device: str) -> dict[str, Callable[[], None]]:
    """Training steps by model."""
    inputs, labels = torch.randint(10, (2, rows, nodes), device=device).unbind()
    made = {}
    for name, width in ENCODERS.items():
        torch.manual_seed(0)
        rival = Transformer(10, 10, mlp_size=width).to(device)
        made[name] = training_step(rival, lambda rival=rival: rival.loss(inputs, labels))
    for name, settings in MODELS.items():
        torch.manual_seed(0)
        task = TaskConfig(group=f"C{nodes}", vocab_size=10, num_labels=10)
        model = AsenForMultitask(AsenConfig(tasks={"t": task}, **settings)).to(device)
        made[name] = training_step(model, lambda model=model: model(inputs, labels=labels).loss)
    return made


def cuda_time() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def milliseconds(contestants: dict[str, Callable[[], None]], clock: Callable[[], float]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for step in range(WARM_UP + STEPS):
        for name, run in contestants.items():
            start = clock()
            run()
            if step >= WARM_UP:
                taken[name].append(1000 * (clock() - start))
    return taken


def large_step() -> None:
    """One training step with 4,096 nodes, after a small one that pays for what is loaded once."""
    for nodes in (64, LARGE):
        task = TaskConfig(group=f"S{nodes // 2} x S{nodes // 2}", vocab_size=10, symmetry_breaking="nodes")
        model = AsenForMultitask(AsenConfig(tasks={"t": task}, backbone_type="transformer"))
        inputs, labels = torch.randint(2, (2, 1, nodes)).unbind()
        step = training_step(model, lambda model=model, x=inputs, y=labels: model(x, labels=y).loss)
        if nodes == 64:
            step()
    report_peak(step)


def accuracy(source: str, seed: int, settings: dict[str, Any]) -> float:
    """Accuracy on 1,000 new rows after 200 steps of 64 out of 2,500 rows."""
    task = get_task(source)
    (inputs, labels), (new_inputs, new_labels) = (
        map(torch.from_numpy, task.sample(rows, seed=part)) for part, rows in enumerate((2500, 1000))
    )
    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "num_attention_heads": 8, "num_hidden_layers": 3, "pooling": "mean"}
    model = AsenForMultitask(AsenConfig(tasks={"t": task.config}, **sizes, **settings)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=200, pct_start=0.1)
    for _ in range(200):
        rows = torch.randint(len(inputs), (64,))
        model(inputs[rows], labels=labels[rows]).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return (model.predict(new_inputs) == new_labels).float().mean().item()


def print_gates() -> None:
    arms = {
        "transformer": {"backbone_type": "transformer"},
        "transformer, gated": {"backbone_type": "transformer", "gated_messages": True},
        "gatv2": {},
        "gatv2, gated": {"gated_messages": True},
    }
    print(f"| | {' | '.join(arms)} |\n| --- |{' ---: |' * len(arms)}")
    for source in ("equivariant/palindrome", "equivariant/intersect", "equivariant/cyclic_sum"):
        found = [statistics.mean(accuracy(source, seed, arm) for seed in (0, 1)) for arm in arms.values()]
        print(f"| `{source}` | {' | '.join(f'{value:.4f}' for value in found)} |", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:] == ["--gates"]:
        print_gates()
        return
    if sys.argv[1:] == ["--large"]:
        large_step()
        return
    on_cuda = sys.argv[1:] == ["--cuda"]
    device, clock = ("cuda", cuda_time) if on_cuda else ("cpu", time.process_time)
    keep_freed_memory()
    names = [*ENCODERS, *MODELS]
    head = [*names, *(f"transformer / {name}" for name in ENCODERS)]
    print(f"| training step, ms | {' | '.join(head)} |\n| --- |{' ---: |' * len(head)}")
    for nodes, rows in [*ROWS.items(), *(MORE_ROWS.items() if on_cuda else ())]:
        taken = milliseconds(steps(nodes, rows, device), clock)
        cells = [f"{statistics.median(taken[name]):.1f}" for name in names]
        for name in ENCODERS:
            pairs = zip(taken["transformer"], taken[name], strict=True)
            cells.append(f"{statistics.median(ours / theirs for ours, theirs in pairs):.2f}")
        print(f"| n = {nodes} (B = {rows}) | {' | '.join(cells)} |", flush=True)
    if on_cuda:
        return
    peak = peak_memory(Path(__file__), "--large")
    assert peak is not None
    print(f"\nn = {LARGE:,}, one row, broken by nodes: {peak / 1e6:.0f} MB more at the peak of a training step")


if __name__ == "__main__":
    main()
