"""Random equivariant networks as label rules: loops, symmetry, scale."""

import numpy as np
import pytest

from asen_hf import equivariance_error, get_task, parse_group
from asen_hf.data import collate

GROUPS = ["D6", "S2 x S3", "C3 wr S2", "E4"]


@pytest.mark.parametrize("group", GROUPS)
def test_the_labels_have_the_symmetry_of_the_group_and_no_other(group):
    task = get_task("numbers/equivariant_mlp", group=group)
    inputs = np.random.default_rng(0).standard_normal((5, task.config.degree, 1))
    assert equivariance_error(task.label, inputs, group=parse_group(group)) < 1e-6
    assert equivariance_error(task.label, inputs, group=parse_group(f"S{task.config.degree}")) > 1e-3


@pytest.mark.parametrize("group", GROUPS)
def test_one_layer_is_linear_with_one_weight_per_orbital_and_two_are_not(group):
    n = parse_group(group).degree
    inputs = np.concatenate([np.zeros((1, n)), np.eye(n), 2 * np.eye(n)])[..., None]
    for num_layers in (1, 2):
        labels = get_task("numbers/equivariant_mlp", group=group, num_layers=num_layers).label(inputs)
        once, twice = labels[1 : n + 1] - labels[0], labels[n + 1 :] - labels[0]
        assert np.allclose(2 * once, twice, atol=1e-5) == (num_layers == 1)


@pytest.mark.parametrize("group", GROUPS)
def test_inputs_are_of_variance_one_and_so_are_labels_about(group):
    task = get_task("numbers/equivariant_mlp", group=group)
    rows = collate(task.config, task.load(4_000, seed=2)["train"])
    assert rows["inputs"].shape == (2_800, task.config.degree, 1) and abs(rows["inputs"]).max() <= np.sqrt(3)
    assert rows["inputs"].std() == pytest.approx(1, abs=0.02)
    assert 0.1 < rows["labels"].std() < 3
    np.testing.assert_array_equal(rows["labels"], task.label(rows["inputs"]))


def test_another_teacher_labels_the_same_inputs_otherwise():
    first, other = (get_task("numbers/equivariant_mlp", teacher=teacher).load(100)["test"][:] for teacher in (0, 1))
    assert first["inputs"] == other["inputs"] and first["labels"] != other["labels"]


@pytest.mark.parametrize("num_layers", [0, -1, 1.5, "two", True])
def test_bad_options_are_refused(num_layers):
    with pytest.raises(ValueError, match="numbers/equivariant_mlp: num_layers must be a positive integer"):
        get_task("numbers/equivariant_mlp", num_layers=num_layers)
    with pytest.raises(ValueError, match="expected a group"):
        get_task("numbers/equivariant_mlp", group="nothing")
