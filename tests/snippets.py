"""Runs what a Markdown file shows, as typed: every block of code, section by section, in the current folder.

A section begins at a heading of the first or second level. Its Python blocks share their names, as in one session. Of
bash blocks every command is run, Python scripts and ``asen`` in this process, since importing torch for each would take
most of the time; commands that train get the flags of ``SHORTER``, and the examples two steps. A block ``text``, or of
no language, holds lines that the block before it printed; where that block was made shorter, numbers may differ. A
block ``json`` is a TaskConfig; ``tree`` names files, which exist; ``bibtex`` is not run. Any other block is refused.

    python -m tests.snippets FILE SECTION
"""

import contextlib
import dataclasses
import functools
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import transformers
from accelerate.state import AcceleratorState, GradientState

import asen_hf
from asen_hf._estimator_base import Estimator
from asen_hf.commands.main import main as run_asen
from tests.workers import workers_in_process

ROOT = Path(__file__).resolve().parents[1]
# First words of commands that are not run, and why.
NOT_RUN = {
    "make pretrain": "it takes minutes; tests/training/test_scripts.py runs the script",
    "make test": "it runs these tests",
    "pip install": "tests/test_package.py installs the wheel",
    "asen demo": "it serves until it is interrupted; tests/demo/test_browser.py uses it",
}
# Flags that come last, and so count.
SHORTER = {
    "asen finetune": ["--max_steps", "2"],
    "training/finetune.py": ["--max_steps", "2"],
    "asen select": [
        *("--groups", "reversal"),
        *("--max_steps", "2", "--seeds", "1", "--workers", "1", "--attn_implementation", "eager"),
        *("--hidden_size", "16", "--num_attention_heads", "2", "--num_hidden_layers", "1"),
    ],
}
# Python blocks with this name train many models: they get two steps, as the examples do, and two folds for five.
CROSS_VALIDATES = "cross_val_score("
# Sections that need the Hub: they are run in a process of their own, by tests/hub/test_publish_and_load.py.
AT_HUB = {("docs/hub.md", "Publish and load")}
_FENCE = re.compile(r"^```(.*)$")
_NUMBER = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?|-{2,}")  # and rules of tables, which are as wide as what is above


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the file and line (1 = first) where it begins."""

    language: str
    text: str
    where: str


def read_sections(path: Path) -> dict[str, list[Block]]:
    """The blocks under each heading that has any, in order; those before the second heading are under the first."""
    sections: dict[str, list[Block]] = {}
    heading, language, lines = "", None, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if fence := _FENCE.match(line):
            if language is None:
                language, lines = fence[1], []
            else:
                block = Block(language, "\n".join(lines) + "\n", f"{path}:{number - len(lines)}")
                sections.setdefault(heading, []).append(block)
                language = None
        elif language is not None:
            lines.append(line)
        elif line.lstrip().startswith(("```", "~~~")):
            raise AssertionError(f"{path}:{number}: a block must begin with ``` at the start of its line")
        elif re.match("##? ", line):
            heading = line.lstrip("# ")
    assert language is None, f"{path}: a block is not closed"
    return sections


class Session:
    """Runs a section's blocks one after the other; ``AssertionError`` names the block that is not as it says."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"__name__": "snippet"}
        self.printed, self.is_shorter = "", False

    def run(self, block: Block) -> None:
        if block.language == "json":
            asen_hf.TaskConfig(**json.loads(block.text))
        elif block.language == "tree":
            missing = [path for path in tree_paths(block.text) if not (ROOT / path).exists()]
            assert not missing, f"{block.where}: there is no {missing[0]}"
        elif block.language == "bibtex":
            pass
        elif block.language in ("", "text") and block.text.startswith("$ "):
            command, _, said = block.text.partition("\n")
            self._run_code(dataclasses.replace(block, language="bash", text=command.removeprefix("$ ")))
            self._check(said, block.where)
        elif block.language in ("", "text"):
            self._check(block.text, block.where)
        elif block.language in ("python", "bash"):
            self._run_code(block)
        else:
            raise AssertionError(f"{block.where}: nobody knows how to run {block.language!r}")

    def _run_code(self, block: Block) -> None:
        self.is_shorter, output = False, io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                if block.language == "python":
                    self.is_shorter = CROSS_VALIDATES in block.text
                    text = block.text.replace("cv=5", "cv=2") if self.is_shorter else block.text
                    with two_steps() if self.is_shorter else contextlib.nullcontext():
                        exec(compile(text, block.where, "exec"), self.names)
                else:
                    for words in split_commands(block.text):
                        self._run_command(words, block.where)
        finally:
            self.printed = output.getvalue()
            print(self.printed, end="")

    def _check(self, said: str, where: str) -> None:
        """Its lines were printed, in this order, perhaps with others between them."""
        printed = iter([self._normal(line) for line in self.printed.splitlines()])
        for line in said.splitlines():
            assert self._normal(line) in printed, f"{where}: not printed in this place: {line}\nbut:\n{self.printed}"

    def _normal(self, line: str) -> str:
        return " ".join((_NUMBER.sub("#", line) if self.is_shorter else line).split())

    def _run_command(self, words: list[str], where: str) -> None:
        if any(" ".join(words).startswith(known) for known in NOT_RUN):
            return
        settings = {}
        while re.match(r"[A-Z_]+=", words[0]):  # read when a process starts
            name, _, value = words.pop(0).partition("=")
            settings[name] = value
        if words[:2] == ["accelerate", "launch"]:
            words = ["python", *words[2:]]
        assert words[0] in ("asen", "python") and words[1:], f"{where}: nobody knows how to run {shlex.join(words)}"
        program = words[1] if words[0] == "python" else " ".join(words[:2])
        if program in SHORTER:
            words, self.is_shorter = [*words, *SHORTER[program]], True
        if settings:
            command = words[1:] if words[0] == "python" else ["-m", "asen_hf.commands.main", *words[1:]]
            subprocess.run([sys.executable, *command], env={**os.environ, **settings}, check=True)
        elif words[0] == "asen":
            with workers_in_process():
                self._run_in_process(lambda: run_asen(words[1:]), words, where)
        elif program.startswith("examples/"):
            self.is_shorter = self.is_shorter or program != "examples/theory.py"
            with two_steps():
                self._run_in_process(lambda: runpy.run_path(program, run_name="__main__"), words, where)
        else:
            self._run_in_process(lambda: runpy.run_path(program, run_name="__main__"), words, where)

    def _run_in_process(self, run: Callable[[], object], words: list[str], where: str) -> None:
        try:
            with mock.patch.object(sys, "argv", words[1:]):
                status = run()
        except SystemExit as end:
            status = end.code
        finally:
            AcceleratorState._reset_state(reset_partial_state=True)
            GradientState._reset_state()
        failed = isinstance(status, int) and status != 0
        assert not failed, f"{where}: {shlex.join(words)} ended with status {status}"


