"""Run what is still missing of a grid of small trainings, or report what has been found.

    python training/experiments.py NAME [--workers 2] [--cells N] [--dry_run]
    python training/experiments.py [NAME] --report

training/experiments/NAME/ holds grid.yaml (its keys: experiment_grid.py), results.csv, to which every finished cell
adds a line, and report.md with its plot, which --report makes anew from these two. A run may be stopped and taken up
again at any time: cells that have a line are never run again. Weights are not kept unless the grid says so.
"""

import argparse
import contextlib
import datetime
import functools
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.utils import set_seed
from experiment_grid import RUNS, Cell, Grid, describe
from experiment_report import write_report
from tqdm.auto import tqdm

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask
from asen_hf.loop import total_steps, train
from asen_hf.objective import baselines, evaluate
from asen_hf.recipe import script

EXPERIMENTS = Path(__file__).parent / "experiments"


def run_cell(grid: Grid, cell: Cell, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Train one cell and score it on the test split: its line of the store. ``flags`` override its recipe's scalars."""
    start = time.perf_counter()
    recipe = grid.recipe(cell, flags)
    training, output = recipe.training, Path(recipe.training.output_dir)
    shutil.rmtree(output, ignore_errors=True)
    configs, data = recipe.load()
    [(name, task)] = configs.items()
    set_seed(training.seed)
    model = AsenForMultitask(
        AsenConfig(**recipe.model, tasks=configs, attn_implementation=training.attn_implementation)
    )
    train(model, data, recipe)
    score = evaluate(model, {name: data[name]["test"]}, training.eval_batch_size)[name]
    rows = training.train_rows or len(data[name]["train"])
    best_step = json.loads((output / "scores.json").read_text(encoding="utf-8"))["step"]
    if not grid.keep:
        shutil.rmtree(output)
    return {
        **cell,
        "loss": score.loss,
        "metric": score.metric,
        "value": score.value,
        # majority or constant, fitted on the whole train split, however few rows the cell has
        "baseline": next(iter(baselines(task, data[name]["train"], data[name]["test"]).values())),
        "parameters": model.num_parameters(),
        "rows": rows,
        "steps": total_steps(training, rows, num_processes=1),
        "best_step": best_step,
        "wall_seconds": round(time.perf_counter() - start, 1),
        "recipe": grid.fingerprint(cell),
        "revision": revision(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "asen_hf": asen_hf.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@functools.cache  # a worker goes on with the code that it started with
def revision() -> str:
    """The git revision, with a + when the code has changes that are not committed."""
    git = ("git", "--no-optional-locks", "-C", str(Path(__file__).parent))
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        code = (":(top)asen_hf", ":(top,glob)training/*.py")  # not the stores, which change all the time
        changes = subprocess.run([*git, "status", "--porcelain", "--", *code], capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + "+" * bool(changes.stdout)


def serve(grid: Grid) -> None:
    """What a worker process does: a cell comes in as a line of JSON, its row or its error goes out as one."""
    out = sys.stdout
    for line in sys.stdin:  # ends when the parent does
        with contextlib.redirect_stdout(sys.stderr):
            try:
                answer: dict[str, Any] = {"row": run_cell(grid, json.loads(line))}
            except (ValueError, OSError) as error:
                answer = {"error": str(error)}
            except Exception:
                answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=out, flush=True)


def start_worker(grid: Grid, number: int) -> subprocess.Popen[str]:
    """A single-threaded process that serves cells; its progress bars go to a log beside the runs."""
    log = RUNS / grid.name / f"worker-{number}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stderr:
        command = [sys.executable, __file__, str(grid.folder.resolve()), "--serve"]
        pipe, environment = subprocess.PIPE, {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, env=environment, text=True)


def run_cells(grid: Grid, cells: list[Cell], num_workers: int) -> int:
    """Run the cells, ``num_workers`` at a time, each finished one at once into the store; the number that failed."""
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        waiting.put(cell)
    bar, lock, done = tqdm(total=len(cells), unit="cell", smoothing=0.1), threading.Lock(), []

    def work(number: int) -> None:
        process = None
        with contextlib.suppress(queue.Empty):
            while True:
                cell = waiting.get_nowait()
                process = process or start_worker(grid, number)
                with contextlib.suppress(BrokenPipeError):
                    print(json.dumps(cell), file=process.stdin, flush=True)
                line = process.stdout.readline()
                if line:
                    answer = json.loads(line)
                else:
                    process.communicate()
                    log = RUNS / grid.name / f"worker-{number}.log"
                    answer = {"error": f"its process died with status {process.returncode}; see {log}"}
                    process = None
                with lock:
                    if "row" in answer:
                        grid.append(answer["row"])
                        done.append(cell)
                    else:
                        bar.write(f"failed: {describe(cell)}: {answer['error']}", file=sys.stderr)
                    bar.update()
        if process is not None:
            process.communicate()  # closes its input, so that it ends

    # Daemons: an interrupted run does not wait for them, and their processes end with it.
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bar.close()
    return len(cells) - len(done)


@script
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="a folder of training/experiments, or any other that has a grid.yaml")
    parser.add_argument("--report", action="store_true", help="write report.md, of all experiments if none is named")
    parser.add_argument("--workers", type=int, default=2, help="single-threaded processes; default 2")
    parser.add_argument("--cells", type=int, help="run at most this many")
    parser.add_argument("--dry_run", action="store_true", help="only list the cells that would be run")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.name is None and not arguments.report:
        raise ValueError("say which experiment to run")
    if arguments.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {arguments.workers}")
    folders = sorted(path.parent for path in EXPERIMENTS.glob("*/grid.yaml"))
    grids = [Grid.read(folder) for folder in ([EXPERIMENTS / arguments.name] if arguments.name else folders)]
    if arguments.report:
        for grid in grids:
            print(write_report(grid))
        return
    [grid] = grids
    if arguments.serve:
        return serve(grid)
    cells = grid.pending()[: arguments.cells]
    if arguments.dry_run:
        print("\n".join(map(describe, cells)))
    print(f"{grid.name}: {len(cells)} cells to run, of {len(grid.cells)}")
    if cells and not arguments.dry_run and (failed := run_cells(grid, cells, arguments.workers)):
        print(f"error: {failed} of {len(cells)} cells failed", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
