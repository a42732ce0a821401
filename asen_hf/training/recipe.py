"""Recipes: the model, the tasks and the training settings, as typed dataclasses and as YAML.

A recipe file has three sections: ``model`` (:class:`ModelRecipe`: the backbone's fields of AsenConfig), ``tasks`` (a
list of :class:`~asen_hf.training.task_recipe.TaskRecipe`) and ``training`` (:class:`TrainingRecipe`).
training/recipes/specimen.yaml explains every field. The record of a finetuning has a fourth, ``start``
(:class:`Start`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from datasets import DatasetDict

from ..model._messages import naming, shortened, shown
from ..model.configuration_asen import AsenConfig, TaskConfig
from ._typed_fields import described, from_mapping, refuse_unknown
from ._yaml import read_yaml, to_yaml
from .task_recipe import TaskRecipe

SECTIONS = ("model", "tasks", "training", "start")
# How one call deals with the run's folder; the record of a run leaves them out.
_OF_THE_CALL = ("resume_from_checkpoint", "overwrite")


@dataclasses.dataclass
class ModelRecipe:
    """The backbone: AsenConfig's fields without the tasks, with AsenConfig's defaults and checks."""

    backbone_type: Literal["gatv2", "transformer"] = described(
        "The base model: gatv2 (the paper's), or transformer, which takes larger graphs.", AsenConfig.backbone_type
    )
    hidden_size: int = described("Width d of node states and orbital features.", AsenConfig.hidden_size)
    num_hidden_layers: int = described("Number of layers.", AsenConfig.num_hidden_layers)
    num_recurrences: int = described(
        "How often the layers are applied, with the same weights; the loss averages the last half of the passes.",
        AsenConfig.num_recurrences,
    )
    num_attention_heads: int = described(
        "Attention heads per layer; must divide hidden_size.", AsenConfig.num_attention_heads
    )
    negative_slope: float = described("Slope of GATv2's LeakyReLU below zero.", float(AsenConfig.negative_slope))
    hidden_act: Literal["relu", "silu", "gelu"] | None = described(
        "Activation of the layers; a smooth one (silu, gelu) suits smooth outputs. Default: relu in gatv2, gelu in "
        "transformer.",
        AsenConfig.hidden_act,
    )
    hidden_dropout_prob: float = described(
        "Dropout on every layer's update, before the residual sum.", float(AsenConfig.hidden_dropout_prob)
    )
    layer_norm_eps: float = described("Epsilon of every LayerNorm.", AsenConfig.layer_norm_eps)
    gated_messages: bool = described(
        "Let orbital features also gate the messages, which attention alone cannot express.", AsenConfig.gated_messages
    )
    pooling: Literal["sum", "mean", "max"] = described(
        "How node states become one graph state: sum, mean or max.", AsenConfig.pooling
    )

    def __post_init__(self) -> None:
        self.config()

    @classmethod
    def of(cls, config: AsenConfig) -> ModelRecipe:
        """The section with this config's backbone fields."""
        return cls(**{field.name: getattr(config, field.name) for field in dataclasses.fields(cls)})

    def config(self, tasks: Mapping[str, TaskConfig] | None = None, **fields: Any) -> AsenConfig:
        """The config of a model with these tasks; ``fields`` are additional fields of the config."""
        return AsenConfig(**dataclasses.asdict(self), tasks=dict(tasks or {}), **fields)


