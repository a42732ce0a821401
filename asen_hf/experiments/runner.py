"""Run what is still missing of a grid of small trainings, or report what has been found.

    python training/experiments.py NAME [--workers 2] [--cells N] [--dry_run]
    python training/experiments.py [NAME] --report

training/experiments/NAME/ holds grid.yaml (its keys: experiment_grid.py), results.csv, to which every finished cell
adds a line, and report.md with its plot, which --report makes anew from these two. A run may be stopped and taken up
again at any time: cells that have a line are never run again. Weights are not kept unless the grid says so, except for
pretrained ones (their lines: pretrainings.csv), which lie under runs/ and are made again where they are missing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed
from tqdm.auto import tqdm

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

from ..evaluation.provenance import provenance, revision
from ..evaluation.reference_predictions import reference_scores
from ..evaluation.scores import score_splits
from ..training.finetune import FinetuneArguments, prepare_model
from ..training.loop import total_steps, train
from ..training.recipe import Recipe, script
from .grid import RUNS, Cell, Grid, Start, describe
from .report import write_report
from .rivals import RivalConfig, RivalForMultitask

EXPERIMENTS = Path(__file__).parents[2] / "training" / "experiments"


def run_cell(grid: Grid, cell: Cell, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Train one cell, unless it is zero-shot, and score it on the test split: its line of the store.

    ``flags`` override its recipes' scalars.
    """
    recipe, pretraining = grid.recipe(cell, flags), grid.pretraining(cell, flags)
    if pretraining is not None:
        pretrain(grid, pretraining)  # or wait for the worker that does; it has its own line and time
    start = time.perf_counter()
    training, output = recipe.training, Path(recipe.training.output_dir)
    shutil.rmtree(output, ignore_errors=True)
    configs, data = recipe.load()
    [(name, task)] = configs.items()
    start_from = grid.start(cell)
    model = starting_model(recipe, pretraining, start_from, name, task, grid.architecture(cell))
    rows = steps = best_step = 0
    validation: float | str = ""
    if not start_from.zero_shot:
        validation = train(model, data, recipe)[name].value
        rows = training.train_rows or len(data[name]["train"])
        steps = total_steps(training, rows, num_processes=1)
        best_step = json.loads((output / "scores.json").read_text(encoding="utf-8"))["step"]
        if not grid.keep:
            shutil.rmtree(output)
    score = score_splits(model, {name: data[name]["test"]}, training.eval_batch_size)[name]
    return {
        **cell,
        "loss": score.loss,
        "metric": score.metric,
        "value": score.value,
        # majority or constant, fitted on the whole train split, however few rows the cell has
        "reference": next(iter(reference_scores(task, data[name]["train"], data[name]["test"]).values())),
        "parameters": model.num_parameters(),
        "rows": rows,
        "steps": steps,
        "best_step": best_step,
        "wall_seconds": round(time.perf_counter() - start, 1),
        "recipe": grid.fingerprint(cell),
        **provenance(),
        "validation": validation,
        "details": json.dumps(score.details),
    }


