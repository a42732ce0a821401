"""training/experiments.py: run the missing cells of a grid of small trainings, or write its report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..experiments._axes import Cell
from ..experiments.claims import claims
from ..experiments.grid import EXPERIMENTS, Grid, find_grids
from ..experiments.pages import entries, write_pages
from ..experiments.report import write_report
from ..experiments.runner import plan, run_jobs
from ..training._quiet_libraries import quiet_libraries

DESCRIPTION = """\
Run the missing cells of a grid of small trainings, or write its report.

  python training/experiments.py NAME [--workers 2] [--cells N] [--dry_run]
  python training/experiments.py [NAME] --report

training/experiments/NAME/ holds grid.yaml (keys: see asen_hf/experiments/grid.py), results.csv with one line per
finished cell, and report.md with its plot, which --report makes from grid.yaml and results.csv. To continue after an
interruption, run the same command: cells that have a line are not run again, and one that was cut off goes on from its
last checkpoint (remove its folder under runs/ to begin anew). Weights are deleted unless the grid keeps them.
Pretrained weights lie under runs/, with their lines in pretrainings.csv, and are trained again if they are missing.
Reports of studies that real/page.yaml or paper/page.yaml lists also render docs/results/real.md, the README's
table of results and docs/results/paper.md. A study may hold several grids, in folders of its own: `real/poker` is one
of them, `real` all, one after the other.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the script.

    Raises:
        ValueError: a missing or ill-formed grid, or a flag out of range.
        SystemExit: with status 1 if jobs failed.
    """
    parser = argparse.ArgumentParser(
        prog="experiments.py", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", nargs="?", help="Folder of training/experiments, or any folder with a grid.yaml in or below it."
    )
    parser.add_argument(
        "--report", action="store_true", help="Write report.md of NAME; without NAME, of all experiments."
    )
    parser.add_argument("--workers", type=int, default=2, help="Number of single-threaded processes; default: 2.")
    parser.add_argument("--cells", type=int, help="Run at most this many cells; default: all missing cells.")
    parser.add_argument(
        "--where", nargs="+", default=[], metavar="AXIS=VALUE", help="Run cells with these values of axes only."
    )
    parser.add_argument("--dry_run", action="store_true", help="List the cells to run, without running them.")
    options = parser.parse_args(arguments)
    if options.name is None and not options.report:
        raise ValueError("no experiment given: name a folder of training/experiments, or pass --report")
    if options.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {options.workers}")
    quiet_libraries()
    folder = EXPERIMENTS / (options.name or "")
    # The grid of `asen select` is reported by its ranking.
    found = [path for path in find_grids(folder) if options.name or not (path / "ranking.csv").exists()]
    grids = [Grid.read(path) for path in found or [folder]]
    if options.report:
        listed = {entry.grid for entry in entries(EXPERIMENTS)}
        for grid in grids:
            if grid.name not in listed:
                print(write_report(grid))
        if (listed | {claim.grid for claim in claims(EXPERIMENTS)}) & {grid.name for grid in grids}:
            print("\n".join(map(str, write_pages())))
        return
    for grid in grids:
        grid.check()
    num_left, failed = options.cells, 0
    for grid in grids:
        cells = _meant(grid, options.where)[:num_left]
        jobs = plan(grid, cells)
        if options.dry_run:
            print("\n".join(map(str, jobs)))
        print(f"{grid.name}: {len(cells)} cells to run, of {len(grid.cells)}; {len(jobs) - len(cells)} pretrainings")
        if num_left is not None:
            num_left -= len(cells)
        if jobs and not options.dry_run and (errors := run_jobs(grid, jobs, options.workers)):
            print(f"error: {len(errors)} of {len(jobs)} jobs failed", file=sys.stderr)
            failed += len(errors)
    if failed:
        raise SystemExit(1)


def _meant(grid: Grid, conditions: Sequence[str]) -> list[Cell]:
    """The cells to run that have all these values, ``axis=value`` each.

    Raises:
        ValueError: the grid has no such axis or value.
    """
    cells = grid.pending()
    for condition in conditions:
        axis, _, value = condition.partition("=")
        if value not in grid.axes.get(axis, {}):
            known = "; ".join(f"{name}: {', '.join(values)}" for name, values in grid.axes.items())
            raise ValueError(f"--where {condition}: {grid.name} has no such axis or value; it has {known}")
        cells = [cell for cell in cells if cell[axis] == value]
    return cells
