"""What a checkpoint says about itself: the backbone's shape and, for every task, its symmetry, inputs and labels.

A task's symmetry is data. It is written as generators (lists of disjoint cycles, so JSON can hold it) and turned into
orbit labels by the model; nothing here or elsewhere asks which task or which group it is.
"""

import dataclasses
import functools
from typing import Any, Literal, TypeVar

import numpy as np
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from sympy.combinatorics import PermutationGroup
from transformers import PreTrainedConfig
from transformers.utils import is_torch_available

from .groups import from_cycles, generators_from_cycles
from .orbits import check_edges

_IGNORED_CLASS = -100  # PyTorch's ignore_index for cross entropy
_CLASSIFICATION: Literal["single_label_classification"] = "single_label_classification"

# Keyword arguments that PreTrainedConfig takes besides its dataclass fields; any other unknown one is a mistake.
_INHERITED_KEYS = {
    *("_attn_implementation", "_commit_hash", "_name_or_path", "attn_implementation", "auto_map", "model_type"),
    *(
        "experts_implementation",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "quantization_config",
        "torch_dtype",
    ),
}

Class = TypeVar("Class", bound=type)


def _with_value_errors(cls: Class) -> Class:
    """Turn unknown keyword arguments and the strict dataclass's own errors into ``ValueError``."""
    original_init: Any = cls.__init__  # type: ignore[misc]
    original_setattr: Any = cls.__setattr__

    @functools.wraps(original_init)
    def __init__(self, **kwargs: Any) -> None:
        try:
            original_init(self, **kwargs)
        except (StrictDataclassError, TypeError) as error:
            raise ValueError(f"{cls.__name__}: {' '.join(str(error).split())}") from error

    @functools.wraps(original_setattr)
    def __setattr__(self, name: str, value: Any) -> None:
        try:
            original_setattr(self, name, value)
        except StrictDataclassError as error:
            raise ValueError(f"{cls.__name__}: {error}") from error

    cls.__init__ = __init__  # type: ignore[misc]
    cls.__setattr__ = __setattr__  # type: ignore[method-assign, assignment]
    return cls


