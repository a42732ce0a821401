"""The base class of both models: initialisation and loading of weights, and access to the modules of a task."""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ._messages import shown
from ._uploaded_code import carried_code
from .attention import GATv2Attention
from .checkpoints import find_checkpoint
from .configuration_asen import AsenConfig, check_attn_implementation
from .gates import GateProjection
from .heads import Head
from .linear_skip import LinearSkip
from .normalization import FeatureEmbedder, MissingEmbedder
from .pairs import PairEmbedder
from .structure_embedder import StructureEmbedder
from .symmetry import ComputedBuffers
from .task_modules import TaskModules

# Arguments of from_pretrained that are refused with these values, and why.
_WITHOUT_EFFECT = {
    "from_flax": (True, "checkpoints are saved by torch"),
    "from_tf": (True, "checkpoints are saved by torch"),
}


class AsenPreTrainedModel(PreTrainedModel):
    config_class = AsenConfig
    base_model_prefix = "asen"
    main_input_name = "inputs"
    supports_gradient_checkpointing = True
    _keys_to_ignore_on_load_missing = [r"missing_embedders\."]  # noqa: RUF012
    _no_split_modules = ["GATv2Layer", "TransformerLayer"]  # noqa: RUF012

    config: AsenConfig

    def __init__(self, config: AsenConfig):
        if getattr(config, "model_type", None) != self.config_class.model_type:
            raise ValueError(f"{type(self).__name__} takes an {self.config_class.__name__}, not {shown(config)}")
        super().__init__(copy.deepcopy(config))  # models of one config must not change one another's

    def _check_and_adjust_attn_implementation(self, attn_implementation: Any, *args: Any, **kwargs: Any) -> str:
        check_attn_implementation(self.config.backbone_type, attn_implementation)
        return super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)

    def _sdpa_can_dispatch(self, is_init_check: bool = False) -> bool:
        """Whether sdpa is taken where no implementation is named; ``ValueError`` if not, which transformers expects."""
        check_attn_implementation(self.config.backbone_type, "sdpa")
        return True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module's own tensors.

        ==================  ==========================================================================
        layer               distribution
        ==================  ==========================================================================
        FeatureEmbedder     weight and bias N(0, 1)
        Head                weight Xavier uniform / 50, and / degree where pooling sums states; bias 0
        nn.Linear           weight Xavier uniform, bias 0 (projections)
        Embedding           N(0, 1): tokens, node orbits, orbitals, orbits on triples, classes of orbitals; 0 for
                            orbitals that have classes
        PairEmbedder        N(0, 1), and 0 for quantiles: a pair's feature starts linear in its numbers
        LayerNorm           weight 1, bias 0
        GATv2Attention      attention vector Xavier uniform, bias 0
        GateProjection      0: a new layer has no gates
        MissingEmbedder     0: a missing feature starts at its mean, a missing token as none
        LinearSkip          0
        StructureEmbedder   scale of logits e², penalty e⁻²; its layers as nn.Linear
        ComputedBuffers     orbit labels and the like, computed from the config; they are never saved
        ==================  ==========================================================================
        """
        if isinstance(module, FeatureEmbedder):
            # With a zero bias, the LayerNorm that follows would remove the magnitude of the features.
            init.normal_(module.weight)
            init.normal_(module.bias)
        elif isinstance(module, nn.Linear):
            # States grow with each residual layer. With small logits, a fresh model's loss is the uninformed one.
            gain = 0.02 / module.num_summed if isinstance(module, Head) else 1.0
            init.xavier_uniform_(module.weight, gain=gain)
            if module.bias is not None:
                init.zeros_(module.bias)
            if isinstance(module, GateProjection):
                init.zeros_(module.weight)
        elif isinstance(module, MissingEmbedder | LinearSkip):
            for tensor in module.state_dict(keep_vars=True).values():
                init.zeros_(tensor)
        elif isinstance(module, PairEmbedder):
            init.copy_(module.weight, module.initial_weights())
        elif isinstance(module, nn.Embedding):
            if getattr(module, "is_correction", False):
                init.zeros_(module.weight)
            else:
                init.normal_(module.weight)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, GATv2Attention):
            init.xavier_uniform_(module.attention_vector)
            init.zeros_(module.bias)
        elif isinstance(module, StructureEmbedder):
            init.constant_(module.log_scale, 2.0)
            init.constant_(module.log_penalty, -2.0)
        elif isinstance(module, ComputedBuffers):
            for name, buffer in module.compute_buffers().items():
                init.copy_(getattr(module, name), buffer)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a complete checkpoint from a folder, a name such as ``"asen-sequence-base"``, or a Hub id.

        Arguments as in ``transformers.PreTrainedModel.from_pretrained``. With ``None`` instead of a checkpoint, and
        ``config`` and ``state_dict``, tensors missing in ``state_dict`` are freshly initialised.

        Raises:
            OSError: there is no such folder or Hub id, no access to it, or a file is missing; the message names it.
            ValueError: the weights file is truncated or corrupt, a weight is not finite, tensors do not match the
                config exactly, or an argument would have no effect.
        """
        for name, (value, reason) in _WITHOUT_EFFECT.items():
            if kwargs.get(name) is value:
                raise ValueError(f"from_pretrained cannot take {name}={value}: {reason}")
        if pretrained_model_name_or_path is None:
            fresh = super().from_pretrained(None, *args, **kwargs)
            _check_finite(fresh[0] if isinstance(fresh, tuple) else fresh, "state_dict")
            return fresh
        kwargs |= {"use_safetensors": True, "ignore_mismatched_sizes": True}  # mismatches raise below, with names
        wants_info = kwargs.pop("output_loading_info", False)
        if kwargs.get("config") is None:  # first, because transformers retries every file of the Hub
            pretrained_model_name_or_path = find_checkpoint(pretrained_model_name_or_path, **kwargs)
        try:
            loaded: Any = super().from_pretrained(
                pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
            )
        except SafetensorError as error:
            raise ValueError(
                f"model.safetensors in {pretrained_model_name_or_path} is truncated or corrupt: {error}"
            ) from error
        model, info = loaded
        # A checkpoint of AsenModel has no heads and linear maps, so all of them may be new. Any missing tensor besides
        # would be random.
        heads = {key for key in model.state_dict() if key.startswith(("heads.", "linear_skips."))}
        # Checkpoints older than the vectors of missing inputs get zeros, which is how the vectors start.
        missing = {key for key in info["missing_keys"] if "missing_embedders." not in key}
        # The head of an adapter is left over in AsenModel, as those of the checkpoint are.
        ignored = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected]
        unexpected = {key for key in info["unexpected_keys"] if not any(pattern.search(key) for pattern in ignored)}
        mismatched = {key for key, *_ in info["mismatched_keys"]}
        unfit = mismatched | unexpected | (set() if missing == heads else missing)
        if unfit:
            raise ValueError(
                f"model.safetensors and config.json in {pretrained_model_name_or_path} do not fit each other: "
                f"{len(unfit)} tensor(s) missing, left over or of another shape, among them {min(unfit)}"
            )
        _check_finite(model, f"model.safetensors in {pretrained_model_name_or_path}")
        for tensor in model.parameters():
            # Weights mapped from a file are aligned to 8 bytes, and CPU matrix kernels round differently if tensors are
            # not aligned to a cache line: clone them, to get the outputs of the saved model bit for bit.
            tensor.data = tensor.data.clone()
        return (model, info) if wants_info else model

    def save_pretrained(  # type: ignore[override]  # the arguments that are passed on have the same names
        self, save_directory: Any, is_main_process: bool = True, state_dict: dict | None = None, **kwargs: Any
    ) -> None:
        """Save a checkpoint that :meth:`from_pretrained` loads whole.

        Arguments as in ``transformers.PreTrainedModel.save_pretrained``. A model with adapters is saved as a model
        without them, and the adapters beside it, because transformers alone would leave out what they do not change.

        Raises:
            ValueError: the config was changed since the model was built, so that weights and config do not fit.
        """
        if is_main_process and getattr(self, "hf_quantizer", None) is None:
            tensors = self._unadapted_tensors(self.state_dict() if state_dict is None else state_dict)
            self._check_config(tensors)
            if has_adapters(self):
                unadapted = type(self)(self.config)
                unadapted.to(dtype=self.dtype)  # type: ignore[call-arg]
                unadapted.load_state_dict({key: tensors[key] for key in unadapted.state_dict()})
                unadapted.save_pretrained(save_directory)
        super().save_pretrained(save_directory, is_main_process, state_dict, **kwargs)

    def _unadapted_tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors by the names that they have without adapters; those of the adapters keep their own."""
        for name, module in reversed(list(self.named_modules())):  # from the inside out
            for wrapped in (f"{name}.base_layer.", f"{name}.original_module.") if is_adapter(module) else ():
                tensors = {
                    f"{name}.{key.removeprefix(wrapped)}" if key.startswith(wrapped) else key: tensor
                    for key, tensor in tensors.items()
                }
        return tensors

    def _check_config(self, tensors: dict[str, Tensor]) -> None:
        """Compare the tensors with those of a new model of this config, and the orbit labels with the generators."""
        with torch.device("meta"):
            expected = type(self)(self.config).state_dict()
        unfit = [key for key in expected if key not in tensors or tensors[key].shape != expected[key].shape]
        for key, module in self.named_modules():
            if isinstance(module, ComputedBuffers):
                labels, held = module.compute_buffers(), dict(module.named_buffers())
                is_same = labels.keys() == held.keys() and all(
                    torch.equal(held[name].cpu(), value) for name, value in labels.items()
                )
                unfit += [] if is_same else [key]
        if unfit:
            raise ValueError(
                f"the config was changed since the model was built and does not fit {min(unfit)}: restore it, and "
                "change tasks by add_task, drop_task and rename_task"
            )

    def asks_for_attentions(self, output_attentions: bool | None) -> bool:
        """Whether the argument of ``forward``, or by default the config, asks for attention weights."""
        return bool(self.config.output_attentions if output_attentions is None else output_attentions)

    def modules_by_role(self) -> dict[str, TaskModules]:
        """The modules that belong to tasks, as ``{role: {task: module}}``; all remaining modules are shared."""
        raise NotImplementedError

    def drop_task(self, name: str) -> None:
        """Remove a task from the model and its config."""
        raise NotImplementedError

    def task_modules(self, name: str) -> dict[str, nn.Module]:
        """The modules of one task by role, such as ``"token_embedder"``, ``"edge_embedder"`` or ``"head"``.

        Args:
            name: name of the task.

        Raises:
            ValueError: the task is unknown.
        """
        self.config.task(name)
        return {role: modules[name] for role, modules in self.modules_by_role().items() if name in modules}

    def rename_task(self, old: str, new: str) -> None:
        """Rename a task in the config and in every module; tasks stay sorted, and weights do not change.

        Raises:
            ValueError: there is no task ``old``, ``new`` is taken or cannot be used, or an adapter changes the task.
        """
        self._check_unadapted(old)
        self.config.rename_task(old, new)
        for modules in self.modules_by_role().values():
            if old in modules:
                modules[new] = modules.pop(old)

    def _check_unadapted(self, name: str) -> None:
        """Refuse to change a task that an adapter changes: the adapter refers to the task's modules by name."""
        adapted = [role for role, module in self.task_modules(name).items() if has_adapters(module)]
        if adapted:
            raise ValueError(f"an adapter changes the {adapted[0]} of task {name!r}: merge or remove the adapter first")

    def get_input_embeddings(self) -> nn.Module:
        """The input embedder of the only task.

        Raises:
            NotImplementedError: the model does not have exactly one task.
        """
        embedders, name = self._only_embedder()
        return embedders[name]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the input embedder of the only task. Raises as :meth:`get_input_embeddings`."""
        embedders, name = self._only_embedder()
        embedders[name] = value

    def _only_embedder(self) -> tuple[TaskModules, str]:
        tasks = list(self.config.tasks)
        if len(tasks) != 1:
            raise NotImplementedError(f"each of this model's {len(tasks)} tasks has input embeddings of its own")
        return cast(TaskModules, self.base_model.token_embedders), tasks[0]

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ``NotImplementedError``: the vocabulary of a task cannot change."""
        raise NotImplementedError(
            "a task keeps its vocabulary: add a task with the new one (add_task), drop the old task (drop_task)"
        )

    def _upload_modified_files(self, working_dir: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the model's code to an upload: all uploads of transformers call this method; local saves have no code."""
        for name, content in carried_code(working_dir).items():
            Path(working_dir, name).write_bytes(content)
        return super()._upload_modified_files(working_dir, *args, **kwargs)

    def _ready(self, module: nn.Module) -> nn.Module:
        """Initialise a new module and give it the device, dtype and mode of the model."""
        module.apply(self._init_weights)
        return module.to(device=self.device, dtype=self.dtype).train(self.training)


def _check_finite(model: nn.Module, origin: str) -> None:
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(
                f"{origin}: {name} holds NaN or infinity in {tensor.dtype}, so its predictions mean nothing"
            )


@contextlib.contextmanager
def dropped_on_error(model: AsenPreTrainedModel, name: str) -> Iterator[None]:
    """Drop a task that is half added where the rest fails: weights that do not fit, or a warning made an error."""
    try:
        yield
    except BaseException:
        model.drop_task(name)
        raise


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Disable dropout and gradients, and restore the mode of every submodule afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def is_adapter(module: nn.Module) -> bool:
    """Whether the module wraps another one for peft, whose wrappers name the layers of their adapters."""
    return hasattr(module, "adapter_layer_names")


def has_adapters(module: nn.Module) -> bool:
    """Whether peft has wrapped the module or a submodule."""
    return any(is_adapter(submodule) for submodule in module.modules())