def starting_model(
    recipe: Recipe, pretraining: Recipe | None, start: Start, name: str, task: TaskConfig, architecture: str | None
) -> AsenForMultitask:
    """What the cell's training starts from: random weights, or pretrained ones with the task added."""
    set_seed(recipe.training.seed)
    if architecture is not None:
        return RivalForMultitask(RivalConfig(**recipe.model, tasks={name: task}, architecture=architecture))
    implementation = recipe.training.attn_implementation
    if pretraining is None:
        return AsenForMultitask(AsenConfig(**recipe.model, tasks={name: task}, attn_implementation=implementation))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ties and fresh rows are what is measured
        checkpoint = FinetuneArguments(pretraining.training.output_dir, init_from=start.init_from)
        return prepare_model(checkpoint, name, task, implementation)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker is given: a cell, or the pretraining that a cell starts from."""

    cell: Cell
    is_pretraining: bool = False

    def __str__(self) -> str:
        return ("pretraining for " if self.is_pretraining else "") + describe(self.cell)


def is_finished(pretraining: Recipe) -> bool:
    return (Path(pretraining.training.output_dir) / "scores.json").exists()


def pretrain(grid: Grid, recipe: Recipe) -> None:
    """Leave the recipe's finished checkpoint in its output folder, unless it is there, and its line in the store."""
    output = Path(recipe.training.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    with (output / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be at it
        if is_finished(recipe):
            return
        start = time.perf_counter()
        configs, data = recipe.load()
        set_seed(recipe.training.seed)
        model = AsenForMultitask(
            AsenConfig(**recipe.model, tasks=configs, attn_implementation=recipe.training.attn_implementation)
        )
        scores = train(model, data, recipe)
        largest = recipe.training.train_rows or max(len(splits["train"]) for splits in data.values())
        grid.pretrainings.append(
            {
                "pretraining": output.name,
                "seed": recipe.training.seed,
                "tasks": len(configs),
                "validation_loss": sum(score.loss for score in scores.values()) / len(scores),
                "parameters": model.num_parameters(),
                "steps": total_steps(recipe.training, largest, num_processes=1),
                "wall_seconds": round(time.perf_counter() - start, 1),
                **provenance(),
            }
        )
        for checkpoint in output.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)


def serve(grid: Grid) -> None:
    """What a worker process does: a job comes in as a line of JSON, its row or its error goes out as one.

    A job is a cell, or the pretraining that a cell starts from; the latter's row is null.
    """
    out = sys.stdout
    revision()  # of the code that this process has read, whatever happens to the files
    for line in sys.stdin:  # ends when the parent does
        with contextlib.redirect_stdout(sys.stderr):
            try:
                answer: dict[str, Any] = {"row": run_job(grid, Job(**json.loads(line)))}
            except (ValueError, OSError) as error:
                answer = {"error": str(error)}
            except Exception:
                answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=out, flush=True)


def run_job(grid: Grid, job: Job) -> dict[str, Any] | None:
    """The row of a cell; of a pretraining, which adds its own to the store, ``None``."""
    if not job.is_pretraining:
        return run_cell(grid, job.cell)
    pretraining = grid.pretraining(job.cell)
    assert pretraining is not None
    pretrain(grid, pretraining)
    return None


def plan(grid: Grid, cells: list[Cell]) -> list[Job]:
    """The cells in their order, after the pretrainings that they need and that are not there."""
    needed = {}
    for cell in cells:
        pretraining = grid.pretraining(cell)
        if pretraining is not None and not is_finished(pretraining):
            needed.setdefault(pretraining.training.output_dir, Job(cell, is_pretraining=True))
    return [*needed.values(), *map(Job, cells)]


def start_worker(grid: Grid, number: int) -> subprocess.Popen[str]:
    """A single-threaded process that serves cells; its progress bars go to a log beside the runs."""
    log = RUNS / grid.name / f"worker-{number}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stderr:
        command = [sys.executable, "-m", "asen_hf.experiments.runner", str(grid.folder.resolve()), "--serve"]
        pipe, environment = subprocess.PIPE, {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, env=environment, text=True)


def run_jobs(grid: Grid, jobs: list[Job], num_workers: int) -> int:
    """Run the jobs, ``num_workers`` at a time, each finished cell at once into the store; the number that failed."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    bar, lock, done = tqdm(total=len(jobs), unit="job", smoothing=0.1), threading.Lock(), []

    def work(number: int) -> None:
        process = None
        with contextlib.suppress(queue.Empty):
            while True:
                job = waiting.get_nowait()
                process = process or start_worker(grid, number)
                with contextlib.suppress(BrokenPipeError):
                    print(json.dumps(dataclasses.asdict(job)), file=process.stdin, flush=True)
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
                        if answer["row"] is not None:
                            grid.results.append(answer["row"])
                        done.append(job)
                    else:
                        bar.write(f"failed: {job}: {answer['error']}", file=sys.stderr)
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
    return len(jobs) - len(done)


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
    grid.check()
    cells = grid.pending()[: arguments.cells]
    jobs = plan(grid, cells)
    if arguments.dry_run:
        print("\n".join(map(str, jobs)))
    print(f"{grid.name}: {len(cells)} cells to run, of {len(grid.cells)}; {len(jobs) - len(cells)} pretrainings")
    if jobs and not arguments.dry_run and (failed := run_jobs(grid, jobs, arguments.workers)):
        print(f"error: {failed} of {len(jobs)} jobs failed", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
