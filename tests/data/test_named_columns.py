"""Tables whose columns are no inputs and labels as they stand: the error names the cause, and names mend it."""

import re

import numpy as np
import pandas
import pytest

from asen_hf import TaskConfig
from asen_hf.data import load_table

TOKENS = TaskConfig(degree=4, vocab_size=3, output_level="graph")
NODES = list("abcd")


def table(**columns):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.integers(3, size=(40, 4)), columns=NODES)
    return frame.assign(labels=rng.integers(2, size=40), **columns)


@pytest.mark.parametrize(
    ("frame", "settings", "message"),
    [
        (table(id=1), {}, "5 columns besides labels (a, b, c, d, id), but the task reads 4, one per node: name them"),
        (table(id=1), {"num_features": 2, "vocab_size": None}, "reads 4, one per node, or 4 · 2, one per node and fea"),
        (table(), {"degree": 5}, "4 columns besides labels (a, b, c, d), but the task reads 5"),
        (
            table().reset_index(names=""),
            {},
            "('', a, b, c, d), but the task reads 4, one per node: write the",
        ),
        (table()[["a", "labels"]], {}, "one column besides labels (a), but the task reads 4"),
        (
            table()[NODES],
            {},
            "no column labels; there are a, b, c, d: name what is to be predicted with",
        ),
        (table().rename(columns={"labels": "y"}), {}, "no column labels; there are a, b, c, d, y: name what"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".csv", ".jsonl", ".parquet"])
def test_columns_that_are_not_the_inputs_and_labels_are_counted(tmp_path, frame, settings, message, suffix):
    path = tmp_path / f"rows{suffix}"
    write = {".csv": lambda: frame.to_csv(path, index=False), ".parquet": lambda: frame.to_parquet(path)}
    write |= {"": lambda: None, ".jsonl": lambda: frame.to_json(path, orient="records", lines=True)}
    write[suffix]()
    with pytest.raises(ValueError, match=re.escape(message)):
        load_table(path if suffix else frame, TaskConfig(**{**TOKENS.to_dict(), **settings}))


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_table_separated_by_other_marks_is_told_to_use_commas(tmp_path, mark):
    table().to_csv(tmp_path / "rows.csv", sep=mark, index=False)
    with pytest.raises(ValueError, match=r"rows\.csv: one column, .*, whose name holds .*: separate columns by commas"):
        load_table(tmp_path / "rows.csv", TOKENS)


def test_names_mend_them():
    frame = table(id=1).rename(columns={"labels": "y"})
    rows = load_table(frame, TOKENS, inputs_columns=NODES, labels_columns="y")
    assert sum(part.num_rows for part in rows.values()) == 40
