"""Saving figures as small files: a repository holds pictures of at most 100 KB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

MAX_BYTES = 100_000
# Colours, then dots per inch to try. Fewer colours come last: small dots would lose theirs first. Below 50 dots per
# inch, text of 8 points cannot be read.
_TRIES = ((256, (150, 110, 80)), (64, (80, 60)), (32, (50,)))


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
        figure.savefig(path, dpi=150, **options)
        return
    images: dict[int, Image.Image] = {}
    for colors, resolutions in _TRIES:
        for dpi in resolutions:
            if dpi not in images:
                full = io.BytesIO()
                figure.savefig(full, format="png", dpi=dpi, **options)
                images[dpi] = Image.open(full).convert("RGB")
            content = _with_palette(images[dpi], colors)
            if len(content) <= MAX_BYTES:
                Path(path).write_bytes(content)
                return
    Path(path).write_bytes(content)  # larger than wanted, but readable


def _with_palette(image: Image.Image, colors: int) -> bytes:
    small = io.BytesIO()
    # MAXCOVERAGE keeps the colours of single dots, which MEDIANCUT gives up for more shades of grey; a step of k-means
    # then moves the palette to the colours that occur. Without dithering flat areas stay flat, and the file small.
    palette = image.quantize(colors, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    palette.save(small, "png", optimize=True)
    return small.getvalue()
