"""Robots: the momentum of the quadruped Solo12 from its joints' angles and velocities.

The robot has two planes of symmetry. Reflection exchanges legs and turns signs: those of some joints' angles and
velocities, a hip's other than a knee's, and those of some components of the momentum. The benchmark is MorphoSymm's
(Ordoñez-Apraez et al., RSS 2023, arXiv 2302.10433).
"""

import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset, DatasetDict

from ...model._messages import naming
from ...model.configuration_asen import TaskConfig
from ...model.groups import from_cycles, to_cycles, trivial
from .._array_table import Array
from .._npz_files import read_npz
from ..features import to_dataset
from ..group_option import GroupOption, resolve_group
from ..registry import register
from ..seeding import random_generator
from ..splits import proportional_sizes

JOINTS = 12  # hip, thigh, knee of the legs front left, front right, hind left, hind right
_SPLITS = {"train": "train", "validation": "valid", "test": "test"}
_MOMENTUM = ["linear x", "linear y", "linear z", "angular x", "angular y", "angular z"]
MOTIONS = tuple(
    array
    for split in _SPLITS.values()
    for array in (
        # Radians and radians per second: degrees would be larger.
        Array(key=f"{split}_X", shape=(f"{split} rows", 2 * JOINTS), low=-100, high=100),
        Array(key=f"{split}_Y", shape=(f"{split} rows", len(_MOMENTUM))),
    )
)
# By reflection: which joints change places, the signs of their angles and velocities, and of the six components.
_REFLECTIONS: dict[str, tuple[list, list[int], list[int]]] = {
    "sagittal": ([[i, i + 3] for i in (0, 1, 2, 6, 7, 8)], [-1, 1, 1] * 4, [1, -1, 1, -1, 1, -1]),
    "transversal": ([[i, i + 6] for i in range(6)], [1, -1, -1] * 4, [-1, 1, 1, 1, -1, -1]),
}


@register("robot/solo12_momentum")
@dataclass(kw_only=True)
class Solo12Momentum:
    """Graph regression: the six components of the momentum about the centre of mass, the base at rest.

    Nodes are joints, with the features sin q, cos q and velocity. The loss is the published score: the mean squared
    error of outputs that are divided by one scale for the linear and one for the angular components.

    Args:
        data_path: an ``.npz`` with ``train_X``, ``valid_X``, ``test_X`` ``(N, 24)`` (12 angles in radians, 12
            velocities) and ``train_Y``, ``valid_Y``, ``test_Y`` ``(N, 6)``.
        group: ``"K4"`` (both reflections), ``"C2"`` (the sagittal one), both with their signs; ``"unsigned"`` (both
            reflections as if they turned no signs, which is false), ``"trivial"`` or any other group on the joints.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values; an unknown group.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "K4"
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        unsigned = from_cycles([points for points, _, _ in _REFLECTIONS.values()], JOINTS)
        offered = {
            "K4": (trivial(JOINTS), "K_4"),
            "C2": (trivial(JOINTS), "C_2"),
            "unsigned": (unsigned, "K_4 without signs"),
        }
        reflections = {"K4": list(_REFLECTIONS), "C2": ["sagittal"]}
        with naming(self.name):
            group, group_name = resolve_group(self.group, JOINTS, offered)
        arrays = read_npz(self.data_path, MOTIONS)
        self._rows = {split: (arrays[f"{key}_X"], arrays[f"{key}_Y"]) for split, key in _SPLITS.items()}
        motions, momenta = self._rows["train"]
        linear, angular = (float(np.sqrt(np.square(part).mean())) or 1.0 for part in np.split(momenta, 2, axis=1))
        self.config = TaskConfig(
            degree=JOINTS,
            generators=to_cycles(group),
            group_name=group_name,
            value_symmetries=[
                _reflection(name) for name in (reflections.get(self.group, []) if isinstance(self.group, str) else [])
            ],
            num_features=3,
            output_level="graph",
            problem_type="regression",
            label_names=_MOMENTUM,
            # Signs turn about zero, which is the mean of what changes sign; angles are uniform on the circle.
            input_mean=0.0,
            input_scale=[np.sqrt(0.5), np.sqrt(0.5), float(motions[:, JOINTS:].std()) or 1.0],
            label_mean=0.0,
            label_scale=[linear] * 3 + [angular] * 3,
            loss="mse",
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """All rows, or ``num_rows`` of them at random, from every split in proportion.

        Returns:
            Splits with the columns ``inputs``, float32 ``(12, 3)``, and ``labels``, float32 ``(6,)``.

        Raises:
            ValueError: more rows than there are, or too few for three splits.
        """
        sizes = proportional_sizes(self.name, {split: len(rows) for split, (rows, _) in self._rows.items()}, num_rows)
        return DatasetDict({split: self._split(split, size, seed) for split, size in sizes.items()})

    def _split(self, split: str, size: int, seed: int) -> Dataset:
        motions, momenta = self._rows[split]
        chosen = np.sort(random_generator(seed, self.name, split).permutation(len(motions))[:size])
        angles, velocities = np.split(motions[chosen], 2, axis=1)
        inputs = np.stack([np.sin(angles), np.cos(angles), velocities], axis=-1).astype(np.float32)
        return to_dataset(self.config, inputs, momenta[chosen].astype(np.float32))


def _reflection(name: str) -> dict[str, Any]:
    """The value symmetry of a reflection: sin q and velocity turn with the joint, cos q does not."""
    points, signs, momentum = _REFLECTIONS[name]
    return {
        "name": name,
        "points": points,
        "inputs": [[sign, 2, 3 * sign] for sign in signs],
        "outputs": [sign * (index + 1) for index, sign in enumerate(momentum)],
    }
