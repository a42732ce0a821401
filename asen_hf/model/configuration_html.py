"""What notebooks show of configs: a task's group, inputs and outputs; the tasks of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._html import html_table, orbit_svg, side_by_side
from .orbits import orbit_labels

if TYPE_CHECKING:
    from .configuration_asen import AsenConfig
    from .configuration_task import TaskConfig

_MOST_COUNTED = 512  # points of a group whose orbits are counted
_MOST_TASKS = 100
_MOST_NAMES = 8


def task_html(task: TaskConfig) -> str:
    """A task as a table, beside its orbits of pairs."""
    facts = {"group": _group(task), "degree": f"{task.degree:,}"}
    picture = ""
    if task.degree <= _MOST_COUNTED:
        group = task.permutation_group()
        labels = orbit_labels(group)
        facts["orbits"] = f"{orbit_labels(group, 1).max() + 1:,} of points, {labels.max() + 1:,} of pairs"
        picture = orbit_svg(labels)
    edges = "" if task.edges is None else f", {len(task.edges):,} edges"
    facts |= {
        "support": f"{task.support}{edges}; symmetry breaking by {task.symmetry_breaking}",
        "inputs": _inputs(task),
        "outputs": _outputs(task),
        "names": _names(task.label_names),
        "loss, metric": f"{task.loss}, {task.metric}",
    }
    return side_by_side(html_table([item for item in facts.items() if item[1]], caption="TaskConfig"), picture)


def config_html(config: AsenConfig) -> str:
    """A model's sizes, and a table of its tasks."""
    gated = ", gated messages" if config.gated_messages else ""
    caption = (
        f"AsenConfig: {config.num_hidden_layers} layers, hidden size {config.hidden_size}, "
        f"{config.num_attention_heads} heads{gated}, pooling by {config.pooling}; {len(config.tasks):,} tasks"
    )
    head = ["task", "group", "degree", "inputs", "outputs", "metric"]
    rows = [
        [name, _group(task), f"{task.degree:,}", _inputs(task), _outputs(task), task.metric]
        for name, task in [*config.tasks.items()][:_MOST_TASKS]
    ]
    left_out = len(config.tasks) - len(rows)
    return html_table(rows, head, f"{caption}{f', {left_out:,} of them not shown' if left_out else ''}")


def _group(task: TaskConfig) -> str:
    return task.group_name or f"{len(task.generators):,} generators"


def _inputs(task: TaskConfig) -> str:
    if task.num_features is None:
        return f"{task.vocab_size:,} tokens"
    return f"{task.num_features:,} feature{'s' * (task.num_features > 1)} per node"


def _outputs(task: TaskConfig) -> str:
    kind = "value" if task.is_regression else "label" if task.is_multi_label else "class"
    plural = "" if task.output_size == 1 else "es" if kind == "class" else "s"
    return f"{task.output_size:,} {kind}{plural} per {task.output_level}"


def _names(names: list[str] | None) -> str:
    if names is None:
        return ""
    return ", ".join(names[:_MOST_NAMES]) + (", …" if len(names) > _MOST_NAMES else "")
