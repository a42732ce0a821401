"""Rows into tensors, and the order of multitask batches."""

import dataclasses

import numpy as np
import pytest
import torch

from asen_hf import TaskConfig
from asen_hf.data import MultitaskBatches, collate, get_task
from asen_hf.data.features import to_dataset
from asen_hf.model.group_notation import parse_group

TOKENS = TaskConfig(degree=3, vocab_size=5)
REGRESSION = TaskConfig(degree=3, num_features=2, problem_type="regression", num_labels=1, output_level="graph")
SEVERAL = TaskConfig(degree=3, num_features=1, problem_type="regression", num_labels=2)


def test_collate_takes_rows_and_columns():
    rows = [{"inputs": [0, 1, 2], "labels": [0, 1, 0]}, {"inputs": [4, 4, 4], "labels": [1, -100, 1]}]
    columns = {"inputs": [row["inputs"] for row in rows], "labels": np.array([row["labels"] for row in rows])}
    for batch in (collate(TOKENS, rows), collate(TOKENS, columns)):
        assert batch["inputs"].dtype == batch["labels"].dtype == torch.int64
        assert batch["inputs"].tolist() == columns["inputs"]
        assert batch["labels"].tolist() == columns["labels"].tolist()


@pytest.mark.parametrize(
    ("given", "kept"), [("float16", "float32"), ("float32", "float32"), ("int16", "float32"), ("int64", "float64")]
)
def test_collate_keeps_features_and_values_as_exact_as_they_are(given, kept):
    columns = {"inputs": np.ones((1, 3, 2), given), "labels": np.array([7], given)}
    batch = collate(REGRESSION, columns)
    assert str(batch["inputs"].dtype) == str(batch["labels"].dtype) == f"torch.{kept}"


def test_collate_takes_lists_and_missing_labels():
    batch = collate(REGRESSION, [{"inputs": [[1, 2], [3, 4], [5, 6]], "labels": float("nan")}])
    assert batch["inputs"].dtype == batch["labels"].dtype == torch.float64
    assert (batch["inputs"].shape, batch["labels"].shape) == ((1, 3, 2), (1,))
    several = collate(SEVERAL, {"inputs": torch.zeros(4, 3, 1), "labels": torch.ones(4, 3, 2, dtype=torch.float64)})
    assert several["labels"].shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"inputs": [0, 1, 2], "labels": [0, 1, 0]}, {"inputs": [0, 1], "labels": [0, 1, 0]}],
            r"inputs: row 1 has shape",
        ),
        ([{"inputs": [0, 1], "labels": [0, 1]}], r"inputs must have shape \(rows, 3\)"),
        ([{"inputs": [0, 1, 5], "labels": [0, 1, 0]}], r"inputs, row 0: expected a token in 0 … 4 .*, got 5"),
        ([{"inputs": [0, 1, 2], "labels": [0, 1, 2]}], r"labels, row 0: expected a class in 0 … 1"),
        ([{"inputs": [0, 1, 2], "labels": [0, 1, 0]}, {"inputs": [0, 1, 2]}], r"row 1 has no 'labels'; it has inputs"),
        ({"inputs": [[0, 1, 2]]}, r"no column 'labels'; there are inputs"),
        ({"inputs": [[0, 1, 2]] * 2, "labels": [[0, 1, 0]]}, r"equally many rows"),
        ([], r"inputs: no rows"),
        ([{"inputs": [0.0, 1.0, 2.0], "labels": [0, 1, 0]}], r"integer tokens"),
        ([{"inputs": [0, None, 2], "labels": [0, 1, 0]}], r"integer tokens"),
    ],
)
def test_collate_refuses_bad_rows(rows, message):
    with pytest.raises(ValueError, match=message):
        collate(TOKENS, rows)


@pytest.fixture(scope="module")
def tasks():
    """Three tasks of different sizes; the first token of a row is enough to tell it from the others."""
    sizes = {"a": 5, "b": 7, "c": 64}
    configs = {name: TaskConfig(degree=2, vocab_size=size, num_labels=size) for name, size in sizes.items()}
    rows = {name: np.repeat(np.arange(size)[:, None], 2, axis=1) for name, size in sizes.items()}
    return {name: to_dataset(configs[name], rows[name], rows[name]) for name in sizes}, configs


