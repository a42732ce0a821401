"""Flags that say where a command's rows come from: a registered task, or a user's own table."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..data import _json
from ..training._typed_fields import described
from ..training.task_recipe import TaskRecipe
from ..training.task_rows import task_name


@dataclasses.dataclass
class RowArguments:
    """Where the rows come from."""

    task: str | None = described(
        "Name of a registered task; with --dataset, the name that the table's task gets in the model.", None
    )
    data_path: str | None = described("Data file of a registered task on real data.", None)
    task_options: str = described('Options of a registered task, as a JSON object: {"length": 16}.', "{}")
    dataset: str | None = described(
        "A table of your own: a CSV, JSON lines, Parquet or .npz file, a folder of such files, or the Hub id of a "
        "dataset.",
        None,
    )
    task_config: str | None = described(
        "TaskConfig of the table: the path or hf://datasets/… address of a JSON file.", None
    )
    inputs_columns: str = described(
        "Columns of the table that hold inputs, separated by commas: one column of lists, one column per node, or "
        "one per node and feature; default: inputs, or all columns without another purpose.",
        "inputs",
    )
    labels_columns: str = described(
        "Columns of the table that hold labels, separated by commas: one column of lists, or one column per node.",
        "labels",
    )
    split_column: str | None = described(
        "Column of the table whose equal values go into one split, such as a person or a machine; values train, "
        "validation and test are the splits.",
        None,
    )
    time_column: str | None = described(
        "Column of the table with numbers or dates: the earliest rows are for training, the latest for testing.", None
    )
    num_rows: int | None = described(
        "Number of rows of a registered task, over all splits; default: the task's own number.", None
    )

    def task_recipe(self, group: str | None = None, **fields: Any) -> TaskRecipe:
        """Where the rows come from, as the run's recipe will record it.

        Args:
            group: replaces the group of a registered task.
            fields: additional fields of the TaskRecipe.

        Raises:
            ValueError: flags that are missing, ill-formed or contradict each other.
        """
        if (self.task is None) == (self.task_config is None) and self.dataset is None:
            raise ValueError("expected either --task NAME, or --dataset FILE with --task_config JSON")
        options = parse_json(self.task_options, "task_options")
        if not isinstance(options, dict):
            raise ValueError(f"--task_options must be a JSON object, got {self.task_options}")
        flags = {"group": group, "data_path": self.data_path}
        options |= {name: value for name, value in flags.items() if value is not None}
        if self.dataset is not None and options:
            raise ValueError(
                f"{', '.join(options)}: options of registered tasks cannot be combined with --dataset; describe the "
                "table in the file of --task_config"
            )
        return TaskRecipe(
            name=self.task or task_name(str(self.task_config)),
            options=options,
            dataset=self.dataset,
            task_config=self.task_config,
            inputs_columns=self.inputs_columns.split(","),
            labels_columns=self.labels_columns.split(","),
            split_column=self.split_column,
            time_column=self.time_column,
            num_rows=self.num_rows,
            **fields,
        )


def parse_json(text: str, flag: str) -> Any:
    """The value of a flag given as JSON; ``ValueError`` names the flag."""
    return _json.parse_json(text, f"--{flag}")
