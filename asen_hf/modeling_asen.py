"""Any-Subgroup Equivariant Networks (Goel et al., ICLR 2026): one backbone, many permutation groups.

What is notable about this model:
- the backbone is equivariant to all of S_n; a task's group enters only as one learned vector an orbital (2-closure);
- GATv2 on the complete graph, loops included, so that diagonal orbitals keep features of their own;
- orbital tables are projected before they are gathered: nothing of size pairs × d × d is computed;
- only embedders and heads are per task; a new group is a new table, ``add_task`` away;
- orbit labels are never saved: they are recomputed from the generators in the config;
- inputs and predictions are in raw units; the statistics that normalise them travel in the config;
- where it differs from the paper: no dropout on logits, token ids are never fed as numbers, continuous inputs enter
  through a linear map and the same input layers as tokens, graph heads are linear in the pooled state.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import CONFIG_NAME, ModelOutput, cached_file
from transformers.utils.generic import can_return_tuple

from .attention import GATv2Attention
from .backbone import AsenBackbone
from .configuration_asen import AsenConfig, TaskConfig
from .symmetry import EdgeEmbedder, NodeEmbedder, SymmetryBreaker
from .triples import TripleMessages
from .units import normalized_features, predictions, task_loss

_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")

# Called by add_task with each new task. The package adds its warning about groups that are not closed; a checkpoint's
# custom code, which travels without that, adds nothing.
new_task_checks: list[Callable[[str, TaskConfig], None]] = []


@dataclasses.dataclass
class AsenMultitaskOutput(ModelOutput):
    """What :class:`AsenForMultitask` returns.

    Attributes:
        loss: mean over labels that are not ignored, in normalised units; ``None`` without labels.
        logits: ``(B, n, num_labels)`` for node tasks, ``(B, num_labels)`` for graph tasks, in normalised units.
        hidden_states: ``num_hidden_layers + 1`` tensors ``(B, n, d)``, on request.
        attentions: a tensor a layer, ``(B, H, n, n)`` (row = target) or ``(B, H, E)`` on a sparse support, on request.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class FeatureEmbedder(nn.Linear):
    """Continuous features ``(B, n, F)`` in raw units to ``(B, n, d)``."""

    def __init__(self, task: TaskConfig, hidden_size: int):
        super().__init__(task.num_features, hidden_size)  # type: ignore[arg-type]
        self.task = task

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(normalized_features(self.task, inputs).to(self.weight.dtype))


