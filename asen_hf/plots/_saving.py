"""Saving figures as small files: a repository holds pictures of at most 100 KB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

MAX_BYTES = 100_000
_DPI = (150, 130, 110, 95, 80, 65, 50)  # below 50, text of 8 points cannot be read
_COLORS = (256, 64, 32)


def save_figure(figure: Figure, path: str | Path, **options: Any) -> None:
    """Write a figure; a PNG gets a palette of at most 256 colours, and as many dots per inch as fit into 100 KB.

    Args:
        figure: any matplotlib figure.
        path: file to write; its ending decides on the format. Formats other than PNG are written as matplotlib does.
        options: of ``Figure.savefig``, such as ``bbox_inches``.

    Raises:
        ValueError: matplotlib knows no format of that ending.
    """
    if Path(path).suffix.lower() != ".png":
        figure.savefig(path, dpi=_DPI[0], **options)
        return
    for dpi in _DPI:
        full = io.BytesIO()
        figure.savefig(full, format="png", dpi=dpi, **options)
        image = Image.open(full).convert("RGB")
        for colors in _COLORS:
            content = _with_palette(image, colors)
            if len(content) <= MAX_BYTES:
                Path(path).write_bytes(content)
                return
    Path(path).write_bytes(content)  # larger than wanted, but readable


def _with_palette(image: Image.Image, colors: int) -> bytes:
    small = io.BytesIO()
    # MEDIANCUT without dithering keeps flat areas flat, which is what PNG compresses well.
    image.quantize(colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()
