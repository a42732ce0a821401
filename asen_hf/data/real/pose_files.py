"""Read human poses from files of several layouts into one form: 16 joints as seen by cameras.

The 16 joints of Zhao et al. (SemGCN, CVPR 2019): 0 hip, 1-3 right leg, 4-6 left leg, 7 spine, 8 thorax, 9 head,
10-12 left arm, 13-15 right arm; legs from hip to foot, arms from shoulder to wrist.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from ...model._messages import naming
from .._array_table import Array
from .._npz_files import read_npz, read_pickled_entry
from ._skeleton import check_images, check_skeletons
from .human36m_cameras import ORIENTATIONS, PRINCIPAL_X

JOINTS = 16
_HEAD_OF_17 = 9  # the neck (or nose), which the 16 joints leave out
_16_OF_17 = np.delete(np.arange(17), _HEAD_OF_17)
_17_OF_32 = np.array([0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27])
_TEST_SUBJECTS = ("S9", "S11")
MOTION_CAPTURE = (
    Array(key="positions_mm", shape=("poses", (16, 17), 3), low=-100_000, high=100_000, unit="mm"),
    Array(key="sequence", shape=("poses",), kind="integer", low=0, together=True),
    Array(key="is_test", shape=("poses",), kind="flag", within="sequence"),
    Array(key="index16_from17", shape=(16,), kind="integer", low=0, high=16, optional=True),
)
# Of each subject and action, and of each camera.
HUMAN36M_WORLD = Array(key="positions_3d", shape=("frames", (16, 17, 32), 3), low=-100, high=100, unit="metres")
HUMAN36M_IMAGE = Array(key="positions_2d", shape=("frames", (16, 17, 32), 2), low=-10_000, high=10_000, unit="pixels")

# Virtual cameras for motion capture without images, placed much like Human3.6M's.
_AZIMUTHS = np.radians([45.0, 135.0, 225.0, 315.0])
_DISTANCE, _HEIGHT, _AIM = 5000.0, 1600.0, 900.0  # mm: from the centre; above the floor; height of their target
_FOCAL_LENGTH, _CENTER = 1145.0, 500.0  # pixels


class Poses(NamedTuple):
    """N poses as seen by cameras, in the order of their sequences.

    Attributes:
        pixels: ``(N, 16, 2)`` float32, where the joints are on the image, x to the right, y down.
        positions: ``(N, 16, 3)`` float32, mm relative to the hip in the camera's axes: right, down, away from it.
        sequence: ``(N,)`` int64, number of the recording, the same for all its cameras.
        is_test: ``(N,)`` bool, the same for a whole recording.
        center: x of the cameras' principal points in pixels, where the plane of a mirror meets the image.
    """

    pixels: np.ndarray
    positions: np.ndarray
    sequence: np.ndarray
    is_test: np.ndarray
    center: float


def read_motion_capture(path: str | os.PathLike[str]) -> Poses:
    """Poses without images, seen by four virtual cameras that stand around each sequence.

    Each camera looks at the middle of the ground that the sequence covers, from 5 m away and 1.6 m up; 1000 × 1000
    pixels, focal length 1145 pixels.

    Args:
        path: an ``.npz`` with ``positions_mm`` ``(T, 16 or 17, 3)`` (z up, floor near 0), ``sequence`` ``(T,)`` (whose
            poses follow each other), ``is_test`` ``(T,)`` (the same for a whole sequence) and, for 17 joints,
            ``index16_from17`` ``(16,)``.

    Raises:
        ValueError: names the file, its missing or ill-formed array and the first wrong row.
    """
    arrays = read_npz(path, MOTION_CAPTURE)
    world, sequence, is_test = (arrays[key] for key in ("positions_mm", "sequence", "is_test"))
    if (world.shape[1] == 17) != ("index16_from17" in arrays):
        raise ValueError(
            f"{path}: index16_from17 must be given for 17 joints and for no other number; positions_mm has "
            f"{world.shape[1]}"
        )
    where = f"{path}: positions_mm"
    if world.shape[1] == 17:
        world, where = world[:, arrays["index16_from17"]], f"{where}[:, index16_from17]"
    check_skeletons(world, where)
    numbers = np.unique(sequence, return_inverse=True)[1]
    seen = [part for number in range(numbers.max() + 1) for part in _around(world[numbers == number])]
    pixels, positions = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    if not np.isfinite(pixels).all():
        raise ValueError(
            f"{path}: positions_mm: a sequence comes too near to a camera, {_DISTANCE:.0f} mm from its middle"
        )
    order = np.concatenate([np.tile(np.flatnonzero(numbers == number), 4) for number in range(numbers.max() + 1)])
    return Poses(pixels, positions, numbers[order], is_test[order], _CENTER)


def _around(world: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each camera, one sequence ``(T, 16, 3)`` in pixels and in the camera's axes."""
    hips = world[:, 0, :2]
    middle = (hips.min(axis=0) + hips.max(axis=0)) / 2
    for azimuth in _AZIMUTHS:
        outward = np.array([np.cos(azimuth), np.sin(azimuth)])
        camera = np.array([*(middle + _DISTANCE * outward), _HEIGHT])
        forward = np.array([*middle, _AIM]) - camera
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward])  # rows: right, down, away
        seen = (world - camera) @ axes.T
        depth = np.where(seen[..., 2:] > 0, seen[..., 2:], np.nan)
        pixels = _CENTER + _FOCAL_LENGTH * seen[..., :2] / depth
        yield pixels.astype(np.float32), (seen - seen[:, :1]).astype(np.float32)


