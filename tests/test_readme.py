"""What the README shows is executed, so that it stays true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_python_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub_configs").symlink_to(ROOT / "hub_configs")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})


def test_every_path_it_names_exists() -> None:
    named = set(re.findall(r"\b(?:training|examples|hub_configs|tests)/[\w/.-]*\w", README))
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


def test_own_table_example_writes_what_the_task_config_says(tmp_path: Path) -> None:
    from asen_hf.data import load_table
    from asen_hf.recipe import TaskRecipe

    subprocess.run(
        [sys.executable, ROOT / "examples/own_table.py", "--output_dir", tmp_path, "--rows", "40"], check=True
    )
    source = TaskRecipe("board", dataset=str(tmp_path / "boards.csv"), task_config=str(tmp_path / "board.json"))
    config, rows = source.load(seed=0)
    assert config.degree == 9
    assert sum(len(split) for split in rows.values()) == 40
    assert load_table(str(tmp_path / "boards.csv"), config)["train"].column_names == ["inputs", "labels"]
