"""The state from which a run resumes, as JSON and safetensors: files from strangers execute no code.

::

    checkpoint-STEP/
      model.safetensors, config.json, recipe.yaml
      state/progress.json             :class:`Progress`
      state/optimizer.safetensors     AdamW's moments by parameter name
      state/random-RANK.safetensors   states of torch's generators in each process

The learning rate is a function of the step and the recipe, and has no state.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..data._json import parse_json
from ._run_folder import STATE
from ._typed_fields import from_mapping

_PROGRESS, _OPTIMIZER = "progress.json", "optimizer.safetensors"


@dataclasses.dataclass
class Progress:
    """How far a run has got.

    Attributes:
        step: number of optimiser steps done.
        loss: mean of the tasks' validation losses at this step.
        best_step, best_loss: the step with the lowest validation loss, and this loss; 0 and ``None`` before the first
            validation.
        num_processes: number of the run's processes, which the order of the rows depends on.
        rows: hash of every task's rows, ``{task: {split: hash}}``.
        scaler: the state of the gradients' scaler in fp16.
    """

    step: int = 0
    loss: float | None = None
    best_step: int = 0
    best_loss: float | None = None
    num_processes: int = 1
    rows: dict[str, Any] = dataclasses.field(default_factory=dict)
    scaler: dict[str, Any] | None = None

    def validated(self, loss: float) -> None:
        """Record the validation loss of the present step."""
        self.loss = loss
        if self.best_loss is None or loss < self.best_loss:
            self.best_step, self.best_loss = self.step, loss

    def is_stale(self, patience: int | None, eval_steps: int) -> bool:
        """Whether the last ``patience`` validations, one per ``eval_steps`` steps, were no better than the best."""
        return patience is not None and self.step >= self.best_step + patience * eval_steps


def save_random_state(folder: Path, accelerator: Accelerator) -> None:
    """Write this process's random state."""
    states = {"cpu": torch.get_rng_state()}
    if accelerator.device.type != "cpu":
        states["device"] = torch.get_device_module(accelerator.device).get_rng_state().cpu()
    save_file(states, _random_file(folder, accelerator))


def save_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Write the optimiser's state and the progress, which all processes share."""
    moments = {
        f"{key}/{name}": tensor.contiguous().cpu()
        for name, parameter in _trained(model).items()
        for key, tensor in optimizer.state.get(parameter, {}).items()
    }
    save_file(moments, folder / _OPTIMIZER)
    text = json.dumps(dataclasses.asdict(progress), indent=2, allow_nan=False)
    (folder / _PROGRESS).write_text(text + "\n", encoding="utf-8")


def read_progress(folder: Path) -> Progress:
    """The progress in a state folder. ``ValueError`` if the file is missing or ill-formed."""
    path = folder / _PROGRESS
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return from_mapping(Progress, parse_json(text, str(path)), str(path))


def load_state(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator) -> None:
    """Load a checkpoint's weights, the optimiser's state and this process's random state.

    The optimiser keeps its own settings, such as the learning rate.

    Raises:
        ValueError: a file is missing, ill-formed, or belongs to another model.
    """
    weights, own = _read(checkpoint / "model.safetensors"), model.state_dict()
    unfit = [name for name in {**weights, **own} if _shape(weights, name) != _shape(own, name)]
    if unfit:
        raise ValueError(
            f"{checkpoint / 'model.safetensors'} belongs to another model: {len(unfit)} tensors are missing, left over "
            f"or of another shape, among them {unfit[0]}"
        )
    model.load_state_dict(weights)
    state = checkpoint / STATE
    path = state / _OPTIMIZER
    moments = _read(path)
    has_moments = len(moments) > 0
    by_parameter: dict[int, dict[str, Tensor]] = {}
    for number, (name, parameter) in enumerate(_in_order(model, optimizer)):
        entries = {key: moments.pop(f"{key}/{name}", None) for key in ("step", "exp_avg", "exp_avg_sq")}
        if all(tensor is None for tensor in entries.values()) and not has_moments:
            continue  # saved before the first step
        for key, tensor in entries.items():
            if tensor is None or (key != "step" and tensor.shape != parameter.shape):
                raise ValueError(f"{path}: {key} of {name} is missing or of another shape")
        by_parameter[number] = entries  # type: ignore[assignment]
    if moments:
        raise ValueError(f"{path}: {min(moments)} belongs to no parameter of the model")
    optimizer.load_state_dict({"state": by_parameter, "param_groups": optimizer.state_dict()["param_groups"]})
    states = _read(_random_file(state, accelerator))
    try:
        torch.set_rng_state(states["cpu"])
        if accelerator.device.type != "cpu":
            torch.get_device_module(accelerator.device).set_rng_state(states["device"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"{_random_file(state, accelerator)}: not a random state: {error}") from error


def _random_file(folder: Path, accelerator: Accelerator) -> Path:
    return folder / f"random-{accelerator.process_index}.safetensors"


def _shape(tensors: Mapping[str, Tensor], name: str) -> torch.Size | None:
    return tensors[name].shape if name in tensors else None


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: {error}") from error


def _trained(model: nn.Module) -> Mapping[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _in_order(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[str, nn.Parameter]]:
    """Names and parameters in the order in which the optimiser's state numbers them."""
    names = {parameter: name for name, parameter in _trained(model).items()}
    return [(names[parameter], parameter) for group in optimizer.param_groups for parameter in group["params"]]
