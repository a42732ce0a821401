"""What relations and pair inputs cost: CPU time of a compiled training step with and without them.

    python tests/benchmarks/relations.py

Tokens under S_{n/2} wr S_2, hidden size 64, three layers. Steps are interleaved, and medians of ratios are printed, so
that other programs disturb all alike. Numbers of pairs give every pair of every row a vector of its own to project.
"""

import statistics
import time

import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

KINDS = {
    "none": {},
    "equal": {"relations": ["equal"]},
    "order": {"relations": ["order"]},
    "sum": {"relations": ["sum"]},
    "categories": {"pair_vocab_size": 4},
    "numbers": {"pair_features": 1},
}
WARM_UP = 5


def main() -> None:
    torch.set_num_threads(1)
    for degree, num_rows, num_steps in ((10, 32, 100), (10, 64, 60), (64, 32, 25)):
        steps = {}
        for name, fields in KINDS.items():
            task = TaskConfig(group=f"S{degree // 2} wr S2", vocab_size=10, **fields)
            sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "gated_messages": True}
            model = AsenForMultitask(AsenConfig(tasks={"t": task}, attn_implementation="gatv2_compile", **sizes))
            batch = {"inputs": torch.randint(10, (num_rows, degree)), "labels": torch.randint(2, (num_rows, degree))}
            if task.has_pairs:
                shape = (num_rows, degree, degree)
                batch["pairs"] = torch.randn(shape) if task.pair_features else torch.randint(4, shape)
            steps[name] = (model, torch.optim.AdamW(model.parameters(), fused=True), batch)
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for step in range(WARM_UP + num_steps):
            for name, (model, optimizer, batch) in steps.items():
                start = time.process_time()
                model.losses({"t": batch})["t"].backward()
                optimizer.step()
                optimizer.zero_grad()
                if step >= WARM_UP:
                    seconds[name].append(time.process_time() - start)
        for name, times in seconds.items():
            ratio = statistics.median(own / none for own, none in zip(times, seconds["none"], strict=True))
            case = f"n = {degree}, {num_rows} rows, {name:>10}"
            print(f"{case}: {1000 * statistics.median(times):6.1f} ms, {ratio:.2f} of none")


if __name__ == "__main__":
    main()
