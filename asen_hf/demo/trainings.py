"""The trainings behind the tabs Your data and Which symmetry: the commands ``asen finetune`` and ``asen select``."""

from __future__ import annotations

import dataclasses
import re
import statistics
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from ..evaluation.metrics import METRICS
from ..evaluation.scores import TEST_SCORES_NAME, ScoreRecord
from ..experiments.grid import Grid
from ..experiments.selection import PROPOSED
from ..plots._axes import STYLE
from ..plots.experiments import Ranked, plot_ranking
from . import jobs
from .group_view import read_group
from .uploads import TABLE, TASK, Upload, write_training

CHECKPOINT = "asen-sequence-base"
FIT_STEPS, SELECT_STEPS, SELECT_SEEDS = 120, 100, 2
MAX_CANDIDATES = 6  # that the visitor names
_STEP = re.compile(r"^step (\d+):", re.MULTILINE)
_ROWS = ("--dataset", TABLE, "--task_config", TASK)
_DOWNLOADED = ("README.md", "config.json", "model.safetensors", "recipe.yaml", "scores.json", TEST_SCORES_NAME)


@dataclasses.dataclass(frozen=True)
class Fit:
    """Scores on the held-out test rows, and the checkpoint.

    Attributes:
        metric, rows: of the test scores.
        scores: by predictor; the declared group comes first.
        equivariance_error, outside_error: of the model with the declared group, inside and outside of it.
        archive: a zip with the checkpoint and its card. It lies in a folder that goes when the iterator goes on.
    """

    metric: str
    rows: int
    scores: dict[str, float]
    equivariance_error: float | None
    outside_error: float | None
    archive: Path


def fit(upload: Upload, fields: dict[str, Any]) -> Iterator[float | Fit]:
    """Finetune on the table with the declared group, and again without symmetry.

    Yields:
        The share of the work that is done, again and again, and the result at last.

    Raises:
        ValueError: a cell that does not suit the task, or a training that failed.
    """
    with tempfile.TemporaryDirectory(prefix="asen_hf_") as name:
        folder = Path(name)
        write_training(folder, upload, fields)
        deadline = time.monotonic() + jobs.MAX_SECONDS  # of both trainings
        common = (CHECKPOINT, *_ROWS, "--max_steps", str(FIT_STEPS))
        for number, (output, more) in enumerate({"model": [], "trivial": ["--generators", "[]"]}.items()):
            for text in jobs.run(["finetune", *common, *more, "--output_dir", output], folder, deadline):
                step = int(_STEP.findall(text)[-1]) if _STEP.search(text) else 0
                yield (number + step / FIT_STEPS) / 2
        yield _fit_of(folder, fields["group"])


def _fit_of(folder: Path, group: str) -> Fit:
    [own], [trivial] = (
        ScoreRecord.read(folder / output / TEST_SCORES_NAME).scores.values() for output in ("model", "trivial")
    )
    names = {"equivariant_ridge": "equivariant ridge, no network", "majority": "most frequent class"}
    names |= {"constant": "the median"}
    scores = {f"network, {group}": own.value, "network, no symmetry": trivial.value}
    scores |= {title: own.references[name] for name, title in names.items() if name in own.references}
    archive = folder / "asen-checkpoint.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in _DOWNLOADED:
            file.write(folder / "model" / name, name)
    return Fit(own.metric, own.rows, scores, own.equivariance_error, own.outside_error, archive)


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Validation scores by candidate as a picture, the best first, and the verdict once all runs are finished."""

    done: float
    picture: Figure | None
    verdict: str = ""


def select(upload: Upload, fields: dict[str, Any], candidates: Sequence[str]) -> Iterator[Ranking]:
    """Train one network per candidate group, and rank them as they finish.

    Args:
        upload: the table.
        fields: of its task; its group is a candidate.
        candidates: further groups, in notation. Standard groups and ridge regression compete, too.

    Yields:
        The ranking so far, again and again.

    Raises:
        ValueError: a candidate of another degree, a cell that does not suit the task, or a training that failed.
    """
    if len(candidates) > MAX_CANDIDATES:
        raise ValueError(f"at most {MAX_CANDIDATES} more candidates can be tried here, got {len(candidates)}")
    degree = read_group(fields["group"])[0].degree
    for text in candidates:
        if (found := read_group(text)[0].degree) != degree:
            raise ValueError(f"candidate {text} acts on {found} points, but {fields['group']} on {degree}")
    with tempfile.TemporaryDirectory(prefix="asen_hf_") as name:
        folder = Path(name)
        write_training(folder, upload, fields)
        groups = [*PROPOSED, fields["group"], *candidates]
        budget = ("--max_steps", str(SELECT_STEPS), "--seeds", str(SELECT_SEEDS), "--workers", "1")
        network = ("--hidden_size", "64", "--attn_implementation", "eager", "--rivals", "equivariant_ridge")
        arguments = ["select", *_ROWS, *budget, *network, "--output_dir", "selected", "--groups", *groups]
        shown = Ranking(0, None)
        for _ in jobs.run(arguments, folder):
            if (folder / "selected" / "grid.yaml").exists():
                grid = Grid.read(folder / "selected")
                rows = grid.results.rows()
                done = len(rows) / len(grid.cells)
                if done != shown.done:
                    shown = Ranking(done, ranking_picture(rows) if rows else None)
            yield shown
        yield Ranking(1, shown.picture, _verdict(folder / "selected" / "ranking.md"))


def ranking_picture(rows: list[dict[str, str]]) -> Figure:
    """The validation scores of a store's lines, one dot per run, the best candidate first."""
    scores: dict[str, list[float]] = {}
    kinds = {}
    for row in rows:
        scores.setdefault(row["candidate"], []).append(float(row["validation"]))
        kinds[row["candidate"]] = "network" if int(row["parameters"]) else "without a network"
    metric = rows[0]["metric"]
    sign = -1 if METRICS[metric].larger_is_better else 1
    order = sorted(scores, key=lambda name: sign * statistics.mean(scores[name]))
    with rc_context(STYLE):
        figure = Figure(figsize=(5.5, 1.6 + 0.3 * len(order)), layout="constrained")
        plot_ranking(
            [Ranked(name, kinds[name], scores[name]) for name in order], f"validation {metric}", figure.subplots()
        )
    return figure


def _verdict(report: Path) -> str:
    """The paragraph of ranking.md that names the best candidate and those that are not told apart from it."""
    return next(line for line in report.read_text(encoding="utf-8").splitlines() if line.startswith("Best by "))