@dataclasses.dataclass
class TrainingRecipe:
    """The training loop's settings; all scalars."""

    output_dir: str = described(
        "Folder of the run's checkpoints, scores and logs; the finished model lies at its top.", "runs/asen"
    )
    seed: int = described("Seed of the initialisation, the rows and their order.", 0)
    num_epochs: float = described("Passes over the largest task's training rows; smaller tasks repeat.", 20.0)
    max_steps: int = described("Number of optimiser steps; overrides num_epochs when positive.", -1)
    rows_per_task: int = described("Batch size per task and process.", 32)
    gradient_accumulation_steps: int = described("Number of batches per optimiser step.", 1)
    lr: float = described("Peak learning rate of AdamW for embedders and heads.", 2e-3)
    backbone_lr: float | None = described(
        "Peak learning rate of the shared backbone; default: lr in pretraining, a fraction of lr in finetuning.",
        None,
    )
    weight_decay: float = described("AdamW's decoupled weight decay.", 0.01)
    free_row_decay: float | None = described(
        "Weight decay of the rows that orbitals have besides a shared one; default: weight_decay.", None
    )
    warmup_ratio: float = described(
        "Share of the steps in which the learning rate rises; afterwards it decays as a cosine.", 0.05
    )
    max_grad_norm: float = described("Largest gradient norm; longer gradients are clipped.", 1.0)
    cosets: Literal["one", "all"] = described(
        "Of a task that is averaged over cosets, train each row on one random coset or on all of them.", "one"
    )
    mixed_precision: Literal["no", "fp16", "bf16"] = described("Accelerate's mixed precision: no, fp16 or bf16.", "no")
    gradient_checkpointing: bool = described("Recompute layers in the backward pass to save memory.", False)
    attn_implementation: str | None = described(
        "How attention is computed. Of gatv2: eager (the default), gatv2_compile (faster, needs a C++ compiler), "
        "gatv2_chunked or gatv2_pyg; of transformer: sdpa (the default) or eager. A given model keeps its own.",
        None,
    )
    train_rows: int | None = described(
        "Number of training rows per task, drawn from the train split; default: all.", None
    )
    eval_steps: int = described(
        "Steps between validations, each with a checkpoint; 0: ten per run. As many as the run has: only its end is "
        "validated, and kept.",
        0,
    )
    patience: int | None = described(
        "Stop after this many validations without a lower loss; default: train to the end.", None
    )
    eval_batch_size: int = described("Batch size in validation and testing.", 256)
    logging_steps: int = described("Number of steps between reports of the loss.", 10)
    report_to: str = described("Accelerate tracker, such as tensorboard; none for no tracker.", "none")
    resume_from_checkpoint: str | None = described(
        "Checkpoint folder of the run to resume from; latest for the last one.", None
    )
    overwrite: bool = described("Remove the run that output_dir holds, and start anew.", False)

    def __post_init__(self) -> None:
        for name in ("rows_per_task", "gradient_accumulation_steps", "logging_steps", "eval_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, got {self.patience}")
        if self.eval_steps < 0:
            raise ValueError(f"eval_steps must not be negative, got {self.eval_steps}")
        for name in ("lr", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("backbone_lr", "weight_decay", "free_row_decay"):
            value = getattr(self, name)
            if value is not None and not value >= 0:  # nor NaN
                raise ValueError(f"{name} must not be negative, got {value}")
        if not 0 <= self.warmup_ratio <= 1:
            raise ValueError(f"warmup_ratio must be in [0, 1], got {self.warmup_ratio}")
        if self.max_steps < 1 and not self.num_epochs > 0:
            raise ValueError(f"num_epochs must be positive, got {self.num_epochs}")


@dataclasses.dataclass
class Start:
    """The weights that a finetuning started from; arguments of :func:`asen_hf.finetune`.

    Attributes:
        checkpoint: a folder, a Hub id or a committed checkpoint's name; ``None`` for a model given as an object.
        init_from: the donor task, or ``"prior"`` for rows computed from the task's structure.
        from_scratch: whether the weights were random.
        keep_tasks: whether the checkpoint's other tasks were kept.
    """

    checkpoint: str | None = None
    init_from: str | None = None
    from_scratch: bool = False
    keep_tasks: bool = False


@dataclasses.dataclass
class Recipe:
    """One experiment.

    Attributes:
        model: the backbone.
        tasks: the tasks, and where their rows come from.
        training: the loop's settings.
        start: what a finetuning started from; ``None`` for a pretraining.
    """

    model: ModelRecipe
    tasks: list[TaskRecipe]
    training: TrainingRecipe
    start: Start | None = None

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Read a recipe file; ``ValueError`` names the file and its unknown or ill-formed field."""
        with naming(f"recipe {path}"):
            sections = read_yaml(path)
        return cls.from_dict(sections, f"recipe {path}")

    @classmethod
    def from_dict(cls, sections: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """A recipe from plain values, as in a recipe file.

        Args:
            sections: ``{"model": {…}, "tasks": [{"name": …, …}, …], "training": {…}}``; a section or a field that is
                left out, or is ``None``, keeps its defaults.
            where: origin of the sections, for error messages.

        Raises:
            ValueError: an unknown section or field, or a value of the wrong type or out of range; names section, field,
                expected and found value.
        """
        if not isinstance(sections, Mapping):
            raise ValueError(f"{where}: expected the sections {', '.join(SECTIONS)}, found {shown(sections)}")
        refuse_unknown(sections, SECTIONS, where)
        model, training, start = (sections.get(name) for name in ("model", "training", "start"))
        tasks = sections.get("tasks", [])
        if not isinstance(tasks, list) or not all(isinstance(task, Mapping) and "name" in task for task in tasks):
            raise ValueError(
                f"{where}, section tasks: expected a list of mappings, each with a name, found {shown(tasks)}"
            )
        names = [task["name"] for task in tasks]
        if any(names.count(name) > 1 for name in names):
            raise ValueError(
                f"{where}, section tasks: two tasks have the same name among {shortened(map(shown, names))}"
            )
        return cls(
            from_mapping(ModelRecipe, {} if model is None else model, f"{where}, section model"),
            [from_mapping(TaskRecipe, task, f"{where}, task {shown(task['name'])}") for task in tasks],
            from_mapping(TrainingRecipe, {} if training is None else training, f"{where}, section training"),
            None if start is None else from_mapping(Start, start, f"{where}, section start"),
        )

    def changed(self, **scalars: Any) -> Recipe:
        """A copy with these fields of ``model`` and ``training`` replaced. ``ValueError`` as :meth:`from_dict`."""
        model, training = dataclasses.asdict(self.model), dataclasses.asdict(self.training)
        refuse_unknown(scalars, [*model, *training], "recipe")
        for section in (model, training):
            section |= {name: value for name, value in scalars.items() if name in section}
        return Recipe(
            from_mapping(ModelRecipe, model, "recipe, section model"),
            self.tasks,
            from_mapping(TrainingRecipe, training, "recipe, section training"),
            self.start,
        )

    def refuse_start(self) -> None:
        """Raise ``ValueError`` if the recipe records a finetuning: training from random weights would not repeat it."""
        if self.start is not None:
            raise ValueError("the recipe has a section start, so it records a finetuning: use finetune")

    def load(self) -> tuple[dict[str, TaskConfig], dict[str, DatasetDict]]:
        """All tasks' configs and rows, by name."""
        configs, data = {}, {}
        for task in self.tasks:
            configs[task.name], data[task.name] = task.load(self.training.seed)
        return configs, data

    def to_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`from_dict` takes back, without ``resume_from_checkpoint`` and ``overwrite``."""
        training = dataclasses.asdict(self.training)
        sections = {
            "model": dataclasses.asdict(self.model),
            "tasks": [task.changed_fields() for task in self.tasks],
            "training": {name: value for name, value in training.items() if name not in _OF_THE_CALL},
        }
        return sections if self.start is None else {**sections, "start": dataclasses.asdict(self.start)}

    def write(self, path: str | Path) -> None:
        """Write the recipe as YAML that :meth:`read` takes back."""
        Path(path).write_text(to_yaml(self.to_dict()), encoding="utf-8")
