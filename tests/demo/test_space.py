"""examples/space is a Space of Hugging Face: its metadata, and a program that only launches the demo."""

import ast
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "examples" / "space"


def test_the_metadata_names_the_program_and_the_tested_version_of_gradio():
    _, text, _ = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    metadata = yaml.safe_load(text)
    pinned = re.search(r"^gradio==(\S+)$", (ROOT / ".ci" / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert metadata["sdk"] == "gradio" and metadata["sdk_version"] == pinned
    assert (SPACE / metadata["app_file"]).is_file() and metadata["license"] == "apache-2.0"
    assert len(metadata["short_description"]) <= 60


def test_the_program_only_launches_the_demo():
    tree = ast.parse((SPACE / "app.py").read_text(encoding="utf-8"))
    [imported] = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert imported.module == "asen_hf.demo.app" and len(tree.body) == 2


def test_the_requirements_are_the_extra():
    assert "asen-hf[space]" in (SPACE / "requirements.txt").read_text()
