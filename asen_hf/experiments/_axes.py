"""Axes of a grid: the values a cell takes, and the sections of a recipe that they override."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from .sections import known, mapping

SECTIONS = ("model", "task", "partners", "training", "rival", "fold", "pretrain", "finetune")

Cell = dict[str, str]  # name of an axis: name of its value
Axes = dict[str, dict[str, dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What was chosen for the cells that take certain values: ``sections`` are merged after those of all axes."""

    at: Cell
    sections: dict[str, Any]

    @classmethod
    def read(cls, entry: Any, axes: Axes) -> list[Tuned]:
        """An entry ``{at: {axis: value or list of values, …}, section: …}``, once for each combination of values.

        Raises:
            ValueError: names what the axes do not have.
        """
        sections = dict(mapping(entry, "an entry of tuned"))
        at = {
            str(axis): [str(value) for value in (values if isinstance(values, list) else [values])]
            for axis, values in mapping(sections.pop("at", {}), "at of tuned").items()
        }
        if not at:
            raise ValueError("tuned: an entry needs at, the axes and values of its cells")
        for axis, values in at.items():
            if not values:
                raise ValueError(f"tuned: {axis} lists no values: name some, or leave the axis out")
            for value in values:
                if value not in axes.get(axis, {}):
                    raise ValueError(f"tuned: no cell has {axis} {value!r}")
        sections = known(sections, SECTIONS)
        return [cls(dict(zip(at, values, strict=True)), sections) for values in itertools.product(*at.values())]


def read_axis(name: str, axis: Any) -> dict[str, dict[str, Any]]:
    """The sections of each value: of a mapping as they are, of a list those that set the training field ``name``."""
    if isinstance(axis, list):
        return {str(value): {"training": {name: value}} for value in axis}
    return {str(value): known(sections or {}, SECTIONS) for value, sections in mapping(axis, f"axis {name}").items()}


def merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The second mapping over the first, mapping by mapping."""
    merged = dict(first)
    for key, value in second.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
