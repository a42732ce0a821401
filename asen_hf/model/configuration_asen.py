"""The configuration of a model, saved as JSON: the shape of the backbone and the tasks."""

import dataclasses
import re
from typing import Any, Literal, NamedTuple

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from ._messages import naming, one_line, shortened, shown
from .checkpoints import find_checkpoint
from .configuration_html import config_html
from .configuration_names import check_pairs_of_names, check_task_name
from .configuration_task import TaskConfig
from .configuration_values import require, with_value_errors

__all__ = ["AUTO_MAP", "AsenConfig", "TaskConfig"]

# Classes that transformers' auto classes load from code uploaded with a checkpoint (see ``_uploaded_code``).
AUTO_MAP = {
    "AutoConfig": "configuration_asen.AsenConfig",
    "AutoModel": "modeling_asen.AsenModel",
    "AutoModelForPreTraining": "modeling_asen.AsenForMultitask",
}

MAX_TASKS = 2**12
"""Largest number of tasks."""

MAX_WEIGHTS = 2**30
"""Largest number of weights: 4 GiB in float32."""

_LARGEST = {"hidden_size": 2**16, "num_hidden_layers": 2**10, "num_recurrences": 2**10, "num_attention_heads": 2**16}
_DTYPES = ("bfloat16", "float16", "float32", "float64")


class _BaseModel(NamedTuple):
    """What a config must know of a base model.

    Attributes:
        hidden_act: the activation of its layers, unless the config says otherwise.
        attention: a pattern of the names of its attention implementations.
        attention_names: what they are, in words.
        num_matrices: number of a layer's weight matrices of size d · d.
        unread: fields that it does not read.
    """

    hidden_act: Literal["relu", "silu", "gelu"]
    attention: str
    attention_names: str
    num_matrices: int
    unread: tuple[str, ...]


_BASE_MODELS = {
    "gatv2": _BaseModel("relu", r"eager|gatv2_\w+", '"eager" or one that begins with "gatv2_"', 4, ()),
    "transformer": _BaseModel("gelu", "sdpa|eager", '"sdpa" or "eager"', 8, ("negative_slope",)),
}

# Keyword arguments that PreTrainedConfig accepts besides its dataclass fields, and attributes that Trainer and other
# libraries set on any config and that are therefore saved. All other unknown arguments are errors.
_INHERITED_KEYS = {
    *("_attn_implementation", "_name_or_path", "attn_implementation", "auto_map", "model_type"),
    *("experts_implementation", "name_or_path", "num_labels", "output_attentions", "quantization_config"),
    *("tie_word_embeddings", "torch_dtype", "use_cache"),
}
# Keyword arguments of from_pretrained that reach from_dict and say how to load, not what.
_LOADING_KEYS = {"_from_auto", "_from_pipeline", "dtype", "gguf_file", "return_unused_kwargs"}
# The inherited fields and keys that nothing here reads: the values that are accepted besides None, and the reason.
_OF_A_TASK = "it belongs to a task: set it in the TaskConfig"
_WITHOUT_EFFECT: dict[str, tuple[tuple[Any, ...], str]] = {
    "chunk_size_feed_forward": ((0,), "there is no feed-forward layer to divide"),
    "experts_implementation": ((None, "eager"), "there are no experts"),
    "id2label": ((), f"{_OF_A_TASK}, as label_names"),
    "is_encoder_decoder": ((False,), "there is no decoder"),
    "label2id": ((), f"{_OF_A_TASK}, as label_names"),
    "num_labels": ((), _OF_A_TASK),
    "problem_type": ((), _OF_A_TASK),
    "tie_word_embeddings": ((False,), "there are no output embeddings"),
    "use_cache": ((False,), "there is no cache"),
}


