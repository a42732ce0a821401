"""Are these the 16 joints of a body, in their order and unit? Two checks that other layouts fail.

Layouts have the same number of joints as each other: COCO and Human3.6M both have 17. What tells them apart is
geometry. Read as Human3.6M's, COCO's joints give a right thigh from eye to eye and a left one from ear to shoulder.
"""

import numpy as np

# Joints at the ends of bones, right and left.
_LIMBS = {
    "thigh": ((1, 2), (4, 5)),
    "shin": ((2, 3), (5, 6)),
    "upper arm": ((13, 14), (10, 11)),
    "forearm": ((14, 15), (11, 12)),
}
_GIRDLES = {"hip": ((0, 1), (0, 4)), "shoulder": ((8, 13), (8, 10))}
_LENGTHS = 100.0, 700.0  # mm, medians of a file: from small children to giants
_SIDES = 1.25  # largest ratio between the median lengths of a right and a left limb
_FRAMES = 3.0  # largest ratio between a limb's length in one pose and its median
_OFFSET = 200.0  # mm, largest median distance between where a joint is seen and where it should be
_SCALES = 0.02, 2.0  # pixels per mm; 0.2 at a distance of 5 m
_EXPECTED = "expected hip, right leg, left leg, spine, thorax, head, left arm, right arm"


def check_skeletons(positions: np.ndarray, where: str) -> None:
    """Refuse positions whose limbs are not of a body's lengths, or which do not stand upright in most poses.

    Args:
        positions: ``(T, 16, 3)`` in mm, z up.
        where: the file and the key, for messages.

    Raises:
        ValueError: another unit, order of joints or vertical axis; or names the row of one pose that is distorted.
    """
    for name, sides in (_LIMBS | _GIRDLES).items():
        lengths = np.stack([np.linalg.norm(positions[:, j] - positions[:, i], axis=-1) for i, j in sides], axis=1)
        medians = np.median(lengths, axis=0)
        right, left = medians.tolist()
        if name in _LIMBS and not _LENGTHS[0] <= right <= _LENGTHS[1]:
            raise ValueError(
                f"{where}: the right {name} is {right:.4g} mm long in the median, not {_LENGTHS[0]:.0f} … "
                f"{_LENGTHS[1]:.0f}; another unit or order of joints: {_EXPECTED}"
            )
        if not right / _SIDES <= left <= right * _SIDES:
            raise ValueError(
                f"{where}: the right {name} is {right:.4g} mm long in the median, the left one {left:.4g} mm; another "
                f"order of joints: {_EXPECTED}"
            )
        distorted = (lengths > _FRAMES * medians) | (lengths < medians / _FRAMES)
        if name in _LIMBS and distorted.any():
            row, side = np.argwhere(distorted)[0]
            raise ValueError(
                f"{where}, row {row}: the {('right', 'left')[side]} {name} is {lengths[row, side]:.4g} mm long, but "
                f"{medians[side]:.4g} mm in the median; leave distorted poses out"
            )
    upward = np.median(positions[:, 9] - positions[:, [3, 6]].mean(axis=1), axis=0)
    if upward[2] < 0.5 * np.linalg.norm(upward):
        raise ValueError(
            f"{where}: from feet to head it is {upward.round().tolist()} mm in the median; the third axis must point up"
        )


def check_images(pixels: np.ndarray, seen: np.ndarray, where: str) -> None:
    """Refuse an image on which a joint is elsewhere than the camera sees it, in the median over the poses.

    The projection is taken as parallel, with a scale per pose: over a body's depth that errs by a tenth.

    Args:
        pixels: ``(T, 16, 2)``, x to the right, y down.
        seen: ``(T, 16, 3)`` mm relative to the hip in the camera's axes: right, down, away from it.
        where: the file, the recording and the camera, for messages.

    Raises:
        ValueError: another order of joints, camera or unit.
    """
    image, space = pixels - pixels[:, :1], seen[..., :2]
    scales = (image * space).sum(axis=(1, 2)) / np.maximum((space**2).sum(axis=(1, 2)), 1e-9)
    scale = float(np.median(scales))
    if not _SCALES[0] <= scale <= _SCALES[1]:
        raise ValueError(
            f"{where}: {scale:.3g} pixels per mm in the median, not {_SCALES[0]} … {_SCALES[1]}; not pixels (x to the "
            f"right, y down), or another order of joints, such as COCO's, or of cameras: {_EXPECTED}"
        )
    offsets = np.linalg.norm(image / np.maximum(scales, 1e-9)[:, None, None] - space, axis=-1)
    medians = np.median(offsets, axis=0)
    if (medians > _OFFSET).any():
        joint = int(medians.argmax())
        raise ValueError(
            f"{where}: joint {joint} of 16 is {medians[joint]:.0f} mm from where this camera sees it, in the median; "
            f"another order of joints, such as COCO's, or of cameras: {_EXPECTED}"
        )
