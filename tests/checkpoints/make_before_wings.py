"""Makes the folder before_wings: run it with revision a3a0eab of asen_hf and the folder as its argument."""

import json
import sys

import torch

from asen_hf import AsenConfig, AsenForMultitask

tasks = {
    "ring": {"group": "D6", "vocab_size": 3, "output_level": "graph", "label_names": ["dull", "bright"]},
    "bones": {
        "group": "S2 x S2",
        "num_features": 2,
        "problem_type": "regression",
        "num_labels": 2,
        "edges": [[0, 1], [1, 0], [2, 3], [3, 2]],
        "weak_support": True,
        "input_mean": 1.0,
        "label_scale": 2.0,
    },
    "roads": {
        "group": "C4",
        "num_features": 1,
        "edges": [[0, 1], [1, 2], [2, 3], [3, 0]],
        "symmetry_breaking": "nodes",
    },
}
torch.manual_seed(0)
model = AsenForMultitask(
    AsenConfig(tasks=tasks, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, gated_messages=True)
).eval()
model.save_pretrained(sys.argv[1])
golden = {}
for name, task in model.config.tasks.items():
    n, F = task.degree, task.num_features
    inputs = torch.arange(2 * n * (F or 1)).reshape(2, n, *([F] if F else []))
    inputs = inputs % 3 if F is None else inputs.float() / 10
    with torch.no_grad():
        golden[name] = {"inputs": inputs.tolist(), "logits": model(inputs, task=name).logits.tolist()}
with open(sys.argv[1] + "/golden.json", "w") as file:
    json.dump(golden, file)
