"""Data: built-in tasks by name, a user's own table, batches of tensors. Everything is a ``datasets.DatasetDict``."""

from . import counting_tasks, cyclic_tasks, dna, music, poses, run_tasks, set_tasks, traffic  # noqa: F401 (each registers its tasks)
from .collator import MultitaskBatches, collate
from .registry import Task, get_task, list_tasks, register
from .sequence_task import SequenceTask
from .table import load_table

__all__ = ["MultitaskBatches", "SequenceTask", "Task", "collate", "get_task", "list_tasks", "load_table", "register"]
