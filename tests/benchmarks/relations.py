"""What relations cost: CPU time of a compiled training step with and without them.

    python tests/benchmarks/relations.py

Tokens under S_{n/2} wr S_2, hidden size 64, three layers, 32 rows. Steps are interleaved, and medians of ratios are
printed, so that other programs disturb all alike.
"""

import statistics
import time

import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

RELATIONS = {"none": [], "equal": ["equal"], "order": ["order"], "sum": ["sum"]}
ROWS, WARM_UP = 32, 5


def main() -> None:
    torch.set_num_threads(1)
    for degree, num_steps in ((10, 100), (64, 25)):
        batch = {"inputs": torch.randint(10, (ROWS, degree)), "labels": torch.randint(2, (ROWS, degree))}
        steps = {}
        for name, relations in RELATIONS.items():
            task = TaskConfig(group=f"S{degree // 2} wr S2", vocab_size=10, relations=relations)
            sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "gated_messages": True}
            model = AsenForMultitask(AsenConfig(tasks={"t": task}, attn_implementation="gatv2_compile", **sizes))
            steps[name] = (model, torch.optim.AdamW(model.parameters(), fused=True))
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for step in range(WARM_UP + num_steps):
            for name, (model, optimizer) in steps.items():
                start = time.process_time()
                model.losses({"t": batch})["t"].backward()
                optimizer.step()
                optimizer.zero_grad()
                if step >= WARM_UP:
                    seconds[name].append(time.process_time() - start)
        for name, times in seconds.items():
            ratio = statistics.median(own / none for own, none in zip(times, seconds["none"], strict=True))
            print(f"n = {degree}, {name:>5}: {1000 * statistics.median(times):6.1f} ms, {ratio:.2f} of none")


if __name__ == "__main__":
    main()
