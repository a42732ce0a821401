"""Outputs of pairs: which nodes of a graph can be reached from which, where every row brings its own graph."""

import torch

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask

if __name__ == "__main__":
    model = AsenForMultitask(
        AsenConfig(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, gated_messages=True)
    )
    result = asen_hf.finetune(
        model, "graph/reachable", output_dir="runs/reachable", overwrite=True, max_steps=400, lr=2e-3
    )
    score = result.scores["graph/reachable"]
    print(f"accuracy {score.value:.3f}", end="")
    print("".join(f", {name} {value:.3f}" for name, value in score.references.items()))

    chain = torch.zeros(1, 8, 8, dtype=torch.long)
    chain[0, range(7), range(1, 8)] = 1  # 0 → 1 → … → 7
    nodes = torch.zeros(1, 8, dtype=torch.long)
    reached = result.model.predict(nodes, "graph/reachable", pairs=chain)
    right = int((reached[0] == torch.ones(8, 8).triu()).sum())
    print(f"{right} of the {reached.numel()} pairs of a chain are right")