@with_value_errors
@strict
class AsenConfig(PreTrainedConfig):
    """Configuration of :class:`~asen_hf.AsenModel`: one shared backbone and any number of tasks.

    The defaults are the paper's: hidden size 128 and 4 layers of GATv2 with 8 heads (Section 5, Appendix C.2). The
    checkpoints asen-sequence-base and -invariant have 3 layers, gated messages and mean pooling, which scored better.

    Args:
        tasks: ``{name: TaskConfig or dict}``, sorted by name.
        backbone_type: the base model, whose layers are applied in turn: ``"gatv2"`` (the paper's), or
            ``"transformer"``, pre-norm encoder layers of dot-product attention with one bias per orbital and head.
        hidden_size: width d of node states and orbital features.
        num_hidden_layers: number of layers.
        num_recurrences: how often these layers are applied, one pass after the other with the same weights. In training
            the loss is the mean over the outputs after the passes of the last half; predictions are read after the last
            pass. A trained model may be loaded with more passes, ``from_pretrained(folder, num_recurrences=16)``.
        num_attention_heads: number of heads, whose outputs are concatenated; must divide ``hidden_size``.
        negative_slope: slope of GATv2's LeakyReLU.
        hidden_act: ``"relu"``, ``"silu"`` or ``"gelu"``: in the input layers, and after every GATv2 layer's LayerNorm
            or inside every transformer layer's MLP. Where it is left out, ``"relu"`` (the paper's) with GATv2, and
            ``"gelu"`` with transformer layers. A smooth one suits smooth outputs, such as energies.
        hidden_dropout_prob: dropout probability of every layer's update, before the residual sum.
        layer_norm_eps: epsilon of every LayerNorm.
        gated_messages: whether orbital features also gate messages: ``(1 + g) ⊙ W_s h_j``, g one number per channel in
            GATv2 and one per head in the transformer. Without gates, neither can express the order-1 equivariant maps
            of the paper's Theorem 1, because attention weights sum to one; with gates, both can.
        pooling: how node states are reduced to one graph state, ``"sum"``, ``"mean"`` or ``"max"``, by tasks that do
            not say it themselves.
        structure_embedder: whether the model holds a network that computes the rows of a new task's tables from its
            structure, for ``add_task(…, init_from="prior")``. A stream of random tasks trains it; training on other
            tasks drops it, because it fits the backbone of the stream.

    Raises:
        ValueError: a key is unknown, a value has a wrong type or range, or a task is invalid; the message names it.
    """

    model_type = "asen"

    tasks: dict = dataclasses.field(default_factory=dict)
    backbone_type: Literal["gatv2", "transformer"] = "gatv2"
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_recurrences: int = 1
    num_attention_heads: int = 8
    negative_slope: float | int = 0.2
    hidden_act: Literal["relu", "silu", "gelu"] | None = None
    hidden_dropout_prob: float | int = 0.0
    layer_norm_eps: float = 1e-5
    gated_messages: bool = False
    pooling: Literal["sum", "mean", "max"] = "sum"
    structure_embedder: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self._check_inherited(kwargs)
        base = _BASE_MODELS[self.backbone_type]
        self.hidden_act = self.hidden_act or base.hidden_act
        for name in base.unread:
            value, neutral = getattr(self, name), getattr(type(self), name)
            require(
                value == neutral,
                f'{name} has no effect with backbone_type="{self.backbone_type}": leave it out; got {value}',
            )
        for key in ("attn_implementation", "_attn_implementation"):
            check_attn_implementation(self.backbone_type, kwargs.get(key))
        for name, most in _LARGEST.items():
            value = getattr(self, name)
            require(value >= 1, f"{name} must be at least 1, got {value}")
            require(value <= most, f"{name} may be at most {most:,}, got {value:,}")
        require(
            self.hidden_size % self.num_attention_heads == 0,
            f"num_attention_heads must divide hidden_size, got {self.num_attention_heads} and {self.hidden_size}",
        )
        require(
            0 < self.layer_norm_eps < 1,
            f"layer_norm_eps must be positive and below 1, got {self.layer_norm_eps}",
        )
        require(0 <= self.negative_slope <= 1, f"negative_slope must be in [0, 1], got {self.negative_slope}")
        require(
            0 <= self.hidden_dropout_prob < 1,
            f"hidden_dropout_prob must be in [0, 1), got {self.hidden_dropout_prob}",
        )
        _check_num_tasks(self.tasks)
        tasks = {name: _task_config(name, task) for name, task in self.tasks.items()}
        self._set_tasks(tasks)
        super().__post_init__(**kwargs)
        if self.output_attentions and self._attn_implementation is None:
            self._attn_implementation = "eager"  # which computes weights; transformers would refuse them of "sdpa"

    def _check_inherited(self, kwargs: dict[str, Any]) -> None:
        """Refuse unknown keys, and inherited keys and fields that would have no effect."""
        known = {field.name for field in dataclasses.fields(self)}
        unknown = sorted(set(kwargs) - _INHERITED_KEYS)
        names = shortened(one_line(name, 100) for name in unknown)
        require(not unknown, f"AsenConfig has no {names}; it has {', '.join(sorted(known))}")
        for key, (neutral, remedy) in _WITHOUT_EFFECT.items():
            value = kwargs.get(key) if key not in known else getattr(self, key)
            require(
                value is None or value in neutral, f"{key} has no effect in AsenConfig: {remedy}; got {value!r:.80}"
            )
        kind = kwargs.get("model_type", self.model_type)
        require(kind == self.model_type, f"model_type must be {self.model_type!r} for AsenConfig, got {kind!r:.80}")
        for dtype in (self.dtype, kwargs.get("torch_dtype")):
            is_known = dtype is None or str(dtype).removeprefix("torch.") in _DTYPES
            require(is_known, f"dtype must be {', '.join(_DTYPES[:-1])} or {_DTYPES[-1]}, got {dtype!r:.80}")

    @property
    def has_triples(self) -> bool:
        """Whether any task uses messages over triples, so that the layers have weights for them."""
        return any(task.symmetry_breaking == "triples" for task in self.tasks.values())

    def task(self, name: str | None) -> tuple[str, TaskConfig]:
        """Name and config of a task; ``None`` stands for the only task.

        Raises:
            ValueError: the name is unknown, or missing although there is not exactly one task; lists the known names,
                or says how a model without tasks gets one.
        """
        tasks: dict[str, TaskConfig] = self.tasks
        at_once = "predict from labelled rows, predict(inputs, config, context=(inputs, labels)), or "
        require(
            bool(tasks),
            f"this model has no task yet: {at_once if self.structure_embedder else ''}finetune it on one"
            + ', finetune(…, init_from="prior")' * self.structure_embedder,
        )
        known = ", ".join(tasks)
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
        task = _task_config(name, task)
        require(name not in self.tasks, f"there is a task {name!r} already")
        self._check_tasks({**self.tasks, name: task})
        return task

    def add_task(self, name: str, task: TaskConfig | dict) -> TaskConfig:
        """Add a copy of a task in sorted position and return the copy. Raises as :meth:`check_new_task`."""
        return self.insert_task(name, self.check_new_task(name, task))

    def insert_task(self, name: str, task: TaskConfig) -> TaskConfig:
        """Add the result of :meth:`check_new_task` itself, which the modules of a model share with its config."""
        self._set_tasks({**self.tasks, name: task})
        return task

    def drop_task(self, name: str) -> None:
        """Remove a task. Raises ``ValueError`` if there is no task of that name."""
        self.task(name)
        self.tasks = {kept: task for kept, task in self.tasks.items() if kept != name}

    def rename_task(self, old: str, new: str) -> None:
        """Rename a task; tasks stay sorted.

        Raises:
            ValueError: there is no task ``old``, or ``new`` is taken or cannot be used.
        """
        self.task(old)
        check_task_name(new)
        require(new not in self.tasks, f"there is a task {new!r} already")
        self._set_tasks({new if name == old else name: task for name, task in self.tasks.items()})

    def _set_tasks(self, tasks: dict[str, TaskConfig]) -> None:
        self._check_tasks(tasks)
        self.tasks = dict(sorted(tasks.items()))

    def _check_tasks(self, tasks: dict[str, TaskConfig]) -> None:
        """Refuse tasks that fill the memory, or one another's places. Orbitals are counted when a model is built."""
        _check_num_tasks(tasks)
        check_pairs_of_names(tasks)
        per_layer = _BASE_MODELS[self.backbone_type].num_matrices * self.hidden_size**2
        rows = sum((task.vocab_size or task.num_features or 0) + task.output_size for task in tasks.values())
        check_num_weights(self.num_hidden_layers * per_layer + rows * self.hidden_size)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> tuple[dict, dict]:
        """The config.json of a folder, a committed checkpoint or a Hub repository; ``OSError`` names a missing file."""
        return super().get_config_dict(find_checkpoint(pretrained_model_name_or_path, **kwargs), **kwargs)

    @classmethod
    def _dict_from_json_file(cls, json_file: Any) -> dict[str, Any]:
        try:
            fields = super()._dict_from_json_file(json_file)
        except RecursionError as error:
            raise ValueError(f"{json_file} is nested too deep to be read") from error
        require(isinstance(fields, dict), f"{json_file}: a config must be a JSON object, got {type(fields).__name__}")
        return fields

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The config of a dictionary such as :meth:`to_dict` returns; ``kwargs`` override its entries.

        With ``return_unused_kwargs``, the result is ``(config, kwargs without a meaning for a config)``.

        Raises:
            ValueError: not a dictionary, or an entry or a keyword is unknown or invalid.
        """
        require(isinstance(config_dict, dict), f"a config must be a JSON object, got {type(config_dict).__name__}")
        # PreTrainedConfig would set fields on the finished config, past the checks of the constructor.
        fields = {field.name for field in dataclasses.fields(cls)} - {"dtype"}
        own = {key: kwargs.pop(key) for key in list(kwargs) if key in fields | _WITHOUT_EFFECT.keys()}
        if not kwargs.get("return_unused_kwargs"):
            unknown = sorted(kwargs.keys() - _INHERITED_KEYS - _LOADING_KEYS)
            require(not unknown, f"AsenConfig has no {', '.join(unknown)}; it has {', '.join(sorted(fields))}")
        config_dict = {**config_dict, **own}
        if isinstance(config_dict.get("tasks"), dict):  # configs older than shared_rows shared none
            tasks = config_dict["tasks"].items()
            old = {name: {"shared_rows": False, **task} if isinstance(task, dict) else task for name, task in tasks}
            config_dict["tasks"] = old
        return super().from_dict(config_dict, **kwargs)

    def _repr_html_(self) -> str:
        return config_html(self)

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        output["tasks"] = {name: task.to_dict() for name, task in self.tasks.items()}
        for key in _WITHOUT_EFFECT:  # PreTrainedConfig and Trainer set some of them, and loading refuses them
            output.pop(key, None)
        # transformers copies the code into a saved folder only for a class registered with register_for_auto_class.
        # Otherwise remove the auto_map of a config loaded from the Hub: its code is not saved with it.
        output.pop("auto_map", None)
        if self._auto_class is not None:
            output["auto_map"] = dict(AUTO_MAP)
        return output


def _check_num_tasks(tasks: dict) -> None:
    require(len(tasks) <= MAX_TASKS, f"a config may have at most {MAX_TASKS:,} tasks (MAX_TASKS), got {len(tasks):,}")


def check_attn_implementation(backbone_type: str, name: Any) -> None:
    """Refuse an attention implementation that the base model does not have; ``None`` is the base model's own choice."""
    base = _BASE_MODELS[backbone_type]
    if name is None or (isinstance(name, str) and re.fullmatch(base.attention, name)):
        return
    hint = ", which calls scaled_dot_product_attention" if name == "sdpa" else ""
    raise ValueError(
        f'attn_implementation must be {base.attention_names} with backbone_type="{backbone_type}", '
        f"got {shown(name)}{hint}"
    )


def check_num_weights(num_weights: int) -> None:
    """Refuse, before they are allocated, more than ``MAX_WEIGHTS`` weights."""
    require(
        num_weights <= MAX_WEIGHTS,
        f"the model would have over {num_weights:,} weights, but at most {MAX_WEIGHTS:,} (MAX_WEIGHTS) are allowed: "
        "choose a smaller hidden_size, vocabulary or number of layers",
    )


def _task_config(name: Any, task: Any) -> TaskConfig:
    """A copy of ``task`` as a TaskConfig, because configs share nothing; error messages name the task."""
    check_task_name(name)
    is_task = isinstance(task, TaskConfig | dict)
    require(is_task, f"task {shown(name)}: expected a TaskConfig or a dict, got {type(task).__name__}")
    with naming(f"task {shown(name)}"):
        return TaskConfig.from_dict(task.to_dict() if isinstance(task, TaskConfig) else task)
