"""Streams of rows become memory-mapped splits: the rows of the stream, checked, and never all in memory."""

import subprocess
import sys
import textwrap

import datasets
import numpy as np
import pytest
import torch

import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, TaskConfig
from asen_hf.data import MultitaskBatches, collate
from asen_hf.data.features import read_column
from asen_hf.data.given_rows import to_rows, to_splits

TASK = TaskConfig(degree=3, num_features=2, label_names=["low", "high"], output_level="graph")
TOKENS = TaskConfig(degree=4, vocab_size=5)


def rows_of(count=3000, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(count, 3, 2))
    return inputs, np.where(inputs.sum(axis=(1, 2)) > 0, "high", "low")


def stream(inputs, labels, **columns):
    def rows():
        for number in range(len(inputs)):
            row = {"inputs": inputs[number].tolist(), "labels": np.asarray(labels[number]).tolist()}
            yield row | {name: column[number] for name, column in columns.items()}

    return datasets.IterableDataset.from_generator(rows)


def test_a_stream_becomes_splits_of_its_rows_on_disk():
    inputs, labels = rows_of()
    splits = to_splits(TASK, stream(inputs, labels))
    assert list(splits) == ["train", "validation", "test"]
    assert [len(rows) / 3000 for rows in splits.values()] == pytest.approx([0.7, 0.15, 0.15], abs=0.03)
    truth = {row.tobytes(): label for row, label in zip(inputs, labels, strict=True)}
    found = {}
    for rows in splits.values():
        assert rows.cache_files
        columns = collate(TASK, rows)
        found |= {
            row.numpy().tobytes(): TASK.label_names[label]
            for row, label in zip(columns["inputs"], columns["labels"].tolist(), strict=True)
        }
    assert found == truth


def test_a_split_depends_on_the_row_and_the_seed_alone():
    inputs, labels = rows_of(600)
    whole = set(map(str, to_splits(TASK, stream(inputs, labels))["test"]["inputs"]))
    reverse = set(map(str, to_splits(TASK, stream(inputs[::-1], labels[::-1]))["test"]["inputs"]))
    assert whole == reverse != set(map(str, to_splits(TASK, stream(inputs, labels), seed=1)["test"]["inputs"]))


def test_rows_of_one_group_go_together_and_names_of_splits_count():
    inputs, labels = rows_of(900)
    who = np.arange(900) % 40
    groups = {row.tobytes(): group for row, group in zip(inputs, who, strict=True)}
    splits = to_splits(TASK, stream(inputs, labels, who=who.tolist()), split_column="who")
    found = [{groups[row.tobytes()] for row in read_column(rows, "inputs")} for rows in splits.values()]
    assert sum(map(len, found)) == 40 == len(set.union(*found))
    part = ["train"] * 500 + ["validation"] * 300 + ["test"] * 100
    named = to_splits(TASK, stream(inputs, labels, part=part), split_column="part")
    assert [len(rows) for rows in named.values()] == [500, 300, 100]


def test_given_streams_are_kept():
    streams = {"train": stream(*rows_of(300)), "test": stream(*rows_of(50, seed=1))}
    splits = to_splits(TASK, datasets.IterableDatasetDict(streams))
    np.testing.assert_array_equal(read_column(splits["test"], "inputs"), rows_of(50, seed=1)[0])
    assert len(splits["train"]) + len(splits["validation"]) == 300
    assert len(to_rows(TASK, streams["test"])) == 50


def test_columns_of_a_file_are_views_of_it_and_batches_are_copies():
    splits = to_splits(TASK, stream(*rows_of(500)))
    column = read_column(splits["train"], "inputs")
    assert not column.flags.owndata and not column.flags.writeable
    tensor = collate(TASK, splits["train"])["inputs"]
    assert tensor.data_ptr() == column.ctypes.data
    batch = MultitaskBatches({"t": splits["train"]}, {"t": TASK}, 8)[3]["t"]["inputs"]
    batch += 1  # a batch is the trainer's own
    torch.testing.assert_close(collate(TASK, splits["train"])["inputs"], tensor)


def test_training_on_a_stream_equals_training_on_its_rows():
    rng = np.random.default_rng(0)
    inputs = rng.integers(5, size=(400, 4))
    rows = to_splits(TOKENS, stream(inputs, inputs % 2))
    torch.manual_seed(0)
    model = AsenForMultitask(AsenConfig(tasks={"t": TOKENS}, hidden_size=8, num_hidden_layers=1, num_attention_heads=2))
    memory = datasets.DatasetDict({split: datasets.Dataset.from_list(part.to_list()) for split, part in rows.items()})
    scores = [
        asen_hf.finetune(model, TOKENS, data, max_steps=3).scores for data in (stream(inputs, inputs % 2), rows, memory)
    ]
    assert scores[0] == scores[1] == scores[2]
    assert asen_hf.evaluate(model, stream(inputs, inputs % 2))["t"].rows == 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda i, y: (i, np.where(np.arange(60) == 40, "hihg", y)),
            "train split, row 40, column 'labels'.*did you mean 'high'",
        ),
        (
            lambda i, y: (np.where(np.arange(60)[:, None, None] == 7, np.inf, i), y),
            "row 7, column 'inputs': expected 3x2",
        ),
        (lambda i, y: (i[:1], y[:1]), "no rows for "),
        (lambda i, y: (i[:, :2], y), "row 0, column 'inputs': expected 3x2 finite numbers, got 2x2 values"),
    ],
)
def test_bad_rows_of_a_stream_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        to_splits(TASK, stream(*change(*rows_of(60))))


def test_what_a_stream_cannot_do_is_said():
    with pytest.raises(ValueError, match="a stream cannot be split by time"):
        to_splits(TASK, stream(*rows_of(60)), time_column="when")
    with pytest.raises(ValueError, match="no column who; there are inputs, labels"):
        to_splits(TASK, stream(*rows_of(60)), split_column="who")
    with pytest.raises(ValueError, match="expected a split train, found test"):
        to_splits(TASK, datasets.IterableDatasetDict({"test": stream(*rows_of(60))}))
    with pytest.raises(ValueError, match="data, train split: no column labels; there are inputs"):
        to_splits(TASK, stream(*rows_of(60)).remove_columns("labels"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits private memory on Linux only")
def test_a_table_four_times_the_allowed_memory_is_written_and_batched():
    program = """
        import resource, numpy as np, pyarrow as pa, datasets
        from datasets.iterable_dataset import ArrowExamplesIterable
        from asen_hf import TaskConfig
        from asen_hf.data import MultitaskBatches
        from asen_hf.data.given_rows import to_splits

        def tables(shards):
            for shard in shards:
                values = np.random.default_rng(shard).normal(size=(1024, 8, 16)).astype(np.float32)
                inputs = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 16)
                inputs = pa.FixedSizeListArray.from_arrays(inputs, 8)
                yield str(shard), pa.table({"inputs": inputs, "labels": (values.sum((1, 2)) > 0).astype(np.int64)})

        task = TaskConfig(group="C8", num_features=16, output_level="graph")
        now = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (now + 200 * 2**20,) * 2)
        stream = datasets.IterableDataset(ArrowExamplesIterable(tables, {"shards": list(range(1600))}))
        splits = to_splits(task, stream)  # 800 MiB
        batches = MultitaskBatches({"t": splits["train"]}, {"t": task}, 64)
        print(sum(len(rows) for rows in splits.values()), batches[10_000]["t"]["inputs"].shape)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert result.stdout.split("\n")[-2] == "1638400 torch.Size([64, 8, 16])", result.stderr
