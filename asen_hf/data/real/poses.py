"""Lifting human poses: from joint positions on an image to joint positions in space (paper Section 5.1.1)."""

import os
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from datasets import DatasetDict

from ...model._messages import naming
from ...model.configuration_asen import TaskConfig
from ...model.groups import from_cycles, to_cycles, trivial
from ..features import to_dataset
from ..group_option import GroupOption, resolve_group
from ..registry import register
from ..seeding import random_generator
from ..splits import proportional_sizes
from .pose_files import JOINTS, read_human36m, read_motion_capture

_PARENTS = [0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14]
_LEGS = [[1, 4], [2, 5], [3, 6]]  # each right joint with its left counterpart
_ARMS = [[10, 13], [11, 14], [12, 15]]
_GROUPS = {
    "left_right": [_LEGS + _ARMS],
    "arms_and_legs": [_LEGS, _ARMS],
    "mirrored_joints": [[pair] for pair in _LEGS + _ARMS],
}
_GROUP_NAMES = {"left_right": "S_2 (left-right)", "arms_and_legs": "S_2^2", "mirrored_joints": "S_2^6"}
_MIRROR = {"name": "mirror", "points": _LEGS + _ARMS, "inputs": [-1, 2], "outputs": [-1, 2, 3]}
_VALIDATION_PERIOD = 6  # every sixth training sequence is for validation


@register("pose/lifting")
@dataclass(kw_only=True)
class PoseLifting:
    """Node regression on the skeleton's 16 joints (see :mod:`asen_hf.data.real.pose_files`), scored by MPJPE in mm.

    All pairs of joints exchange messages; bones and self-pairs are distinguished from the remaining pairs.

    Args:
        data_path: motion capture, an ``.npz`` that :func:`~asen_hf.data.real.pose_files.read_motion_capture` takes; or,
            with ``data_path_2d``, Human3.6M's ``data_3d_h36m.npz``.
        data_path_2d: Human3.6M's ``data_2d_h36m_gt.npz``, or detections in the same layout.
        group: ``"true_mirror"`` (left and right change places, and x its sign: on the image about the camera's
            principal point, in space about the hip), ``"left_right"`` (both legs and both arms at once),
            ``"arms_and_legs"`` (S_2^2), ``"mirrored_joints"`` (S_2^6, each joint with its mirror image),
            ``"symmetric"``, ``"trivial"`` or any other group. The elements of all but ``"true_mirror"`` permute joints
            and leave coordinates as they are.
        symmetry_breaking: ``"pairs"`` or ``"nodes"``, as in ``TaskConfig``.

    Raises:
        ValueError: a file that is missing or ill-formed; an unknown group.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    data_path_2d: str | os.PathLike[str] | None = None
    group: GroupOption = "left_right"
    symmetry_breaking: Literal["nodes", "pairs"] = "pairs"
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        offered = {option: (from_cycles(cycles, JOINTS), _GROUP_NAMES[option]) for option, cycles in _GROUPS.items()}
        offered["true_mirror"] = trivial(JOINTS), "mirror"
        is_mirrored = isinstance(self.group, str) and self.group == "true_mirror"
        with naming(self.name):
            group, group_name = resolve_group(self.group, JOINTS, offered)
        if self.data_path_2d is None:
            self._poses = read_motion_capture(self.data_path)
        else:
            self._poses = read_human36m(self.data_path, self.data_path_2d)
        self._rows = self._rows_by_split()
        pixels, positions = (array[self._rows["train"]].astype(np.float64) for array in self._poses[:2])
        input_mean, label_mean = pixels.mean(axis=(0, 1)), positions.mean(axis=(0, 1))
        if is_mirrored:  # signs turn about these means, and x about the mirror's plane
            input_mean[0], label_mean[0] = self._poses.center, 0.0
        bones = [[joint, parent] for joint, parent in enumerate(_PARENTS) if joint != parent]
        self.config = TaskConfig(
            degree=JOINTS,
            generators=to_cycles(group),
            group_name=group_name,
            edges=[*bones, *(bone[::-1] for bone in bones), *([joint, joint] for joint in range(JOINTS))],
            support="weak",
            symmetry_breaking=self.symmetry_breaking,
            value_symmetries=[_MIRROR] if is_mirrored else [],
            num_features=2,
            problem_type="regression",
            label_names=["right (mm)", "down (mm)", "away (mm)"],
            num_labels=3,
            # One scale for all coordinates: images and bodies keep their proportions.
            input_mean=input_mean.tolist(),
            input_scale=float(pixels.std(axis=(0, 1)).mean()),
            label_mean=label_mean.tolist(),
            label_scale=float(positions.std(axis=(0, 1)).mean()),
            loss="mse",
            metric="mpjpe",
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """All poses as all cameras see them, or ``num_rows`` of them at random, from every split in proportion.

        The file says which recordings are for testing; every sixth of the remaining recordings is for validation.

        Returns:
            Splits with the columns ``inputs``, float32 ``(16, 2)`` pixels, and ``labels``, float32 ``(16, 3)`` mm.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        sizes = proportional_sizes(self.name, {split: len(rows) for split, rows in self._rows.items()}, num_rows)
        splits = DatasetDict()
        for split, rows in self._rows.items():
            chosen = random_generator(seed, self.name, split).permutation(rows)[: sizes[split]]
            chosen.sort()
            splits[split] = to_dataset(self.config, self._poses.pixels[chosen], self._poses.positions[chosen])
        return splits

    def _rows_by_split(self) -> dict[str, np.ndarray]:
        sequence, is_test = self._poses.sequence, self._poses.is_test
        held_out = np.isin(sequence, np.unique(sequence[~is_test])[_VALIDATION_PERIOD - 1 :: _VALIDATION_PERIOD])
        rows = {"train": ~is_test & ~held_out, "validation": held_out & ~is_test, "test": is_test}
        if empty := [split for split, chosen in rows.items() if not chosen.any()]:
            raise ValueError(
                f"{self.name}: {self.data_path} has no recording for {', '.join(empty)} (is_test); it needs at least "
                f"{_VALIDATION_PERIOD} recordings for training and validation, and one for testing"
            )
        return {split: np.flatnonzero(chosen) for split, chosen in rows.items()}
