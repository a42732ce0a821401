"""robot/solo12_momentum on small files made here, and on the real one where it is at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asen_hf.closures import group_order
from asen_hf.data import collate, get_task
from asen_hf.model.configuration_symmetries import value_group
from asen_hf.model.row_actions import RowAction

REAL = Path(__file__).parents[4] / "shared" / "data" / "solo12_momentum" / "solo12_momentum.npz"
# As the data's own description gives them: (g x)[perm[i]] = sign[i] x[i], for 12 angles and for 12 velocities.
REFLECTIONS = {
    "sagittal": ([3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8], [-1, 1, 1] * 4, [1, -1, 1, -1, 1, -1]),
    "transversal": ([6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5], [1, -1, -1] * 4, [-1, 1, 1, 1, -1, -1]),
}


@pytest.fixture
def motions(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, rows in {"train": 30, "valid": 6, "test": 8}.items():
        arrays[f"{split}_X"] = rng.uniform(-np.pi, np.pi, size=(rows, 24)).astype(np.float32)
        arrays[f"{split}_Y"] = rng.normal(size=(rows, 6)).astype(np.float32)
    np.savez(tmp_path / "solo12.npz", **arrays)
    return tmp_path / "solo12.npz", arrays


def test_rows_are_sine_cosine_and_velocity_of_every_joint(motions):
    path, arrays = motions
    rows = get_task("robot/solo12_momentum", data_path=path).load()["test"].with_format("numpy")[:]
    angles, velocities = np.split(arrays["test_X"], 2, axis=1)
    expected = np.stack([np.sin(angles), np.cos(angles), velocities], axis=-1)
    np.testing.assert_allclose(rows["inputs"], expected, atol=1e-6)
    np.testing.assert_array_equal(rows["labels"], arrays["test_Y"])


@pytest.mark.parametrize("number, name", list(enumerate(REFLECTIONS)))
def test_a_reflection_acts_as_the_data_say(motions, number, name):
    path, arrays = motions
    config = get_task("robot/solo12_momentum", data_path=path).config
    permutation, signs, momentum = REFLECTIONS[name]
    image = np.empty_like(arrays["train_X"])
    for start in (0, 12):
        image[:, start + np.array(permutation)] = np.array(signs) * arrays["train_X"][:, start : start + 12]
    inputs, expected = (
        torch.from_numpy(np.stack([np.sin(part[:, :12]), np.cos(part[:, :12]), part[:, 12:]], axis=-1))
        for part in (arrays["train_X"], image)
    )
    action = RowAction(config, [value_group(config).symmetries[number]])
    first = torch.zeros(len(inputs), dtype=torch.long)
    torch.testing.assert_close(action.inputs(inputs, first), expected, atol=1e-6, rtol=0)
    labels = action.labels(torch.from_numpy(arrays["train_Y"]), first).numpy()
    np.testing.assert_allclose(labels, arrays["train_Y"] * np.array(momentum), atol=1e-6)


@pytest.mark.parametrize("group, order, cosets", [("K4", 1, 4), ("C2", 1, 2), ("unsigned", 4, 1), ("trivial", 1, 1)])
def test_groups(motions, group, order, cosets):
    config = get_task("robot/solo12_momentum", data_path=motions[0], group=group).config
    assert group_order(config.permutation_group()) == order and len(value_group(config).cosets) == cosets


def test_the_loss_is_the_published_score(motions):
    path, arrays = motions
    task = get_task("robot/solo12_momentum", data_path=path)
    scale = np.repeat([np.sqrt((part**2).mean()) for part in np.split(arrays["train_Y"], 2, axis=1)], 3)
    np.testing.assert_allclose(task.config.label_scale, scale, rtol=1e-6)
    assert task.config.loss == "mse" and task.config.label_mean == 0
    assert collate(task.config, task.load()["train"])["labels"].shape == (30, 6)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda arrays: arrays.pop("valid_X"), "no key 'valid_X'"),
        (lambda arrays: arrays.update(test_Y=arrays["test_Y"][1:]), "test_Y: expected shape .* got"),
        (lambda arrays: arrays["train_X"].__setitem__((4, 2), np.nan), "train_X, row 4: expected a number"),
    ],
)
def test_ill_formed_files_are_refused(motions, change, message):
    path, arrays = motions
    change(arrays)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        get_task("robot/solo12_momentum", data_path=path)


def test_an_unknown_group_is_refused(motions):
    with pytest.raises(ValueError, match="robot/solo12_momentum: unknown group 'K5'"):
        get_task("robot/solo12_momentum", data_path=motions[0], group="K5")


@pytest.mark.skipif(not REAL.exists(), reason="the real motions are not at hand")
def test_the_real_motions():
    splits = get_task("robot/solo12_momentum", data_path=REAL).load()
    sizes = {name: split.num_rows for name, split in splits.items()}
    assert sizes == {"train": 16_000, "validation": 4_000, "test": 2_000}
