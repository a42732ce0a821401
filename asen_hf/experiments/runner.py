"""Running the cells of a grid in worker processes, and training one cell."""

from __future__ import annotations

import contextlib
import dataclasses
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
from pathlib import Path
from typing import Any

from accelerate.utils import set_seed
from datasets import DatasetDict
from tqdm.auto import tqdm

from ..data import collate
from ..evaluation.provenance import provenance, revision
from ..evaluation.reference_predictions import reference_scores, simplest_reference
from ..evaluation.scores import Score, row_outcomes, score_splits
from ..model.configuration_asen import TaskConfig
from ..model.modeling_asen import AsenForMultitask
from ..model.read_out import fit_read_out
from ..training._run_folder import checkpoints, remove_checkpoint
from ..training._statistics import with_training_statistics
from ..training.finetune import prepare_model
from ..training.judging import judged
from ..training.loop import total_steps, train
from ..training.pretrain import pretraining_of
from ..training.recipe import Recipe, Start
from ..training.work import MultitaskWork, subsample
from ._attempts import Attempts, alone, attempt
from ._axes import Cell
from ._content import fingerprint
from .grid import OUTCOMES_NAME, PROVENANCE, RUNS, Grid, describe
from .reference_runs import run_reference
from .rivals import RivalConfig, RivalForMultitask
from .sections import CellStart


def run_cell(grid: Grid, cell: Cell, **overrides: Any) -> dict[str, Any]:
    """Train one cell, unless it is zero-shot, score it on the test split, and return its line of the store.

    ``overrides`` replace scalars of its recipes. Scores, rows and the reference are those of the main task.
    """
    recipe, pretraining = grid.recipe(cell, **overrides), grid.pretraining(cell, **overrides)
    output = Path(recipe.training.output_dir)
    if pretraining is not None:
        pretrain(grid, pretraining)  # or wait for the worker that trains it; it has its own line with its own time
    content = grid.fingerprint(cell)  # before the rows are read: a file that changes later makes the line stale
    with attempt(output, fingerprint([content, overrides]), _provenance()) as attempts:
        recipe.training.resume_from_checkpoint = attempts.resume_from_checkpoint
        return {**_run_cell(grid, cell, recipe, pretraining, attempts), "recipe": content}


def _run_cell(grid: Grid, cell: Cell, recipe: Recipe, pretraining: Recipe | None, attempts: Attempts) -> dict[str, Any]:
    start = time.perf_counter()
    training, output = recipe.training, Path(recipe.training.output_dir)
    configs, data = recipe.load()
    if fold := grid.fold(cell):
        data = {name: fold.apply(splits, training.seed) for name, splits in data.items()}
    configs = with_training_statistics(configs, data, training, is_logged=False)
    name, task = next(iter(configs.items()))  # the main task; its partners follow
    if reference := grid.reference(cell):
        scores, outcomes = run_reference(task, reference, data[name], training)
        output.mkdir(parents=True)
        outcomes.write(output / OUTCOMES_NAME)
        made = {"parameters": 0, "rows": training.train_rows or len(data[name]["train"]), "steps": 0, "best_step": 0}
        return _line(cell, task, data[name], scores["test"], scores["validation"].value, attempts, start, made)
    start_from = grid.start(cell)
    model = starting_model(recipe, pretraining, start_from, configs, grid.architecture(cell))
    rows = steps = best_step = 0
    validation: float | str = ""
    if start_from.in_context:
        known = subsample(data[name]["train"], training)
        rows = len(known)
        fit_read_out(model, name, collate(model.config.tasks[name], known))
    elif not start_from.zero_shot:
        recipe.start = Start(init_from=start_from.init_from)
        work = MultitaskWork(model, data, recipe, validated=[name])
        record = train(model, work, recipe)["validation"]
        validation, best_step = record.scores[name].value, record.step or 0
        rows = training.train_rows or len(data[name]["train"])
        steps = total_steps(training, work.num_rows, num_processes=1)
        if grid.keep:
            outcomes = row_outcomes(model, name, data[name]["validation"], training.eval_batch_size)
            outcomes.write(output / OUTCOMES_NAME)
    score = score_splits(model, {name: data[name]["test"]}, training.eval_batch_size)[name]
    score = judged({name: score}, model, recipe.tasks, batch_size=training.eval_batch_size)[name]
    if not grid.keep:
        shutil.rmtree(output, ignore_errors=True)
    made = {"parameters": model.num_parameters(), "rows": rows, "steps": steps, "best_step": best_step}
    return _line(cell, task, data[name], score, validation, attempts, start, made)