@contextlib.contextmanager
def two_steps() -> Iterator[None]:
    """Within it, ``asen_hf.finetune``, ``transformers.Trainer`` and the estimators stop after two steps.

    A run measures its symmetry with few elements of the group.
    """
    settings, finetune, training = transformers.TrainingArguments, asen_hf.finetune, Estimator._training
    with (
        mock.patch.object(asen_hf, "finetune", lambda *args, **kwargs: finetune(*args, **{**kwargs, "max_steps": 2})),
        mock.patch.object(transformers, "TrainingArguments", functools.partial(settings, max_steps=2)),
        mock.patch.object(Estimator, "_training", lambda self: {**training(self), "max_steps": 2}),
        mock.patch("asen_hf.evaluation.scoreboard._ELEMENTS", 3),
    ):
        yield


def tree_paths(text: str) -> Iterator[str]:
    """The paths of an indented list of files and folders, whose names a phrase may follow."""
    parents: list[str] = []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth:] = [line.split()[0]]
        yield "".join(parents)


def split_commands(text: str) -> Iterator[list[str]]:
    """The words of each command; newlines and ``&&`` end one, ``#`` begins a comment."""
    assert not re.search("""['"]#""", text), f"a comment or not? {text!r}"  # the lexer forgets what was quoted
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars="&|;<>\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
    words: list[str] = []
    in_comment = False
    for word in [*lexer, "\n"]:
        if set(word) == {"\n"} or (word == "&&" and not in_comment):
            if words:
                yield words
            words, in_comment = [], False
        elif in_comment or word.startswith("#"):
            in_comment = True
        else:
            assert not set(word) <= set("&|;<>"), f"nobody knows how to run {word!r} in {text!r}"
            words.append(word)


def main() -> None:
    path, section = sys.argv[1:]
    session = Session()
    for block in read_sections(Path(path))[section]:
        session.run(block)


if __name__ == "__main__":
    main()
