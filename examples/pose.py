"""Lift poses from images to space: load a checkpoint, say that left and right mirror each other, finetune, look.

    python examples/pose.py --output_dir runs/poses [--data_path poses.npz]

Without a file of yours (see asen_hf.data.real.pose_files for the layouts), it makes up people who walk on the spot.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from asen_hf import AsenForMultitask
from asen_hf.data import collate
from asen_hf.evaluation.scoreboard import format_scoreboard, scoreboard
from asen_hf.plots.predictions import plot_predictions
from asen_hf.training.loop import train
from asen_hf.training.recipe import ModelRecipe, Recipe, TrainingRecipe
from asen_hf.training.task_recipe import TaskRecipe

PARENTS = [0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14]
# Where each joint is from its parent, in mm, for a person who looks along y: hip, legs (right, left), trunk, arms.
LEG = [[0, 0, -440], [0, 0, -440]]
ARM = [[0, 0, -280], [0, 0, -250]]
TRUNK = [[0, 0, 240], [0, 0, 260], [0, 0, 220]]
BONES = [[0, 0, 940], [130, 0, 0], *LEG, [-130, 0, 0], *LEG, *TRUNK, [-170, 0, -30], *ARM, [170, 0, -30], *ARM]
THIGHS, KNEES, SHOULDERS, ELBOWS = (2, 5), (3, 6), (11, 14), (12, 15)  # joints whose bone swings


def walkers(path: Path, sequences: int = 12, frames: int = 60) -> None:
    """Write people's joints ``(T, 16, 3)`` as motion capture: each sequence has its own pace, stride and direction."""
    rng, positions = np.random.default_rng(0), []
    for _ in range(sequences):
        phase = np.cumsum(np.full(frames, rng.uniform(0.1, 0.4))) + rng.uniform(0, 6)
        stride, turn = rng.uniform(20, 60), Rotation.from_euler("z", rng.uniform(0, 360), degrees=True)
        swing = np.zeros((frames, 16))  # degrees; arms swing against legs
        for side, (thigh, knee, shoulder, elbow) in enumerate(zip(THIGHS, KNEES, SHOULDERS, ELBOWS, strict=True)):
            wave = stride * np.sin(phase + np.pi * side)
            swing[:, thigh], swing[:, shoulder] = wave, wave
            swing[:, knee], swing[:, elbow] = wave - np.abs(wave), wave + np.abs(wave) / 2
        body = np.zeros((frames, 16, 3))
        for joint, (parent, bone) in enumerate(zip(PARENTS, BONES, strict=True)):
            start = body[:, parent] if joint else 0
            body[:, joint] = start + Rotation.from_euler("x", swing[:, [joint]], degrees=True).apply(bone)
        positions.append(turn.apply(body.reshape(-1, 3)).reshape(body.shape))
    sequence = np.repeat(np.arange(sequences), frames)
    np.savez(path, positions_mm=np.concatenate(positions), sequence=sequence, is_test=sequence >= sequences - 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_path", type=Path, help="your motion capture; made up when not given")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/poses"), help="folder for data, model, picture")
    parser.add_argument("--checkpoint", default="hub_configs/asen-sequence-tiny", help="a folder or a Hub id")
    parser.add_argument("--max_steps", type=int, default=300)
    arguments = parser.parse_args()
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    path = arguments.data_path or arguments.output_dir / "walkers.npz"
    if arguments.data_path is None:
        walkers(path)

    source = TaskRecipe(name="pose/lifting", options={"data_path": str(path), "group": "left_right"})
    config, data = source.load(seed=0)
    model = AsenForMultitask.from_pretrained(arguments.checkpoint)
    model.add_task(source.name, config)
    settings = {"max_steps": arguments.max_steps, "rows_per_task": 32, "lr": 2e-3, "backbone_lr": 1e-3}
    training = TrainingRecipe(output_dir=str(arguments.output_dir), **settings)
    train(model, {source.name: data}, Recipe(ModelRecipe.of(model.config), [source], training))
    print(format_scoreboard(scoreboard(model, {source.name: data})))
    test = collate(config, data["test"])
    predicted = model.predict(test["inputs"], source.name)
    for picture, shown in plot_predictions(
        arguments.output_dir, source.name, config, predicted, test["labels"], config.edges
    ).items():
        print(f"{picture}: {shown}")


if __name__ == "__main__":
    main()
