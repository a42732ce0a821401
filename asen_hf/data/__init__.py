"""Data: built-in tasks by name, a user's own table, batches of tensors. Everything is a ``datasets.DatasetDict``."""

from . import real, synthetic  # noqa: F401 (their modules register the tasks)
from .collator import MultitaskBatches, collate
from .registry import Task, get_task, list_tasks, register
from .synthetic.sequence_task import SequenceTask
from .table import load_table

__all__ = ["MultitaskBatches", "SequenceTask", "Task", "collate", "get_task", "list_tasks", "load_table", "register"]