@_with_value_errors
@strict
@dataclasses.dataclass(kw_only=True)
class TaskConfig:
    """One task: the group that acts on its points, what comes in and what goes out.

    Args:
        degree: number of points n the group acts on; inputs have n nodes.
        generators: permutations that generate the group G, each a list of disjoint cycles: ``[[[0, 1], [2, 3]]]`` is
            one generator. ``[]`` is the trivial group.
        group_name: what people call the group; never read by the model.
        edges: support, a list of pairs ``[target i, source j]`` that carry messages; ``None`` for all n² pairs. The
            pairs keep the labels of their orbitals, so the network is equivariant to the elements of G (or of its
            2-closure) that map the support to itself.
        symmetry_breaking: ``"pairs"`` colours node pairs by orbital (2-closure of G, paper Section 3.2); ``"nodes"``
            colours nodes by orbit and pairs only as equal or different (1-closure of G).
        vocab_size: number of tokens, for inputs ``(B, n)`` of token ids; exclusive with ``num_features``.
        num_features: features F a node, for inputs ``(B, n, F)`` of floats.
        output_level: ``"node"`` (one output a node, equivariant) or ``"graph"`` (one a sample, invariant).
        problem_type: ``"single_label_classification"`` or ``"regression"``.
        num_labels: number of classes (default 2, or as many as ``label_names``) or of regressed values (default 1).
        label_names: names of the classes or values.
        input_mean, input_scale: features enter as ``(inputs - input_mean) / input_scale``; a number, or one a feature.
        label_mean, label_scale: regression predicts ``(labels - label_mean) / label_scale``; a number, or one a label.
        residual_feature: index of the raw feature that node regression predicts the change from: the normalised
            target is ``(labels - inputs[..., residual_feature] - label_mean) / label_scale``.
        loss: ``"cross_entropy"`` (classification), ``"l1"`` (regression's default) or ``"mse"``.

    Raises:
        ValueError: for an unknown key, a value of the wrong type or out of range, generators that are not permutations
            of 0 … n-1, or settings that contradict each other.
    """

    degree: int
    generators: list = dataclasses.field(default_factory=list)
    group_name: str = ""
    edges: list | None = None
    symmetry_breaking: str = "pairs"
    vocab_size: int | None = None
    num_features: int | None = None
    output_level: Literal["node", "graph"] = "node"
    problem_type: Literal["single_label_classification", "regression"] = _CLASSIFICATION
    num_labels: int | None = None
    label_names: list[str] | None = None
    input_mean: float | int | list = 0.0
    input_scale: float | int | list = 1.0
    label_mean: float | int | list = 0.0
    label_scale: float | int | list = 1.0
    residual_feature: int | None = None
    loss: Literal["cross_entropy", "l1", "mse"] | None = None

    def __post_init__(self) -> None:
        self._check_symmetry()
        self._check_inputs_declared()
        self._check_outputs_declared()

    def _check_symmetry(self) -> None:
        _require(self.degree >= 1, f"degree must be at least 1, got {self.degree}")
        generators_from_cycles(self.generators, self.degree)
        self.generators = [[[int(point) for point in cycle] for cycle in cycles] for cycles in self.generators]
        if self.edges is not None:
            self.edges = check_edges(self.edges, self.degree).tolist()
        _require(
            self.symmetry_breaking != "triples",
            'symmetry_breaking="triples" is not available yet; use "pairs" (2-closure of the group) or "nodes"',
        )
        _require(
            self.symmetry_breaking in ("nodes", "pairs"),
            f'symmetry_breaking must be "nodes" or "pairs", got {self.symmetry_breaking!r}',
        )

    def _check_inputs_declared(self) -> None:
        _require(
            (self.vocab_size is None) != (self.num_features is None),
            "exactly one of vocab_size (token inputs) and num_features (continuous inputs) is needed, got "
            f"vocab_size={self.vocab_size} and num_features={self.num_features}",
        )
        size = self.vocab_size if self.num_features is None else self.num_features
        _require(size is not None and size >= 1, f"vocab_size or num_features must be at least 1, got {size}")
        for name in ("input_mean", "input_scale"):
            self._check_statistic(name, self.num_features, "num_features")

    def _check_outputs_declared(self) -> None:
        is_classes = self.problem_type == _CLASSIFICATION
        if self.num_labels is None:
            default = 2 if is_classes else 1
            self.num_labels = len(self.label_names) if self.label_names is not None else default
        if self.loss is None:
            self.loss = "cross_entropy" if is_classes else "l1"
        least = 2 if is_classes else 1
        _require(self.num_labels >= least, f"{self.problem_type} needs num_labels >= {least}, got {self.num_labels}")
        _require(
            (self.loss == "cross_entropy") == is_classes,
            f"loss must be {'cross_entropy' if is_classes else 'l1 or mse'} for {self.problem_type}, got {self.loss!r}",
        )
        if self.label_names is not None:
            _require(
                len(set(self.label_names)) == self.num_labels == len(self.label_names),
                f"label_names must be {self.num_labels} different names, got {self.label_names}",
            )
        for name in ("label_mean", "label_scale"):
            self._check_statistic(name, None if is_classes else self.num_labels, "num_labels of a regression")
        if self.residual_feature is not None:
            _require(
                self.num_features is not None and self.output_level == "node" and not is_classes,
                "residual_feature needs a node-level regression on continuous inputs",
            )
            _require(
                0 <= self.residual_feature < (self.num_features or 0),
                f"residual_feature must be in 0 … {(self.num_features or 0) - 1}, got {self.residual_feature}",
            )

    def _check_statistic(self, name: str, size: int | None, meaning: str) -> None:
        """``size`` is how many values there are to normalise; ``None`` where the task has nothing to normalise."""
        value = getattr(self, name)
        neutral = 1.0 if name.endswith("scale") else 0.0
        if size is None:
            _require(value == neutral, f"{name} applies to {meaning}, which this task lacks; got {value}")
            return
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a number or a list of numbers, got {value}") from None
        _require(
            array.shape in ((), (size,)),
            f"{name} must be one number or {size} ({meaning}), got shape {array.shape}",
        )
        _require(bool(np.isfinite(array).all()), f"{name} must be finite, got {value}")
        _require(neutral == 0.0 or bool((array > 0).all()), f"{name} must be positive, got {value}")

    @property
    def is_regression(self) -> bool:
        return self.problem_type == "regression"

    @property
    def output_size(self) -> int:
        """``num_labels``, whose default is settled by now."""
        assert self.num_labels is not None
        return self.num_labels

    def permutation_group(self) -> PermutationGroup:
        """The group G, as SymPy knows it."""
        return from_cycles(self.generators, self.degree)

    def input_shape(self) -> tuple[int, ...]:
        """Shape of one row's inputs: ``(n,)`` tokens or ``(n, F)`` features."""
        return (self.degree,) if self.num_features is None else (self.degree, self.num_features)

    def label_shape(self) -> tuple[int, ...]:
        """Shape of one row's labels: ``(n,)`` or ``()``, with a trailing ``(K,)`` for K > 1 regressed values."""
        nodes = (self.degree,) if self.output_level == "node" else ()
        return (*nodes, self.output_size) if self.is_regression and self.output_size > 1 else nodes

    def check_inputs(self, inputs: np.ndarray, first_row: int = 0, where: str = "") -> None:
        """Refuse inputs that this task cannot take.

        Args:
            inputs: ``(N, n)`` integer tokens or ``(N, n, F)`` numbers.
            first_row: number of the first row, for messages.
            where: what the rows are (a file, a task), for messages.

        Raises:
            ValueError: wrong shape or dtype, a token outside 0 … vocab_size-1, a feature that is not finite; names the
                first offending row.
        """
        _check_shape(inputs, self.input_shape(), f"{where}inputs")
        if self.vocab_size is None:
            _require(np.issubdtype(inputs.dtype, np.number), f"{where}inputs must be numbers, got {inputs.dtype}")
            _check_entries(inputs, np.isfinite(inputs), "a finite feature", first_row, f"{where}inputs")
        else:
            _require(
                np.issubdtype(inputs.dtype, np.integer),
                f"{where}inputs must be integer tokens in 0 … {self.vocab_size - 1}, got {inputs.dtype}",
            )
            allowed = (inputs >= 0) & (inputs < self.vocab_size)
            _check_entries(inputs, allowed, f"a token in 0 … {self.vocab_size - 1}", first_row, f"{where}inputs")

    def check_labels(self, labels: np.ndarray, first_row: int = 0, where: str = "") -> None:
        """Refuse labels that this task cannot learn from.

        Args:
            labels: ``(N,) + label_shape()``; integer classes (-100 is ignored) or numbers (NaN is ignored).
            first_row, where: as in :meth:`check_inputs`.

        Raises:
            ValueError: wrong shape or dtype, a class outside 0 … num_labels-1, an infinite value.
        """
        _check_shape(labels, self.label_shape(), f"{where}labels")
        if self.is_regression:
            _require(np.issubdtype(labels.dtype, np.number), f"{where}labels must be numbers, got {labels.dtype}")
            _check_entries(labels, ~np.isinf(labels), "a finite value or NaN", first_row, f"{where}labels")
        else:
            top = self.output_size - 1
            _require(
                np.issubdtype(labels.dtype, np.integer),
                f"{where}labels must be integer classes in 0 … {top}, got {labels.dtype}",
            )
            allowed = ((labels >= 0) & (labels <= top)) | (labels == _IGNORED_CLASS)
            _check_entries(labels, allowed, f"a class in 0 … {top} (or -100)", first_row, f"{where}labels")

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary that JSON can hold and ``TaskConfig(**…)`` takes back."""
        return dataclasses.asdict(self)


@_with_value_errors
@strict
class AsenConfig(PreTrainedConfig):
    """Configuration of :class:`~asen_hf.AsenModel`: one shared backbone and any number of tasks.

    The defaults are the paper's: hidden 128, 4 layers of GATv2 with 8 heads (Section 5, Appendix C.2).

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
        _require(not unknown, f"AsenConfig has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            f"num_attention_heads must divide hidden_size, got {self.num_attention_heads} and {self.hidden_size}",
        )
        _require(self.layer_norm_eps > 0, f"layer_norm_eps must be positive, got {self.layer_norm_eps}")
        _require(0 <= self.negative_slope <= 1, f"negative_slope must be in [0, 1], got {self.negative_slope}")
        _require(
            0 <= self.hidden_dropout_prob < 1,
            f"hidden_dropout_prob must be in [0, 1), got {self.hidden_dropout_prob}",
        )
        tasks = {name: _task_config(name, task) for name, task in self.tasks.items()}
        self.tasks = dict(sorted(tasks.items()))
        super().__post_init__(**kwargs)

    def task(self, name: str | None) -> tuple[str, TaskConfig]:
        """The named task; with ``None``, the only one there is.

        Raises:
            ValueError: unknown name, or no name where there are several tasks; lists those known.
        """
        tasks: dict[str, TaskConfig] = self.tasks
        known = ", ".join(tasks) or "none"
        if name is None:
            _require(len(tasks) == 1, f"say which task; this model's tasks: {known}")
            name = next(iter(tasks))
        _require(name in tasks, f"unknown task {name!r}; this model's tasks: {known}")
        return name, tasks[name]

    def check_new_task(self, name: str, task: TaskConfig | dict) -> TaskConfig:
        """The task as a TaskConfig, if :meth:`add_task` would take it.

        Raises:
            ValueError: the name is taken or cannot be used, or the task is ill-formed.
        """
        _require(name not in self.tasks, f"there is a task {name!r} already")
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

    def to_dict(self) -> dict[str, Any]:
        output = super().to_dict()
        output["tasks"] = {name: task.to_dict() for name, task in self.tasks.items()}
        return output


