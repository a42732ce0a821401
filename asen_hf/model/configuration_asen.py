"""What a checkpoint says about itself: the backbone's shape and its tasks. JSON in, JSON out."""

import dataclasses
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.utils import is_torch_available

from .checkpoints import find_checkpoint
from .configuration_task import TaskConfig, require, with_value_errors

__all__ = ["AUTO_MAP", "AsenConfig", "TaskConfig"]

# What the auto classes find in the code that lies beside a checkpoint, where it does (see carried_code).
AUTO_MAP = {
    "AutoConfig": "configuration_asen.AsenConfig",
    "AutoModel": "modeling_asen.AsenModel",
    "AutoModelForPreTraining": "modeling_asen.AsenForMultitask",
}

# Keyword arguments that PreTrainedConfig takes besides its dataclass fields, with those that Trainer and others set on
# the config of any model, so that they are saved; any other unknown one is a mistake.
_INHERITED_KEYS = {
    *("_attn_implementation", "_commit_hash", "_name_or_path", "attn_implementation", "auto_map", "model_type"),
    *("experts_implementation", "name_or_path", "num_labels", "output_attentions", "quantization_config"),
    *("tie_word_embeddings", "torch_dtype", "use_cache"),
}


@with_value_errors
@strict
class AsenConfig(PreTrainedConfig):
    """Configuration of :class:`~asen_hf.AsenModel`: one shared backbone and any number of tasks.

    The defaults are the paper's: hidden 128, 4 layers of GATv2 with 8 heads (Section 5, Appendix C.2). The checkpoints
    asen-sequence-base and -invariant have 3 layers, gated messages and mean pooling, which measured better.

    Args:
        tasks: ``{name: TaskConfig or dict}``, kept sorted by name.
        hidden_size: width d of node states and orbital features.
        num_hidden_layers: number of GATv2 layers.
        num_attention_heads: heads, concatenated; must divide ``hidden_size``.
        negative_slope: slope of GATv2's LeakyReLU.
        hidden_dropout_prob: dropout on each layer's update, before the residual sum.
        layer_norm_eps: epsilon of every LayerNorm.
        gated_messages: let the orbital feature also gate the message, ``(1 + g) ⊙ W_s h_j``. Plain GATv2 cannot express
            the order-1 equivariant maps of the paper's Theorem 1, since its attention rows sum to one; the gate can.
        pooling: how node states become one graph state, ``"sum"`` or ``"mean"``.

    Raises:
        ValueError: for an unknown key, a wrong type or range, or an ill-formed task (its name is in the message).
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
        require(not unknown, f"AsenConfig has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
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
        """Whether some task needs messages over triples, so that the layers have weights for them."""
        return any(task.symmetry_breaking == "triples" for task in self.tasks.values())

    def task(self, name: str | None) -> tuple[str, TaskConfig]:
        """The named task; with ``None``, the only one there is.

        Raises:
            ValueError: unknown name, or no name where there are several tasks; lists those known.
        """
        tasks: dict[str, TaskConfig] = self.tasks
        known = ", ".join(tasks) or "none"
        if name is None:
            require(len(tasks) == 1, f"say which task; this model's tasks: {known}")
            name = next(iter(tasks))
        require(name in tasks, f"unknown task {name!r}; this model's tasks: {known}")
        return name, tasks[name]

    def check_new_task(self, name: str, task: TaskConfig | dict) -> TaskConfig:
        """The task as a TaskConfig, if :meth:`add_task` would take it.

        Raises:
            ValueError: the name is taken or cannot be used, or the task is ill-formed.
        """
        require(name not in self.tasks, f"there is a task {name!r} already")
        return _task_config(name, task)

    def add_task(self, name: str, task: TaskConfig | dict) -> TaskConfig:
        """Add one task, keeping them sorted; return it as a TaskConfig. ``ValueError`` as :meth:`check_new_task`."""
        task = self.check_new_task(name, task)
        self.tasks = dict(sorted({**self.tasks, name: task}.items()))
        return task

    def drop_task(self, name: str) -> None:
        """Remove one task. Raises ``ValueError`` where there is none of that name."""
        self.task(name)
        self.tasks = {other: task for other, task in self.tasks.items() if other != name}

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> tuple[dict, dict]:
        """The config.json of a folder, a committed checkpoint or a Hub repository; ``OSError`` says what is missing."""
        return super().get_config_dict(find_checkpoint(pretrained_model_name_or_path, **kwargs), **kwargs)

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        output["tasks"] = {name: task.to_dict() for name, task in self.tasks.items()}
        # transformers copies the code into every saved folder if a class is registered with register_for_auto_class. If
        # not, a config that came from the Hub must not go on naming code that is left behind there.
        output.pop("auto_map", None)
        if self._auto_class is not None:
            output["auto_map"] = dict(AUTO_MAP)
        return output


def _task_config(name: Any, task: Any) -> TaskConfig:
    """``task`` as a TaskConfig, with its name in any error."""
    _check_task_name(name)
    if isinstance(task, TaskConfig):
        return task
    require(isinstance(task, dict), f"task {name!r}: expected a TaskConfig or a dict, got {type(task).__name__}")
    try:
        return TaskConfig.from_dict(task)
    except ValueError as error:
        raise ValueError(f"task {name!r}: {error}") from error


def _check_task_name(name: Any) -> None:
    require(isinstance(name, str) and name != "", f"a task's name must be a non-empty string, got {name!r}")
    require("." not in name, f"a task's name becomes part of parameter names and cannot hold a dot, got {name!r}")
    if is_torch_available():
        from torch.nn import ModuleDict

        taken = hasattr(ModuleDict(), name)
        require(not taken, f"a task cannot be named {name!r}: torch.nn.ModuleDict keeps that name for itself")
