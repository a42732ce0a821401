"""True and False are 1 and 0, whatever holds them."""

import numpy as np
import pandas
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, load_table
from asen_hf.data.collator import collate
from asen_hf.data.given_rows import to_splits
from tests.data.containers import as_arrays, as_dataset, as_json, as_lists, as_npz, as_stream, as_tensors

TRUTHS = np.random.default_rng(0).integers(2, size=(40, 4)).astype(bool)
SEVERAL = {"problem_type": "multi_label_classification", "num_labels": 3}
LABELS = {
    "node": (TRUTHS, {}),
    "graph": (TRUTHS[:, 0], {}),
    "named": (TRUTHS[:, 0], {"label_names": ["no", "yes"]}),
    "several": (TRUTHS[:, :3], SEVERAL),
}


def task_of(kind):
    level = "node" if kind == "node" else "graph"
    return TaskConfig(group="S4", vocab_size=2, output_level=level, **LABELS[kind][1])


def as_frames(inputs, labels, folder):
    return pandas.DataFrame(inputs), pandas.DataFrame(labels)


def as_frame(inputs, labels, folder):
    return pandas.DataFrame(inputs, columns=list("abcd")).assign(labels=labels.tolist())


def as_csv(inputs, labels, folder):
    as_frame(inputs, labels, folder).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def as_spreadsheet(inputs, labels, folder):
    as_csv(inputs, labels, folder)
    text = (folder / "rows.csv").read_text()
    (folder / "rows.csv").write_text(
        text.replace("True", "TRUE").replace("False", "FALSE").replace("[", "").replace("]", "")
    )
    return folder / "rows.csv"


KINDS = [as_arrays, as_lists, as_tensors, as_frames, as_frame, as_dataset, as_stream, as_csv, as_spreadsheet, as_json]


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("container", [*KINDS, as_npz])
def test_truths_are_numbers_in_every_container(tmp_path, container, kind):
    labels = LABELS[kind][0]
    rows = container(TRUTHS, labels, tmp_path)
    is_file = hasattr(rows, "suffix")
    splits = load_table(rows, task_of(kind)) if is_file else to_splits(task_of(kind), rows)
    found = [collate(task_of(kind), part) for part in splits.values()]
    found = [np.concatenate([part[name].numpy().reshape(len(part[name]), -1) for part in found]) for name in found[0]]
    assert all(array.dtype == np.int64 for array in found)
    expected = np.hstack([TRUTHS, labels.reshape(40, -1)]).astype(int)
    np.testing.assert_array_equal(sorted(np.hstack(found).tolist()), sorted(expected.tolist()))


@pytest.mark.parametrize("container", [as_arrays, as_frame, as_dataset, as_csv, as_json, as_npz])
def test_names_of_classes_come_before_numbers(tmp_path, container):
    task = TaskConfig(group="S4", vocab_size=2, output_level="graph", label_names=["True", "False"])
    rows = container(TRUTHS, TRUTHS[:, 0], tmp_path)
    splits = load_table(rows, task) if hasattr(rows, "suffix") else to_splits(task, rows)
    for part in splits.values():
        columns = collate(task, part)
        torch.testing.assert_close(columns["labels"], 1 - columns["inputs"][:, 0])


@pytest.mark.parametrize("kind", LABELS)
def test_a_model_takes_truths(kind):
    task, labels = task_of(kind), torch.tensor(LABELS[kind][0])
    torch.manual_seed(0)
    model = AsenForMultitask(AsenConfig(tasks={"t": task}, hidden_size=8, num_hidden_layers=1)).eval()
    truths, numbers = torch.tensor(TRUTHS), torch.tensor(TRUTHS).long()
    torch.testing.assert_close(model(truths, labels=labels).loss, model(numbers, labels=labels.long()).loss)
    predicted = model.predict(TRUTHS, context=(TRUTHS, labels.numpy()))
    torch.testing.assert_close(predicted, model.predict(numbers, context=(numbers, labels.long())))


def test_truths_are_categories_of_pairs():
    task = TaskConfig(group="S4", num_features=1, pair_vocab_size=2, output_level="graph")
    model = AsenForMultitask(AsenConfig(tasks={"t": task}, hidden_size=8, num_hidden_layers=1)).eval()
    pairs = TRUTHS[:10, :, None] & TRUTHS[:10, None]
    inputs = np.ones((10, 4, 1), np.float32)
    rows = collate(task, {"inputs": inputs, "labels": TRUTHS[:10, 0], "pairs": pairs})
    assert rows["pairs"].dtype == torch.int64
    torch.testing.assert_close(model.predict(inputs, pairs=pairs), model.predict(inputs, pairs=pairs.astype(int)))
