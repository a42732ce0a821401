"""Where pairs are not enough: groups that are 3-closed but not 2-closed, and one that is neither (paper, Section C.5).

    python training/experiments/third_order/run.py [--output_dir DIR]

The sign of a permutation is invariant under A_n, which pairs widen to S_n: the paper's negative result. *Orientation*
is a task on the projective line over seven elements: tokens 0 and 1 mark two points, and every other point is labelled
by the orbit of PSL(2, 7) that contains it together with them. Writes results.csv and report.md beside this file. Runs
that lie finished in DIR are not repeated.
"""

import argparse
import csv
import dataclasses
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import set_seed
from datasets import DatasetDict

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.closures import closure_report
from asen_hf.commands.main import report_errors
from asen_hf.data import get_task
from asen_hf.data.features import to_dataset
from asen_hf.evaluation.provenance import provenance
from asen_hf.evaluation.scoreboard import scoreboard
from asen_hf.model.orbits import orbit_labels
from asen_hf.training.loop import train
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
EPOCHS = 30
# x + 1, 2x and -1/x on the seven elements and infinity, point 7.
PSL_2_7 = "(0 1 2 3 4 5 6), (1 2 4)(3 6 5), (0 7)(1 6)(2 3)(4 5)"


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the report: a task, the group the model is told, and how that breaks the symmetry."""

    task: str
    group: str
    symmetry_breaking: str


CASES = [
    *(Case("sign, n = 4", *rest) for rest in (("A4", "pairs"), ("A4", "triples"), ("E4", "pairs"))),
    *(Case("sign, n = 8", *rest) for rest in (("A8", "pairs"), ("A8", "triples"), ("E8", "pairs"))),
    *(Case("orientation", *rest) for rest in ((PSL_2_7, "pairs"), (PSL_2_7, "triples"), ("E8", "pairs"))),
]


def sign(case: Case, seed: int) -> tuple[TaskConfig, DatasetDict]:
    """The registered task on permutations of as many tokens as its name says."""
    task = get_task(
        "invariant/permutation_sign",
        length=int(case.task.rpartition(" ")[2]),
        group=case.group,
        symmetry_breaking=case.symmetry_breaking,
    )
    return task.config, task.load(seed=seed)


def orientation(case: Case, seed: int) -> tuple[TaskConfig, DatasetDict]:
    """Permutations of 8 tokens; label 1 where (point, where 0 is, where 1 is) is in the orbit of the larger number."""
    config = TaskConfig(group=case.group, degree=8, vocab_size=8, symmetry_breaking=case.symmetry_breaking)
    triples = orbit_labels(TaskConfig(group=PSL_2_7, vocab_size=8).permutation_group(), order=3)
    generic = np.unique([triples[i, j, k] for i, j, k in np.ndindex(8, 8, 8) if len({i, j, k}) == 3])
    rng = np.random.default_rng(seed)
    inputs = np.unique([rng.permutation(8) for _ in range(3000)], axis=0)
    inputs = rng.permutation(inputs)[:2500]
    zero, one = (inputs == 0).argmax(axis=1), (inputs == 1).argmax(axis=1)
    labels = (triples[np.arange(8), zero[:, None], one[:, None]] == generic[-1]).astype(np.int64)
    labels[np.arange(8) == zero[:, None]] = -100  # the marked points themselves have no label
    labels[np.arange(8) == one[:, None]] = -100
    cuts = {"train": slice(1750), "validation": slice(1750, 2125), "test": slice(2125, None)}
    return config, DatasetDict({name: to_dataset(config, inputs[cut], labels[cut]) for name, cut in cuts.items()})


LOADERS = {"sign, n = 4": sign, "sign, n = 8": sign, "orientation": orientation}


def run(case: Case, seed: int, output_dir: Path) -> dict[str, Any]:
    """Train one case with one seed, if that has not been done, and score it."""
    name = "-".join("".join(c if c.isalnum() else " " for c in f"{case.task} {case.group}").split())
    output = output_dir / f"{name}-{case.symmetry_breaking}-{seed}"
    config, data = LOADERS[case.task](case, seed)
    training = TrainingRecipe(output_dir=str(output), seed=seed, num_epochs=EPOCHS)
    set_seed(seed)
    model = AsenForMultitask(AsenConfig(tasks={"task": config}))
    if not (output / "scores.json").exists():
        train(model, {"task": data}, Recipe(ModelRecipe(), [], training))
    score = scoreboard(AsenForMultitask.from_pretrained(output), {"task": data})["task"]
    row = {
        **dataclasses.asdict(case),
        "seed": seed,
        "loss": round(score.loss, 4),
        "accuracy": round(score.value, 4),
        "majority": round(score.references["majority"], 4),
        "error_inside": f"{score.equivariance_error:.1e}",
        "error_outside": "none" if score.outside_error is None else f"{score.outside_error:.1e}",
    }
    print(row, flush=True)
    return row


def report(rows: list[dict[str, Any]]) -> str:
    """The report, every number from ``rows`` or from the closure report."""
    lines = [
        "# Third order: where pairs are not enough",
        "",
        "Made by `python training/experiments/third_order/run.py`; no number here is written by hand. "
        f"1,750 training rows, {EPOCHS} epochs, the paper's model, seeds {', '.join(map(str, SEEDS))}; "
        + ", ".join(f"{key} {value}" for key, value in provenance().items())
        + ".",
        "",
        "| task | group | colours | test loss per seed | test accuracy per seed | majority | "
        "largest error inside | outside |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in CASES:
        mine = [row for row in rows if all(row[key] == value for key, value in dataclasses.asdict(case).items())]
        losses, accuracies = (", ".join(str(row[key]) for row in mine) for key in ("loss", "accuracy"))
        majority = statistics.mean(row["majority"] for row in mine)
        inside = max(float(row["error_inside"]) for row in mine)
        outside = ", ".join(row["error_outside"] for row in mine)
        group = "PSL(2, 7)" if case.group == PSL_2_7 else case.group
        lines.append(
            f"| {case.task} | {group} | {case.symmetry_breaking} | {losses} | {accuracies} | {majority:.3f} | "
            f"{inside:.0e} | {outside} |"
        )
    lines += ["", "What the closure report says of these groups before any training:", ""]
    for group in dict.fromkeys(case.group for case in CASES):
        sentence = closure_report(TaskConfig(group=group, vocab_size=1).permutation_group()).sentence
        lines.append(f"- {'PSL(2, 7)' if group == PSL_2_7 else group}: {sentence}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/third_order"), help="folder of the runs")
    output_dir = parser.parse_args().output_dir
    rows = [run(case, seed, output_dir) for case in CASES for seed in SEEDS]
    with open(HERE / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (HERE / "report.md").write_text(report(rows), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(report_errors(main))
