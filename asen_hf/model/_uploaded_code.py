"""The code that an uploaded checkpoint carries, so that it runs, on trust, where asen_hf is not installed."""

import json
from pathlib import Path

from transformers.dynamic_module_utils import get_relative_import_files
from transformers.utils import CONFIG_NAME

from .configuration_asen import AUTO_MAP


def carried_code(checkpoint: str | Path) -> dict[str, bytes]:
    """The files that an upload of a checkpoint holds besides the checkpoint's own, or in their place.

    Args:
        checkpoint: folder of a saved model.

    Returns:
        Contents by name: the model's module and all it imports from beside it, and a config.json that names the classes
        in them for the auto classes.
    """
    modeling = Path(__file__).with_name("modeling_asen.py")
    modules = {modeling, *map(Path, get_relative_import_files(modeling))}
    config = json.loads(Path(checkpoint, CONFIG_NAME).read_text(encoding="utf-8")) | {"auto_map": AUTO_MAP}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    return {CONFIG_NAME: text.encode(), **{path.name: path.read_bytes() for path in sorted(modules)}}
