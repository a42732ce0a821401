"""Gravity breaks O(3) to the stabiliser of its axis: does a network that is broken to the same group learn better?

    python training/experiments/gravity/run.py [--report]

The task is that of spring_pendulum.py: from two places and two velocities to their change in one unit of time. The arms
are one O(3)-equivariant network with different auxiliary inputs, and a perceptron. At every number of rows, an arm's
learning rate is the best by validation on a seed of its own. Adds the cells that results.csv lacks, twelve minutes on
one core for all of them, and writes report.md and plot.png from it; with --report, only these two.
"""

import argparse
import csv
import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.stats import ortho_group
from spring_pendulum import sample
from torch import Tensor, nn

from asen_hf.evaluation.provenance import provenance
from asen_hf.experiments._tables import table
from asen_hf.matrix_groups import SubgroupEquivariant, VectorNetwork, matrix_equivariance_error
from asen_hf.plots._saving import save_figure

HERE = Path(__file__).parent
STORE = HERE / "results.csv"
SIZES = (30, 100, 300, 1000, 3000)
COLUMNS = [f"{size:,} rows" for size in SIZES]
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
SEEDS, CHOICE_SEED, VALIDATION_SEED, TEST_SEED = (0, 1, 2), 3, 100, 101
HELD_OUT = 2000
STEPS, BATCH, EVERY = 1500, 64, 100
Row = dict[str, str]


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to predict: with an auxiliary input of three vectors, or ``None`` for a perceptron."""

    name: str
    auxiliary: np.ndarray | None
    augmented: bool = False  # by random elements of the stabiliser of gravity

    def model(self) -> nn.Module:
        """A fresh model of ``(B, 4, 3)`` to ``(B, 4, 3)``; all have nearly the same number of parameters."""
        if self.auxiliary is None:
            layers = [nn.Linear(12, 84), nn.SiLU(), nn.Linear(84, 84), nn.SiLU(), nn.Linear(84, 12)]
            return nn.Sequential(nn.Flatten(), *layers, nn.Unflatten(1, (4, 3)))
        return SubgroupEquivariant(
            VectorNetwork(num_vectors=4 + 3, num_outputs=4), torch.tensor(self.auxiliary).float()
        )


# A vector of zeros is left unchanged by all of O(3), so the same network serves one axis, three or none.
ARMS = (
    Arm("all of O(3): v = 0", np.zeros((3, 3))),
    Arm("stabiliser of gravity: v = its direction", np.diag([0, 0, -1])),
    Arm("stabiliser of another axis: v = a horizontal one", np.diag([1, 0, 0])),
    Arm("no symmetry: v = a frame", np.eye(3)),
    Arm("no symmetry: v = a frame, augmented", np.eye(3), augmented=True),
    Arm("perceptron", None),
    Arm("perceptron, augmented", None, augmented=True),
)


@functools.cache
def load(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """States and their changes, float32 ``(rows, 4, 3)`` each."""
    states, changes = (torch.from_numpy(array).float() for array in sample(rows, seed))
    return states, changes


def stabilizer_elements(count: int, seed: np.random.Generator | int) -> np.ndarray:
    """Random elements ``(count, 3, 3)`` of the stabiliser of gravity: turns about its axis, mirrors at planes in it."""
    elements = np.tile(np.eye(3), (count, 1, 1))
    elements[:, :2, :2] = ortho_group.rvs(2, count, random_state=seed)
    return elements


def score(model: nn.Module, rows: tuple[Tensor, Tensor]) -> float:
    """Mean squared error over the variance of what is to be predicted."""
    inputs, labels = rows
    with torch.no_grad():
        return float(nn.functional.mse_loss(model(inputs), labels) / labels.var(dim=0).mean())


def run(arm: Arm, train_rows: int, rate: float, seed: int) -> Row:
    """Train one cell: its line of results.csv. The test error is that of the step which is best by validation."""
    states, changes = load(train_rows, seed)
    validation, test = load(HELD_OUT, VALIDATION_SEED), load(HELD_OUT, TEST_SEED)
    torch.manual_seed(seed)
    rng, model = np.random.default_rng(seed), arm.model()
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=STEPS)
    best = (np.inf, np.inf)
    for step in range(1, STEPS + 1):
        chosen = torch.randint(train_rows, (BATCH,))
        inputs, labels = states[chosen], changes[chosen]
        if arm.augmented:
            moves = torch.from_numpy(stabilizer_elements(BATCH, rng)).float().mT
            inputs, labels = inputs @ moves, labels @ moves
        loss = nn.functional.mse_loss(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % EVERY == 0:
            best = min(best, (score(model, validation), score(model, test)))
    model.double()
    groups = {"gravity": stabilizer_elements(20, seed), "O(3)": ortho_group.rvs(3, 20, random_state=seed)}
    errors = {
        f"error under {name}": f"{matrix_equivariance_error(model, test[0].double(), torch.from_numpy(elements)):.1e}"
        for name, elements in groups.items()
    }
    row: dict[str, Any] = {"arm": arm.name, "train_rows": train_rows, "rate": rate, "seed": seed}
    row |= {"validation": round(best[0], 5), "test": round(best[1], 5), **errors}
    row |= {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    print(row, flush=True)
    row |= {key: value for key, value in provenance().items() if key in ("revision", "torch", "platform")}
    return {key: str(value) for key, value in row.items()}


def train_all() -> None:
    """Train the cells that the store lacks; it is written after each."""
    rows = read() if STORE.exists() else []
    for arm, train_rows in itertools.product(ARMS, SIZES):
        for seed in (CHOICE_SEED, *SEEDS):
            for rate in RATES if seed == CHOICE_SEED else [best_rate(rows, arm, train_rows)]:
                if not any(row["rate"] == str(rate) for row in find(rows, arm, train_rows, seed)):
                    rows.append(run(arm, train_rows, rate, seed))
                    write(rows)


def read() -> list[Row]:
    with STORE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(rows: list[Row]) -> None:
    with STORE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def find(rows: list[Row], arm: Arm, train_rows: int, seed: int) -> list[Row]:
    wanted = arm.name, str(train_rows), str(seed)
    return [row for row in rows if (row["arm"], row["train_rows"], row["seed"]) == wanted]


def best_rate(rows: list[Row], arm: Arm, train_rows: int) -> float:
    """The rate of the smallest validation error on the seed of the choice."""
    return float(min(find(rows, arm, train_rows, CHOICE_SEED), key=lambda row: float(row["validation"]))["rate"])


def scored(rows: list[Row], arm: Arm, train_rows: int) -> list[Row]:
    """The seeds of an arm, at its rate."""
    rate = str(best_rate(rows, arm, train_rows))
    return [row for seed in SEEDS for row in find(rows, arm, train_rows, seed) if row["rate"] == rate]


def test_errors(rows: list[Row], arm: Arm) -> np.ndarray:
    """Test errors of an arm at its rates, ``(sizes, seeds)``."""
    return np.array([[float(row["test"]) for row in scored(rows, arm, size)] for size in SIZES])


def error_table(rows: list[Row]) -> str:
    """Mean and standard deviation over seeds, per arm and number of training rows."""
    body = []
    for arm in ARMS:
        values = test_errors(rows, arm)
        body.append([arm.name, *(f"{line.mean():.4f} ± {line.std(ddof=1):.4f}" for line in values)])
    return "\n".join(table(["arm", *COLUMNS], body))


def detail_table(rows: list[Row]) -> str:
    """Per arm: parameters, the largest equivariance errors, and the learning rates."""
    body = []
    for arm in ARMS:
        ours = [row for size in SIZES for row in scored(rows, arm, size)]
        largest = [f"{max(float(row[f'error under {group}']) for row in ours):.0e}" for group in ("gravity", "O(3)")]
        body.append([arm.name, ours[0]["parameters"], *largest, *(str(best_rate(rows, arm, size)) for size in SIZES)])
    return "\n".join(table(["arm", "parameters", "error, stabiliser", "error, O(3)", *COLUMNS], body))


def report(rows: list[Row]) -> str:
    """report_template.md with the tables filled in."""
    template = (HERE / "report_template.md").read_text(encoding="utf-8")
    machines = "; ".join(sorted({f"torch {row['torch']}, {row['platform']}" for row in rows}))
    return template.format(
        errors=error_table(rows),
        details=detail_table(rows),
        machines=machines,
        steps=STEPS,
        batch=BATCH,
        held_out=HELD_OUT,
        rates=", ".join(map(str, RATES)),
        seeds=", ".join(map(str, SEEDS)),
        choice_seed=CHOICE_SEED,
    )


def draw(rows: list[Row], path: Path) -> None:
    """Test error by the number of training rows: the mean of each arm, and a dot per seed."""
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    for number, arm in enumerate(ARMS):
        values = test_errors(rows, arm)
        ax.plot(SIZES, values.mean(axis=1), f"C{number}{'--' if arm.augmented else '-'}", label=arm.name)
        ax.plot(SIZES, values, f"C{number}.", markersize=4)
    ax.set(
        xscale="log",
        yscale="log",
        xticks=SIZES,
        xticklabels=[f"{size:,}" for size in SIZES],
        xlabel="training rows",
        ylabel="mean squared error / variance",
    )
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    save_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", action="store_true", help="only report what results.csv holds")
    if not parser.parse_args().report:
        train_all()
    rows = read()
    (HERE / "report.md").write_text(report(rows), encoding="utf-8")
    draw(rows, HERE / "plot.png")


if __name__ == "__main__":
    main()
