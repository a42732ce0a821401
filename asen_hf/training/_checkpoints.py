"""Checkpoints as verbs and commands are given them: a folder, a Hub id or a committed checkpoint's name."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from transformers.utils import CONFIG_NAME, cached_file

from ..model.checkpoints import checkpoint_path
from ..model.configuration_asen import AsenConfig
from ..model.modeling_asen import AsenForMultitask


def locate(checkpoint: str | Path) -> str:
    """A committed checkpoint's folder; any other folder or Hub id as it is given."""
    if Path(checkpoint).is_dir() or "/" in str(checkpoint):
        return str(checkpoint)
    try:
        return str(checkpoint_path(str(checkpoint)))
    except ValueError:
        return str(checkpoint)  # a Hub id without an owner, or nothing: loading says which


def load_config(checkpoint: str | Path) -> AsenConfig:
    """A checkpoint's config. ``ValueError`` names a checkpoint that is neither a folder here nor on the Hub."""
    folder = locate(checkpoint)
    try:
        if cached_file(folder, CONFIG_NAME) is None:  # transformers would take a default config
            raise OSError(f"the folder has no {CONFIG_NAME}")
        return AsenConfig.from_pretrained(folder)
    except OSError as error:
        raise ValueError(
            f"checkpoint {checkpoint}: no such folder with a {CONFIG_NAME}, nor a Hub id: {error}"
        ) from error


def load_model(model_or_checkpoint: AsenForMultitask | str | Path, **options: Any) -> AsenForMultitask:
    """The model, in evaluation mode: a copy of one that is given, or loaded from a checkpoint.

    Raises:
        ValueError: there is no such checkpoint, or its files are ill-formed.
    """
    if isinstance(model_or_checkpoint, str | Path):
        load_config(model_or_checkpoint)  # has the clearest error for a checkpoint that is not there
        return AsenForMultitask.from_pretrained(locate(model_or_checkpoint), **options).eval()
    model = copy.deepcopy(check_is_model(model_or_checkpoint)).eval()
    if "attn_implementation" in options:
        model.set_attn_implementation(options["attn_implementation"])
    return model


def check_is_model(model: Any) -> AsenForMultitask:
    """The model, if it is one that verbs take. Raises ``ValueError``."""
    if not isinstance(model, AsenForMultitask):
        raise ValueError(
            "model_or_checkpoint: expected an AsenForMultitask, a checkpoint's folder or a Hub id, found "
            f"{type(model).__name__}"
        )
    return model
