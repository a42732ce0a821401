"""The wheel, built from the sdist and installed by itself, works outside the repository."""

import json
import os
import re
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
    shutil.copytree(ROOT / "hub_configs", source / "hub_configs")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
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
    data = {"asen_hf/py.typed", "asen_hf/hub/model_card_template.md", "asen_hf/experiments/select.yaml"}
    data |= {"asen_hf/demo/style.css"}
    data |= {f"asen_hf/{path.relative_to(ROOT)}" for path in ROOT.glob("hub_configs/*/*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == sources | data
    assert fields["Version"] == __version__ and fields["License-Expression"] == "Apache-2.0"
    assert fields["Author"] == "asen_hf contributors" and fields["Requires-Python"] == ">=3.11"
    assert fields["Keywords"] and fields["Description-Content-Type"] == "text/markdown"
    readme = fields.get_payload()
    assert readme.startswith((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[0])
    links = re.findall(r"\]\(([^)\s]+)", readme) + re.findall(r'\b(?:src|href)="([^"]+)', readme)
    assert links and [link for link in links if not re.match(r"https?://|mailto:|#", link)] == []
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


def test_it_loads_every_committed_checkpoint_by_name(installed, tmp_path):
    names = sorted(path.name for path in (ROOT / "hub_configs").iterdir())
    code = "import sys, asen_hf\nfor name in sys.argv[1:]:\n"
    code += "    print(asen_hf.AsenForMultitask.from_pretrained(asen_hf.checkpoint_path(name)).num_parameters())"
    assert len(run(installed / "python", "-c", code, *names, cwd=tmp_path).split()) == len(names)


CSV = "inputs,labels\n" + "".join(f'"{i % 3} {i % 5} {i % 7} {i // 7}","{i % 2} 0 1 0"\n' for i in range(60))
FINETUNE = """
import asen_hf
ring = asen_hf.TaskConfig(group="D4", vocab_size=9)
result = asen_hf.finetune("asen-sequence-tiny", ring, "rows.csv", max_steps=2)
print(list(result.scores), result.output_dir)
"""


def test_its_verbs_and_commands_learn_from_a_table(installed, tmp_path):
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "ring.json").write_text(json.dumps({"group": "D4", "vocab_size": 9}))
    assert "['task'] None" in run(installed / "python", "-c", FINETUNE, cwd=tmp_path)
    rows = ("--dataset", "rows.csv", "--task_config", "ring.json", "--max_steps", "2")
    run(installed / "asen", "finetune", "asen-sequence-tiny", *rows, "--output_dir", "mine", cwd=tmp_path)
    shown = run(installed / "asen", "evaluate", "mine", cwd=tmp_path)
    assert "ring " in shown and "D4" in shown
    small = ("--hidden_size", "8", "--attn_implementation", "eager", "--seeds", "1", "--groups", "C4", "S4")
    run(installed / "asen", "select", *rows, *small, "--output_dir", "selected", cwd=tmp_path)
    assert (tmp_path / "selected" / "best" / "model.safetensors").exists()
    assert "order               8" in run(installed / "asen", "inspect", "D4", cwd=tmp_path)
