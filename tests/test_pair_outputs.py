"""Outputs of pairs of nodes, from a table of unequal rows through training to predictions, scores and files."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDatasetDict
from sklearn.metrics import accuracy_score, mean_absolute_error, roc_auc_score

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, equivariance_error, finetune, load_table
from asen_hf.data import collate
from asen_hf.data.given_rows import to_splits
from asen_hf.model.groups import from_cycles, random_elements
from tests.conftest import make_model

FIELDS = {
    "classes": {"label_names": ["apart", "joined"]},
    "auc": {"num_labels": 2, "metric": "auc"},
    "labels": {"problem_type": "multi_label_classification", "num_labels": 2},
    "value": {"problem_type": "regression"},
    "values": {"problem_type": "regression", "num_labels": 2},
}
TASKS = {
    name: TaskConfig(group="S2 x S4", vocab_size=4, pair_vocab_size=2, output_level="pair", **fields)
    for name, fields in FIELDS.items()
}


def rows_of(task, number, seed=0):
    """Rows of three to six nodes; the pair (i, j) is joined by an arc from j and tokens in order; some are unknown."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(number):
        size = int(rng.integers(3, 7))
        tokens, arcs = rng.integers(4, size=size), rng.integers(2, size=(size, size))
        joined = arcs * (tokens[:, None] >= tokens)
        values = np.stack([joined, arcs.T], axis=-1) if task.output_size == 2 and task.label_shape()[2:] else joined
        if task.is_regression:
            values = values + 0.25 * rng.random(values.shape)
        unknown = rng.random(values.shape) < 0.1
        labels = np.where(unknown, None if task.is_regression else -100, values)
        rows.append({"inputs": tokens.tolist(), "pairs": arcs.tolist(), "labels": labels.tolist()})
    return rows


def write(rows, path):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module", params=["auc", "values"])
def trained(request, tmp_path_factory):
    folder, task = tmp_path_factory.mktemp(request.param), TASKS[request.param]
    result = finetune(
        make_model({"other": TaskConfig(group="S2", vocab_size=2)}),
        task,
        write(rows_of(task, 80), folder / "rows.jsonl"),
        name="links",
        output_dir=folder / "run",
        max_steps=10,
        lr=5e-3,
    )
    return task, folder, result


def test_scores_are_those_of_the_known_pairs_of_nodes_that_are_there(trained):
    _, folder, result = trained
    model = AsenForMultitask.from_pretrained(result.output_dir)
    task = model.config.tasks["links"]
    test = load_table(folder / "rows.jsonl", task)["test"]
    batch = collate(task, test)
    there = batch["attention_mask"].bool()
    labels, rows = batch.pop("labels"), {**batch, "task": "links"}
    values = model.predict(**rows) if task.is_regression else model.predict_proba(**rows)
    metric = {"accuracy": accuracy_score, "mae": mean_absolute_error, "auc": roc_auc_score}[task.metric]
    if task.problem_type == "single_label_classification":
        values = values[..., 1] - values[..., 0] if task.metric == "auc" else values.argmax(dim=-1)
    elif task.is_multi_label:
        values = (values > 0.5).long()
    predicted, truth = [], []
    for place in np.ndindex(*labels.shape):
        row, i, j = place[:3]
        is_known = not labels[place].isnan() and labels[place] != -100
        if there[row, i] and there[row, j] and is_known:
            truth.append(float(labels[place]))
            predicted.append(float(values[place]))
    score = asen_hf.evaluate(result.output_dir, folder / "rows.jsonl")["links"]
    assert score.value == pytest.approx(metric(truth, predicted), abs=1e-5)
    assert score.equivariance_error < 1e-4 < 1e-3 < score.outside_error
    assert {"equivariant_ridge", "structural_ridge", "boosted_trees"} <= set(score.references)
    assert ("orbital_constant" if task.is_regression else "orbital_majority") in score.references


