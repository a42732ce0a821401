"""Rows in the containers that a user may hold them in: functions of inputs, labels and a folder for files."""

import numpy as np
import torch
from datasets import Dataset


def as_arrays(inputs, labels, folder):
    return inputs, labels


def as_lists(inputs, labels, folder):
    return inputs.tolist(), labels.tolist()


def as_tensors(inputs, labels, folder):
    return torch.tensor(inputs), torch.tensor(labels)


def as_dataset(inputs, labels, folder):
    return Dataset.from_dict({"inputs": inputs.tolist(), "labels": labels.tolist()})


def as_stream(inputs, labels, folder):
    return as_dataset(inputs, labels, folder).to_iterable_dataset()


def as_json(inputs, labels, folder):
    as_dataset(inputs, labels, folder).to_json(folder / "rows.jsonl")
    return folder / "rows.jsonl"


def as_npz(inputs, labels, folder):
    np.savez(folder / "rows.npz", inputs=inputs, labels=labels)
    return folder / "rows.npz"
