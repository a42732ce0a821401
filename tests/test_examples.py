"""The examples that make their own data, run as people run them, in few steps."""

import subprocess
import sys
from pathlib import Path

import pytest

from asen_hf import AsenForMultitask

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "name, task, group, pictures",
    [
        ("pose", "pose/lifting", "S_2 (left-right)", ["pose-lifting-poses.png"]),
        ("traffic", "traffic/metr_la", "S_8 x S_8", ["traffic-metr_la-forecasts.png", "traffic-metr_la-map.png"]),
        ("dna", "sequence/dna_nfe2", "D_16, shifts and strands", []),
    ],
)
def test_an_example_finetunes_and_shows_what_it_says(tmp_path, name, task, group, pictures):
    command = [sys.executable, f"examples/{name}.py", "--output_dir", str(tmp_path), "--max_steps", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [row] = [line for line in done.stdout.splitlines() if line.startswith(f"{task}  ")]
    assert group in row
    assert sorted(path.name for path in tmp_path.glob("*.png")) == pictures
    assert all(picture in done.stdout for picture in pictures)
    assert AsenForMultitask.from_pretrained(tmp_path).config.tasks[task].group_name == group


def test_no_example_is_long():
    for path in (ROOT / "examples").glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 90, path
