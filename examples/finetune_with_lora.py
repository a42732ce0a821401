"""LoRA (Hu et al. 2022) with peft: the backbone is frozen, and each of its linear maps gets a low-rank correction.

The new task's embedders and head are trained in full. Needs asen-hf[lora].
"""

from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments, set_seed

from asen_hf import AsenForMultitask, get_task

set_seed(0)
task = get_task("equivariant/symmetric_difference", length=14)  # a length that the checkpoint has not seen
rows = task.load(600)
base = AsenForMultitask.from_pretrained("asen-sequence-base")
base.add_task("new", task.config)
for name in base.config.tasks.keys() - {"new"}:
    base.drop_task(name)

lora = LoraConfig(
    r=8,
    target_modules=r".*\.backbone\..*projection",
    modules_to_save=["token_embedders.new", "edge_embedders.new", "heads.new"],
)
model = get_peft_model(base, lora)
model.print_trainable_parameters()
settings = TrainingArguments(
    "runs/lora",
    num_train_epochs=10,
    per_device_train_batch_size=32,
    learning_rate=1e-2,
    report_to="none",
    dataloader_pin_memory=False,  # there may be no accelerator
)
Trainer(model, settings, train_dataset=rows["train"]).train()
model.save_pretrained("runs/lora/adapter")  # peft.PeftModel.from_pretrained loads it onto a model that has the task

merged = model.merge_and_unload()  # an ordinary checkpoint again
merged.save_pretrained("runs/lora/merged")
test = rows["test"].with_format("torch")[:]
print(f"test accuracy {(merged.predict(test['inputs']) == test['labels']).double().mean():.3f}")
