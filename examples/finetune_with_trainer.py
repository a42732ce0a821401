"""Plain ``transformers.Trainer`` on your own rows: train, evaluate, save, predict.

Necklaces of 12 beads in 3 colours: are a bead's two neighbours equal? Turning or flipping a necklace turns or flips the
answer: the dihedral group D12, which the checkpoint has never seen.
"""

import numpy as np
from datasets import Dataset
from transformers import Trainer, TrainingArguments, set_seed

from asen_hf import AsenForMultitask, TaskConfig


def necklaces(num_rows: int, seed: int) -> Dataset:
    """Columns ``inputs`` and ``labels``, the only columns that Trainer and the model need."""
    inputs = np.random.default_rng(seed).integers(3, size=(num_rows, 12))
    labels = np.roll(inputs, 1, axis=1) == np.roll(inputs, -1, axis=1)
    return Dataset.from_dict({"inputs": inputs, "labels": labels.astype(int)})


set_seed(0)
model = AsenForMultitask.from_pretrained("asen-sequence-tiny")
model.add_task("necklace", TaskConfig(group="D12", vocab_size=3, label_names=["different", "equal"]))
for name in model.config.tasks.keys() - {"necklace"}:  # Trainer passes columns, not task names: keep one task
    model.drop_task(name)
settings = TrainingArguments(
    "runs/necklace",
    num_train_epochs=5,
    per_device_train_batch_size=32,
    learning_rate=3e-3,
    eval_strategy="epoch",
    report_to="none",
    dataloader_pin_memory=False,  # there may be no accelerator
)
trainer = Trainer(model, settings, train_dataset=necklaces(320, seed=0), eval_dataset=necklaces(64, seed=1))
trainer.train()
trainer.save_model()
logits, labels, _ = trainer.predict(necklaces(200, seed=2))  # regression: asen_hf.model.heads.predictions
print(f"test accuracy {(logits.argmax(-1) == labels).mean():.3f}")
