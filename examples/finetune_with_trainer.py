"""Finetune on your own rows with plain ``transformers.Trainer``: train, evaluate, predict, resume, push.

    python examples/finetune_with_trainer.py --output_dir runs/necklace

The made-up task: necklaces of 12 beads in 3 colours, and for each bead whether its two neighbours are equal. Turning or
flipping a necklace turns or flips the answer: the dihedral group, which the checkpoint has never seen.
"""

import argparse

import numpy as np
from datasets import Dataset, DatasetDict
from transformers import EvalPrediction, Trainer, TrainingArguments, set_seed

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

BEADS, COLOURS = 12, 3
NECKLACE = TaskConfig(group=f"D{BEADS}", vocab_size=COLOURS, label_names=["different neighbours", "equal neighbours"])


def necklaces(rows: int, seed: int) -> Dataset:
    """Columns ``inputs`` and ``labels``, which are all that Trainer and the model ask for."""
    inputs = np.random.default_rng(seed).integers(COLOURS, size=(rows, BEADS))
    labels = np.roll(inputs, 1, axis=1) == np.roll(inputs, -1, axis=1)
    return Dataset.from_dict({"inputs": inputs, "labels": labels.astype(int)})


def accuracy(evaluation: EvalPrediction) -> dict[str, float]:
    """Predictions are the model's logits: for values of a regression, see asen_hf.model.normalization.predictions."""
    return {"accuracy": float((evaluation.predictions.argmax(-1) == evaluation.label_ids).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="hub_configs/asen-sequence-tiny", help="a folder or a Hub id")
    parser.add_argument("--output_dir", default="runs/necklace", help="folder for checkpoints and the final model")
    parser.add_argument("--num_epochs", type=int, default=5)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the folder")
    parser.add_argument("--hub_model_id", help="also push the result to this repository of the Hub")
    arguments = parser.parse_args()

    if arguments.hub_model_id is not None:  # Trainer uploads the folder that it saves: let the code be in there
        AsenConfig.register_for_auto_class()
        AsenForMultitask.register_for_auto_class("AutoModelForPreTraining")
    set_seed(0)
    model = AsenForMultitask.from_pretrained(arguments.checkpoint)
    model.add_task("necklace", NECKLACE)
    # Trainer passes on columns, not names of tasks: keep one task, and the model needs no name. (To keep them all, give
    # Trainer data_collator=lambda rows: {**asen_hf.data.collate(NECKLACE, rows), "task": "necklace"}.)
    for other in model.config.tasks.keys() - {"necklace"}:
        model.drop_task(other)

    data = DatasetDict({"train": necklaces(320, seed=0), "validation": necklaces(64, seed=1)})
    trainer = Trainer(
        model,
        TrainingArguments(
            arguments.output_dir,
            num_train_epochs=arguments.num_epochs,
            per_device_train_batch_size=32,
            learning_rate=3e-3,
            eval_strategy="epoch",
            save_strategy="epoch",
            report_to="none",
            dataloader_pin_memory=False,  # the rows are small
            push_to_hub=arguments.hub_model_id is not None,
            hub_model_id=arguments.hub_model_id,
        ),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        compute_metrics=accuracy,
    )
    trainer.train(resume_from_checkpoint=arguments.resume)
    trainer.save_model()

    test = trainer.predict(necklaces(200, seed=2))
    print(f"test accuracy {test.metrics['test_accuracy']:.3f}, logits {test.predictions.shape}")
    if arguments.hub_model_id is not None:
        trainer.push_to_hub()


if __name__ == "__main__":
    main()
