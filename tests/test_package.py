"""The wheel, built from the sdist and installed by itself, works outside the repository."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from asen_hf import __version__
from asen_hf.evaluation.scores import ScoreRecord

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = ROOT / "hub_configs" / "asen-sequence-tiny"

pytestmark = pytest.mark.slow


def run(*command, cwd):
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"  # a copy: building leaves files
    shutil.copytree(ROOT / "asen_hf", source / "asen_hf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source, cwd=folder)
    assert len([*(folder / "dist").glob("*.tar.gz")]) == 1
    [path] = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of an environment that holds the wheel, and sees the dependencies of this one but not asen_hf."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    # Folders in a .pth file come last on the path, and the .pth files in them, an editable install's too, are not read.
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(packages, "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder / "bin"


def test_the_wheel_holds_the_package_with_its_data_and_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        fields = message_from_string(archive.read(metadata).decode())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "asen_hf").rglob("*.py")}
    data = {"asen_hf/py.typed", "asen_hf/model_card_template.md"}
    assert {name for name in names if ".dist-info/" not in name} == sources | data
    assert fields["Version"] == __version__ and fields["License-Expression"] == "Apache-2.0"
    assert fields["Author"] == "asen_hf contributors" and fields["Requires-Python"] == ">=3.11"
    assert fields["Keywords"] and fields["Description-Content-Type"] == "text/markdown"
    assert fields.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert any(name.lower().startswith("jinja2") for name in fields.get_all("Requires-Dist"))


def test_it_is_what_is_imported_and_knows_its_version(installed, tmp_path):
    code = "import asen_hf, importlib.metadata as m; print(asen_hf.__file__, asen_hf.__version__, m.version('asen-hf'))"
    path, *versions = run(installed / "python", "-c", code, cwd=tmp_path).split()
    assert Path(path).is_relative_to(installed.parent) and versions == [__version__, __version__]


def test_its_command_inspects_evaluates_and_describes_a_checkpoint(installed, tmp_path):
    asen, checkpoint = installed / "asen", shutil.copytree(CHECKPOINT, tmp_path / CHECKPOINT.name)
    shown = run(asen, "inspect", checkpoint, "--task", "equivariant/cyclic_sum", cwd=tmp_path)
    assert "order               20" in shown
    scores = ("--output", tmp_path / "scores.json")
    run(asen, "evaluate", checkpoint, "--task", "equivariant/cyclic_sum", *scores, cwd=tmp_path)
    [(task, score)] = ScoreRecord.read(tmp_path / "scores.json").scores.items()
    expected = ScoreRecord.read(CHECKPOINT / "test_scores.json").scores[task]
    assert score.value == pytest.approx(expected.value, abs=1e-3)
    run(asen, "card", checkpoint, "--output", "card.md", cwd=tmp_path)
    assert (tmp_path / "card.md").read_text(encoding="utf-8") == (CHECKPOINT / "README.md").read_text(encoding="utf-8")