class AsenPreTrainedModel(PreTrainedModel):
    config_class = AsenConfig
    base_model_prefix = "asen"
    main_input_name = "inputs"
    supports_gradient_checkpointing = True
    _no_split_modules = ["AsenLayer"]  # noqa: RUF012

    config: AsenConfig

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, FeatureEmbedder):
            # The LayerNorm that follows would hide the features' magnitude behind a zero bias.
            init.normal_(module.weight)
            init.normal_(module.bias)
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, GATv2Attention):
            init.xavier_uniform_(module.attention_vector)
            init.zeros_(module.bias)
            if module.gate_projection is not None:
                init.zeros_(module.gate_projection.weight)  # a new layer starts as plain GATv2
        elif isinstance(module, SymmetryBreaker):
            for name, labels in module.compute_labels().items():
                init.copy_(getattr(module, name), labels)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint, whole or not at all. Arguments as in ``transformers.PreTrainedModel.from_pretrained``.

        Raises:
            OSError: a file is missing (it is named).
            ValueError: the weights file is truncated or corrupt, or does not hold exactly what the config calls for.
        """
        kwargs |= {"use_safetensors": True, "ignore_mismatched_sizes": True}  # mismatches are refused below, by name
        wants_info = kwargs.pop("output_loading_info", False)
        if kwargs.get("config") is None:  # transformers would take a default one
            hub = {key: kwargs[key] for key in _HUB_ARGUMENTS if key in kwargs}
            cached_file(pretrained_model_name_or_path, CONFIG_NAME, **hub)
        try:
            loaded: Any = super().from_pretrained(
                pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
            )
        except SafetensorError as error:
            raise ValueError(
                f"model.safetensors in {pretrained_model_name_or_path} is truncated or corrupt: {error}"
            ) from error
        model, info = loaded
        # A bare AsenModel has no heads: those may all be new. Anything else missing would be silently random.
        heads = {name for name, _ in model.named_parameters() if name.startswith("heads.")}
        missing, unexpected = set(info["missing_keys"]), set(info["unexpected_keys"])
        mismatched = {key for key, *_ in info["mismatched_keys"]}
        unfit = mismatched | unexpected | (set() if missing == heads else missing)
        if unfit:
            raise ValueError(
                f"model.safetensors and config.json in {pretrained_model_name_or_path} do not fit each other: "
                f"{len(unfit)} tensor(s) missing, left over or of another shape, among them {min(unfit)}"
            )
        for tensor in model.parameters():
            # Weights mapped from a file start at any multiple of 8 bytes, and CPU matrix kernels round differently off
            # a cache line: copied into memory of their own they give the saved model's outputs bit for bit.
            tensor.data = tensor.data.clone()
        return (model, info) if wants_info else model

    def _add_module(self, modules: nn.ModuleDict, name: str, module: nn.Module) -> nn.ModuleDict:
        """``modules`` with one more, initialised; sorted by name, since optimiser state is matched by position."""
        return nn.ModuleDict(dict(sorted([*modules.items(), (name, self._ready(module))])))

    def _ready(self, module: nn.Module) -> nn.Module:
        """A new part, initialised, where and in what precision the rest is."""
        module.apply(self._init_weights)
        return module.to(device=self.device, dtype=self.dtype)


class AsenModel(AsenPreTrainedModel):
    """The shared backbone with each task's embedders, without heads.

    Args:
        config: names the tasks; their groups decide how many orbitals each table has.
    """

    _keys_to_ignore_on_load_unexpected = [r"^heads\."]  # noqa: RUF012

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        self.backbone = AsenBackbone(config)
        self.symmetry_breakers = nn.ModuleDict()
        self.token_embedders = nn.ModuleDict()
        self.edge_embedders = nn.ModuleDict()
        self.node_embedders = nn.ModuleDict()
        self.triple_embedders = nn.ModuleDict()
        for name, task in config.tasks.items():
            for modules, module in self._task_modules(task):
                getattr(self, modules)[name] = module
        self.post_init()

    def _task_modules(self, task: TaskConfig) -> list[tuple[str, nn.Module]]:
        size = self.config.hidden_size
        breaker = SymmetryBreaker(task)
        embedder = FeatureEmbedder(task, size) if task.vocab_size is None else nn.Embedding(task.vocab_size, size)
        modules: list[tuple[str, nn.Module]] = [
            ("symmetry_breakers", breaker),
            ("token_embedders", embedder),
            ("edge_embedders", EdgeEmbedder(breaker.num_pair_orbits, size)),
        ]
        if breaker.num_node_orbits:
            modules.append(("node_embedders", NodeEmbedder(breaker.num_node_orbits, size)))
        if breaker.num_triple_orbits:
            modules.append(("triple_embedders", EdgeEmbedder(breaker.num_triple_orbits, size)))
        return modules

    def add_task(self, name: str, task: TaskConfig | dict) -> None:
        """Grow the loaded model, and its config, by one task with freshly initialised embedders.

        The first task with ``"triples"`` also gives every layer weights for them. Existing weights are untouched.
        Warns where the network will have more symmetry than the task's group (see :mod:`asen_hf.closures`).

        Raises:
            ValueError: the name is taken or cannot be used, or the task is ill-formed.
        """
        task = self.config.check_new_task(name, task)
        for check in new_task_checks:
            check(name, task)
        added = self._task_modules(task)  # may yet fail, before anything has changed
        self.config.add_task(name, task)
        for modules, module in added:
            setattr(self, modules, self._add_module(getattr(self, modules), name, module))
        self._match_layers()

    def drop_task(self, name: str) -> None:
        """Remove one task's embedders, and its entry in the config.

        Raises:
            ValueError: unknown task.
        """
        self.config.drop_task(name)
        for modules in self.children():
            if isinstance(modules, nn.ModuleDict) and name in modules:
                del modules[name]
        self._match_layers()

    def _match_layers(self) -> None:
        """Layers have weights for triples if and only if a task needs them, as in a model built from the config."""
        for layer in self.backbone.layers:
            if self.config.has_triples and layer.triples is None:
                layer.triples = self._ready(TripleMessages(self.config.hidden_size))
            elif not self.config.has_triples:
                layer.register_module("triples", None)

    @can_return_tuple
    def forward(
        self,
        inputs: Tensor,
        task: str | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BaseModelOutputWithPooling:
        """Run one task's samples through the backbone.

        Args:
            inputs: ``(B, n)`` int64 tokens or ``(B, n, F)`` floats in raw units.
            task: its name; may be left out when there is only one.
            output_hidden_states, output_attentions: also return every layer's.

        Returns:
            ``last_hidden_state`` ``(B, n, d)`` (equivariant), ``pooler_output`` ``(B, d)`` (invariant), and on request
            ``hidden_states`` and ``attentions`` as in :class:`AsenMultitaskOutput`.

        Raises:
            ValueError: unknown task, or inputs of the wrong shape or dtype, out of vocabulary or not finite.
        """
        name, task_config = self.config.task(task)
        _check(task_config.check_inputs, inputs, name)
        node_features = self.token_embedders[name](inputs if task_config.vocab_size is None else inputs.long())
        breaker = self.symmetry_breakers[name]
        if name in self.node_embedders:
            node_features = node_features + self.node_embedders[name](breaker.node_labels)
        triple_features = self.triple_embedders[name]() if name in self.triple_embedders else None
        hidden_states, attentions = self.backbone(
            node_features, self.edge_embedders[name](), triple_features, breaker()
        )
        last = hidden_states[-1]
        return BaseModelOutputWithPooling(
            last_hidden_state=last,
            pooler_output=last.sum(dim=1) if self.config.pooling == "sum" else last.mean(dim=1),
            hidden_states=tuple(hidden_states) if _asked(output_hidden_states, self.config, "hidden_states") else None,
            attentions=tuple(attentions) if _asked(output_attentions, self.config, "attentions") else None,
        )


class AsenForMultitask(AsenPreTrainedModel):
    """:class:`AsenModel` with one linear head a task: on each node, or on the pooled graph.

    Args:
        config: names the tasks.
    """

    accepts_loss_kwargs = False

    def __init__(self, config: AsenConfig):
        super().__init__(config)
        self.asen = AsenModel(config)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(config.hidden_size, task.output_size) for name, task in config.tasks.items()}
        )
        self.post_init()

    def add_task(self, name: str, task: TaskConfig | dict) -> None:
        """As :meth:`AsenModel.add_task`, with a fresh head."""
        self.asen.add_task(name, task)
        head = nn.Linear(self.config.hidden_size, self.config.tasks[name].output_size)
        self.heads = self._add_module(self.heads, name, head)

    def drop_task(self, name: str) -> None:
        """As :meth:`AsenModel.drop_task`, with its head."""
        self.asen.drop_task(name)
        del self.heads[name]

    @can_return_tuple
    def forward(
        self,
        inputs: Tensor,
        task: str | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> AsenMultitaskOutput:
        """Predict one task, and with labels also its loss.

        Args:
            inputs, task, output_hidden_states, output_attentions: as in :meth:`AsenModel.forward`.
            labels: raw units. Classes: int64 ``(B, n)`` or ``(B,)``, -100 is ignored. Values: floats of the same shape,
                with a trailing ``(K,)`` for K > 1 values; NaN is ignored.

        Raises:
            ValueError: as :meth:`AsenModel.forward`, or labels of the wrong shape, dtype or range.
        """
        name, task_config = self.config.task(task)
        output = self.asen(
            inputs,
            task=name,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=True,
        )
        is_node = task_config.output_level == "node"
        logits = self.heads[name](output.last_hidden_state if is_node else output.pooler_output)
        loss = None
        if labels is not None:
            _check(task_config.check_labels, labels, name)
            if len(labels) != len(inputs):
                raise ValueError(f"task {name!r}: {len(inputs)} rows of inputs, but {len(labels)} of labels")
            loss = task_loss(task_config, logits, labels, inputs)
        return AsenMultitaskOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states, attentions=output.attentions
        )

    def predict(self, inputs: Tensor, task: str | None = None) -> Tensor:
        """Predictions of the shape that labels have, without dropout or gradients.

        Args:
            inputs, task: as in :meth:`AsenModel.forward`.

        Returns:
            int64 classes, or float32 (float64 for a float64 model) values in raw units.
        """
        with evaluating(self):
            logits = self(inputs, task=task, return_dict=True).logits
        return predictions(self.config.task(task)[1], logits, inputs)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout and gradients; afterwards the model is in the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _asked(argument: bool | None, config: AsenConfig, name: str) -> bool:
    return getattr(config, f"output_{name}") if argument is None else argument


def _check(check: Callable[..., None], tensor: Tensor, task: str) -> None:
    """Run a config's check on a tensor; off the CPU only its shape and dtype, since values would cost a device sync."""
    if torch.compiler.is_compiling():
        return
    values = tensor.detach()
    values = values if values.device.type == "cpu" else values[:0].cpu()
    array = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    check(np.asarray(array), where=f"task {task!r}: ")
