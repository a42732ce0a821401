"""What notebooks show of configs: a task's group, inputs and outputs; the tasks of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._html import html_table, orbit_svg, side_by_side
from .configuration_symmetries import seen_symmetry, value_group
from .orbits import orbit_labels

if TYPE_CHECKING:
    from .configuration_asen import AsenConfig
    from .configuration_task import TaskConfig

_MOST_COUNTED = 512  # points of a group whose orbits are counted
_MOST_TASKS = 100
_MOST_NAMES = 8
_MOST_SYMMETRIES = 3  # value symmetries that are named beside the group


def task_html(task: TaskConfig) -> str:
    """A task as a table, beside its orbits of pairs."""
    seen = seen_symmetry(task)
    facts = {"group": group_text(task), "value maps": value_maps_text(task), "degree": f"{task.degree:,}"}
    picture = ""
    if seen.degree <= _MOST_COUNTED:
        labels = orbit_labels(seen.permutation_group())
        facts["orbits"] = f"{orbit_labels(task.point_group(), 1).max() + 1:,} of points, {labels.max() + 1:,} of pairs"
        picture = orbit_svg(labels)
    edges = "" if task.edges is None else f", {len(task.edges):,} edges"
    facts |= {
        "support": f"{task.support}{edges}; symmetry breaking by {task.symmetry_breaking}",
        "inputs": inputs_text(task),
        "outputs": outputs_text(task),
        "names": _names(task.label_names),
        "loss, metric": f"{task.loss}, {task.metric}",
    }
    return side_by_side(html_table([item for item in facts.items() if item[1]], caption="TaskConfig"), picture)


def config_html(config: AsenConfig) -> str:
    """A model's sizes, and a table of its tasks."""
    gated = ", gated messages" if config.gated_messages else ""
    passes = f" applied {config.num_recurrences:,} times" if config.num_recurrences > 1 else ""
    sizes = f"hidden size {config.hidden_size}, {config.num_attention_heads} heads{gated}"
    caption = (
        f"AsenConfig: {config.num_hidden_layers} layers of {config.backbone_type}{passes}, {sizes}, "
        f"pooling by {config.pooling}; {len(config.tasks):,} tasks"
    )
    head = ["task", "group", "degree", "inputs", "outputs", "metric"]
    rows = [
        [name, group_text(task), f"{task.degree:,}", inputs_text(task), outputs_text(task), task.metric]
        for name, task in [*config.tasks.items()][:_MOST_TASKS]
    ]
    left_out = len(config.tasks) - len(rows)
    return html_table(rows, head, f"{caption}{f', {left_out:,} of them not shown' if left_out else ''}")


def group_text(task: TaskConfig) -> str:
    """A task's group as people call it, such as ``"C150 with 1 value symmetry (reverse complement)"``."""
    count = len(task.generators)
    group = task.group_name or f"{count:,} generator{'' if count == 1 else 's'}"
    entries = task.value_symmetries
    if not entries:
        return group
    names = [entry["name"] for entry in entries if "name" in entry]
    names = [*names[:_MOST_SYMMETRIES], *["…"] * (len(names) > _MOST_SYMMETRIES)]
    symmetries = f"{len(entries):,} value symmetr{'y' if len(entries) == 1 else 'ies'}"
    in_brackets = f" ({', '.join(names)})" if names else ""
    moves = f"{group} with " if task.group_name or task.generators else ""
    return f"{moves}{symmetries}{in_brackets}"


def value_maps_text(task: TaskConfig) -> str:
    """How many value maps a task's group has, and what the network makes of them; empty without value symmetries."""
    if not task.value_symmetries:
        return ""
    group = value_group(task)
    count = f"{len(np.unique(group.lift.maps)):,}"
    if task.symmetrization == "lift":
        return f"{count}, lifted to {len(group.lift.nodes):,} points"
    return f"{count}, averaged over {len(group.cosets):,} coset{'' if len(group.cosets) == 1 else 's'}"


def inputs_text(task: TaskConfig) -> str:
    """What a row gives per node and per pair, such as ``"one of 4 tokens per node; 1 number per pair"``."""
    if task.num_features is None:
        nodes = f"one of {task.vocab_size:,} tokens per node"
    else:
        nodes = f"{task.num_features:,} feature{'s' * (task.num_features > 1)} per node"
    if task.pair_vocab_size is not None:
        return f"{nodes}; one of {task.pair_vocab_size:,} categories per pair"
    if task.pair_features is not None:
        return f"{nodes}; {task.pair_features:,} number{'s' * (task.pair_features > 1)} per pair"
    return nodes


def outputs_text(task: TaskConfig) -> str:
    """What the network says of a row, such as ``"5 labels per graph"``: values, labels or classes, and of what."""
    kind = "value" if task.is_regression else "label" if task.is_multi_label else "class"
    plural = "" if task.output_size == 1 else "es" if kind == "class" else "s"
    place = "unordered pair" if task.symmetric_outputs else task.output_level
    return f"{task.output_size:,} {kind}{plural} per {place}"


def _names(names: list[str] | None) -> str:
    if names is None:
        return ""
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
