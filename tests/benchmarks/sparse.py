"""What a training step costs on sparse supports: ``gatv2_compile`` beside ``gatv2_pyg``.

    python tests/benchmarks/sparse.py sudoku_expert.npz bb72_code.npz

Forward and backward of a model of hidden size 64 on one thread: Sudoku (729 nodes with 29 neighbours each, two layers,
four rows) and the Tanner graph of the [[72,12,6]] code (108 nodes with 19, four layers, gated, 32 rows). CPU time, in
turn, medians and minima, so that other programs disturb all alike.
"""

import statistics
import sys
import time

import torch

from asen_hf import AsenConfig, AsenForMultitask, get_task

STEPS, WARM_UP = 25, 3
MODELS = {
    "puzzle/sudoku": (4, {"num_hidden_layers": 2, "num_attention_heads": 4}),
    "code/bb72": (32, {"num_hidden_layers": 4, "num_attention_heads": 8, "gated_messages": True}),
}


def main() -> None:
    torch.set_num_threads(1)
    print("| forward and backward, ms | gatv2_pyg | gatv2_compile | ratio |\n| --- | ---: | ---: | ---: |")
    for (source, (rows, sizes)), file in zip(MODELS.items(), sys.argv[1:], strict=True):
        task = get_task(source, data_path=file)
        batch = task.load()["train"].select(range(rows)).with_format("torch")[:]
        models = {}
        for name in ("gatv2_pyg", "gatv2_compile"):
            torch.manual_seed(0)
            config = AsenConfig(tasks={"t": task.config}, hidden_size=64, attn_implementation=name, **sizes)
            models[name] = AsenForMultitask(config)
        milliseconds: dict[str, list[float]] = {name: [] for name in models}
        for step in range(WARM_UP + STEPS):
            for name, model in models.items():
                start = time.process_time()
                model(batch["inputs"], task="t", labels=batch["labels"]).loss.backward()
                if step >= WARM_UP:
                    milliseconds[name].append(1000 * (time.process_time() - start))
        cells = [f"{statistics.median(times):.0f} ({min(times):.0f})" for times in milliseconds.values()]
        pairs = zip(*milliseconds.values(), strict=True)
        print(f"| `{source}`, {rows} rows | {' | '.join(cells)} | {statistics.median(a / b for a, b in pairs):.1f} |")


if __name__ == "__main__":
    main()
