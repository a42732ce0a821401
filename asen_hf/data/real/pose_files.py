"""Read human poses from files of several layouts into one form: 16 joints as seen by cameras.

The 16 joints of Zhao et al. (SemGCN, CVPR 2019): 0 hip, 1-3 right leg, 4-6 left leg, 7 spine, 8 thorax, 9 head,
10-12 left arm, 13-15 right arm; legs from hip to foot, arms from shoulder to wrist.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from .human36m_cameras import ORIENTATIONS
from .npz_files import read_npz, read_pickled_entry, take

JOINTS = 16
_HEAD_OF_17 = 9  # the neck (or nose), which the 16 joints leave out
_16_OF_17 = np.delete(np.arange(17), _HEAD_OF_17)
_17_OF_32 = np.array([0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27])
_TEST_SUBJECTS = ("S9", "S11")

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
    """

    pixels: np.ndarray
    positions: np.ndarray
    sequence: np.ndarray
    is_test: np.ndarray


def read_motion_capture(path: str | os.PathLike[str]) -> Poses:
    """Poses without images, seen by four virtual cameras that stand around each sequence.

    Each camera looks at the middle of the ground that the sequence covers, from 5 m away and 1.6 m up; 1000 × 1000
    pixels, focal length 1145 pixels.

    Args:
        path: an ``.npz`` with ``positions_mm`` ``(T, J, 3)`` (z up, floor near 0), ``sequence`` ``(T,)``, ``is_test``
            ``(T,)`` and, unless J = 16, ``index16_from17`` ``(16,)``.

    Raises:
        ValueError: names the file and its missing or ill-formed array.
    """
    arrays = read_npz(path)
    world = take(arrays, "positions_mm", 3, path).astype(np.float64)
    sequence, is_test = (take(arrays, key, 1, path) for key in ("sequence", "is_test"))
    if world.shape[1] != JOINTS:
        index = take(arrays, "index16_from17", 1, path)
        if index.shape != (JOINTS,) or index.min() < 0 or index.max() >= world.shape[1]:
            raise ValueError(f"{path}: index16_from17 must hold 16 of {world.shape[1]} joints, got {index.tolist()}")
        world = world[:, index]
    if world.shape[2] != 3 or not len(world) == len(sequence) == len(is_test) or not np.isfinite(world).all():
        raise ValueError(f"{path}: positions_mm must be finite, (T, joints, 3), and sequence and is_test (T,)")
    numbers = np.unique(sequence, return_inverse=True)[1]
    seen = [part for number in range(numbers.max() + 1) for part in _around(world[numbers == number])]
    pixels, positions = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    if not np.isfinite(pixels).all():
        raise ValueError(f"{path}: a sequence comes too near to a camera, {_DISTANCE:.0f} mm from its middle")
    order = np.concatenate([np.tile(np.flatnonzero(numbers == number), 4) for number in range(numbers.max() + 1)])
    return Poses(pixels, positions, numbers[order], is_test[order].astype(bool))


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
            where = f"{subject}, {action}"
            world = _sixteen(world, 3, f"{path_3d}, {where}")
            views = on_image.get(subject, {}).get(action)
            if views is None or len(views) != len(turns):
                raise ValueError(f"{path_2d}, {where}: expected the views of {len(turns)} cameras")
            relative = 1000 * (world - world[:, :1])
            for turn, view in zip(turns, views, strict=True):
                pixels = _sixteen(view, 2, f"{path_2d}, {where}")[: len(world)]  # some videos have a few more frames
                if len(pixels) < len(world):
                    raise ValueError(f"{path_2d}, {where}: {len(pixels)} frames, but {len(world)} in {path_3d}")
                seen = turn.inv().apply(relative.reshape(-1, 3)).reshape(relative.shape)
                parts.append(
                    Poses(
                        pixels.astype(np.float32),
                        seen.astype(np.float32),
                        np.full(len(world), number),
                        np.full(len(world), subject in _TEST_SUBJECTS),
                    )
                )
            number += 1
    return Poses(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _by_subject(content: object, path: str | os.PathLike[str]) -> dict[str, dict]:
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(actions, dict) for actions in content.values())
    ):
        raise ValueError(f"{path}: expected poses by subject and action")
    return content


def _sixteen(joints: object, width: int, where: str) -> np.ndarray:
    array = np.asarray(joints)
    if array.dtype == object or array.ndim != 3 or array.shape[1] not in (16, 17, 32) or array.shape[2] != width:
        raise ValueError(f"{where}: expected (frames, 32 or 17 or 16 joints, {width}), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: expected finite numbers")
    if array.shape[1] == 32:
        array = array[:, _17_OF_32]
    return array[:, _16_OF_17] if array.shape[1] == 17 else array
