"""Theorem 1: how nearly a network of pairs learns random equivariant MLPs of order 1, under ten groups.

    python training/experiments/theorem_1/run.py [GROUP ...]

The teacher is the task numbers/equivariant_mlp; the students are the network and, with as many parameters, the rival
`equivariant_mlp`. Both minimise the squared error, by 300 steps of Adam and then by L-BFGS, until the error on
validation rows is 0.8 % of the labels' standard deviation or 600 iterations are over. Writes results.csv beside this
file; groups that it holds are not run again. docs/theory.md prints them.
"""

import itertools
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, get_task, orbit_labels
from asen_hf.commands.main import report_errors
from asen_hf.data import collate
from asen_hf.evaluation.provenance import provenance
from asen_hf.experiments.rivals import RivalConfig, RivalForMultitask, matched_width
from asen_hf.experiments.store import Store

GROUPS = [
    *("E4", "S6", "A5", "C7", "D6", "R7"),
    *("S2 x S3 x S1", "S3 x C4", "S3 wr S2", "product_action(C2, C4)"),
]
NETWORK = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"gated_messages": True, "hidden_act": "silu"},
}
STUDENTS = ("network of pairs", "equivariant MLP")
ADAM_STEPS, ADAM_ROWS = 300, 128
GOAL, ITERATIONS, ITERATIONS_PER_CHECK = 0.008, 600, 20
COLUMNS = ("group", "student", "points", "orbitals", "parameters", "iterations", "cpu_seconds", "relative_error")
PROVENANCE = ("revision", "torch", "platform", "threads")
STORE = Store(Path(__file__).parent / "results.csv", (*COLUMNS, *PROVENANCE), ("group", "student"))


def relative_error(model: AsenForMultitask, rows: dict[str, Tensor]) -> float:
    """Root of the mean squared error, divided by the standard deviation of the labels."""
    errors = model.predict(rows["inputs"]) - rows["labels"]
    return float(errors.square().mean().sqrt() / rows["labels"].std())


def fit(model: AsenForMultitask, rows: dict[str, dict[str, Tensor]]) -> int:
    """Minimise the squared error on the rows for training; returns the number of iterations of L-BFGS."""
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)  # from fresh weights, L-BFGS alone is slow
    for _ in range(ADAM_STEPS):
        chosen = torch.randint(len(rows["train"]["labels"]), (ADAM_ROWS,))
        adam.zero_grad()
        model(**{name: column[chosen] for name, column in rows["train"].items()}).loss.backward()
        adam.step()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=ITERATIONS_PER_CHECK, history_size=30, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = model(**rows["train"]).loss
        value.backward()
        return value

    iterations = 0
    while iterations < ITERATIONS and relative_error(model, rows["validation"]) > GOAL:
        optimizer.step(loss)
        iterations += ITERATIONS_PER_CHECK
    return iterations


def students(task: TaskConfig) -> dict[str, AsenForMultitask]:
    """Fresh networks of about as many parameters, by name."""
    torch.manual_seed(0)
    fields = {**NETWORK, "tasks": {"teacher": task}}
    network = AsenForMultitask(AsenConfig(**fields))
    fields["architecture"] = "equivariant_mlp"
    fields["hidden_size"] = matched_width(RivalConfig(**fields), network.num_parameters())
    return dict(zip(STUDENTS, (network, RivalForMultitask(RivalConfig(**fields))), strict=True))


def run(group: str, student: str) -> None:
    """Train the student of the group's teacher, and store how well it does on the test rows."""
    task = get_task("numbers/equivariant_mlp", group=group, num_layers=2)
    rows = {split: collate(task.config, data) for split, data in task.load(1500).items()}
    labels, model = orbit_labels(task.config.permutation_group()), students(task.config)[student]
    start = time.process_time()
    iterations = fit(model, rows)
    found = {
        "group": group,
        "student": student,
        "points": len(labels),
        "orbitals": int(labels.max()) + 1,
        "parameters": model.num_parameters(),
        "iterations": iterations,
        "cpu_seconds": round(time.process_time() - start),
        "relative_error": f"{relative_error(model, rows['test']):.4f}",
    }
    STORE.append(provenance() | found)


def main() -> None:
    finished = {(row["group"], row["student"]) for row in STORE.rows()}
    for group, student in itertools.product(sys.argv[1:] or GROUPS, STUDENTS):
        if (group, student) not in finished:
            run(group, student)


if __name__ == "__main__":
    raise SystemExit(report_errors(main))
