"""Matching brackets: the rule against a stack, and its symmetry."""

import itertools

import numpy as np
import pytest
import torch

from asen_hf import AsenConfig, AsenForMultitask, equivariance_error, get_task


def with_a_stack(sequence):
    matching, opened = np.zeros((len(sequence),) * 2, dtype=int), []
    for place, token in enumerate(sequence):
        if token == 0:
            opened.append(place)
        elif opened:
            partner = opened.pop()
            matching[place, partner] = matching[partner, place] = 1
    return matching


def test_labels_of_all_sequences_are_those_of_a_stack():
    sequences = np.array(list(itertools.product([0, 1], repeat=8)))
    labels = get_task("pairs/matching_brackets", length=8).label(sequences)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, [with_a_stack(sequence) for sequence in sequences])
    np.testing.assert_array_equal(
        get_task("pairs/matching_brackets", length=8).label(1 - sequences[:, ::-1]), labels[:, ::-1, ::-1]
    )


@pytest.mark.parametrize("length", [1, 2, 5, 14])
def test_rows_are_drawn_labelled_and_symmetric_as_the_config_says(length):
    task = get_task("pairs/matching_brackets", length=length)
    inputs, labels = task.sample(50)
    task.config.check_inputs(inputs)
    task.config.check_labels(labels)
    small = AsenConfig(tasks={"t": task.config}, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    assert equivariance_error(AsenForMultitask(small).double(), torch.from_numpy(inputs)) < 1e-12


def test_splits_have_no_sequence_in_common_and_another_group_has_no_value_symmetry():
    splits = get_task("pairs/matching_brackets").load(200)
    rows = np.concatenate([split.with_format("numpy")["inputs"][:] for split in splits.values()])
    assert len(np.unique(rows, axis=0)) == 200
    assert get_task("pairs/matching_brackets").config.value_symmetries
    assert not get_task("pairs/matching_brackets", group="trivial").config.value_symmetries
