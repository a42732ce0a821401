"""Find and load checkpoints by folder, Hub id or the name of a committed checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from huggingface_hub.constants import CONFIG_NAME
from huggingface_hub.errors import HFValidationError

from ..model._messages import one_line
from ..model.configuration_asen import AsenConfig
from ..model.modeling_asen import AsenForMultitask


def load_config(checkpoint: str | Path) -> AsenConfig:
    """A checkpoint's config. ``ValueError`` names a checkpoint that is neither a local folder nor on the Hub."""
    try:
        return AsenConfig.from_pretrained(checkpoint)
    except (OSError, HFValidationError) as error:
        raise ValueError(
            f"checkpoint {one_line(checkpoint, 300)}: no such folder with a {CONFIG_NAME}, nor a Hub id: "
            f"{one_line(error)}"
        ) from error


def load_model(model_or_checkpoint: AsenForMultitask | str | Path, **options: Any) -> AsenForMultitask:
    """The model, in evaluation mode: a copy of the given model, or loaded from a checkpoint.

    Raises:
        ValueError: there is no such checkpoint, or its files are ill-formed.
    """
    if isinstance(model_or_checkpoint, str | Path):
        load_config(model_or_checkpoint)  # its error for a missing checkpoint is clearer than from_pretrained's
        return AsenForMultitask.from_pretrained(model_or_checkpoint, **options).eval()
    model = copy.deepcopy(check_is_model(model_or_checkpoint)).eval()
    if "attn_implementation" in options:
        model.set_attn_implementation(options["attn_implementation"])
    return model


def check_is_model(model: Any) -> AsenForMultitask:
    """The model itself; ``ValueError`` unless it is an ``AsenForMultitask``."""
    if not isinstance(model, AsenForMultitask):
        raise ValueError(
            "model_or_checkpoint: expected an AsenForMultitask, a checkpoint's folder or a Hub id, found "
            f"{type(model).__name__}"
        )
    return model
