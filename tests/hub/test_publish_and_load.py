"""The sections of the docs that need the Hub, run as typed against the small one."""

import json
import sys
from pathlib import Path

import pytest

from tests.snippets import AT_HUB

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("file, section", sorted(AT_HUB))
def test_a_section_runs_and_leaves_models_that_carry_their_code(hub, at_hub, file, section, tmp_path):
    for name in ("examples", "hub_configs", "training"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = (sys.executable, "-m", "tests.snippets", ROOT / file, section)
    at_hub(*command, home=tmp_path, token="hf_ada", PYTHONPATH=f"{ROOT}:{ROOT / 'training'}")
    for repository in ("ada/tiny", "ada/sets", "ada/trained"):
        files = hub.model(repository).files()
        assert {"model.safetensors", "modeling_asen.py", "groups.py"} <= files.keys()
        assert json.loads(files["config.json"].content)["auto_map"]["AutoModelForPreTraining"]
    assert "sets.json" in hub.dataset("ada/tasks").files()
