"""Does a protein bind this DNA? A site means the same wherever it lies and from either strand: say so, finetune, check.

    python examples/dna.py --output_dir runs/dna [--data_path sites.npz]

Without a file of yours (sequence, label, is_test: see asen_hf.data.real.dna), it hides a motif in random sequences.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from asen_hf import AsenForMultitask
from asen_hf.data import collate
from asen_hf.evaluation.scoreboard import format_scoreboard, scoreboard
from asen_hf.training.loop import train
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

A, C, G, T = range(4)
MOTIF = [T, G, A, C, T]


def sites(path: Path, rows: int = 600, length: int = 16) -> None:
    """Write random sequences; half hold the motif, on either strand, and no other one does."""
    rng = np.random.default_rng(0)
    strands = [MOTIF, [3 - base for base in reversed(MOTIF)]]
    sequences = rng.integers(4, size=(rows, length))
    labels = np.arange(rows) % 2
    for sequence, label in zip(sequences, labels, strict=True):
        while any((sequence[k : k + 5] == motif).all() for motif in strands for k in range(length - 4)):
            sequence[:] = rng.integers(4, size=length)
        if label:
            start = rng.integers(length - 4)
            sequence[start : start + 5] = strands[rng.integers(2)]
    np.savez(path, sequence=sequences.astype(np.uint8), label=labels, is_test=np.arange(rows) >= rows - 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, help="your sequences; made up when not given")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/dna"), help="folder for data and model")
    parser.add_argument("--checkpoint", default="hub_configs/asen-sequence-tiny", help="a folder or a Hub id")
    parser.add_argument("--max_steps", type=int, default=150)
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    path = arguments.data_path or arguments.output_dir / "sites.npz"
    if arguments.data_path is None:
        sites(path)

    options = {"data_path": str(path), "group": "shifts_and_reverse_complement", "reach": 2}
    source = TaskRecipe(name="sequence/dna_nfe2", options=options)
    config, data = source.load(seed=0)
    model = AsenForMultitask.from_pretrained(arguments.checkpoint)
    model.add_task(source.name, config)
    settings = {"max_steps": arguments.max_steps, "rows_per_task": 16, "lr": 2e-3, "backbone_lr": 1e-3}
    training = TrainingRecipe(output_dir=str(arguments.output_dir), **settings)
    train(model, {source.name: data}, Recipe(ModelRecipe.of(model.config), [source], training))
    print(format_scoreboard(scoreboard(model, {source.name: data})))

    # The other strand, read backwards, is the same node features in reverse order: the answer is the same.
    test = collate(config, data["test"])["inputs"]
    with torch.no_grad():
        one, other = (model.eval()(strand, task=source.name).logits for strand in (test, test.flip(1)))
    print(f"largest difference between the two strands' logits: {(one - other).abs().max():.1e}")


if __name__ == "__main__":
    main()
