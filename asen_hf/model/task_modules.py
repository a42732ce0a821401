"""The modules of one role, one per task: a ``ModuleDict`` by the tasks' names."""

from collections.abc import ItemsView, Iterator, KeysView
from typing import Any

from torch import nn

from .configuration_names import module_key, task_of_key


class TaskModules(nn.ModuleDict):
    """Modules by the name of their task, sorted by name, because optimiser state is matched by position.

    Names may hold dots, which keys of a ``ModuleDict`` may not: tensors are named by :func:`module_key`.
    """

    def __getitem__(self, name: str) -> nn.Module:
        return super().__getitem__(module_key(name))

    def __setitem__(self, name: str, module: nn.Module) -> None:
        super().__setitem__(module_key(name), module)
        self._modules = dict(sorted(self._modules.items(), key=lambda item: task_of_key(item[0])))

    def __delitem__(self, name: str) -> None:
        super().__delitem__(module_key(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(module_key(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> KeysView[str]:
        return self._by_name().keys()

    def items(self) -> ItemsView[str, nn.Module]:
        return self._by_name().items()

    def _by_name(self) -> dict[str, Any]:
        return {task_of_key(key): module for key, module in self._modules.items()}
