"""The code uploaded with a checkpoint, so that ``trust_remote_code=True`` loads it without asen_hf installed."""

import json
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files
from transformers.utils import CONFIG_NAME

from .configuration_asen import AUTO_MAP


def carried_code(checkpoint: str | Path) -> dict[str, bytes]:
    """The files to add to an uploaded checkpoint; its config.json is replaced.

    Args:
        checkpoint: folder of a saved model.

    Returns:
        ``{file name: content}``: modeling_asen.py, all modules that it imports from its own folder, and a config.json
        whose ``auto_map`` names their classes.
    """
    modeling = Path(__file__).with_name("modeling_asen.py")
    modules = {modeling, *map(Path, get_relative_import_files(modeling))}
    config = json.loads(Path(checkpoint, CONFIG_NAME).read_text(encoding="utf-8")) | {"auto_map": AUTO_MAP}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    return {CONFIG_NAME: text.encode(), **{path.name: path.read_bytes() for path in sorted(modules)}}
