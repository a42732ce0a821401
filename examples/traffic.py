"""Forecast traffic: sensors of one road may be exchanged, those of two may not. Write a file, finetune, see a day.

    python examples/traffic.py --output_dir runs/traffic [--data_path speeds.npz]

Without a file of yours (speeds, times, roads, clusters: see asen_hf.data.real.traffic), it makes up two roads and four days.
"""

import argparse
from pathlib import Path

import numpy as np

from asen_hf import AsenForMultitask
from asen_hf.data import collate
from asen_hf.evaluation.scoreboard import format_scoreboard, scoreboard
from asen_hf.plots.predictions import plot_predictions
from asen_hf.training.loop import train
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

STEPS_A_DAY, SENSORS_A_ROAD = 288, 8


def two_roads(path: Path, days: int = 4) -> None:
    """Write speeds ``(T, 16)``: rush hours slow a road down, jams travel against the traffic, readings are noisy."""
    rng, steps = np.random.default_rng(0), days * STEPS_A_DAY
    hour = np.arange(steps) % STEPS_A_DAY / 12
    speeds = np.zeros((steps, 2 * SENSORS_A_ROAD))
    for road, rush_hour in enumerate((8, 17)):
        rush = np.exp(-(((hour - rush_hour) / 1.5) ** 2))
        jam = np.convolve(rng.random(steps + 99) < 0.02 + 0.1 * np.append(rush, np.zeros(99)), np.ones(20))[:steps]
        for sensor in range(SENSORS_A_ROAD):
            delay = 2 * (SENSORS_A_ROAD - sensor)  # the jam begins at the last sensor of the road
            slow = 25 * rush + 15 * np.minimum(np.roll(jam, delay), 2)
            speeds[:, road * SENSORS_A_ROAD + sensor] = 65 - slow + rng.normal(0, 1.5, steps)
    speeds = np.clip(speeds, 3, 70)
    speeds[rng.random(speeds.shape) < 0.01] = 0  # a reading that is missing
    road, place = np.divmod(np.arange(2 * SENSORS_A_ROAD), SENSORS_A_ROAD)
    np.savez(
        path,
        speed_mph=speeds,
        timestamps=300 * np.arange(steps),  # Unix seconds of local time
        adjacency=(road[:, None] == road) & (np.abs(place[:, None] - place) <= 1),
        cluster2=road,
        longitude=np.where(road, place, 0.3 * place),
        latitude=np.where(road, 0.2 * place, place),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, help="your speeds; made up when not given")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("runs/traffic"), help="folder for data, model, pictures"
    )
    parser.add_argument("--checkpoint", default="hub_configs/asen-sequence-tiny", help="a folder or a Hub id")
    parser.add_argument("--max_steps", type=int, default=300)
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    path = arguments.data_path or arguments.output_dir / "speeds.npz"
    if arguments.data_path is None:
        two_roads(path)

    options = {"data_path": str(path), "group": "clusters_2"}
    source = TaskRecipe(name="traffic/metr_la", options=options, support="complete")  # all hear each other
    config, data = source.load(seed=0)
    model = AsenForMultitask.from_pretrained(arguments.checkpoint)
    model.add_task(source.name, config)
    settings = {"max_steps": arguments.max_steps, "rows_per_task": 16, "lr": 2e-3, "backbone_lr": 1e-3}
    training = TrainingRecipe(output_dir=str(arguments.output_dir), **settings)
    train(model, {source.name: data}, Recipe(ModelRecipe.of(model.config), [source], training))
    print(format_scoreboard(scoreboard(model, {source.name: data})))
    test = collate(config, data["test"])
    pictures = plot_predictions(
        arguments.output_dir, source.name, config, model.predict(test["inputs"], source.name), test["labels"]
    )
    print("\n".join(f"{picture}: {shown}" for picture, shown in pictures.items()))


if __name__ == "__main__":
    main()
