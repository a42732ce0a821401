"""Pathfinder: are two discs at the ends of the same dashed contour? (paper Section 5.1.2 and Appendix C.1)

Nodes are pixels, row by row, with one grey value each. Position is all that the group takes away: the trivial group
tells every pixel from every other, a group of patches tells patches apart and not the pixels within one.
"""

import numbers
import os
import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from datasets import Dataset, DatasetDict

from ...model._messages import naming, shown
from ...model.configuration_asen import TaskConfig
from ...model.groups import grid_patches, to_cycles
from ..features import to_dataset
from ..group_option import GroupOption, NamedGroup, resolve_group
from ..registry import register
from ..seeding import random_generator
from ..splits import proportional_sizes, split_sizes
from .cache import cached_splits
from .pathfinder_files import find_images, read_images
from .pathfinder_images import DRAWINGS, draw_images
from .sequence_task import DATA_VERSION

_MOST = 256  # pixels of a side, dashes of a contour, or distractors
_NUM_DRAWN = 10_000
_TENTHS = {"train": 8, "validation": 1, "test": 1}  # of the files


@register("image/pathfinder")
@dataclass(kw_only=True)
class Pathfinder:
    """Graph classification: whether two discs are at the ends of the same contour.

    Args:
        side: the images are ``side`` by ``side`` pixels; 16, 32 or 64 if they are drawn.
        group: ``"trivial"`` (every pixel has a position of its own), ``"patches_P"`` for any P (pixels of a patch of P
            by P may be exchanged; the last ones may be smaller), ``"symmetric"`` or any other group on the pixels.
        symmetry_breaking: ``"nodes"`` or ``"pairs"``, as in ``TaskConfig``. With ``"nodes"``, a pixel's position is the
            sum of a vector of its row and one of its column, or of those of its patch (2D-PE); a change
            ``shared_rows=False`` gives every pixel or patch one vector (1D-PE).
        contour_length: number of dashes of each of the two contours that are drawn.
        num_distractors: number of shorter contours that are drawn, where there is place.
        data_path: folder of Long Range Arena's images, such as ``lra_release/pathfinder32``, to read instead of drawing
            any; see :func:`~.pathfinder_files.find_images`.
        difficulty: the folder in it.

    Raises:
        ValueError: an option of the wrong type or range; a folder without images, or metadata that are not as in the
            release.
    """

    name: ClassVar[str]
    side: int = 16
    group: GroupOption = "trivial"
    symmetry_breaking: Literal["nodes", "pairs"] = "nodes"
    contour_length: int = 3
    num_distractors: int = 1
    data_path: str | os.PathLike[str] | None = None
    difficulty: str = "curv_contour_length_14"
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for option, least in {"side": 1, "contour_length": 1, "num_distractors": 0}.items():
            value = getattr(self, option)
            if not isinstance(value, numbers.Integral) or isinstance(value, bool) or not least <= int(value) <= _MOST:
                raise ValueError(f"{self.name}: {option} must be an integer in {least} … {_MOST}, got {shown(value)}")
        if self.symmetry_breaking not in ("nodes", "pairs"):
            raise ValueError(
                f"{self.name}: symmetry_breaking must be nodes or pairs, got {shown(self.symmetry_breaking)}"
            )
        self._files = None if self.data_path is None else find_images(self.data_path, self.difficulty)
        if self._files is None and self.side not in DRAWINGS:
            raise ValueError(f"{self.name}: images of 16, 32 or 64 pixels are drawn; side is {self.side}")
        with naming(self.name):
            group, group_name = self._resolve_group()
        rows, columns = np.indices((self.side, self.side)).reshape(2, -1)
        self.config = TaskConfig(
            degree=self.side**2,
            generators=to_cycles(group),
            group_name=group_name,
            symmetry_breaking=self.symmetry_breaking,
            point_order="grid",
            node_coordinates=np.stack([columns, -rows], axis=1).tolist(),
            num_features=1,
            input_mean=0.0,
            input_scale=1.0,
            output_level="graph",
            pooling="mean",
            label_names=["two contours", "same contour"],
        )

    def _resolve_group(self) -> NamedGroup:
        patches = re.fullmatch(r"patches_(\d{1,4})", self.group) if isinstance(self.group, str) else None
        if patches is None:
            return resolve_group(self.group, self.side**2)
        size = int(patches[1])
        return grid_patches(self.side, self.side, size, size), f"patches of {size} by {size}"

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """Drawn images, 10,000 unless told otherwise, split 70/15/15, or those of the files, 80/10/10 by ``seed``.

        Of the files, ``num_rows`` takes that many at random; only these are read. Drawn images are cached.

        Returns:
            Splits with the columns ``inputs``, float32 ``(side², 1)`` grey values from 0 to 1, and ``labels``, a class.

        Raises:
            ValueError: too few rows for three splits, more than there are files, a contour that is too long for the
                image, or a file that is no grey image of ``side`` by ``side`` pixels.
        """
        if self._files is not None:
            return self._read(num_rows, seed)
        num_rows = _NUM_DRAWN if num_rows is None else num_rows
        sizes = split_sizes(num_rows)
        options = {name: int(getattr(self, name)) for name in ("side", "contour_length", "num_distractors")}
        key = {"task": self.name, "num_rows": int(num_rows), "seed": int(seed), **options}
        random = random_generator(seed, self.name, "load")
        return cached_splits(
            self.name, self.config, key, DATA_VERSION, sizes, lambda: self._draw(int(num_rows), random)
        )

    def _draw(self, number: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        with naming(self.name):
            images, labels = draw_images(DRAWINGS[self.side], self.contour_length, self.num_distractors, number, random)
        return _features(images), labels

    def _read(self, num_rows: int | None, seed: int) -> DatasetDict:
        assert self._files is not None
        order = random_generator(seed, self.name, "files").permutation(len(self._files.paths))
        ends = np.cumsum([tenths * len(order) // 10 for tenths in _TENTHS.values()])[:-1]
        rows = dict(zip(_TENTHS, np.split(order, ends), strict=True))
        sizes = proportional_sizes(self.name, {split: len(chosen) for split, chosen in rows.items()}, num_rows)
        return DatasetDict({split: self._read_split(rows[split][:size]) for split, size in sizes.items()})

    def _read_split(self, rows: np.ndarray) -> Dataset:
        assert self._files is not None
        images = read_images([self._files.paths[row] for row in rows], self.side)
        return to_dataset(self.config, _features(images), self._files.labels[rows])


def _features(images: np.ndarray) -> np.ndarray:
    """Images ``(N, side, side)``, 0 … 255, as float32 features ``(N, side², 1)``, 0 … 1."""
    return (images.reshape(len(images), -1, 1) / np.float32(255)).astype(np.float32)
