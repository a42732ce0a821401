"""Pictures are small files: those that are written, and those that the repository holds."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from asen_hf.plots import _saving
from asen_hf.plots._saving import MAX_BYTES, save_figure

ROOT = Path(__file__).resolve().parents[2]


def crowded(lines=60):
    """Many thin lines, which compress badly."""
    figure = Figure(figsize=(6, 4.5))
    axes = figure.subplots(3, 2)
    walks = np.random.default_rng(0).normal(size=(6, lines, 300)).cumsum(axis=2)
    for panel, walk in zip(axes.flat, walks, strict=True):
        panel.plot(walk.T, linewidth=0.7)
    return figure


@pytest.mark.parametrize("lines", [1, 60])
def test_a_png_has_at_most_the_bytes_allowed_and_can_be_read(tmp_path, monkeypatch, lines):
    monkeypatch.setattr(_saving, "MAX_BYTES", 25_000)  # of a small figure, whose colours are soon counted
    save_figure(crowded(lines), tmp_path / "plot.png")
    assert 1000 < (tmp_path / "plot.png").stat().st_size <= 25_000
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width / image.height == pytest.approx(6 / 4.5, rel=0.01)
        assert image.width >= 6 * 50
        assert len(image.convert("RGB").getcolors()) <= 256


def test_a_small_picture_keeps_its_resolution_and_its_colours(tmp_path):
    figure = Figure(figsize=(2, 2))
    figure.subplots().axis("off")
    figure.set_facecolor("#e0004d")
    save_figure(figure, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size == (300, 300)
        assert image.convert("RGB").getpixel((1, 1)) == (0xE0, 0x00, 0x4D)


def test_other_formats_are_left_to_matplotlib(tmp_path):
    save_figure(crowded(1), tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    with pytest.raises(ValueError, match="nothing"):
        save_figure(crowded(1), tmp_path / "plot.nothing")


def test_committed_pictures_are_small():
    done = subprocess.run(["git", "ls-files", "-z", "*.png"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    pictures = [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    if not pictures:
        pytest.skip("not tracked: a copy within another checkout")
    assert {str(path): path.stat().st_size for path in pictures if path.stat().st_size > MAX_BYTES} == {}