def drawn(batches, task, count):
    return np.concatenate([batches[k][task]["inputs"][:, 0].numpy() for k in range(count)])


def test_every_batch_has_rows_of_every_task_and_their_labels(tasks):
    batch = MultitaskBatches(*tasks, rows_per_task=6)[10_000]
    assert list(batch) == ["a", "b", "c"]
    for columns in batch.values():
        assert columns["inputs"].shape == (6, 2)
        assert torch.equal(columns["inputs"], columns["labels"])


@pytest.mark.parametrize("rows_per_task", [1, 4, 12])
def test_every_epoch_holds_every_row_once_in_its_own_order(tasks, rows_per_task):
    batches = MultitaskBatches(*tasks, rows_per_task=rows_per_task, seed=3)
    for task, size in (("a", 5), ("b", 7), ("c", 64)):
        epochs = drawn(batches, task, size * 3)[: 3 * size].reshape(3, size)
        assert (np.sort(epochs, axis=1) == np.arange(size)).all()
        assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3


def test_a_batch_depends_on_seed_and_index_alone(tasks):
    batches, fresh = MultitaskBatches(*tasks, 4, seed=1), MultitaskBatches(*tasks, 4, seed=1)
    forwards = [batches[k]["c"]["inputs"] for k in range(40)]
    for k in reversed(range(40)):
        assert torch.equal(fresh[k]["c"]["inputs"], forwards[k])
    other = MultitaskBatches(*tasks, 4, seed=2)
    assert any(not torch.equal(other[k]["c"]["inputs"], forwards[k]) for k in range(16))


def test_a_task_keeps_its_rows_when_other_tasks_come_or_go(tasks):
    datasets, configs = tasks
    alone = MultitaskBatches({"c": datasets["c"]}, configs, 4, seed=1)
    assert torch.equal(alone[33]["c"]["inputs"], MultitaskBatches(datasets, configs, 4, seed=1)[33]["c"]["inputs"])


def test_selected_rows_of_a_loaded_task_are_the_ones_drawn():
    task = get_task("invariant/cyclic_sum")
    few = task.load(100)["train"].select(range(10, 20))
    batch = MultitaskBatches({task.name: few}, {task.name: task.config}, 10)[0][task.name]
    expected = {(tuple(row), label) for row, label in zip(few["inputs"], few["labels"], strict=True)}
    assert {(tuple(x), y) for x, y in zip(batch["inputs"].tolist(), batch["labels"].tolist(), strict=True)} == expected


@pytest.mark.parametrize("name", ["inputs", "labels"])
@pytest.mark.parametrize("value", [1 + 2j, 9.96921e36, -1e20])
def test_complex_numbers_and_fill_values_are_refused_in_inputs_and_labels(name, value):
    task = dataclasses.replace(REGRESSION, input_mean=0.0, input_scale=1.0, label_mean=0.0, label_scale=1.0)
    rows = {"inputs": np.zeros((4, 3, 2)), "labels": np.zeros(4)}
    rows[name] = rows[name].astype(np.result_type(rows[name], value))
    rows[name][2] = value
    message = "expected real numbers, got complex128" if isinstance(value, complex) else "row 2: expected .* got "
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        collate(task, rows)


def test_what_cannot_be_batched_is_refused(tasks):
    datasets, configs = tasks
    with pytest.raises(ValueError, match="no config for the rows of b, c"):
        MultitaskBatches(datasets, {"a": configs["a"]}, 4)
    with pytest.raises(ValueError, match="rows of at least one task, got none"):
        MultitaskBatches({}, configs, 4)
    with pytest.raises(ValueError, match="rows_per_task must be at least 1"):
        MultitaskBatches(datasets, configs, 0)
    with pytest.raises(ValueError, match="a: inputs: no rows"):
        MultitaskBatches({"a": datasets["a"].select([])}, configs, 4)
    with pytest.raises(ValueError, match="a: no column 'labels'; there are inputs"):
        MultitaskBatches({"a": datasets["a"].remove_columns("labels")}, configs, 4)
    with pytest.raises(ValueError, match=r"c: inputs, row 5: expected a token in 0 … 4"):
        MultitaskBatches({"c": datasets["c"]}, {"c": configs["a"]}, 4)
    with pytest.raises(IndexError, match="numbered from 0"):
        MultitaskBatches(datasets, configs, 4)[-1]


