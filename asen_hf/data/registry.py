"""The tasks by name. A task is a class whose dataclass fields are its options; ``@register(name)`` adds it."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

from datasets import DatasetDict
from numpy.typing import NDArray

from ..model._messages import shown
from ..model.configuration_asen import TaskConfig


class Task(Protocol):
    """Interface of a registered task."""

    name: ClassVar[str]
    config: TaskConfig

    def load(self, num_rows: Any = ..., seed: int = ...) -> DatasetDict:
        """Splits train, validation and test with the typed columns ``inputs`` and ``labels``."""
        ...


Predictor = Callable[[NDArray], NDArray]
"""Inputs ``(N, n)`` or ``(N, n, F)`` to probabilities ``(…, K)`` of the classes, or to values in raw units."""


@runtime_checkable
class Judge(Protocol):
    """A registered task whose field has measures of its own, which no metric of rows and labels can compute."""

    def judge(self, predict: Predictor) -> dict[str, float]:
        """The measures, by name, of a predictor on the task's own test rows."""
        ...


TaskClass = TypeVar("TaskClass", bound=type)
_TASKS: dict[str, type] = {}
_STREAMS: dict[str, type] = {}


def register(name: str) -> Callable[[TaskClass], TaskClass]:
    """Decorator that registers a dataclass as task ``name``, with its fields as options; see :class:`Task`.

    Raises:
        ValueError: if a task or a stream has the name.
    """
    return _adder(name, _TASKS)


def _adder(name: str, known: dict[str, type]) -> Callable[[TaskClass], TaskClass]:
    def add(cls: TaskClass) -> TaskClass:
        for kind, names in {"task": _TASKS, "stream": _STREAMS}.items():
            if name in names:
                raise ValueError(f"a {kind} named {name!r} is already registered")
        cls.name = name  # type: ignore[attr-defined]
        known[name] = cls
        return cls

    return add


def list_tasks() -> list[str]:
    """Names of all registered tasks, sorted."""
    return sorted(_TASKS)


def register_stream(name: str) -> Callable[[TaskClass], TaskClass]:
    """Decorator that registers a dataclass as stream ``name``, endless batches of tasks, with its fields as options.

    Raises:
        ValueError: if a stream or a task has the name.
    """
    return _adder(name, _STREAMS)


def is_stream(name: str) -> bool:
    """Whether a stream of tasks has this name."""
    return name in _STREAMS


def get_stream(name: str, **options: Any) -> Any:
    """The stream ``name`` with the given options. ``ValueError`` as for :func:`get_task`."""
    return _create(_STREAMS, "stream", name, options)


def get_task(name: str, **options: Any) -> Any:
    """The task ``name`` with the given options, for example ``get_task("equivariant/intersect", length=20)``.

    Returns:
        A :class:`Task`: with ``name``, ``config`` (a ``TaskConfig``) and ``load(num_rows, seed)``; a synthetic task
        (:class:`~asen_hf.data.SequenceTask`) also has ``label(sequences)`` and ``sample(num_rows, seed)``.

    Raises:
        ValueError: an unknown name (lists the known names), an unknown or missing option (lists the task's options) or
            an invalid value of an option.
    """
    return _create(_TASKS, "task", name, options)


def check_options(name: str, options: dict[str, Any]) -> None:
    """Refuse what :func:`get_task` would refuse, without reading a file: values are checked where no file is read."""
    cls = _checked_class(_TASKS, "task", name, options)
    if options.get("data_path") is None:
        cls(**options)


def _create(known: dict[str, type], kind: str, name: str, options: dict[str, Any]) -> Any:
    return _checked_class(known, kind, name, options)(**options)


def _checked_class(known: dict[str, type], kind: str, name: str, options: dict[str, Any]) -> type:
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"unknown {kind} {shown(name)}; the known {kind}s are {', '.join(sorted(known))}")
    fields = [field for field in dataclasses.fields(known[name]) if field.init]
    takes = f"{kind} {name!r} takes {', '.join(field.name for field in fields)}"
    unknown = sorted(options.keys() - {field.name for field in fields})
    if unknown:
        raise ValueError(f"{takes}; unknown option {', '.join(unknown)}")
    missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in options]
    if missing:
        raise ValueError(f"{takes}; missing {', '.join(missing)}")
    return known[name]
