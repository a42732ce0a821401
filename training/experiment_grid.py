"""Grids of training/experiments.py: which cells there are, the recipe of each, and the store of finished ones.

grid.yaml has these keys (see architecture_screen/grid.yaml):

- ``description``: what is asked, for the report;
- ``base``: recipe sections ``model``, ``task`` (a TaskRecipe; its name defaults to its source) and ``training``;
- ``axes``: each a list of values of the training field of its name, or a mapping of names to sections that are merged
  over the base, later axes over earlier ones. One is ``seed``. A cell takes one value of every axis;
- ``report``: ``compare`` (the axis whose first value is the baseline), ``columns`` (an ordered axis; optional) and
  ``metric`` (what is plotted, ``value`` or ``loss``);
- ``keep``: true keeps the folders of finished runs.
"""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import hashlib
import io
import itertools
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from asen_hf.recipe import Recipe

MEASURED = (
    *("loss", "metric", "value", "baseline", "parameters", "rows", "steps", "best_step", "wall_seconds"),
    *("recipe", "revision", "torch", "transformers", "asen_hf", "platform", "threads", "finished"),
)
SECTIONS = ("model", "task", "training")
RUNS = Path("runs/experiments")

Cell = dict[str, str]  # an axis' name to its value's


@dataclasses.dataclass(frozen=True)
class Report:
    """What the report sets side by side."""

    compare: str
    columns: str | None = None
    metric: str = "value"


