"""The code in README.md, on the pages of docs/ and in docstrings is executed; figures are compared with their files."""

import doctest
import importlib
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import asen_hf
from asen_hf.evaluation.scores import ScoreRecord
from tests.snippets import AT_HUB, ROOT, Block, Session, read_sections, split_commands

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
SECTIONS = [
    pytest.param(page, section, id=f"{page.relative_to(ROOT)}: {section}")
    for page in PAGES
    for section in read_sections(page)
    if (str(page.relative_to(ROOT)), section) not in AT_HUB  # tests/hub/test_publish_and_load.py
]
DOCUMENTED = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "asen_hf").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
    and path.stem not in ("pipeline", "surgery")  # tests/test_pipeline.py and tests/test_surgery.py
]
# peft asks the model for a property that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that looks like the repository's root, and keeps whatever is written apart."""
    for name in ("examples", "hub_configs", "training"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_speeds(path: Path) -> None:
    """A day of speeds of four sensors, in the layout of the file that a reader of docs/results/traffic.md has."""
    clusters, rng = np.array([0, 0, 1, 1]), np.random.default_rng(0)
    np.savez(
        path,
        speed_mph=rng.uniform(30, 70, size=(288, 4)),
        timestamps=300 * np.arange(288),
        adjacency=clusters[:, None] == clusters,
        cluster2=clusters,
        longitude=np.arange(4.0),
        latitude=np.zeros(4),
    )


@pytest.mark.parametrize("page, section", SECTIONS)
def test_the_code_of_a_section_runs_as_typed(page: Path, section: str, repository: Path) -> None:
    if page.name == "traffic.md":
        write_speeds(repository / "metr_la_week.npz")
    session = Session()
    for block in read_sections(page)[section]:
        session.run(block)


class ProgressIsFree(doctest.OutputChecker):
    """Where an example shows no output, such as progress in training, any is right."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return not want or super().check_output(want, got, optionflags)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_examples_of_docstrings_print_what_they_say(name: str, repository: Path) -> None:
    runner = doctest.DocTestRunner(ProgressIsFree(), optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(test)
    assert runner.tries and not runner.failures


def test_the_readme_is_short() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.split()) < 1000
    assert not [line for line in text.splitlines() if len(line) > 160]


def test_the_readmes_table_of_checkpoints_is_that_of_the_files() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `asen-")]
    folders = [path.parent for path in ROOT.glob("hub_configs/*/config.json")]
    assert {row[0].strip("`") for row in rows} == {folder.name for folder in folders}
    for name, parameters, tasks, scores in rows:
        folder = ROOT / "hub_configs" / name.strip("`")
        with safe_open(folder / "model.safetensors", "pt") as weights:
            sizes = [np.prod(weights.get_slice(key).get_shape(), dtype=int) for key in weights.keys()]  # noqa: SIM118
        assert int(parameters.replace(",", "")) == sum(sizes)
        record = ScoreRecord.read(folder / "test_scores.json").scores
        assert np.prod([int(number) for number in re.findall(r"\d+", tasks)]) == len(record)
        for metric, low, high in re.findall(r"(accuracy|error) ([\d.]+)–([\d.]+)", scores):
            values = [score.value for score in record.values() if score.metric == {"error": "mae"}.get(metric, metric)]
            assert (f"{min(values):.3f}".lstrip("0"), f"{max(values):.3f}".lstrip("0")) == (low, high)


@pytest.mark.slow
def test_the_own_table_is_learned_when_nothing_is_shortened(repository: Path, capsys: pytest.CaptureFixture) -> None:
    runpy.run_path("examples/own_table.py", run_name="__main__")
    printed = capsys.readouterr().out
    assert "[[1, 1, 1, 0, 0, 0, 0, 0, 0]]" in printed
    assert float(printed.split("test accuracy ")[1]) > 0.98


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
        ("bash", "asen inspect B4", "ended with status 2"),
        ("bash", "python training/evaluate.py --checkpoint nowhere", "ended with status 2"),
        ("text", "not printed", "not printed in this place: not printed"),
        ("", "$ asen inspect A4\n  points  5", "not printed in this place:   points  5"),
        ("tree", "docs/\n  theory.md  why\n  nowhere.md  no", "there is no docs/nowhere.md"),
    ],
)
def test_what_cannot_run_or_is_not_as_it_says_is_named(
    language: str, text: str, message: str, repository: Path
) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        Session().run(Block(language, text, "README.md:1"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_it_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {ROOT / path for path in re.findall(r"(?<![\w/])(?:training|examples|hub_configs|tests)/[\w/.-]*\w", text)}
    named |= {ROOT / path for path in re.findall(r"`(asen_hf/[\w/.]*)`", text)}
    named |= {page.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text)}
    assert not [path for path in named if "NAME" not in path.parts and not path.exists()]


def test_the_reference_has_every_name_of_the_face() -> None:
    documented = re.findall(r"^::: asen_hf\..*?(\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.M)
    assert not set(asen_hf.__all__) - {*documented, "__version__"}


def test_the_changelog_begins_with_the_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] in (asen_hf.__version__, "Unreleased")


@pytest.mark.parametrize("notebook", [*(ROOT / "docs").rglob("*.ipynb")], ids=lambda path: path.name)
def test_a_notebook_is_committed_without_outputs(notebook: Path) -> None:
    """Building the site executes it (docs/notebooks.py)."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_pictures_are_small() -> None:
    assert all(path.stat().st_size <= 100_000 for path in (ROOT / "docs").rglob("*.png"))
