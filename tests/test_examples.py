"""The examples run as a user runs them, but in two steps, and each is short enough to be read at a glance."""

import runpy
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, GradientState

from tests.snippets import two_steps

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))
SLOW = {"cards", "code", "sudoku"}  # 729 nodes
SHOWN = {"knocks"}  # whole on the page about estimators, whose code runs in tests/test_readme.py
PRINTED = {
    "brackets": "pairs that are wrong: network",
    "cards": "trivial: test accuracy",
    "code": "logical error rate after OSD-0",
    "gravity": "v = gravity  test error",
    "forces": "forces on a turned molecule differ from turned forces",
    "molecule": "mean absolute error",
    "own_table": "test accuracy",
    "dna": "largest difference between the two strands' logits: 0.00",
    "pose": "mean error per joint",
    "reachable": "boosted_trees",
    "robot": "equivariance error to this group 0.00000",
    "sudoku": "of the puzzles solved",
    "traffic": "'persistence'",
    "finetune_with_lora": "test accuracy",
    "finetune_with_trainer": "test accuracy",
    "theory": "A4             12         2        24                        2",
}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set:UserWarning")  # the default of TrainingArguments
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in SLOW))
        for path in EXAMPLES
        if path.stem not in SHOWN
    ],
)
def test_an_example_runs_and_prints_its_result(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        with two_steps():
            runpy.run_path(str(path), run_name="__main__")
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    assert PRINTED[path.stem] in capsys.readouterr().out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_the_page_about_estimators_shows_the_example():
    root = EXAMPLES[0].parents[1]
    code = (root / "examples" / "knocks.py").read_text(encoding="utf-8").split('"""')[2]
    page = (root / "docs" / "estimators.md").read_text(encoding="utf-8")
    assert {"knocks"} == SHOWN and set(code.splitlines()) <= set(page.splitlines())
