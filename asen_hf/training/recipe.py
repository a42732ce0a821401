"""Recipes: what to train, on what and how, as YAML that is also a set of flags.

A recipe file is the experiment. It has three sections: ``model`` (the backbone's fields of AsenConfig), ``tasks`` (a
list of :class:`~asen_hf.training.task_recipe.TaskRecipe`) and ``training`` (the fields of :class:`TrainingRecipe`). Every scalar
field of the first and the last is a flag of the same name, and flags override the file.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_origin

import yaml
from datasets import DatasetDict, disable_progress_bars
from transformers import HfArgumentParser
from transformers.utils import CONFIG_NAME, cached_file
from transformers.utils import logging as transformers_logging

from ..model.configuration_asen import AsenConfig, TaskConfig
from .task_recipe import TaskRecipe


def described(help_text: str, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass field that is also a documented flag."""
    return dataclasses.field(default=default, metadata={"help": help_text})


@dataclasses.dataclass
class TrainingRecipe:
    """The training loop's settings; all scalars."""

    output_dir: str = described(
        "Folder of checkpoints, scores and logs; the finished model lies at its top.", "runs/asen"
    )
    seed: int = described("Seeds initialisation, data and the order of rows.", 0)
    num_epochs: float = described("Passes over the largest task's training rows; smaller tasks repeat.", 20.0)
    max_steps: int = described("Optimiser steps; overrides num_epochs when positive.", -1)
    rows_per_task: int = described("Rows of every task in one process's batch.", 32)
    gradient_accumulation_steps: int = described("Batches to one optimiser step.", 1)
    lr: float = described("Peak learning rate of AdamW (embedders and heads).", 2e-3)
    backbone_lr: float | None = described("The shared backbone's peak rate; the same as lr when not given.", None)
    weight_decay: float = described("AdamW's decoupled weight decay.", 0.01)
    warmup_ratio: float = described("Share of the steps in which the rate rises; then it decays as a cosine.", 0.05)
    max_grad_norm: float = described("Clip the gradient to this norm.", 1.0)
    mixed_precision: Literal["no", "fp16", "bf16"] = described("Accelerate's mixed precision.", "no")
    gradient_checkpointing: bool = described("Recompute layers in the backward pass to save memory.", False)
    attn_implementation: str = described(
        "How attention is computed: eager, gatv2_compile (faster, needs a C++ compiler), gatv2_chunked or gatv2_pyg.",
        "eager",
    )
    train_rows: int | None = described("Train on this many rows a task, drawn from the train split.", None)
    eval_steps: int = described("Validate and save a checkpoint every so many steps; 0 for ten times over the run.", 0)
    eval_batch_size: int = described("Rows a forward pass in validation.", 256)
    logging_steps: int = described("Report the loss every so many steps.", 10)
    report_to: str = described("Accelerate tracker, such as tensorboard; none for no tracker.", "none")
    resume_from_checkpoint: str | None = described("A checkpoint folder of this run, or latest.", None)
    push_to_hub: bool = described("Upload the finished folder, with the code that runs it, to the Hub.", False)
    hub_model_id: str | None = described("The repository's id; by default the name of output_dir.", None)

    def __post_init__(self) -> None:
        for name in ("rows_per_task", "gradient_accumulation_steps", "logging_steps", "eval_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.eval_steps < 0:
            raise ValueError(f"eval_steps must not be negative, got {self.eval_steps}")
        for name in ("lr", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.backbone_lr is not None and not self.backbone_lr >= 0:
            raise ValueError(f"backbone_lr must not be negative, got {self.backbone_lr}")
        if not 0 <= self.warmup_ratio <= 1:
            raise ValueError(f"warmup_ratio must be in [0, 1], got {self.warmup_ratio}")
        if self.max_steps < 1 and not self.num_epochs > 0:
            raise ValueError(f"num_epochs must be positive, got {self.num_epochs}")

    def recorded(self) -> dict[str, Any]:
        """The fields that a file records: not whether to upload, which is for whoever runs the recipe again to say."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name not in ("push_to_hub", "hub_model_id")}


@dataclasses.dataclass
class Recipe:
    """One experiment."""

    model: dict[str, Any]
    tasks: list[TaskRecipe]
    training: TrainingRecipe

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Read a recipe file; ``ValueError`` names the file and what in it is unknown or ill-formed."""
        return cls.parse([], path)

    @classmethod
    def parse(cls, arguments: list[str], default_path: str | Path) -> Recipe:
        """A recipe from command-line arguments: ``--recipe FILE`` and flags that override its scalars.

        Args:
            arguments: without the program's name.
            default_path: the file that is read when ``--recipe`` is not given.

        Raises:
            ValueError: an unknown flag or key, or a value that does not fit; names the file.
        """
        parser = argument_parser([_BackboneRecipe, TrainingRecipe])
        parser.add_argument("--recipe", default=str(default_path), help="YAML file; the other flags override it.")
        path = parser.parse_args(arguments).recipe
        sections = _read_sections(path)
        # A file's scalars are flags that come first, so that one parser converts, checks and overrides them all.
        flags = [
            f"--{key}={value}"
            for section in ("model", "training")
            for key, value in sections[section].items()
            if value is not None
        ]
        try:
            parser.parse_args_into_dataclasses(flags)
        except ValueError as error:
            raise ValueError(f"recipe {path}: {error}") from error
        backbone, training, _ = parser.parse_args_into_dataclasses(flags + arguments)
        return cls(dataclasses.asdict(backbone), [_task_recipe(task) for task in sections["tasks"]], training)

    def load(self) -> tuple[dict[str, TaskConfig], dict[str, DatasetDict]]:
        """All tasks' configs and rows, by name."""
        configs, data = {}, {}
        for task in self.tasks:
            configs[task.name], data[task.name] = task.load(self.training.seed)
        return configs, data

    def write(self, path: str | Path) -> None:
        """Write the recipe as YAML that :meth:`read` takes back."""
        tasks = [task.changed_fields() for task in self.tasks]
        sections = {"model": self.model, "tasks": tasks, "training": self.training.recorded()}
        Path(path).write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")


_BACKBONE_FIELDS = [
    field
    for field in dataclasses.fields(AsenConfig)
    if field.name in AsenConfig.__annotations__ and field.name != "tasks"
]
# AsenConfig's own fields as flags; argparse cannot take its `float | int`, but the defaults are of the type wanted.
_BackboneRecipe = dataclasses.make_dataclass(
    "_BackboneRecipe",
    [
        (
            field.name,
            field.type if get_origin(field.type) is Literal else type(field.default),
            described(f"AsenConfig.{field.name}", field.default),
        )
        for field in _BACKBONE_FIELDS
    ],
)


def argument_parser(dataclass_types: list[Any], **kwargs: Any) -> HfArgumentParser:
    """A parser with a flag for every field of the dataclasses, which raises ``ValueError`` instead of exiting."""
    parser = HfArgumentParser(dataclass_types, allow_abbrev=False, **kwargs)

    def error(_: HfArgumentParser, message: str) -> None:
        raise ValueError(message)

    parser.error = types.MethodType(error, parser)  # type: ignore[method-assign]
    return parser


def backbone_fields(config: AsenConfig) -> dict[str, Any]:
    """The ``model`` section of the recipe that makes this config's backbone."""
    return {field.name: getattr(config, field.name) for field in _BACKBONE_FIELDS}


def load_config(checkpoint: str) -> AsenConfig:
    """A checkpoint's config. ``ValueError`` names a checkpoint that is neither a folder here nor on the Hub."""
    try:
        if cached_file(checkpoint, CONFIG_NAME) is None:  # transformers would take a default config
            raise OSError(f"the folder has no {CONFIG_NAME}")
        return AsenConfig.from_pretrained(checkpoint)
    except OSError as error:
        raise ValueError(
            f"checkpoint {checkpoint}: no such folder with a config.json, nor a Hub id: {error}"
        ) from error


def script(main: Callable[[], None]) -> Callable[[], None]:
    """For scripts: no progress bars but the loop's own; a ``ValueError`` or ``OSError`` is one line and status 2."""

    @functools.wraps(main)
    def run() -> None:
        transformers_logging.disable_progress_bar()
        disable_progress_bars()
        warnings.formatwarning = lambda message, *_args, **_kwargs: f"warning: {message}\n"
        try:
            main()
        except (ValueError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # some libraries' have several lines
            raise SystemExit(2) from error

    return run


def _read_sections(path: str) -> dict[str, Any]:
    try:
        sections = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"recipe {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"recipe {path}: not text: {error}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"recipe {path}: not YAML: {error}") from error
    known = {
        "model": [field.name for field in _BACKBONE_FIELDS],
        "tasks": None,
        "training": [field.name for field in dataclasses.fields(TrainingRecipe)],
    }
    if not isinstance(sections, dict):
        raise ValueError(f"recipe {path}: expected the sections {', '.join(known)}")
    _refuse_unknown(sections, list(known), f"recipe {path}")
    for section in ("model", "training"):
        values = sections.setdefault(section, {}) or {}
        _refuse_unknown(values, known[section] or [], f"recipe {path}, section {section}")
        for key, value in values.items():
            if not isinstance(value, str | int | float | bool | None):
                raise ValueError(f"recipe {path}, {section}.{key}: expected one value, got {value}")
        sections[section] = values
    tasks = sections.setdefault("tasks", [])
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "name" in task for task in tasks):
        raise ValueError(f"recipe {path}, section tasks: expected a list of mappings, each with a name")
    names = [task["name"] for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"recipe {path}, section tasks: two tasks have the same name among {', '.join(names)}")
    return sections


def _task_recipe(values: dict[str, Any]) -> TaskRecipe:
    _refuse_unknown(values, [field.name for field in dataclasses.fields(TaskRecipe)], f"task {values['name']!r}")
    return TaskRecipe(**{key: value for key, value in values.items() if value is not None})


def _refuse_unknown(values: Any, known: list[str], where: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a mapping, got {values!r}")
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise ValueError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(known)}")