@dataclasses.dataclass(frozen=True)
class Grid:
    """One experiment: every cell is an ordinary recipe.

    Raises:
        ValueError: unknown or ill-formed keys.
    """

    folder: Path
    description: str
    axes: dict[str, dict[str, dict[str, Any]]]
    report: Report
    base: dict[str, Any] = dataclasses.field(default_factory=dict)
    keep: bool = False

    @classmethod
    def read(cls, folder: Path) -> Grid:
        """The grid of an experiment's folder; ``ValueError`` names the file and what in it is wrong."""
        path = folder / "grid.yaml"
        try:
            content = _mapping(yaml.safe_load(path.read_text(encoding="utf-8")), "the file")
            axes = {
                str(name): _axis(str(name), axis) for name, axis in _mapping(content.pop("axes", {}), "axes").items()
            }
            report = Report(**_known(content.pop("report", {}), [field.name for field in dataclasses.fields(Report)]))
            known = _known(content, ["description", "base", "keep"])
            grid = cls(folder, axes=axes, report=report, **{"description": "", **known})
        except (ValueError, TypeError, yaml.YAMLError) as error:  # TypeError: report without compare
            raise ValueError(f"grid {path}: {error}") from error
        for cell in grid._a_cell_for_every_value():
            grid.recipe(cell)
        return grid

    def __post_init__(self) -> None:
        _known(self.base, SECTIONS)
        if "seed" not in self.axes or not all(self.axes.values()):
            raise ValueError("axes: expected at least one value of every axis, and an axis seed")
        if taken := sorted(set(self.axes) & set(MEASURED)):
            raise ValueError(f"axes: {', '.join(taken)} is the name of a column of results.csv")
        others = [name for name in self.axes if name != "seed"]
        for name in (self.report.compare, self.report.columns or self.report.compare):
            if name not in others:
                raise ValueError(f"report: {name!r} is not an axis that can be compared: {', '.join(others)}")
        if self.report.compare == self.report.columns:
            raise ValueError("report: compare and columns must differ")
        if self.report.metric not in ("value", "loss"):
            raise ValueError(f"report: metric must be value or loss, got {self.report.metric!r}")

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def cells(self) -> list[Cell]:
        """All cells; the last axis varies fastest."""
        return [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]

    def sections(self, cell: Cell) -> dict[str, Any]:
        """The base with the overrides of the cell's values merged over it."""
        merged = self.base
        for axis, value in cell.items():
            merged = _merge(merged, self.axes[axis][value])
        return merged

    def fingerprint(self, cell: Cell) -> str:
        """Tells whether a line of the store was made with the recipe that the grid says now."""
        return hashlib.sha256(json.dumps(self.sections(cell), sort_keys=True).encode()).hexdigest()[:8]

    def recipe(self, cell: Cell, flags: Sequence[str] = ()) -> Recipe:
        """The cell's recipe, its scalars overridden by ``flags``. ``ValueError`` names the grid and the cell."""
        sections = self.sections(cell)
        task = {"name": sections.get("task", {}).get("source", "task"), **sections.get("task", {})}
        folder = re.sub(r"[^\w.]+", "_", "-".join(cell.values()))
        training = {**sections.get("training", {}), "output_dir": str(RUNS / self.name / folder)}
        with tempfile.TemporaryDirectory() as aside:
            path = Path(aside) / "recipe.yaml"
            path.write_text(
                yaml.safe_dump({"model": sections.get("model", {}), "tasks": [task], "training": training}),
                encoding="utf-8",
            )
            try:
                return Recipe.parse([*flags], path)
            except ValueError as error:
                message = str(error).replace(f"recipe {path}", "its recipe")
                raise ValueError(f"grid {self.folder / 'grid.yaml'}, cell {describe(cell)}: {message}") from error

    @property
    def results(self) -> Path:
        return self.folder / "results.csv"

    def finished(self) -> list[dict[str, str]]:
        """The store's lines, as text. ``ValueError`` for a store of other axes, or with a torn line."""
        return self._parse(self.results.read_text(encoding="utf-8")) if self.results.exists() else []

    def pending(self) -> list[Cell]:
        """The cells that the store does not have yet."""
        finished = [self.key(row) for row in self.finished()]
        return [cell for cell in self.cells if cell not in finished]

    def key(self, row: dict[str, str]) -> Cell:
        """The cell that a line of the store belongs to."""
        return {axis: row[axis] for axis in self.axes}

    def append(self, row: dict[str, Any]) -> None:
        """Add a cell's line to the store, unless it has one by now; what is there is never rewritten."""
        with self.results.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if any(self.key(row) == self.key(other) for other in self._parse(text)):
                return
            line = io.StringIO()
            writer = csv.DictWriter(line, [*self.axes, *MEASURED], lineterminator="\n")
            if not text:
                writer.writeheader()
            writer.writerow(row)
            file.write("\n" * bool(text and not text.endswith("\n")) + line.getvalue())
            file.flush()  # one write, while the lock is held

    def _parse(self, text: str) -> list[dict[str, str]]:
        reader = csv.DictReader(io.StringIO(text))
        expected = [*self.axes, *MEASURED]
        if text and set(reader.fieldnames or ()) != set(expected):
            raise ValueError(
                f"{self.results}: expected the columns {', '.join(expected)}; its grid has changed its axes"
            )
        rows = list(reader)
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values():
                raise ValueError(f"{self.results}, line {number}: expected {len(expected)} fields; remove the line")
        return rows

    def _a_cell_for_every_value(self) -> list[Cell]:
        first = self.cells[0]
        return [{**first, axis: value} for axis, values in self.axes.items() for value in values]


def describe(cell: Cell) -> str:
    """The cell in one line, for people."""
    return ", ".join(f"{axis} {value}" for axis, value in cell.items())


def _axis(name: str, axis: Any) -> dict[str, dict[str, Any]]:
    if isinstance(axis, list):
        return {str(value): {"training": {name: value}} for value in axis}
    return {str(value): _known(sections or {}, SECTIONS) for value, sections in _mapping(axis, f"axis {name}").items()}


def _merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for key, value in second.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: expected a mapping, got {value!r}")
    return value


def _known(values: Any, known: Sequence[str]) -> dict[str, Any]:
    if unknown := [str(key) for key in _mapping(values, "a section") if key not in known]:
        raise ValueError(f"unknown key {', '.join(unknown)}; known: {', '.join(known)}")
    return values
