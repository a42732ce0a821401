"""Find a checkpoint: a folder, a committed checkpoint that comes with the package, or a Hub repository.

This file is part of the uploaded code too, where it finds no committed checkpoints.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import CONFIG_NAME

from ._messages import shown

_HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def checkpoint_path(name: str) -> Path:
    """Folder of a committed checkpoint, such as ``"asen-sequence-base"``, found without network access.

    Raises:
        ValueError: there is no committed checkpoint of that name; the message lists the known names.
    """
    known = _committed()
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"no committed checkpoint is called {shown(name)}; known: {', '.join(known) or 'none'}")
    return known[name]


def find_checkpoint(name_or_path: str | os.PathLike, /, **kwargs: Any) -> str | os.PathLike:
    """A folder or Hub id, checked to have a config.json; a local folder takes precedence over a committed checkpoint.

    Args:
        name_or_path: folder, name of a committed checkpoint, or Hub id.
        **kwargs: keyword arguments of ``from_pretrained``; only ``revision``, ``cache_dir`` and the like are used.

    Raises:
        ValueError: neither a text nor a path.
        OSError: there is no such checkpoint, no access to it, or it has no config.json. A name that cannot be a Hub id,
            or whose first part is a local folder, is refused without a request to the Hub.
    """
    from transformers.utils import cached_file  # only here: a command on groups looks up names without transformers

    if not isinstance(name_or_path, str | os.PathLike):
        raise ValueError(
            f"a checkpoint is a folder, a Hub id or a committed checkpoint's name, not {shown(name_or_path)}"
        )
    name = os.fspath(name_or_path)
    if os.path.isfile(name):  # the path of a config.json or a GGUF file
        return name_or_path
    if not os.path.isdir(name):
        if name in _committed():
            return _committed()[name]
        is_local = "/" in name and os.path.isdir(name.partition("/")[0])
        if is_local or not _HUB_ID.fullmatch(name):
            raise OSError(
                f"checkpoint {name}: there is no such folder, and it is neither a Hub id nor a committed checkpoint "
                f"({', '.join(_committed()) or 'none here'})"
            )
    hub = {key: kwargs[key] for key in _HUB_ARGUMENTS if key in kwargs}
    if not os.path.isdir(name):
        _check_hub_reachable(name, hub)
    try:
        found = cached_file(name, CONFIG_NAME, **hub)
    except OSError as error:  # transformers' messages span lines, and not all name the checkpoint
        raise OSError(f"cannot load {name}: {' '.join(str(error).split())}") from error
    if found is None:  # transformers would use a default config
        adapter = os.path.isfile(os.path.join(name, "adapter_config.json"))
        advice = "; load the model that its adapter was made for, and call load_adapter" if adapter else ""
        raise OSError(f"cannot load {name}: the folder has no {CONFIG_NAME}{advice}")
    return name_or_path


def _check_hub_reachable(name: str, hub: dict[str, Any]) -> None:
    """Request a config.json that is not cached once, because huggingface_hub would retry for 24 seconds."""
    place = {key: hub[key] for key in ("revision", "cache_dir") if key in hub}
    if hub.get("local_files_only") or isinstance(try_to_load_from_cache(name, CONFIG_NAME, **place), str):
        return
    url = hf_hub_url(name, CONFIG_NAME, subfolder=hub.get("subfolder") or None, revision=hub.get("revision"))
    try:
        get_hf_file_metadata(url, token=hub.get("token"))
    except OSError:
        pass  # the Hub answered, or offline mode is on: transformers reports which
    except Exception as error:  # huggingface_hub has changed its HTTP library and error classes before
        raise OSError(f"cannot load {name}: there is no such folder, and the Hub cannot be reached: {error}") from error


def _committed() -> dict[str, Path]:
    """Folders of the committed checkpoints by name, in the installed package or next to it in a checkout."""
    package = Path(__file__).parents[1]
    folders = [*package.parent.glob("hub_configs/*/"), *package.glob("hub_configs/*/")]
    return {folder.name: folder for folder in sorted(folders) if (folder / CONFIG_NAME).is_file()}