def _task_config(name: Any, task: Any) -> TaskConfig:
    """``task`` as a TaskConfig, with its name in any error."""
    _check_task_name(name)
    if isinstance(task, TaskConfig):
        return task
    _require(isinstance(task, dict), f"task {name!r}: expected a TaskConfig or a dict, got {type(task).__name__}")
    try:
        return TaskConfig(**task)
    except ValueError as error:
        raise ValueError(f"task {name!r}: {error}") from error


def _check_task_name(name: Any) -> None:
    _require(isinstance(name, str) and name != "", f"a task's name must be a non-empty string, got {name!r}")
    _require("." not in name, f"a task's name becomes part of parameter names and cannot hold a dot, got {name!r}")
    if is_torch_available():
        from torch.nn import ModuleDict

        taken = hasattr(ModuleDict(), name)
        _require(not taken, f"a task cannot be named {name!r}: torch.nn.ModuleDict keeps that name for itself")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_shape(array: np.ndarray, row_shape: tuple[int, ...], what: str) -> None:
    expected = "(rows" + "".join(f", {size}" for size in row_shape) + ")"
    _require(array.shape[1:] == row_shape and array.ndim > 0, f"{what} must have shape {expected}, got {array.shape}")


def _check_entries(array: np.ndarray, allowed: np.ndarray, expected: str, first_row: int, what: str) -> None:
    if not allowed.all():
        entry = tuple(np.argwhere(~allowed)[0])
        at = f" at {tuple(int(index) for index in entry[1:])}" if len(entry) > 1 else ""
        raise ValueError(f"{what}, row {first_row + entry[0]}: expected {expected}, got {array[entry]}{at}")
