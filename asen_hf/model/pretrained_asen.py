"""What both models share: how weights are initialised and loaded, and how a loaded model grows."""

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
        other linear        weight Xavier uniform, bias 0 (heads and projections)
        Embedding           N(0, 1): tokens, node orbits, orbitals, triples' orbits
        LayerNorm           weight 1, bias 0
        GATv2Attention      attention vector Xavier uniform, bias 0, gate weights 0 (starts as plain GATv2)
        SymmetryBreaker     orbit labels computed from the config; they are never saved
        ==================  ==========================================================================
        """
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
        """Load a checkpoint, whole or not at all: a folder, a committed name as ``"asen-sequence-base"``, or a Hub id.

        Arguments as in ``transformers.PreTrainedModel.from_pretrained``.

        Without one (``None``, with ``config`` and ``state_dict``), tensors that ``state_dict`` lacks are new.

        Raises:
            OSError: there is no such folder or Hub id, or no access to it, or a file is missing; it is named.
            ValueError: the weights file is truncated or corrupt, or does not hold exactly what the config calls for.
        """
        if pretrained_model_name_or_path is None:
            return super().from_pretrained(None, *args, **kwargs)
        kwargs |= {"use_safetensors": True, "ignore_mismatched_sizes": True}  # mismatches are refused below, by name
        wants_info = kwargs.pop("output_loading_info", False)
        if kwargs.get("config") is None:  # before transformers asks the Hub for other files, each with several tries
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

    def modules_by_role(self) -> dict[str, nn.ModuleDict]:
        """All that belongs to single tasks: ``{role: modules by task}``; the rest is shared."""
        raise NotImplementedError

    def task_modules(self, name: str) -> dict[str, nn.Module]:
        """All modules of one task by role: ``"token_embedder"``, ``"edge_embedder"``, ``"head"`` and so on.

        Args:
            name: of the task.

        Raises:
            ValueError: unknown task.
        """
        self.config.task(name)
        return {role: modules[name] for role, modules in self.modules_by_role().items() if name in modules}

    def rename_task_modules(self, old: str, new: str) -> None:
        """Give one task's modules another name; tasks stay sorted. The config is left as it is."""
        for modules in self.modules_by_role().values():
            renamed = {new if name == old else name: module for name, module in modules.items()}
            modules.clear()
            modules.update(dict(sorted(renamed.items())))

    def get_input_embeddings(self) -> nn.Module:
        """What embeds the inputs of the only task.

        Raises:
            NotImplementedError: there are several tasks, each with an embedder of its own.
        """
        embedders, name = self._only_embedder()
        return embedders[name]

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace what embeds the inputs of the only task. Raises as :meth:`get_input_embeddings`."""
        embedders, name = self._only_embedder()
        embedders[name] = value

    def _only_embedder(self) -> tuple[nn.ModuleDict, str]:
        tasks = list(self.config.tasks)
        if len(tasks) != 1:
            raise NotImplementedError(f"each of this model's {len(tasks)} tasks has input embeddings of its own")
        return cast(nn.ModuleDict, self.base_model.token_embedders), tasks[0]

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ``NotImplementedError``: a task's vocabulary is part of what it is."""
        raise NotImplementedError("a task keeps its vocabulary: add_task another one, and drop_task the old one")

    def _upload_modified_files(self, working_dir: Any, *args: Any, **kwargs: Any) -> Any:
        """All of transformers' uploads pass through here. The code goes with them; local folders are left without."""
        for name, content in carried_code(working_dir).items():
            Path(working_dir, name).write_bytes(content)
        return super()._upload_modified_files(working_dir, *args, **kwargs)

    def _add_module(self, modules: nn.ModuleDict, name: str, module: nn.Module) -> nn.ModuleDict:
        """``modules`` with one more, initialised; sorted by name, since optimiser state is matched by position."""
        return nn.ModuleDict(dict(sorted([*modules.items(), (name, self._ready(module))])))

    def _ready(self, module: nn.Module) -> nn.Module:
        """A new part, initialised, where and in what precision the rest is."""
        module.apply(self._init_weights)
        return module.to(device=self.device, dtype=self.dtype)


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
