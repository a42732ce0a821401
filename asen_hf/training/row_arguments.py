"""Flags that say where a script's rows come from: a registered task, or a user's own table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from .recipe import TaskRecipe, described


@dataclasses.dataclass
class RowArguments:
    task: str | None = described("A registered task, or the name to give to the table's.", None)
    data_path: str | None = described("The file a registered task on real data reads.", None)
    task_options: str = described('Further options of a registered task, as JSON: {"length": 16}.', "{}")
    dataset: str | None = described("Your own table: a CSV, JSON lines or Parquet file, a folder or a Hub id.", None)
    task_config: str | None = described("The table's TaskConfig, a JSON file, here or hf://datasets/….", None)
    inputs_columns: str = described("Columns of the table, with commas: one of whole rows, or one a node.", "inputs")
    labels_columns: str = described("The same for the labels.", "labels")
    num_rows: int | None = described("Take this many rows of a registered task, over all splits.", None)

    def task_recipe(self, group: str | None = None, **fields: Any) -> TaskRecipe:
        """Where the rows come from, as the run's recipe will record it.

        Args:
            group: a registered task's group, if its own is not meant.
            fields: further ones of the TaskRecipe.

        Raises:
            ValueError: flags that are missing, ill-formed or contradict each other.
        """
        if (self.task is None) == (self.task_config is None) and self.dataset is None:
            raise ValueError("say what to learn: --task NAME, or --dataset FILE with --task_config JSON")
        options = parse_json(self.task_options, "task_options")
        if not isinstance(options, dict):
            raise ValueError(f"--task_options must be a JSON object, got {self.task_options}")
        further = {"group": group, "data_path": self.data_path}
        options |= {name: value for name, value in further.items() if value is not None}
        if self.dataset is not None and options:
            raise ValueError(
                f"{', '.join(options)} are options of registered tasks; a table's task_config says all that"
            )
        return TaskRecipe(
            name=self.task or Path(str(self.task_config)).stem.replace(".", "_"),
            options=options,
            dataset=self.dataset,
            task_config=self.task_config,
            inputs_columns=self.inputs_columns.split(","),
            labels_columns=self.labels_columns.split(","),
            num_rows=self.num_rows,
            **fields,
        )


def parse_json(text: str, flag: str) -> Any:
    """What a flag's JSON says; ``ValueError`` names the flag."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--{flag} is not JSON: {error}") from error
