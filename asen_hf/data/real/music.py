"""JSB chorales: predict the pitch classes of the next step from the previous steps.

The twelve pitch classes lie on a ring. Transposition turns it (C_12), inversion mirrors it (D_12). Transposition
is a symmetry of harmony, but not of the data: each piece keeps its key. Splits are by chorale, as in
Boulanger-Lewandowski et al. (ICML 2012).
"""

import os
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from datasets import DatasetDict

from ...model._messages import naming, shown
from ...model.configuration_asen import TaskConfig
from ...model.groups import to_cycles
from .._array_table import Array
from .._npz_files import read_npz
from ..features import to_dataset
from ..group_option import GroupOption, resolve_group
from ..registry import register
from ..seeding import random_generator
from ..splits import proportional_sizes

PITCH_CLASSES = 12
VOICES = 4
_SPLITS = ("train", "validation", "test")
_SILENT = -1
CHORALES = (
    Array(
        key="pitch",
        shape=("steps", VOICES),
        kind="integer",
        low=_SILENT,
        high=127,
        unit="MIDI notes, 60 = middle C",
        missing=_SILENT,
        typical=(36, 96),
    ),
    Array(key="chorale", shape=("steps",), kind="integer", low=0, together=True),
    Array(key="split", shape=("steps",), kind="integer", low=0, high=len(_SPLITS) - 1, within="chorale"),
)


@register("music/jsb_chorales")
@dataclass(kw_only=True)
class JsbChorales:
    """Node classification: whether each pitch class sounds at the next step.

    Args:
        data_path: an ``.npz`` with ``pitch`` ``(T, 4)`` (MIDI notes on a grid of sixteenths, -1 = silent), ``chorale``
            ``(T,)`` (number of the piece, whose steps follow each other) and ``split`` ``(T,)`` (0 train, 1 validation,
            2 test).
        group: ``"cyclic"``, ``"dihedral"``, ``"symmetric"``, ``"trivial"`` or any other group on the pitch classes C to
            B.
        history: number of previous steps in the inputs; feature h of a pitch class is whether it sounded h + 1 steps
            before.
        step: sixteenths per step; 4 is a quarter note.

    Raises:
        ValueError: a file that is missing, is not an ``.npz``, lacks a key or holds invalid values; an unknown
            group; options below 1.
    """

    name: ClassVar[str]
    data_path: str | os.PathLike[str]
    group: GroupOption = "cyclic"
    history: int = 4
    step: int = 4
    config: TaskConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for option in ("history", "step"):
            value = getattr(self, option)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{self.name}: {option} must be an integer of at least 1, got {shown(value)}")
        with naming(self.name):
            group, group_name = resolve_group(self.group, PITCH_CLASSES)
        self._rows = self._windows()
        inputs = self._rows["train"][0]
        self.config = TaskConfig(
            degree=PITCH_CLASSES,
            generators=to_cycles(group),
            group_name=group_name,
            num_features=self.history,
            label_names=["silent", "sounds"],
            input_mean=float(inputs.mean()),
            input_scale=float(inputs.std()),
        )

    def load(self, num_rows: int | None = None, seed: int = 0) -> DatasetDict:
        """All windows, or ``num_rows`` of them at random, from every split in proportion.

        Returns:
            Splits with the columns ``inputs``, float32 ``(12, history)`` zeros and ones, and ``labels``, classes
            ``(12,)``.

        Raises:
            ValueError: more rows than there are windows, or too few for three splits.
        """
        sizes = proportional_sizes(
            self.name, {split: len(inputs) for split, (inputs, _) in self._rows.items()}, num_rows
        )
        splits = DatasetDict()
        for split, (inputs, labels) in self._rows.items():
            chosen = random_generator(seed, self.name, split).permutation(len(inputs))[: sizes[split]]
            chosen.sort()
            splits[split] = to_dataset(self.config, inputs[chosen], labels[chosen])
        return splits

    def _windows(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By split, inputs ``(N, 12, history)`` and labels ``(N, 12)``; no window goes from one piece to the next."""
        arrays = read_npz(self.data_path, CHORALES)
        pitch, chorale, split = (arrays[key] for key in ("pitch", "chorale", "split"))
        sounds = np.zeros((len(pitch), PITCH_CLASSES), dtype=np.float32)
        steps, voices = np.nonzero(pitch != _SILENT)
        sounds[steps, pitch[steps, voices] % PITCH_CLASSES] = 1
        rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in _SPLITS}
        for piece in np.unique(chorale):
            piece_steps = np.flatnonzero(chorale == piece)[:: self.step]
            if len(piece_steps) > self.history:
                windows = np.lib.stride_tricks.sliding_window_view(sounds[piece_steps], self.history + 1, axis=0)
                name = _SPLITS[split[piece_steps[0]]]
                rows[name].append((windows[..., -2::-1], windows[..., -1].astype(np.int64)))
        if empty := [name for name, parts in rows.items() if not parts]:
            raise ValueError(
                f"{self.data_path}: split: no piece of {', '.join(empty)} has more than {self.history} steps"
            )
        return {
            name: (np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
            for name, parts in rows.items()
        }
