"""Grids of small trainings: the cells of an experiment, their recipes, and the stores of finished runs.

grid.yaml has these keys (see architecture_confirmed/grid.yaml and, with pretraining, family_transfer/grid.yaml):

- ``description``: the question, and ``findings``: the answer of the tables; both are printed in the report;
- ``base``: recipe sections ``model``, ``task`` (a TaskRecipe; its name defaults to its source) and ``training``;
  ``partners``, a mapping of names to the fields of TaskRecipe (null to leave a task out): every step also trains on as
  many rows of each, while only ``task`` is validated, tested and stored;
  ``rival``, with the ``architecture`` of cells that train a rival network (rivals.py) instead of the model, or the
  ``reference`` prediction that takes its place; ``fold``, with ``number`` and ``of``, for cross-validation; for cells
  that finetune also ``pretrain``, a recipe of many tasks (``tasks``, a mapping of names to the fields of TaskRecipe,
  null to leave a task out, and ``training``), run once for all cells that share it, and ``finetune``
  (:class:`~.sections.CellStart`);
- ``axes``: each axis is a list of values of the training field of the same name, or a mapping of names to sections that
  are merged over the base, later axes over earlier ones. One axis is ``seed``. A cell takes one value of every axis;
- ``tuned``: sections for the cells that take certain values, ``{at: {axis: value}, …}``, merged after the axes: what
  was chosen for one arm at one size; a list of values means each of them;
- ``report``: see :class:`~.sections.Report`;
- ``keep``: true keeps the folders of finished runs, which lie under ``runs`` (by default runs/experiments/NAME);
- ``retired``: why the cells can no longer be run, and the last revision that could. The report can always be made.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from pathlib import Path
from typing import Any

from ..model._messages import naming
from ..training._yaml import read_yaml
from ..training.recipe import Recipe
from ..training.stream import stream_of
from ._axes import SECTIONS, Cell, Tuned, merge, read_axis
from ._content import data_fingerprint, fingerprint, weights_fingerprint
from .folds import Fold
from .sections import CellStart, Report, known, mapping
from .store import Store

PROVENANCE = ("revision", "torch", "transformers", "asen_hf", "platform", "threads", "finished")
MEASURED = (
    *("loss", "metric", "value", "reference", "parameters", "rows", "steps", "best_step", "wall_seconds"),
    *("recipe", *PROVENANCE),
    *("validation", "details"),  # added later: metric on the validation split, additional test scores as JSON
)
RUNS = Path("runs/experiments")
EXPERIMENTS = Path(__file__).parents[2] / "training" / "experiments"
OUTCOMES_NAME = "validation_rows.npz"  # RowOutcomes in the folder of a run that is kept


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
    tuned: list[Tuned] = dataclasses.field(default_factory=list)
    keep: bool = False
    runs: str = ""
    retired: str = ""
    findings: str = ""

    @classmethod
    def read(cls, folder: Path) -> Grid:
        """The grid of an experiment's folder; ``ValueError`` names the file and the fault.

        Recipes are checked by :meth:`check` only: a store outlives options that were removed after its results.
        """
        path = folder / "grid.yaml"
        try:
            content = mapping(read_yaml(path), "the file")
            axes = {
                str(name): read_axis(str(name), axis) for name, axis in mapping(content.pop("axes", {}), "axes").items()
            }
            tuned = [one for entry in content.pop("tuned", []) for one in Tuned.read(entry, axes)]
            report = Report(**known(content.pop("report", {}), [field.name for field in dataclasses.fields(Report)]))
            fields = known(content, ["description", "findings", "base", "keep", "runs", "retired"])
            grid = cls(folder, axes=axes, tuned=tuned, report=report, **{"description": "", **fields})
        except (ValueError, TypeError) as error:  # TypeError: report without compare
            raise ValueError(f"grid {path}: {error}") from error
        return grid

    def check(self) -> None:
        """Raise ``ValueError`` for an axis' value whose recipe is ill-formed, and for a grid that is retired.

        Sources of tasks and streams, and their options, are checked as far as no file is read.
        """
        if self.retired:
            raise ValueError(f"grid {self.folder / 'grid.yaml'} is retired: {self.retired.strip()}")
        first = self.cells[0]
        one_changed = [{axis: value} for axis, values in self.axes.items() for value in values]
        for cell in [{**first, **changed} for changed in [*one_changed, *(tuned.at for tuned in self.tuned)]]:
            self.start(cell)
            self.fold(cell)
            tasks, pretraining = self.recipe(cell).tasks, self.pretraining(cell)
            with naming(f"grid {self.folder / 'grid.yaml'}, cell {describe(cell)}"):
                if pretraining is not None and stream_of(pretraining) is None:
                    tasks = tasks + pretraining.tasks
                for task in tasks:
                    task.check()

    def __post_init__(self) -> None:
        known(self.base, SECTIONS)
        if "seed" not in self.axes or not all(self.axes.values()):
            raise ValueError("axes: expected at least one value of every axis, and an axis named seed")
        if broken := [value for values in self.axes.values() for value in values if not value.isprintable()]:
            raise ValueError(f"axes: a value is one printable line of results.csv, got {broken[0]!r}")
        if taken := sorted(set(self.axes) & set(MEASURED)):
            raise ValueError(f"axes: {', '.join(taken)} is a column of results.csv; rename the axis")
        comparable = [name for name in self.axes if name != "seed"]
        for name in (self.report.compare, self.report.columns or self.report.compare):
            if name not in comparable:
                raise ValueError(
                    f"report: {name!r} is not an axis that can be compared; expected one of {', '.join(comparable)}"
                )

    @property
    def name(self) -> str:
        """The folder's path below training/experiments, such as ``real/poker``; elsewhere, its last part."""
        folder, root = self.folder.resolve(), EXPERIMENTS.resolve()
        return folder.relative_to(root).as_posix() if root in folder.parents else folder.name

    @property
    def cells(self) -> list[Cell]:
        """All cells; the last axis varies fastest."""
        return [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]

    def sections(self, cell: Cell) -> dict[str, Any]:
        """The base with the overrides of the cell's values, then what was tuned for it, merged over it."""
        overrides = [self.axes[axis][value] for axis, value in cell.items()]
        overrides += [tuned.sections for tuned in self.tuned if tuned.at.items() <= cell.items()]
        return functools.reduce(merge, overrides, self.base)

    def fingerprint(self, cell: Cell) -> str:
        """Hash of the cell's sections and, after a ``+``, of the data that they name: the content of a run."""
        data = data_fingerprint(self._task_fields(cell))
        sections, checkpoint = self.sections(cell), self.start(cell).checkpoint
        if checkpoint is not None:
            sections = {**sections, "checkpoint": weights_fingerprint(checkpoint)}
        return fingerprint(sections) + ("" if data is None else f"+{data}")

    def explains(self, row: dict[str, str]) -> bool:
        """Whether a line of the store was made with the grid's current recipe and data.

        The data are not compared if a file is missing now, nor for a line that was written before data were hashed.
        """
        written, present = row["recipe"].split("+"), self.fingerprint(self.cell_of(row)).split("+")
        return all(then == now for then, now in zip(written, present, strict=False))

    def cell_of(self, row: dict[str, str]) -> Cell:
        """The cell that a line of the store belongs to."""
        return {axis: row[axis] for axis in self.axes}

    def rows(self, stale: bool = False) -> list[dict[str, str]]:
        """One line per finished cell of the grid, in the order of the store.

        Args:
            stale: also of cells that were run with another recipe or other data only.
        """
        cells = self.cells
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for row in self.results.rows():
            key = tuple(self.cell_of(row).values())
            if self.cell_of(row) in cells and (self.explains(row) or (stale and key not in found)):
                found.pop(key, None)  # a later line takes the place of a stale one
                found[key] = row
        return list(found.values())

    def _task_fields(self, cell: Cell) -> list[dict[str, Any]]:
        """The sections of all tasks whose rows the cell reads."""
        sections = self.sections(cell)
        is_fresh = self.start(cell).from_scratch
        pretrained = {} if is_fresh else sections.get("pretrain", {}).get("tasks", {})
        return [sections.get("task", {}), *_named(sections.get("partners", {})), *_named(pretrained)]

    def recipe(self, cell: Cell, **overrides: Any) -> Recipe:
        """The cell's recipe, its main task first, some scalars replaced by ``overrides``.

        Raises:
            ValueError: an ill-formed recipe, or partners of what is fitted to one task; names the grid and the cell.
        """
        sections = self.sections(cell)
        task = {"name": sections.get("task", {}).get("source", "task"), **sections.get("task", {})}
        partners = _named(sections.get("partners", {}))
        start = self.start(cell)
        if partners and (sections.get("rival") or start.zero_shot or start.in_context):
            where = f"grid {self.folder / 'grid.yaml'}, cell {describe(cell)}"
            raise ValueError(f"{where}: partners are trained on, so leave out rival, zero_shot and in_context")
        folder = re.sub(r"[^\w.]+", "_", "-".join(cell.values()))
        return self._parse(cell, [task, *partners], sections.get("training", {}), folder, overrides)

    def pretraining(self, cell: Cell, **overrides: Any) -> Recipe | None:
        """The recipe of the cell's pretraining, if any; cells with equal recipes share its output folder."""
        sections = self.sections(cell)
        if "pretrain" not in sections or self.start(cell).from_scratch:
            return None
        unknown = sections["pretrain"].get("tasks", {}).keys() - self.base.get("pretrain", {}).get("tasks", {}).keys()
        if unknown:  # a misspelt name would leave out no task
            where = f"grid {self.folder / 'grid.yaml'}, cell {describe(cell)}"
            raise ValueError(f"{where}: pretrain: the base has no task {min(unknown)!r}")
        parts = {part: sections.get(part, {}) for part in ("model", "pretrain")}
        tasks = _named(sections["pretrain"].get("tasks", {}))
        training = {**sections["pretrain"].get("training", {}), "seed": int(cell["seed"])}
        data = data_fingerprint(self._task_fields(cell))
        folder = f"pretrained-{fingerprint([parts, cell['seed'], data, *([overrides] if overrides else [])])}"
        return self._parse(cell, tasks, training, folder, overrides)

    def architecture(self, cell: Cell) -> str | None:
        """The architecture of the rival network that replaces the model in the cell, if any."""
        return self.sections(cell).get("rival", {}).get("architecture")

    def reference(self, cell: Cell) -> str | None:
        """The reference prediction that takes the model's place in the cell, if any."""
        return self.sections(cell).get("rival", {}).get("reference")

    def fold(self, cell: Cell) -> Fold | None:
        """The fold that the cell is validated on; ``None`` for the validation split."""
        fold = self.sections(cell).get("fold")
        return None if fold is None else Fold(**known(fold, ["number", "of"]))

    def start(self, cell: Cell) -> CellStart:
        """What the cell's training starts from. ``ValueError`` names the grid and the cell."""
        with naming(f"grid {self.folder / 'grid.yaml'}, cell {describe(cell)}: finetune"):
            fields = [field.name for field in dataclasses.fields(CellStart)]
            start = CellStart(**known(self.sections(cell).get("finetune", {}), fields))
            if start.from_scratch and start.init_from is not None:
                raise ValueError("from_scratch has no trained rows, so it cannot be combined with init_from")
            has_source = start.checkpoint is not None or "pretrain" in self.sections(cell)
            if (start.in_context or start.init_from is not None) and not has_source:
                raise ValueError("init_from and in_context need trained weights: a section pretrain, or checkpoint")
            if start.in_context and (start.from_scratch or start.zero_shot):
                raise ValueError("in_context fits a head to trained states: leave from_scratch and zero_shot out")
            if start.checkpoint is not None and "pretrain" in self.sections(cell):
                raise ValueError("checkpoint takes the place of a pretraining: leave the section pretrain out")
            return start

    def _parse(
        self, cell: Cell, tasks: list[dict[str, Any]], training: dict[str, Any], folder: str, overrides: dict[str, Any]
    ) -> Recipe:
        training = {**training, "output_dir": str(Path(self.runs or RUNS / self.name) / folder)}
        content = {"model": self.sections(cell).get("model", {}), "tasks": tasks, "training": training}
        with naming(f"grid {self.folder / 'grid.yaml'}, cell {describe(cell)}"):
            return Recipe.from_dict(content, "its recipe").changed(**overrides)

    @property
    def choices(self) -> list[Path]:
        """The grids beside this one whose runs chose its learning rates and the like, by their names NAME_choice…"""
        siblings = find_grids(self.folder.parent)
        return [path for path in siblings if path.name.startswith(f"{self.folder.name}_choice")]

    @property
    def results(self) -> Store:
        """One line per finished run: a cell and the content of its recipe and data."""
        return Store(self.folder / "results.csv", (*self.axes, *MEASURED), (*self.axes, "recipe"))

    @property
    def pretrainings(self) -> Store:
        """One line per finished pretraining; its weights are not kept in the repository."""
        columns = (
            "pretraining",
            "seed",
            "tasks",
            "validation_loss",
            "parameters",
            "steps",
            "wall_seconds",
            *PROVENANCE,
        )
        return Store(self.folder / "pretrainings.csv", columns, ("pretraining",))

    def pending(self) -> list[Cell]:
        """The cells that the store does not have yet, or not with the present recipe and data."""
        finished = [self.cell_of(row) for row in self.rows()]
        return [cell for cell in self.cells if cell not in finished]


def find_grids(folder: Path) -> list[Path]:
    """The folders with a grid.yaml, in order: this one and those below it, since a study may hold several grids."""
    return sorted(path.parent for path in folder.rglob("grid.yaml"))


def _named(tasks: dict[str, Any]) -> list[dict[str, Any]]:
    """Fields of TaskRecipe of all tasks of a section but those that are left out."""
    return [{"name": name, **fields} for name, fields in tasks.items() if fields is not None]


def describe(cell: Cell) -> str:
    """The cell in one line."""
    return ", ".join(f"{axis} {value}" for axis, value in cell.items())