def test_augmented_rows_are_moved_by_elements_of_the_group_and_their_node_labels_along():
    task = get_task("equivariant/intersect", length=6)
    rows = task.load(num_rows=100)["train"]
    config = dataclasses.replace(task.config, generators=[])
    batches = MultitaskBatches({"t": rows}, {"t": config}, 64, augmentations={"t": parse_group("S3 wr S2")})
    plain, moved = MultitaskBatches({"t": rows}, {"t": config}, 64)[3]["t"], batches[3]["t"]
    assert torch.equal(moved["labels"], torch.from_numpy(task.label(moved["inputs"].numpy())))  # a symmetry of the rule
    assert torch.equal(moved["inputs"].sort().values, plain["inputs"].sort().values)
    halves = [{tuple(sorted(half)) for half in row} for row in moved["inputs"].reshape(-1, 2, 3).tolist()]
    assert halves == [{tuple(sorted(half)) for half in row} for row in plain["inputs"].reshape(-1, 2, 3).tolist()]
    assert (moved["inputs"] != plain["inputs"]).any(dim=1).float().mean() > 0.5
    assert torch.equal(batches[3]["t"]["inputs"], moved["inputs"])  # so that a run can be resumed


def test_augmentation_leaves_graph_labels_in_their_rows_and_refuses_another_degree():
    task = get_task("invariant/cyclic_sum")
    data, configs = {"t": task.load(num_rows=100)["train"]}, {"t": task.config}
    moved = MultitaskBatches(data, configs, 8, augmentations={"t": parse_group("D8")})[0]["t"]
    assert np.array_equal(moved["labels"].numpy(), task.label(moved["inputs"].numpy()))
    with pytest.raises(ValueError, match="t: augmented by a group of degree 6, not 8"):
        MultitaskBatches(data, configs, 8, augmentations={"t": parse_group("D6")})


def test_augmentation_by_a_task_changes_values_and_labels_too():
    entries = [{"points": "R4", "inputs": [0, 2, 1], "outputs": [0, 2, 1]}]
    config = TaskConfig(degree=4, vocab_size=3, num_labels=3)
    own = dataclasses.replace(config, value_symmetries=entries)
    inputs = np.random.default_rng(0).integers(3, size=(50, 4))
    rows = to_dataset(config, inputs, inputs)  # a rule with this symmetry
    plain = MultitaskBatches({"t": rows}, {"t": config}, 50)[0]["t"]
    moved = MultitaskBatches({"t": rows}, {"t": config}, 50, augmentations={"t": own})[0]["t"]
    assert torch.equal(moved["inputs"], moved["labels"])
    images = torch.tensor([0, 2, 1])[plain["inputs"].flip(1)]
    is_image = (moved["inputs"] == images).all(dim=1)
    assert ((moved["inputs"] == plain["inputs"]).all(dim=1) | is_image).all() and 10 < is_image.sum() < 40


def test_a_column_says_which_coset_every_row_gets():
    entries = [{"points": "R4", "inputs": [0, 2, 1], "outputs": [0, 2, 1]}]
    config = TaskConfig(degree=4, vocab_size=3, num_labels=3, value_symmetries=entries)
    inputs = np.random.default_rng(0).integers(3, size=(50, 4))
    rows = {"t": to_dataset(config, inputs, inputs)}
    batches = MultitaskBatches(rows, {"t": config}, 50, cosets="one")
    assert set(batches[0]["t"]["cosets"].tolist()) == {0, 1}
    assert torch.equal(batches[0]["t"]["cosets"], batches[0]["t"]["cosets"])
    assert not torch.equal(batches[0]["t"]["cosets"], batches[1]["t"]["cosets"])
    assert "cosets" not in MultitaskBatches(rows, {"t": config}, 50)[0]["t"]
    lifted = {"t": dataclasses.replace(config, symmetrization="lift")}
    assert "cosets" not in MultitaskBatches(rows, lifted, 50, cosets="one")[0]["t"]