def test_a_saved_model_is_equivariant_in_float64_and_only_to_its_group(trained):
    task, folder, result = trained
    model = AsenForMultitask.from_pretrained(result.output_dir).double()
    batch = collate(model.config.tasks["links"], load_table(folder / "rows.jsonl", task)["train"])
    columns = {name: column[:8] for name, column in batch.items() if name != "labels"}
    found = model(**columns, task="links").logits
    assert found.shape[1:3] == (6, 6)
    for element in random_elements(task.permutation_group(), 3, seed=0):
        inverse = torch.from_numpy(np.argsort(element))
        moved = {
            "inputs": columns["inputs"][:, inverse],
            "attention_mask": columns["attention_mask"][:, inverse],
            "pairs": columns["pairs"][:, inverse][:, :, inverse],
        }
        there = moved["attention_mask"].bool()
        both = there[:, :, None] & there[:, None]
        difference = model(**moved, task="links").logits - found[:, inverse][:, :, inverse]
        assert difference[both].abs().max() < 1e-12 * max(1, found.abs().max())
    arrays = {name: columns[name] for name in ("pairs", "attention_mask")}
    assert equivariance_error(model, columns["inputs"], "links", **arrays) < 1e-12
    outsider = from_cycles([[[0, 2]]], 6)
    full = {"pairs": columns["pairs"].clamp(min=0)}
    assert equivariance_error(model, columns["inputs"].clamp(min=0), "links", outsider, **full) > 1e-3


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("kind", ["csv", "parquet", "frame", "arrays", "stream"])
def test_labels_of_pairs_are_read_from_every_kind_of_table(name, kind, tmp_path):
    task = TASKS[name]
    rows = rows_of(task, 24)
    expected = load_table(write(rows, tmp_path / "rows.jsonl"), task)
    if kind == "csv":
        texts = [{column: json.dumps(cell) for column, cell in row.items()} for row in rows]
        pd.DataFrame(texts).to_csv(tmp_path / "rows.csv", index=False)
        found = load_table(tmp_path / "rows.csv", task)
    elif kind == "parquet":
        pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
        found = load_table(tmp_path / "rows.parquet", task)
    elif kind == "frame":
        found = load_table(pd.DataFrame(rows), task)
    elif kind == "arrays":
        labels = [np.array(row["labels"], dtype=float if task.is_regression else int) for row in rows]
        columns = [[np.array(row[name]) for row in rows] for name in ("inputs", "pairs")]
        found = to_splits(task, (columns[0], labels, columns[1]))
    else:
        parts = {split: Dataset.from_list(rows[start::3]) for start, split in enumerate(expected)}
        expected = to_splits(task, DatasetDict(parts))
        streams = {split: part.to_iterable_dataset() for split, part in parts.items()}
        found = to_splits(task, IterableDatasetDict(streams))
    for split, part in expected.items():
        batch, other = collate(task, part), collate(task, found[split])
        assert batch.keys() == other.keys() and batch["labels"].shape[1:] == task.label_shape()
        for column, values in batch.items():
            torch.testing.assert_close(other[column], values, equal_nan=True)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1], [1, 0]], "labels"),
        ([0, 1, 0], "labels"),
        ([[0, 1, 0]] * 2, "labels"),
        ([[0, 1, 2]] * 3, "labels"),
        ([["joined", "apart", "torn"]] * 3, "torn"),
    ],
)
def test_labels_that_are_none_of_the_pairs_are_refused(labels, message, tmp_path):
    task = TaskConfig(group="S3", vocab_size=4, output_level="pair", label_names=["apart", "joined"])
    rows = [{"inputs": [0, 1, 2], "labels": [[0, 1, 0]] * 3}] * 9 + [{"inputs": [0, 1, 3], "labels": labels}]
    with pytest.raises(ValueError, match=rf"(?s)row 9.*{message}|{message}.*row 9|rows.jsonl.*{message}"):
        load_table(write(rows, tmp_path / "rows.jsonl"), task)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"symmetric_outputs": True, "output_level": "node"}, "symmetric_outputs needs"),
        ({"edges": [[0, 1]]}, 'set support="weak" or "complete"'),
        ({"pooling": "sum"}, "outputs of nodes and of pairs pool nothing"),
        ({"vocab_size": None, "num_features": 1, "problem_type": "regression", "linear_skip": True}, "linear_skip"),
    ],
)
def test_configs_that_suit_no_outputs_of_pairs_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TaskConfig(**{"group": "S3", "vocab_size": 4, "output_level": "pair", **fields})


def test_brackets_whose_ends_swap_are_learned_with_a_value_symmetry(tmp_path):
    """Classes: none, i opens what j closes, j opens what i closes. Read from behind, the last two change places."""
    sequences = asen_hf.get_task("pairs/matching_brackets", length=6).sample(300)[0]
    matching = asen_hf.get_task("pairs/matching_brackets", length=6).label(sequences)
    labels = matching * np.where(np.arange(6)[:, None] < np.arange(6), 1, 2)
    entry = {"points": [[0, 5], [1, 4], [2, 3]], "inputs": [1, 0], "outputs": [0, 2, 1]}
    task = TaskConfig(group="E6", vocab_size=2, output_level="pair", num_labels=3, value_symmetries=[entry])
    small = AsenConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    model = AsenForMultitask(small)
    result = finetune(model, task, (sequences, labels), name="ends", output_dir=tmp_path / "run", max_steps=20, lr=5e-3)
    score = result.scores["ends"]
    assert score.equivariance_error < 1e-5 and score.outside_error > 1e-3
    again = AsenForMultitask.from_pretrained(result.output_dir).double()
    rows = torch.from_numpy(sequences[:9])
    logits, mirrored = (again(inputs, task="ends").logits for inputs in (rows, 1 - rows.flip(1)))
    torch.testing.assert_close(mirrored, logits.flip(1, 2)[..., [0, 2, 1]], atol=1e-12, rtol=0)