def _line(
    cell: Cell,
    task: TaskConfig,
    splits: DatasetDict,
    score: Score,
    validation: float | str,
    attempts: Attempts,
    start: float,
    made: dict[str, int],
) -> dict[str, Any]:
    """A line of the store: test scores, and how they were made since the time ``start``."""
    simplest = simplest_reference(task)
    return {
        **cell,
        "loss": score.loss,
        "metric": score.metric,
        "value": score.value,
        # majority or constant prediction, fitted on the whole train split even if the cell trains on fewer rows
        "reference": reference_scores(task, splits["train"], splits["test"], [simplest])[simplest],
        **made,
        "wall_seconds": round(attempts.seconds + time.perf_counter() - start, 1),
        **attempts.provenance,
        "finished": provenance()["finished"],
        "validation": validation,
        "details": json.dumps(score.details),
    }


def _provenance() -> dict[str, Any]:
    """What an attempt is made with, by columns of the stores; an accelerator is named with the platform."""
    record = provenance()
    record["revision"] = record["revision"] or "unknown"  # of an installed package
    record["platform"] = ", ".join(filter(None, [record["platform"], record["accelerator"]]))
    return {name: record[name] for name in PROVENANCE if name != "finished"}


def starting_model(
    recipe: Recipe, pretraining: Recipe | None, start: CellStart, tasks: dict[str, TaskConfig], architecture: Any
) -> AsenForMultitask:
    """What the cell's training starts from: random weights, or pretrained ones with the tasks added, the main first."""
    set_seed(recipe.training.seed)
    if architecture is not None:
        return RivalForMultitask(
            RivalConfig(**dataclasses.asdict(recipe.model), tasks=tasks, architecture=architecture)
        )
    implementation = recipe.training.attn_implementation
    source = start.checkpoint if pretraining is None else pretraining.training.output_dir
    if source is None or start.from_scratch:
        return AsenForMultitask(recipe.model.config(tasks, attn_implementation=implementation))
    (name, task), *partners = tasks.items()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ties and random rows, whose effect the experiment measures
        model = prepare_model(
            source,
            name,
            task,
            init_from=start.init_from,
            attn_implementation=implementation,
        )
        for partner, config in partners:
            model.add_task(partner, config)
    return model


@dataclasses.dataclass(frozen=True)
class Job:
    """A unit of work: a cell, or the pretraining that a cell starts from."""

    cell: Cell
    is_pretraining: bool = False

    def __str__(self) -> str:
        return ("pretraining for " if self.is_pretraining else "") + describe(self.cell)


def is_finished(pretraining: Recipe) -> bool:
    """Whether the output folder holds the finished checkpoint; a file that was cut off does not count."""
    folder = Path(pretraining.training.output_dir)
    try:
        return isinstance(json.loads((folder / "scores.json").read_text(encoding="utf-8")), dict)
    except FileNotFoundError:
        return False
    except ValueError:
        print(f"{folder}/scores.json is not whole, so its pretraining is run again", file=sys.stderr)
        return False


def pretrain(grid: Grid, recipe: Recipe) -> None:
    """Train the recipe and add its line to the store, unless its output folder holds the finished checkpoint."""
    output = Path(recipe.training.output_dir)
    with alone(output, wait=True):  # another worker may be training it
        if is_finished(recipe):
            return
        with attempt(output, output.name, _provenance()) as attempts:
            recipe.training.resume_from_checkpoint = attempts.resume_from_checkpoint
            grid.pretrainings.append(_pretrain(recipe, attempts))
        for checkpoint in checkpoints(output):
            remove_checkpoint(checkpoint)


