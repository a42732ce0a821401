"""The base class of both models: initialisation and loading of weights, and access to the modules of a task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from ._uploaded_code import carried_code
from .attention import GATv2Attention
from .checkpoints import find_checkpoint
from .configuration_asen import AsenConfig
from .heads import Head
from .normalization import FeatureEmbedder
from .symmetry import SymmetryBreaker


class AsenPreTrainedModel(PreTrainedModel):
    config_class = AsenConfig
    base_model_prefix = "asen"
    main_input_name = "inputs"
    supports_gradient_checkpointing = True
    _no_split_modules = ["AsenLayer"]  # noqa: RUF012

    config: AsenConfig

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Initialise one module's own tensors.

        ==================  ==========================================================================
        layer               distribution
        ==================  ==========================================================================
        FeatureEmbedder     weight and bias N(0, 1)
        Head                weight Xavier uniform / 50, and / degree where pooling sums states; bias 0
        nn.Linear           weight Xavier uniform, bias 0 (projections)
        Embedding           N(0, 1): tokens, node orbits, orbitals, orbits on triples
        LayerNorm           weight 1, bias 0
        GATv2Attention      attention vector Xavier uniform, bias 0, gate weights 0 (starts as plain GATv2)
        SymmetryBreaker     orbit labels computed from the config; they are never saved
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
        """Load a complete checkpoint from a folder, a name such as ``"asen-sequence-base"``, or a Hub id.

        Arguments as in ``transformers.PreTrainedModel.from_pretrained``. With ``None`` instead of a checkpoint, and
        ``config`` and ``state_dict``, tensors missing in ``state_dict`` are freshly initialised.

        Raises:
            OSError: there is no such folder or Hub id, no access to it, or a file is missing; the message names it.
            ValueError: the weights file is truncated or corrupt, or its tensors do not match the config exactly.
        """
        if pretrained_model_name_or_path is None:
            return super().from_pretrained(None, *args, **kwargs)
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
        # A checkpoint of AsenModel has no heads, so all heads may be new. Any missing tensor besides would be random.
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
            # Weights mapped from a file are aligned to 8 bytes, and CPU matrix kernels round differently if tensors are
            # not aligned to a cache line: clone them, to get the outputs of the saved model bit for bit.
            tensor.data = tensor.data.clone()
        return (model, info) if wants_info else model

    def modules_by_role(self) -> dict[str, nn.ModuleDict]:
        """The modules that belong to tasks, as ``{role: {task: module}}``; all remaining modules are shared."""
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

    def rename_task_modules(self, old: str, new: str) -> None:
        """Rename the modules of a task and keep tasks sorted; the config does not change."""
        for modules in self.modules_by_role().values():
            renamed = {new if name == old else name: module for name, module in modules.items()}
            modules.clear()
            modules.update(dict(sorted(renamed.items())))

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

    def _only_embedder(self) -> tuple[nn.ModuleDict, str]:
        tasks = list(self.config.tasks)
        if len(tasks) != 1:
            raise NotImplementedError(f"each of this model's {len(tasks)} tasks has input embeddings of its own")
        return cast(nn.ModuleDict, self.base_model.token_embedders), tasks[0]

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

    def _add_module(self, modules: nn.ModuleDict, name: str, module: nn.Module) -> nn.ModuleDict:
        """``modules`` with a new initialised module, sorted by name, because optimiser state is matched by position."""
        return nn.ModuleDict(dict(sorted([*modules.items(), (name, self._ready(module))])))

    def _ready(self, module: nn.Module) -> nn.Module:
        """Initialise a new module and move it to the device and dtype of the model."""
        module.apply(self._init_weights)
        return module.to(device=self.device, dtype=self.dtype)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Disable dropout and gradients, and restore the mode of the model afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
