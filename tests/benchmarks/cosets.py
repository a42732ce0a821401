"""What averaging over cosets costs: CPU time of a training step, one coset per row and all, against none.

    python tests/benchmarks/cosets.py

The task is lifting poses (16 joints, 64 rows, hidden size 64, four layers); |Q| = 2. Steps are interleaved, and medians
of ratios are printed, so that other programs disturb all alike.
"""

import statistics
import time

import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

MIRROR = {"points": [[1, 4], [2, 5], [3, 6], [10, 13], [11, 14], [12, 15]], "inputs": [-1, 2], "outputs": [-1, 2, 3]}
FIELDS = {"degree": 16, "num_features": 2, "num_labels": 3, "problem_type": "regression", "loss": "mse"}
ROWS, STEPS, WARM_UP = 64, 60, 5


def main() -> None:
    torch.set_num_threads(1)
    tasks = {
        "none": (TaskConfig(**FIELDS), {}),
        "one": (TaskConfig(**FIELDS, value_symmetries=[MIRROR]), {"cosets": torch.arange(ROWS) % 2}),
        "all": (TaskConfig(**FIELDS, value_symmetries=[MIRROR]), {}),
        "lift": (TaskConfig(**FIELDS, value_symmetries=[MIRROR], symmetrization="lift"), {}),
    }
    sizes = {"hidden_size": 64, "num_hidden_layers": 4, "gated_messages": True}
    batch = {"inputs": torch.randn(ROWS, 16, 2), "labels": torch.randn(ROWS, 16, 3)}
    steps = {}
    for name, (task, columns) in tasks.items():
        model = AsenForMultitask(AsenConfig(tasks={"pose": task}, attn_implementation="gatv2_compile", **sizes))
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        steps[name] = (model, optimizer, {"pose": batch | columns})
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in range(WARM_UP + STEPS):
        for name, (model, optimizer, rows) in steps.items():
            start = time.process_time()
            model.losses(rows)["pose"].backward()
            optimizer.step()
            optimizer.zero_grad()
            if step >= WARM_UP:
                seconds[name].append(time.process_time() - start)
    for name, times in seconds.items():
        ratio = statistics.median(own / none for own, none in zip(times, seconds["none"], strict=True))
        print(f"{name:>5}: {1000 * statistics.median(times):6.1f} ms, {ratio:.2f} of none")


if __name__ == "__main__":
    main()
