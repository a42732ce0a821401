"""Value symmetries given on the command line beside a group, without a task."""

from __future__ import annotations

from typing import Any

from sympy.combinatorics import PermutationGroup

from ..model.configuration_task import TaskConfig
from ._row_arguments import parse_json


def task_with_values(group: PermutationGroup, name: str, text: str) -> TaskConfig:
    """A task with this group and these value symmetries, whose sizes are those of their lists.

    Args:
        group: moves that leave values alone.
        name: of the group.
        text: JSON of ``value_symmetries``. Lists that hold a 0 permute tokens or classes, others are signed
            permutations of features or regressed values.

    Raises:
        ValueError: not JSON, or not value symmetries of this group.
    """
    entries = parse_json(text, "value_symmetries")
    lists: dict[str, list] = {"inputs": [], "outputs": []}
    for entry in entries.values() if isinstance(entries, dict) else entries if isinstance(entries, list) else []:
        for field, found in lists.items():
            if isinstance(entry, dict) and isinstance(entry.get(field), list):
                found += [entry[field]]
    is_per_node = any(isinstance(entry, list) for found in lists["outputs"] for entry in found)
    inputs, outputs = ([row for found in lists[field] for row in _rows(found)] for field in ("inputs", "outputs"))
    fields: dict[str, Any] = {"output_level": "node" if is_per_node else "graph"}
    has_tokens = any(0 in row for row in inputs) or not inputs
    fields["vocab_size" if has_tokens else "num_features"] = len(inputs[0]) if inputs else 1
    if outputs and not any(0 in row for row in outputs):
        fields["problem_type"] = "regression"
    if outputs:
        fields["num_labels"] = len(outputs[0])
    return TaskConfig(group=group, group_name=name, value_symmetries=entries, **fields)


def _rows(lists: list) -> list[list]:
    """One list for all nodes, or one per node, as lists."""
    return [row for row in lists if isinstance(row, list)] or [lists]
