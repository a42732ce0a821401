"""The task of images: its groups, its positions, its rows and what it refuses."""

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, equivariance_error, get_task
from asen_hf.data import collate
from asen_hf.model.groups import grid_patches
from asen_hf.model.symmetry import SymmetryBreaker


def task_of(**options):
    return get_task("image/pathfinder", **options)


@pytest.mark.parametrize(
    ("group", "num_orbits", "num_rows"),
    [
        ("trivial", 256, 32),
        ("patches_2", 64, 16),
        ("patches_3", 36, 12),  # the last patches are smaller
        ("patches_4", 16, 8),
        ("patches_8", 4, 4),
        ("symmetric", 1, 2),
    ],
)
def test_patches_share_a_position_which_is_that_of_a_row_and_of_a_column(group, num_orbits, num_rows):
    breaker = SymmetryBreaker(task_of(group=group).config)
    assert (int(breaker.node_labels.max()) + 1, breaker.num_node_rows) == (num_orbits, num_rows)
    grid = breaker.node_rows.reshape(16, 16, 2)
    assert (grid[:1, :, 0] == grid[:, :, 0]).all()  # the column's
    assert (grid[:, :1, 1] == grid[:, :, 1]).all()  # the row's


@pytest.mark.parametrize("breaking", ["nodes", "pairs"])
def test_a_model_keeps_the_patches_and_nothing_more(breaking):
    task = task_of(group="patches_8", symmetry_breaking=breaking)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "pooling": "mean"}
    model = AsenForMultitask(AsenConfig(tasks={"t": task.config}, backbone_type="transformer", **sizes)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    inputs = torch.rand(2, 256, 1, dtype=torch.float64)
    assert equivariance_error(model, inputs, "t", num_elements=3) < 1e-12
    assert equivariance_error(model, inputs, "t", grid_patches(16, 16, 16, 16), num_elements=3) > 1e-4


def test_rows_are_grey_values_in_three_splits_that_depend_on_the_images_options_only():
    task = task_of(contour_length=3, num_distractors=0)
    splits = task.load(num_rows=200, seed=5)
    assert {name: len(split) for name, split in splits.items()} == {"train": 140, "validation": 30, "test": 30}
    rows = collate(task.config, splits["train"])
    assert rows["inputs"].shape == (140, 256, 1)
    assert (rows["inputs"].min(), rows["inputs"].max()) == (0, 1)
    same = task_of(contour_length=3, num_distractors=0, group="patches_2").load(num_rows=200, seed=5)
    assert np.array_equal(collate(task.config, same["train"])["inputs"], rows["inputs"])
    longer = task_of(contour_length=4, num_distractors=0).load(num_rows=200, seed=5)
    assert not np.array_equal(collate(task.config, longer["train"])["inputs"], rows["inputs"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 17}, "images of 16, 32 or 64 pixels are drawn; side is 17"),
        ({"side": "16"}, "side must be an integer in 1"),
        ({"contour_length": 0}, "contour_length must be an integer in 1"),
        ({"num_distractors": -1}, "num_distractors must be an integer in 0"),
        ({"num_distractors": 10**9}, "num_distractors must be an integer in 0"),
        ({"symmetry_breaking": "triples"}, "symmetry_breaking must be nodes or pairs"),
        ({"group": "patches_0"}, "a patch's rows must be"),
        ({"group": "stripes"}, "unknown group 'stripes'"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"image/pathfinder: .*{message}"):
        task_of(**options)
