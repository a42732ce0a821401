"""What README.md and examples/README.md, the cookbook, show is executed, so that it stays true."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests import snippets
from tests.snippets import AT_HUB, Block, Session, read_sections, split_commands

ROOT = Path(__file__).parents[1]
README, COOKBOOK = ROOT / "README.md", ROOT / "examples" / "README.md"
SECTIONS = [
    pytest.param(ROOT / file, section, id=f"{file}: {section}")
    for file in ("README.md", "examples/README.md")
    for section in read_sections(ROOT / file)
    if (file, section) not in AT_HUB  # tests/hub/test_publish_and_load.py
]
# peft asks the model for a property that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that looks like the repository's root, and keeps what is written apart."""
    for name in ("examples", "hub_configs", "training"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path, section", SECTIONS)
def test_what_a_section_shows_runs_as_typed(path: Path, section: str, repository: Path) -> None:
    if path == README:  # what `make pretrain` leaves, and the file that is the user's to provide
        (repository / "runs").mkdir()
        (repository / "runs" / "asen-sequence-tiny").symlink_to(ROOT / "hub_configs" / "asen-sequence-tiny")
        runpy.run_path("examples/traffic.py")["two_roads"](repository / "metr_la_week.npz", days=1)
    session = Session()
    for block in read_sections(path)[section]:
        session.run(block)


@pytest.mark.slow
def test_the_readmes_own_table_is_learned_when_nothing_is_shortened(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snippets, "SHORTER", {})
    session = Session()
    for block in read_sections(README)["Your own table, in three commands"]:
        if block.language == "bash":
            session.run(block)
    assert "accuracy 1.0000" in session.printed and "majority 0.6568" in session.printed
    said = "`tensor([[1, 1, 1, 0, 0, 0, 0, 0, 0]])`"
    assert said in README.read_text(encoding="utf-8") and said.strip("`") in session.printed


@pytest.mark.parametrize(
    "text, message",
    [
        ("1. so\n   ```bash\n   ls\n   ```\n", ":2: a block must begin with"),
        ("```python\n1\n", "a block is not closed"),
    ],
)
def test_no_block_is_overlooked(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match=re.escape(message)):
        read_sections(path)


def test_commands_are_split_as_a_shell_does() -> None:
    text = """
        first "two words" 'x = "y"'  # a comment & more
        A=1 second \\
            --flag [1] && third {"a":1} -c "
        line"
    """
    assert list(split_commands(text.replace('{"a":1}', "'{\"a\": 1}'"))) == [
        ["first", "two words", 'x = "y"'],
        ["A=1", "second", "--flag", "[1]"],
        ["third", '{"a": 1}', "-c", "\n        line"],
    ]


@pytest.mark.parametrize(
    "language, text, message",
    [
        ("ruby", "puts 1", "nobody knows how to run 'ruby'"),
        ("bash", "curl example.org", "nobody knows how to run curl"),
        ("bash", "asen inspect A4 | head", "nobody knows how to run '|'"),
        ("bash", "asen inspect B4", "failed"),
        ("bash", "python training/evaluate.py --checkpoint nowhere", "ended with status 2"),
        ("text", "not printed", "not printed in this place: not printed"),
        ("", "$ asen inspect A4\n  points  5", "not printed in this place:   points  5"),
    ],
)
def test_what_cannot_run_or_is_not_as_it_says_is_named(
    language: str, text: str, message: str, repository: Path
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        Session().run(Block(language, text, "README.md:1"))


@pytest.mark.parametrize("path", [README, COOKBOOK], ids=["README", "cookbook"])
def test_every_path_it_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = {ROOT / each for each in re.findall(r"\b(?:training|examples|hub_configs|tests)/[\w/.-]*\w", text)}
    named |= {path.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text)}
    assert named
    assert not [each for each in named if not each.exists()]


def test_own_table_example_writes_what_the_task_config_says(tmp_path: Path) -> None:
    from asen_hf.data import load_table
    from asen_hf.training.task_recipe import TaskRecipe

    subprocess.run(
        [sys.executable, ROOT / "examples/own_table.py", "--output_dir", tmp_path, "--rows", "40"], check=True
    )
    source = TaskRecipe("board", dataset=str(tmp_path / "boards.csv"), task_config=str(tmp_path / "board.json"))
    config, rows = source.load(seed=0)
    assert config.degree == 9
    assert sum(len(split) for split in rows.values()) == 40
    assert load_table(str(tmp_path / "boards.csv"), config)["train"].column_names == ["inputs", "labels"]