def read_human36m(path_3d: str | os.PathLike[str], path_2d: str | os.PathLike[str]) -> Poses:
    """Human3.6M in its common layout: ``data_3d_h36m.npz``, and ``data_2d_h36m_gt.npz`` or detections like it.

    The first has ``positions_3d`` ``{subject: {action: (T, 32 or 17 or 16, 3)}}`` in metres, world axes; the second
    ``positions_2d`` ``{subject: {action: [(T, 17 or 16, 2) per camera]}}`` in pixels. Subjects S9 and S11 are for
    testing.

    Raises:
        ValueError: names the file, and the subject and action that are missing or ill-formed.
    """
    in_world = _by_subject(read_pickled_entry(path_3d, "positions_3d"), path_3d)
    on_image = _by_subject(read_pickled_entry(path_2d, "positions_2d"), path_2d)
    parts, number = [], 0
    for subject, actions in in_world.items():
        if subject not in ORIENTATIONS:
            raise ValueError(f"{path_3d}: subject {subject!r} is not one of Human3.6M's {', '.join(ORIENTATIONS)}")
        turns = [Rotation.from_quat(quaternion, scalar_first=True) for quaternion in ORIENTATIONS[subject]]
        for action, world in actions.items():
            where_2d = f"{path_2d}: positions_2d, {subject}, {action}"
            world = _sixteen(world, HUMAN36M_WORLD, f"{path_3d}: positions_3d, {subject}, {action}")
            relative = 1000 * (world - world[:, :1])
            check_skeletons(relative, f"{path_3d}: positions_3d, {subject}, {action}")
            views = on_image.get(subject, {}).get(action)
            if not isinstance(views, list | tuple | np.ndarray) or len(views) != len(turns):
                raise ValueError(f"{where_2d}: expected the views of {len(turns)} cameras")
            for camera, (turn, view) in enumerate(zip(turns, views, strict=True)):
                where = f"{where_2d}, camera {camera}"
                image = _sixteen(view, HUMAN36M_IMAGE, where)[: len(world)]  # some videos have a few more frames
                if len(image) < len(world):
                    raise ValueError(f"{where}: {len(image)} frames, but {len(world)} in {path_3d}")
                seen = turn.inv().apply(relative.reshape(-1, 3)).reshape(relative.shape)
                check_images(image, seen, where)
                parts.append(
                    (
                        image.astype(np.float32),
                        seen.astype(np.float32),
                        np.full(len(world), number),
                        np.full(len(world), subject in _TEST_SUBJECTS),
                    )
                )
            number += 1
    pixels, positions, sequence, is_test = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Poses(pixels, positions, sequence, is_test, PRINCIPAL_X)


def _by_subject(content: object, path: str | os.PathLike[str]) -> dict[str, dict]:
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(actions, dict) for actions in content.values())
    ):
        raise ValueError(f"{path}: expected poses by subject and action")
    return content


def _sixteen(joints: object, table: Array, where: str) -> np.ndarray:
    with naming(f"{where}: not one array"):  # ragged
        array = np.asarray(joints)
    array = table.check(array, where)
    if array.shape[1] == 32:
        array = array[:, _17_OF_32]
    return array[:, _16_OF_17] if array.shape[1] == 17 else array
