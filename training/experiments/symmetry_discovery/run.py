"""Does training find a symmetry that the model was not told of? (paper, Section 5.2 and Figure 5, right)

    python training/experiments/symmetry_discovery/run.py [--output_dir DIR]

Intersect is symmetric under S_5 wr S_2; here it is trained with S_5 x S_5, the swap of the halves missing. Writes
results.csv, picture.png and report.md (report_template.md, filled in) beside this file. Runs that lie finished in DIR
are not repeated, so delete it after changing what a run does.
"""

import argparse
import csv
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from matplotlib import pyplot as plt

from asen_hf import AsenConfig, AsenForMultitask
from asen_hf.commands.main import report_errors
from asen_hf.data import collate
from asen_hf.evaluation.discovery import Discovery, discovered_orbits
from asen_hf.evaluation.equivariance import equivariance_error
from asen_hf.evaluation.provenance import provenance
from asen_hf.evaluation.scores import score_splits
from asen_hf.model.groups import direct_product, from_array_form, symmetric, to_cycles, wreath_product
from asen_hf.model.orbits import orbit_labels
from asen_hf.plots._saving import save_figure
from asen_hf.training.loop import train
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

HERE = Path(__file__).parent
TASK, HALF = "intersect", 5
GIVEN = direct_product(symmetric(HALF), symmetric(HALF))
WHOLE = wreath_product(symmetric(HALF), symmetric(2))
SWAP = from_array_form([[*range(HALF, 2 * HALF), *range(HALF)]])
MODEL = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8}
SEEDS = (0, 1, 2)
TOLERANCE = 0.1
TOLERANCES = np.arange(1, 100) / 100


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of training; the defaults are those of TrainingRecipe."""

    name: str
    num_epochs: int = 20
    weight_decay: float = 0.01
    table_scale: float = 1.0  # multiplies the orbital table's initial values
    one_sided: bool = False  # label the right half 0 throughout, so that the task itself lacks the swap


ARMS = (
    Arm("defaults"),
    Arm("four times as long", num_epochs=80),
    Arm("weight decay 1", weight_decay=1.0),
    Arm("weight decay 3", weight_decay=3.0),
    Arm("small initial table", table_scale=0.02),
    Arm("control: one-sided task, weight decay 3", weight_decay=3.0, one_sided=True),
    Arm("control: one-sided task, small initial table", table_scale=0.02, one_sided=True),
)


def run(arm: Arm, seed: int, output_dir: Path) -> tuple[dict[str, Any], Discovery, Discovery]:
    """Train one arm with one seed: its line of results.csv, and what is discovered before and after."""
    output = output_dir / "-".join([*re.findall(r"\w+", arm.name), str(seed)])
    task = TaskRecipe(name=TASK, source=f"equivariant/{TASK}", generators=to_cycles(GIVEN))
    training = TrainingRecipe(
        output_dir=str(output), seed=seed, num_epochs=arm.num_epochs, weight_decay=arm.weight_decay
    )
    recipe = Recipe(ModelRecipe(**MODEL), [task], training)
    configs, data = recipe.load()
    if arm.one_sided:
        data[TASK] = data[TASK].map(lambda row: {"labels": [*row["labels"][:HALF], *[0] * HALF]})
    set_seed(seed)
    model = AsenForMultitask(AsenConfig(**MODEL, tasks=configs))
    with torch.no_grad():
        model.asen.edge_embedders[TASK].weight.mul_(arm.table_scale)
    before, tolerances_before = discovered_orbits(model, TASK, TOLERANCE, WHOLE), recovering_tolerances(model)
    if not (output / "scores.json").exists():
        train(model, data, recipe)
    last = max(output.glob("checkpoint-*"), key=step)  # what training converged to, be it the best or not
    model = AsenForMultitask.from_pretrained(last).eval()
    after, test = discovered_orbits(model, TASK, TOLERANCE, WHOLE), data[TASK]["test"]
    row = {
        "arm": arm.name,
        "seed": seed,
        "steps": step(last),
        "test_accuracy": round(score_splits(model, {TASK: test})[TASK].value, 4),
        "ratio_before": round(before.agreement.distance_ratio, 4),
        "ratio_after": round(after.agreement.distance_ratio, 4),
        "raw_ratio_after": round(raw_ratio(model), 4),
        "swap_error_after": round(equivariance_error(model, collate(configs[TASK], test)["inputs"], TASK, SWAP), 4),
        "classes": after.num_classes,
        "group_order": after.group.order(),
        "adjusted_rand_index": round(after.agreement.adjusted_rand_index, 4),
        "tolerances_before": tolerances_before,
        "tolerances_after": recovering_tolerances(model),
    }
    print(row, flush=True)
    return row, before, after


def step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def raw_ratio(model: AsenForMultitask) -> float:
    """The distance ratio of the embedding table itself, before the layers project it."""
    first = np.unique(orbit_labels(GIVEN), return_index=True)[1]  # one pair of positions per orbital
    wanted, table = orbit_labels(WHOLE).ravel()[first], model.asen.edge_embedders[TASK].weight.detach()
    distances, joined = torch.cdist(table, table).numpy(), wanted[:, None] == wanted
    return float(distances[joined & (distances > 0)].mean() / distances[~joined].mean())


def recovering_tolerances(model: AsenForMultitask) -> str:
    """The range of tolerances, among 0.01 … 0.99, at which the discovered orbitals are those of S_5 wr S_2."""
    hits = [tolerance for tolerance in TOLERANCES if discovered_orbits(model, TASK, tolerance, WHOLE).agreement.equal]
    return f"{hits[0]:.2f} to {hits[-1]:.2f}" if hits else "none"


def draw(rows: list[dict[str, Any]], panels: dict[str, np.ndarray], path: Path) -> None:
    """Distances between the features of all pairs of positions, for one seed, and every run's ratio."""
    figure, axes = plt.subplots(
        1, len(panels) + 1, figsize=(15, 4), layout="constrained", width_ratios=[1] * len(panels) + [1.1]
    )
    labels, ticks = orbit_labels(GIVEN).ravel(), np.array([1, 3]) * HALF**2 - 0.5
    for column, (title, distances) in enumerate(panels.items()):
        shown = distances / distances[np.triu_indices(len(distances), 1)].mean()
        image = axes[column].imshow(shown[np.ix_(labels, labels)], cmap="magma", vmin=0, vmax=1.7)
        axes[column].set_title(title, fontsize=10)
        names = ["into the\nleft half", "into the\nright half"]
        axes[column].set_xticks(ticks, names, fontsize=8)
        axes[column].set_yticks(ticks, names if column == 0 else ["", ""], fontsize=8)
        axes[column].tick_params(length=0)
    bar = figure.colorbar(image, ax=axes[:-1], location="bottom", shrink=0.4, aspect=50)
    bar.set_label("distance / mean distance", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    dots = axes[-1]
    for height, arm in enumerate(reversed(ARMS)):
        for column, color in (("ratio_before", "0.7"), ("ratio_after", "#b5367a")):
            ratios = [row[column] for row in rows if row["arm"] == arm.name]
            label = column.removeprefix("ratio_") if height == 0 else None
            dots.scatter(ratios, [height] * len(ratios), color=color, s=24, label=label)
    dots.set_yticks(range(len(ARMS)), [arm.name.replace(": ", ":\n") for arm in reversed(ARMS)], fontsize=8)
    dots.yaxis.tick_right()
    dots.tick_params(axis="y", length=0)
    dots.tick_params(axis="x", labelsize=8)
    dots.set_xscale("log")
    dots.set_xlabel("distance of labels that the swap joins\n/ distance of labels that it keeps apart", fontsize=8)
    dots.set_title("distance ratio, every run", fontsize=10)
    dots.grid(axis="x", alpha=0.3)
    dots.spines[["top", "left", "right"]].set_visible(False)
    dots.legend(frameon=False, fontsize=8, loc="lower left")
    save_figure(figure, path)


def report(rows: list[dict[str, Any]]) -> str:
    """report_template.md with every number filled in."""
    training, numbers = (
        TrainingRecipe(),
        ("ratio_before", "ratio_after", "raw_ratio_after", "swap_error_after", "test_accuracy"),
    )
    by_arm = {arm: [row for row in rows if row["arm"] == arm.name] for arm in ARMS}
    means = {
        column: {arm.name: float(np.mean([row[column] for row in lines])) for arm, lines in by_arm.items()}
        for column in numbers
    }
    # Decoupled decay multiplies a weight by 1 - lr · decay per step; the schedule's mean rate is half its peak.
    kept = {
        arm.name: float(np.exp(-arm.weight_decay * training.lr * lines[0]["steps"] / 2))
        for arm, lines in by_arm.items()
    }
    columns = list(rows[0])
    lines = [[column.replace("_", " ") for column in columns], ["---"] * len(columns)]
    lines += [[str(row[column]) for column in columns] for row in rows]
    template = (HERE / "report_template.md").read_text(encoding="utf-8")
    return template.format(
        **means,
        kept=kept,
        recovered={arm.name: sum(row["adjusted_rand_index"] == 1 for row in lines) for arm, lines in by_arm.items()},
        given_order=GIVEN.order(),
        whole_order=WHOLE.order(),
        seeds=", ".join(map(str, SEEDS)),
        num_seeds=len(SEEDS),
        machine=", ".join(f"{key} {value}" for key, value in provenance().items()),
        model=", ".join(f"{key} {value}" for key, value in MODEL.items()),
        default_decay=ARMS[0].weight_decay,
        longer_factor=ARMS[1].num_epochs // ARMS[0].num_epochs,
        table_scale=ARMS[4].table_scale,
        tolerance=TOLERANCE,
        table="\n".join(f"| {' | '.join(line)} |" for line in lines),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=Path("runs/symmetry_discovery"), help="folder of the runs")
    output_dir = parser.parse_args().output_dir
    rows, panels = [], {}
    for arm in ARMS:
        for seed in SEEDS:
            row, before, after = run(arm, seed, output_dir)
            rows.append(row)
            if seed == SEEDS[0] and arm.name in ("defaults", "weight decay 3", "small initial table"):
                panels.setdefault("before training", before.distances)
                panels[f"after: {arm.name}"] = after.distances
    with open(HERE / "results.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, panels, HERE / "picture.png")
    (HERE / "report.md").write_text(report(rows), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(report_errors(main))
