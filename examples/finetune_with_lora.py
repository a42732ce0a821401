"""Finetune by LoRA (Hu et al. 2022): the backbone stays, each of its linear maps gets a correction of low rank.

    pip install asen-hf[lora]
    python examples/finetune_with_lora.py --output_dir runs/lora

The new task's embedders and head are trained whole. What is trained is saved as a small adapter, which
peft.PeftModel.from_pretrained puts onto the checkpoint with the task added as below, and merged, as an ordinary one.
"""

import argparse
from pathlib import Path

from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments, set_seed

from asen_hf import AsenForMultitask
from asen_hf.data import collate, get_task

NEW_PARTS = ("token_embedders", "edge_embedders", "node_embedders", "triple_embedders", "heads")  # where there are any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="hub_configs/asen-sequence-base", help="a folder or a Hub id")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/lora"))
    parser.add_argument("--task", default="equivariant/symmetric_difference", help="a registered task")
    parser.add_argument("--length", type=int, default=14, help="its length, at best one new to the checkpoint")
    parser.add_argument("--num_epochs", type=int, default=10)
    arguments = parser.parse_args()

    set_seed(0)
    task = get_task(arguments.task, length=arguments.length)
    data = task.load(600)
    base = AsenForMultitask.from_pretrained(arguments.checkpoint)
    base.add_task("new", task.config)
    for other in base.config.tasks.keys() - {"new"}:
        base.drop_task(other)

    lora = LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules=r".*\.backbone\..*projection",
        modules_to_save=[f"{part}.new" for part in NEW_PARTS],
    )
    model = get_peft_model(base, lora)
    model.print_trainable_parameters()
    trainer = Trainer(
        model,
        TrainingArguments(
            str(arguments.output_dir),
            num_train_epochs=arguments.num_epochs,
            per_device_train_batch_size=32,
            learning_rate=1e-2,
            save_strategy="no",
            report_to="none",
            dataloader_pin_memory=False,  # the rows are small
        ),
        train_dataset=data["train"],
    )
    trainer.train()
    model.save_pretrained(arguments.output_dir / "adapter")

    merged = model.merge_and_unload()
    merged.save_pretrained(arguments.output_dir / "merged")
    test = collate(task.config, data["test"])
    predicted = AsenForMultitask.from_pretrained(arguments.output_dir / "merged").predict(test["inputs"])
    print(f"test accuracy {(predicted == test['labels']).double().mean():.3f}")


if __name__ == "__main__":
    main()
