"""One task of a recipe: its rows, its symmetry and its support."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from datasets import DatasetDict, concatenate_datasets
from huggingface_hub import hf_hub_download, parse_hf_uri
from huggingface_hub.errors import HfUriError
from sympy.combinatorics import PermutationGroup

from ..data import get_task
from ..data._json import parse_json
from ..data.registry import Judge, Predictor, check_options
from ..data.seeding import random_generator
from ..data.table import named_table
from ..model._messages import naming, shown
from ..model.configuration_asen import TaskConfig
from ..model.configuration_statistics import pooled_over_orbits
from ..model.group_notation import parse_group
from ..model.groups import from_cycles
from ..model.orbits import close_support
from ._typed_fields import check_types

# Fields of a TaskConfig whose default depends on others: a change of those gives them their default anew.
_DERIVED = {
    "shared_rows": {"point_order", "orbital_names", "soft_group"},
    "loss": {"problem_type"},
    "metric": {"problem_type"},
    "num_labels": {"problem_type", "label_names"},
}
_OF_REGISTERED_TASKS = ("source", "options", "num_rows")
_OF_TABLES = ("inputs_columns", "labels_columns", "split_column", "time_column")


@dataclasses.dataclass
class TaskRecipe:
    """One task of a recipe: where its rows come from, and changes to its group and support.

    Args:
        name: the task's name in the checkpoint.
        source: the task's name in the registry (``asen_hf.list_tasks()``), if it differs from ``name``: one source can
            serve several tasks, at several lengths for example.
        options: options of the registered task, as in ``get_task``, such as ``length``, ``group`` or ``data_path``.
        generators: generators, as lists of cycles, that replace the task's group. Means and scales per node that the
            task states are pooled over the orbits of the new group.
        group_name: a name for the group of ``generators`` or ``value_symmetries``; without these, which a cell of a
            grid may take back, it has no effect.
        support: node pairs that exchange messages: ``"complete"`` (all), ``"sparse"`` (the task's edges) or ``"weak"``
            (all, edges distinguished from the rest); by default the task's own.
        close_support: add to the edges all their images under the group, so that the support keeps the group's
            symmetry.
        num_rows: number of rows over all splits; by default the registered task's own.
        dataset: a user's own table instead of a registered task, as in :func:`asen_hf.load_table`.
        task_config: the table's TaskConfig: the path or ``hf://`` address of its JSON, or its fields.
        inputs_columns, labels_columns: the table's columns: one column of whole rows, one per node, or one per node and
            feature.
        split_column: the table's column of groups, whose rows go into one split, or of the names of splits.
        time_column: the table's column of times: the earliest rows are for training, the latest for testing.
        value_symmetries, symmetrization: instead of the task's own; ``[]`` for none. ``generators`` replaces the whole
            group, so that the task's own value symmetries go, too.
        changes: fields of the TaskConfig that replace the source's own, such as ``{relations: [order]}``; for its group
            and support there are the fields above. What the source's config left to its default follows the change:
            with ``{point_order: ring}``, rows are shared.
        augmentation: a group, in notation, whose random elements are applied to every training row; or ``own``, the
            task's own group with its value symmetries, whatever group this recipe gives the network.
        shuffle_labels: deal the training rows' labels out to other rows at random: a control, from whose inputs nothing
            can be learnt of their labels. Held-out rows keep theirs.

    Raises:
        ValueError: fields that contradict each other, or that have no effect beside the others.
    """

    name: str
    source: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    generators: list | None = None
    num_rows: int | None = None
    dataset: str | None = None
    task_config: str | dict[str, Any] | None = None
    inputs_columns: list[str] = dataclasses.field(default_factory=lambda: ["inputs"])
    labels_columns: list[str] = dataclasses.field(default_factory=lambda: ["labels"])
    split_column: str | None = None
    time_column: str | None = None
    augmentation: str | None = None
    group_name: str | None = None
    support: str | None = None
    close_support: bool = False
    value_symmetries: list | None = None
    symmetrization: Literal["average", "lift"] | None = None
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    shuffle_labels: bool = False

    def __post_init__(self) -> None:
        if (self.dataset is None) != (self.task_config is None):
            raise ValueError("a table needs both dataset and task_config")
        check_types(self, "a recipe's task")
        given = self.changed_fields()
        if self.dataset is None and (idle := [name for name in _OF_TABLES if name in given]):
            raise ValueError(f"only a table, dataset, has {', '.join(idle)}: registered tasks come in splits")
        if self.dataset is not None and (idle := [name for name in _OF_REGISTERED_TASKS if name in given]):
            raise ValueError(f"only registered tasks have {', '.join(idle)}: the rows are those of the table, dataset")
        if self.support not in (None, "complete", "sparse", "weak"):
            raise ValueError(f"support must be complete, sparse or weak, got {shown(self.support)}")

    def load(self, seed: int) -> tuple[TaskConfig, DatasetDict]:
        """The task's config and its rows.

        Raises:
            ValueError: an unknown source or option, an ill-formed file or config; names the task.
        """
        with naming(f"task {shown(self.name)}"):
            if self.dataset is not None:
                config = self._changed(read_task_config(self.task_config))
                columns = (self.inputs_columns, self.labels_columns)
                by = (self.split_column, self.time_column)
                config, splits = named_table(self.dataset, config, *columns, seed, *by)
            else:
                task = self._task()  # once: it may read a large file
                size = {} if self.num_rows is None else {"num_rows": self.num_rows}
                config, splits = self._changed(task.config), task.load(seed=seed, **size)
            return config, self._with_shuffled_labels(splits, seed) if self.shuffle_labels else splits

    def config(self, own: TaskConfig | None = None) -> TaskConfig:
        """The task's config, without its rows. ``ValueError`` as for :meth:`load`.

        Args:
            own: the source's config, before this recipe changes group and support; ``None`` reads it.
        """
        with naming(f"task {shown(self.name)}"):
            if own is None:
                own = self._own_config()
            return self._changed(own)

    def check(self) -> None:
        """Refuse a source or options that do not exist, before rows are read. ``ValueError`` names the task."""
        with naming(f"task {shown(self.name)}"):
            if self.dataset is None:
                check_options(self.source or self.name, self.options)

    def judge(self, predict: Predictor) -> dict[str, float]:
        """The measures of the source's own field, see :class:`~asen_hf.data.registry.Judge`; empty of most sources."""
        task = None if self.dataset is not None else self._task()
        return task.judge(predict) if isinstance(task, Judge) else {}

    def changed_fields(self) -> dict[str, Any]:
        """The fields that are not at their defaults: what a recipe file says of the task."""
        fields = {field.name: (getattr(self, field.name), _default(field)) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in fields.items() if value not in (None, {}, default)}

    def _task(self) -> Any:
        return get_task(self.source or self.name, **self.options)

    def augmenting_group(self, degree: int) -> PermutationGroup | TaskConfig:
        """The group of ``augmentation``, or the task whose whole group it is; ``ValueError`` names the task."""
        with naming(f"task {shown(self.name)}: augmentation"):
            return self._own_config() if self.augmentation == "own" else parse_group(str(self.augmentation), degree)

    def _own_config(self) -> TaskConfig:
        return read_task_config(self.task_config) if self.dataset is not None else self._task().config

    def _changed(self, config: TaskConfig) -> TaskConfig:
        config = self._with_support(self._with_value_symmetries(self._with_generators(config)))
        if not self.changes:
            return config
        anew = {field: None for field, origins in _DERIVED.items() if origins & self.changes.keys()}
        return TaskConfig.from_dict({**config.to_dict(), **anew, **self.changes})

    def _with_shuffled_labels(self, splits: DatasetDict, seed: int) -> DatasetDict:
        train = splits["train"]
        order = random_generator(seed, self.name, "labels").permutation(len(train))
        columns = [train.remove_columns("labels"), train.select_columns("labels").select(order)]
        return DatasetDict({**splits, "train": concatenate_datasets(columns, axis=1)})

    def _with_generators(self, config: TaskConfig) -> TaskConfig:
        if self.generators is None:
            return config
        plain = config.without_value_symmetries()
        mean, scale = pooled_over_orbits(
            plain.input_mean, plain.input_scale, from_cycles(self.generators, config.degree)
        )
        return dataclasses.replace(
            plain,
            generators=self.generators,
            group_name=self.group_name or "given by generators",
            orbital_names=None,
            input_mean=mean,
            input_scale=scale,
        )

    def _with_value_symmetries(self, config: TaskConfig) -> TaskConfig:
        if self.value_symmetries is not None:
            config = dataclasses.replace(
                config.without_value_symmetries(),
                value_symmetries=self.value_symmetries,
                group_name=self.group_name or config.group_name,
            )
        if self.symmetrization is not None:
            config = dataclasses.replace(config, symmetrization=self.symmetrization)
        return config

    def _with_support(self, config: TaskConfig) -> TaskConfig:
        changes: dict[str, Any] = {"support": self.support or config.support}
        if config.edges is None and (changes["support"] != "complete" or self.close_support):
            option = "close_support" if self.close_support else f"support {changes['support']}"
            raise ValueError(f"{option} needs edges, but the task has none")
        if self.close_support and config.edges is not None:
            changes["edges"] = close_support(config.point_group(), config.edges).tolist()
        return dataclasses.replace(config, **changes)


def read_task_config(source: str | dict[str, Any] | None) -> TaskConfig:
    """A TaskConfig from its fields, or from a JSON file, local or at an ``hf://`` address.

    Raises:
        ValueError: the file cannot be read, or is not a JSON object of its fields; names the file.
    """
    if isinstance(source, dict):
        return TaskConfig.from_dict(source)
    try:
        text = _local(str(source)).read_text(encoding="utf-8")
    except (OSError, HfUriError, ValueError) as error:  # ValueError: not UTF-8, or a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"task config {shown(source)}: cannot be read: {reason}") from error
    fields = parse_json(text, f"task config {source}")
    if not isinstance(fields, dict):
        raise ValueError(f"task config {source}: expected a JSON object with the fields of TaskConfig")
    with naming(f"task config {source}"):
        return TaskConfig.from_dict(fields)


def _local(source: str) -> Path:
    """The local path of a file; a file on the Hub is downloaded into the cache first."""
    if not source.startswith("hf://"):
        return Path(source)
    uri = parse_hf_uri(source)
    return Path(hf_hub_download(uri.id, uri.path_in_repo, repo_type=uri.type, revision=uri.revision))


def _default(field: dataclasses.Field) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
