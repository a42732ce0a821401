"""The configuration of a model, saved as JSON: the shape of the backbone and the tasks."""

import dataclasses
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.utils import is_torch_available

from ._messages import one_line, shortened, shown
from .checkpoints import find_checkpoint
from .configuration_task import TaskConfig, require, with_value_errors

__all__ = ["AUTO_MAP", "AsenConfig", "TaskConfig"]

# Classes that transformers' auto classes load from code uploaded with a checkpoint (see ``_uploaded_code``).
AUTO_MAP = {
    "AutoConfig": "configuration_asen.AsenConfig",
    "AutoModel": "modeling_asen.AsenModel",
    "AutoModelForPreTraining": "modeling_asen.AsenForMultitask",
}

# Keyword arguments that PreTrainedConfig accepts besides its dataclass fields, and attributes that Trainer and other
# libraries set on any config and that are therefore saved. All other unknown arguments are errors.
_INHERITED_KEYS = {
    *("_attn_implementation", "_commit_hash", "_name_or_path", "attn_implementation", "auto_map", "model_type"),
    *("experts_implementation", "name_or_path", "num_labels", "output_attentions", "quantization_config"),
    *("tie_word_embeddings", "torch_dtype", "use_cache"),
}


@with_value_errors
@strict
class AsenConfig(PreTrainedConfig):
    """Configuration of :class:`~asen_hf.AsenModel`: one shared backbone and any number of tasks.

    The defaults are the paper's: hidden size 128 and 4 layers of GATv2 with 8 heads (Section 5, Appendix C.2). The
    checkpoints asen-sequence-base and -invariant have 3 layers, gated messages and mean pooling, which scored better.

    Args:
        tasks: ``{name: TaskConfig or dict}``, sorted by name.
        hidden_size: width d of node states and orbital features.
        num_hidden_layers: number of GATv2 layers.
        num_attention_heads: number of heads, whose outputs are concatenated; must divide ``hidden_size``.
        negative_slope: slope of GATv2's LeakyReLU.
        hidden_dropout_prob: dropout probability of every layer's update, before the residual sum.
        layer_norm_eps: epsilon of every LayerNorm.
        gated_messages: whether orbital features also gate messages, ``(1 + g) ⊙ W_s h_j``. Plain GATv2 cannot express
            the order-1 equivariant maps of the paper's Theorem 1, because its attention weights sum to one; gates can.
        pooling: how node states are reduced to one graph state, ``"sum"`` or ``"mean"``.

    Raises:
        ValueError: a key is unknown, a value has a wrong type or range, or a task is invalid; the message names it.
    """

    model_type = "asen"

    tasks: dict = dataclasses.field(default_factory=dict)
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    negative_slope: float | int = 0.2
    hidden_dropout_prob: float | int = 0.0
    layer_norm_eps: float = 1e-5
    gated_messages: bool = False
    pooling: Literal["sum", "mean"] = "sum"

    def __post_init__(self, **kwargs: Any) -> None:
        known = {field.name for field in dataclasses.fields(self)}
        unknown = sorted(set(kwargs) - _INHERITED_KEYS)
        names = shortened(one_line(name, 100) for name in unknown)
        require(not unknown, f"AsenConfig has no {names}; it has {', '.join(sorted(known))}")
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(
            self.hidden_size % self.num_attention_heads == 0,
            f"num_attention_heads must divide hidden_size, got {self.num_attention_heads} and {self.hidden_size}",
        )
        require(self.layer_norm_eps > 0, f"layer_norm_eps must be positive, got {self.layer_norm_eps}")
        require(0 <= self.negative_slope <= 1, f"negative_slope must be in [0, 1], got {self.negative_slope}")
        require(
            0 <= self.hidden_dropout_prob < 1,
            f"hidden_dropout_prob must be in [0, 1), got {self.hidden_dropout_prob}",
        )
        tasks = {name: _task_config(name, task) for name, task in self.tasks.items()}
        self.tasks = dict(sorted(tasks.items()))
        super().__post_init__(**kwargs)

    @property
    def has_triples(self) -> bool:
        """Whether any task uses messages over triples, so that the layers have weights for them."""
        return any(task.symmetry_breaking == "triples" for task in self.tasks.values())

    def task(self, name: str | None) -> tuple[str, TaskConfig]:
        """Name and config of a task; ``None`` stands for the only task.

        Raises:
            ValueError: the name is unknown, or missing although there is not exactly one task; lists the known names.
        """
        tasks: dict[str, TaskConfig] = self.tasks
        known = ", ".join(tasks) or "none"
        if name is None:
            require(len(tasks) == 1, f"say which task; this model's tasks: {known}")
            name = next(iter(tasks))
        require(isinstance(name, str) and name in tasks, f"unknown task {shown(name)}; this model's tasks: {known}")
        return name, tasks[name]

    def check_new_task(self, name: str, task: TaskConfig | dict) -> TaskConfig:
        """The task as a TaskConfig, after the checks of :meth:`add_task`.

        Raises:
            ValueError: the name is taken or cannot be used, or the task is invalid.
        """
        require(name not in self.tasks, f"there is a task {name!r} already")
        return _task_config(name, task)

    def add_task(self, name: str, task: TaskConfig | dict) -> TaskConfig:
        """Add a task in sorted position and return it as a TaskConfig. Raises as :meth:`check_new_task`."""
        task = self.check_new_task(name, task)
        self.tasks = dict(sorted({**self.tasks, name: task}.items()))
        return task

    def drop_task(self, name: str) -> None:
        """Remove a task. Raises ``ValueError`` if there is no task of that name."""
        self.task(name)
        self.tasks = {kept: task for kept, task in self.tasks.items() if kept != name}

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> tuple[dict, dict]:
        """The config.json of a folder, a committed checkpoint or a Hub repository; ``OSError`` names a missing file."""
        return super().get_config_dict(find_checkpoint(pretrained_model_name_or_path, **kwargs), **kwargs)

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        output["tasks"] = {name: task.to_dict() for name, task in self.tasks.items()}
        # transformers copies the code into a saved folder only for a class registered with register_for_auto_class.
        # Otherwise remove the auto_map of a config loaded from the Hub: its code is not saved with it.
        output.pop("auto_map", None)
        if self._auto_class is not None:
            output["auto_map"] = dict(AUTO_MAP)
        return output


def _task_config(name: Any, task: Any) -> TaskConfig:
    """``task`` as a TaskConfig; error messages name the task."""
    _check_task_name(name)
    if isinstance(task, TaskConfig):
        return task
    require(isinstance(task, dict), f"task {shown(name)}: expected a TaskConfig or a dict, got {type(task).__name__}")
    try:
        return TaskConfig.from_dict(task)
    except ValueError as error:
        raise ValueError(f"task {shown(name)}: {error}") from error


def _check_task_name(name: Any) -> None:
    require(isinstance(name, str) and name != "", f"a task's name must be a non-empty string, got {shown(name)}")
    require("." not in name, f"a task's name becomes part of parameter names and cannot hold a dot, got {shown(name)}")
    if is_torch_available():
        from torch.nn import ModuleDict

        taken = hasattr(ModuleDict(), name)
        require(not taken, f"a task cannot be named {name!r}: torch.nn.ModuleDict keeps that name for itself")
