"""DNA: a binding site means the same at any position and on either strand. Finetune with this symmetry and check it.

Random sequences stand in for your data; every second sequence holds a motif. Columns: see asen_hf.data.real.dna.
"""

from pathlib import Path

import numpy as np

import asen_hf

MOTIF = np.array([3, 2, 0, 1, 3])  # TGACT; A, C, G, T = 0, 1, 2, 3
LENGTH = 16

rng = np.random.default_rng(0)
sequences = rng.integers(4, size=(600, LENGTH))
labels = np.arange(len(sequences)) % 2
for sequence in sequences[1::2]:  # a view: the motif is written into the rows
    start = rng.integers(LENGTH - len(MOTIF) + 1)
    sequence[start : start + len(MOTIF)] = MOTIF if rng.random() < 0.5 else 3 - MOTIF[::-1]
path = Path("runs/dna.npz")
path.parent.mkdir(exist_ok=True)
np.savez(path, sequence=sequences, label=labels, is_test=np.arange(len(labels)) >= 500)

task = asen_hf.get_task("sequence/dna_nfe2", data_path=path, reach=2)
training = {"max_steps": 150, "rows_per_task": 16, "lr": 2e-3, "backbone_lr": 1e-3}
result = asen_hf.finetune("asen-sequence-tiny", task, name="motif", **training)
print(f"test AUC {result.scores['motif'].value:.3f}")

# The other strand reads backwards, and every base becomes its complement.
test = task.load()["test"].with_format("torch")["inputs"][:]
difference = result.model(test, task="motif").logits - result.model(3 - test.flip(1), task="motif").logits
print(f"largest difference between the two strands' logits: {difference.abs().max():.5f}")
