"""Read the images of Long Range Arena's Pathfinder (Tay et al., 2021) from the folder that its release unpacks."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

_LABEL_FIELD, _NUM_FIELDS = 3, 4


class ImageFiles(NamedTuple):
    """Images that have been found, but not read.

    Attributes:
        paths: N paths of PNG files.
        labels: int64 ``(N,)``, 0 or 1.
    """

    paths: list[Path]
    labels: np.ndarray


def find_images(folder: str | os.PathLike[str], difficulty: str) -> ImageFiles:
    """The images that the metadata of a difficulty list, in the order of their files and lines.

    Args:
        folder: with ``<difficulty>/metadata/<k>.npy``, texts whose lines are ``imgs/<k> sample_<i>.png <i> <label> …``,
            and ``<difficulty>/imgs/<k>/sample_<i>.png``.
        difficulty: such as ``"curv_contour_length_14"``.

    Raises:
        ValueError: no metadata, or a line that is not as above; names the file and the row, counted from 1.
    """
    root = Path(folder) / difficulty
    files = sorted((root / "metadata").glob("*.npy"), key=lambda path: (len(path.stem), path.stem))
    if not files:
        raise ValueError(f"{root / 'metadata'}: expected metadata such as 0.npy, as in Long Range Arena's release")
    paths, labels = [], []
    for file in files:
        for row, line in enumerate(_lines(file), start=1):
            fields = line.split()
            if len(fields) < _NUM_FIELDS or not _is_listed(*fields[:2]) or fields[_LABEL_FIELD] not in ("0", "1"):
                raise ValueError(
                    f"{file}, row {row}: expected a line such as 'imgs/0 sample_12.png 12 1 …', label fourth, got "
                    f"{line[:80]!r}"
                )
            paths.append(root / fields[0] / fields[1])
            labels.append(int(fields[_LABEL_FIELD]))
    return ImageFiles(paths, np.array(labels))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not a readable text: {error}") from error


def _is_listed(folder: str, name: str) -> bool:
    """Whether a line names an image as the release does, and none elsewhere on the machine."""
    return bool(re.fullmatch(r"imgs/\d+", folder) and re.fullmatch(r"sample_\d+\.png", name))


def read_images(paths: Sequence[Path], side: int) -> np.ndarray:
    """Grey values of PNG files, uint8 ``(N, side, side)``.

    Raises:
        ValueError: an image that is missing, broken, coloured or of another size; names its file.
    """
    images = np.empty((len(paths), side, side), np.uint8)
    for image, path in zip(images, paths, strict=True):
        image[...] = _read_image(path, side)
    return images


def _read_image(path: Path, side: int) -> np.ndarray:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if (image.mode, image.size) == ("L", (side, side)):
                return np.asarray(image)
            found = f"mode {image.mode} and {image.width} by {image.height} pixels"
    except Exception as error:  # Pillow raises anything on a broken file
        raise ValueError(f"{path}: not a readable PNG image: {error}") from error
    raise ValueError(f"{path}: expected a grey image (mode L) of {side} by {side} pixels, got {found}")