def _pretrain(recipe: Recipe, attempts: Attempts) -> dict[str, Any]:
    """The line of the pretraining, whose finished checkpoint is left in its folder."""
    start = time.perf_counter()
    model, work = pretraining_of(recipe, is_logged=False)
    scores = train(model, work, recipe)["validation"].scores
    return {
        "pretraining": Path(recipe.training.output_dir).name,
        "seed": recipe.training.seed,
        "tasks": len(model.config.tasks),
        "validation_loss": sum(score.loss for score in scores.values()) / len(scores),
        "parameters": model.num_parameters(),
        "steps": total_steps(recipe.training, work.num_rows, num_processes=1),
        "wall_seconds": round(attempts.seconds + time.perf_counter() - start, 1),
        **attempts.provenance,
        "finished": provenance()["finished"],
    }


def serve(grid: Grid) -> None:
    """Loop of a worker process: read one job per line of JSON from stdin, write its error, or null, as a line of JSON.

    A job is a cell, or the pretraining that a cell starts from.
    """
    out = sys.stdout
    revision()  # cached now, because the files may change while this process runs
    for line in sys.stdin:  # ends when the parent does
        with contextlib.redirect_stdout(sys.stderr):
            try:
                run_job(grid, Job(**json.loads(line)))
                failure = None
            except (ValueError, OSError) as error:
                failure = str(error)
            except Exception:
                failure = traceback.format_exc()
        print(json.dumps({"error": failure}), file=out, flush=True)


def run_job(grid: Grid, job: Job) -> None:
    """Train a cell or a pretraining and add its line to the store, which a process that outlives its parent does, too.

    Raises:
        ValueError: another process is at it.
    """
    if job.is_pretraining:
        pretraining = grid.pretraining(job.cell)
        assert pretraining is not None
        pretrain(grid, pretraining)
        return
    with alone(Path(grid.recipe(job.cell).training.output_dir)):
        if job.cell in grid.pending():  # else another process has finished it since the jobs were planned
            grid.results.append(run_cell(grid, job.cell))


def plan(grid: Grid, cells: list[Cell]) -> list[Job]:
    """The unfinished pretrainings that the cells need, followed by the cells in their order."""
    needed: dict[str, Job] = {}
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
        command = [sys.executable, "-m", "asen_hf.experiments.runner", str(grid.folder.resolve())]
        pipe, environment = subprocess.PIPE, {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, env=environment, text=True)


def run_jobs(grid: Grid, jobs: list[Job], num_workers: int) -> list[str]:
    """Run the jobs, ``num_workers`` at a time, in processes that store them; return the errors of the failed ones."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    bar, lock = tqdm(total=len(jobs), unit="job", smoothing=0.1), threading.Lock()
    errors: list[str] = []

    def work(number: int) -> None:
        process = None
        with contextlib.suppress(queue.Empty):
            while True:
                job = waiting.get_nowait()
                process = process or start_worker(grid, number)
                with contextlib.suppress(BrokenPipeError):
                    print(json.dumps(dataclasses.asdict(job)), file=process.stdin, flush=True)
                assert process.stdout is not None
                line = process.stdout.readline()
                if line.endswith("\n"):  # else the process died while it wrote, or before
                    answer = json.loads(line)
                else:
                    process.communicate()
                    log = RUNS / grid.name / f"worker-{number}.log"
                    answer = {"error": f"its process died with status {process.returncode}; see {log}"}
                    process = None
                with lock:
                    if answer["error"] is not None:
                        errors.append(answer["error"])
                        bar.write(f"failed: {job}: {answer['error']}", file=sys.stderr)
                    bar.update()
        if process is not None:
            process.communicate()  # closes its input, which ends it

    # Daemon threads: an interrupted run does not wait for them, and their processes end with it.
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bar.close()
    return errors


if __name__ == "__main__":  # a worker process; see start_worker
    serve(Grid.read(Path(sys.argv[1])))
