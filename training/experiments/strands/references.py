"""What others make of the rows of this study: logistic regression on k-mers of both strands, and a CNN of equal size.

    python training/experiments/strands/references.py

The CNN (width 9, as far as the network's messages reach, max pooling, 51k parameters) sees each training row
as either strand at random, and averages both strands' logits in prediction. Its learning rate is chosen on seed 9 by
validation, as the network's. Writes references.csv beside this file.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from asen_hf import get_task
from asen_hf.training.recipe import TrainingRecipe
from asen_hf.training.work import subsample

FOLDER = Path(__file__).parent
PATH = "../shared/data/dna_nfe2/dna_nfe2.npz"
TRAINING = {100: (160, 32), 972: (400, 64)}  # steps, and rows a step, as the network
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
CHOOSING_SEED, SEEDS = 9, (0, 1, 2)


def rows_of(train_rows: int, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Letters and labels of each split, the same rows as the study's cell of this seed."""
    splits = get_task("sequence/dna_nfe2", data_path=PATH).load(seed=seed)
    splits["train"] = subsample(splits["train"], TrainingRecipe(train_rows=train_rows, seed=seed))
    return {name: tuple(split.with_format("numpy")[:].values()) for name, split in splits.items()}  # type: ignore[misc]


def kmer_counts(letters: np.ndarray, k: int) -> np.ndarray:
    """Counts of k-mers on both strands, ``(N, 4^k)``; a k-mer and its reverse complement have equal counts."""
    counts = np.zeros((len(letters), 4**k))
    powers = 4 ** np.arange(k)[::-1]
    for strand in (letters, 3 - letters[:, ::-1]):
        codes = np.lib.stride_tricks.sliding_window_view(strand, k, axis=1) @ powers
        for row, found in enumerate(codes):
            np.add.at(counts[row], found, 1)
    return counts


def kmers(rows: dict[str, tuple[np.ndarray, np.ndarray]], k: int) -> float:
    """Test AUC of ridge-penalised logistic regression, its penalty chosen by validation."""
    features = {name: kmer_counts(letters, k) for name, (letters, _) in rows.items()}
    scale = features["train"].std(axis=0) + 1
    scores = []
    for penalty in 10.0 ** np.arange(-6, 3):
        model = LogisticRegression(C=penalty, max_iter=2000).fit(features["train"] / scale, rows["train"][1])
        found = {name: roc_auc_score(rows[name][1], model.decision_function(features[name] / scale)) for name in rows}
        scores.append((found["validation"], found["test"]))
    return max(scores)[1]


class Cnn(nn.Module):
    def __init__(self, channels: int = 84) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, channels, 9, padding=4)
        self.second = nn.Conv1d(channels, channels // 2, 9, padding=4)
        self.third = nn.Conv1d(channels // 2, channels // 2, 9, padding=4)
        self.head = nn.Linear(channels // 2, 2)

    def forward(self, letters: Tensor) -> Tensor:
        states = nn.functional.one_hot(letters, 4).float().transpose(1, 2)
        for layer in (self.first, self.second, self.third):
            states = layer(states).relu()
        return self.head(states.amax(dim=-1))


def cnn(
    rows: dict[str, tuple[np.ndarray, np.ndarray]], rate: float, steps: int, batch_size: int, seed: int
) -> tuple[float, float]:
    """Validation and test AUC of the step, one of four, that is best by validation."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Cnn()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.05)
    letters, labels = (torch.from_numpy(np.array(part)) for part in rows["train"])
    best = (0.0, 0.0)
    for step in range(1, steps + 1):
        chosen = torch.from_numpy(rng.integers(len(letters), size=batch_size))
        batch = letters[chosen]
        batch = torch.where(torch.from_numpy(rng.random(batch_size) < 0.5)[:, None], batch, 3 - batch.flip(1))
        loss = nn.functional.cross_entropy(model(batch), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % (steps // 4) == 0:
            scores = []
            for name in ("validation", "test"):
                held_out = torch.from_numpy(np.array(rows[name][0]))
                with torch.no_grad():
                    logits = model(held_out) + model(3 - held_out.flip(1))
                scores.append(float(roc_auc_score(rows[name][1], logits[:, 1] - logits[:, 0])))
            best = max(best, (scores[0], scores[1]))
    return best


def main() -> None:
    torch.set_num_threads(1)
    lines = []
    for train_rows, (steps, batch_size) in TRAINING.items():
        choosing = rows_of(train_rows, CHOOSING_SEED)
        rate = max(RATES, key=lambda rate: cnn(choosing, rate, steps, batch_size, CHOOSING_SEED)[0])
        for seed in SEEDS:
            rows = rows_of(train_rows, seed)
            lines += [[train_rows, f"{k}-mers, both strands", seed, kmers(rows, k), ""] for k in (5, 6)]
            lines.append([train_rows, "CNN, both strands", seed, cnn(rows, rate, steps, batch_size, seed)[1], rate])
    with (FOLDER / "references.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["train_rows", "reference", "seed", "test_auc", "lr"])
        writer.writerows(lines)
    for train_rows in TRAINING:
        for name in dict.fromkeys(line[1] for line in lines):
            values = [line[3] for line in lines if line[:2] == [train_rows, name]]
            print(f"{train_rows:>4} rows, {name}: {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")


if __name__ == "__main__":
    print(f"CNN: {sum(parameter.numel() for parameter in Cnn().parameters()):,} parameters")
    main()
