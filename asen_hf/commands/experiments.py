"""training/experiments.py: run what is missing of a grid of small trainings, or report what has been found."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..experiments.grid import Grid
from ..experiments.report import write_report
from ..experiments.runner import plan, run_jobs
from ._command_line import quiet_libraries

DESCRIPTION = """\
Run what is still missing of a grid of small trainings, or report what has been found.

  python training/experiments.py NAME [--workers 2] [--cells N] [--dry_run]
  python training/experiments.py [NAME] --report

training/experiments/NAME/ holds grid.yaml (its keys: asen_hf/experiments/grid.py), results.csv, to which every finished
cell adds a line, and report.md with its plot, which --report makes anew from the two files. A run that was stopped goes
on with the same command: cells that have a line are never run again. Weights are not kept unless the grid says so,
except pretrained weights (their lines: pretrainings.csv), which lie under runs/ and are made again where they are
missing.
"""
EXPERIMENTS = Path(__file__).parents[2] / "training" / "experiments"


def main(arguments: Sequence[str]) -> None:
    """Run the script.

    Raises:
        ValueError: no or an ill-formed grid, or a flag out of range.
        SystemExit: with status 1 where jobs failed.
    """
    parser = argparse.ArgumentParser(
        prog="experiments.py", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", help="a folder of training/experiments, or any folder that has a grid.yaml")
    parser.add_argument("--report", action="store_true", help="write report.md, of all experiments if none is named")
    parser.add_argument("--workers", type=int, default=2, help="number of single-threaded processes; default 2")
    parser.add_argument("--cells", type=int, help="run at most this many cells")
    parser.add_argument("--dry_run", action="store_true", help="only list the cells that would be run")
    options = parser.parse_args(arguments)
    if options.name is None and not options.report:
        raise ValueError("say which experiment to run")
    if options.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {options.workers}")
    quiet_libraries()
    folders = sorted(path.parent for path in EXPERIMENTS.glob("*/grid.yaml"))
    grids = [Grid.read(folder) for folder in ([EXPERIMENTS / options.name] if options.name else folders)]
    if options.report:
        for grid in grids:
            print(write_report(grid))
        return
    [grid] = grids
    grid.check()
    cells = grid.pending()[: options.cells]
    jobs = plan(grid, cells)
    if options.dry_run:
        print("\n".join(map(str, jobs)))
    print(f"{grid.name}: {len(cells)} cells to run, of {len(grid.cells)}; {len(jobs) - len(cells)} pretrainings")
    if jobs and not options.dry_run and (failed := run_jobs(grid, jobs, options.workers)):
        print(f"error: {failed} of {len(jobs)} jobs failed", file=sys.stderr)
        raise SystemExit(1)
