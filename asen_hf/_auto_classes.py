"""Registers the models with transformers' auto classes and pipelines, without importing either before the user does.

``import asen_hf`` must leave ``AutoModel.from_pretrained`` and ``pipeline("asen-prediction")`` working, but importing
torch and transformers' auto classes takes seconds, which a command on groups need not spend. So a finder on
``sys.meta_path`` watches the imports of transformers and of this package. When the outermost of them has ended, and one
of transformers' registries has been executed on the way, our classes enter it. Not earlier: transformers imports its
auto classes half-way through other modules, which ours need. A class whose module has not been imported is registered
as a stand-in that imports it on first use: an import that starts other imports can deadlock with another thread's.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PIPELINE_TASK = "asen-prediction"
_MODEL_TYPE = "asen"

_PACKAGE = __name__.rpartition(".")[0]
_WATCHED = ("transformers", _PACKAGE)
_CONFIGURATION = f"{_PACKAGE}.model.configuration_asen"
_MODELING = f"{_PACKAGE}.model.modeling_asen"
_PIPELINE = f"{_PACKAGE}.pipeline"


class _StandIn(type):
    """Metaclass of a class that is imported when something is asked of it.

    ``address`` is the module and the name of the class meant.
    """

    address: tuple[str, str]

    def __getattr__(cls, attribute: str) -> Any:
        return getattr(cls.load(), attribute)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls.load()(*args, **kwargs)

    def load(cls) -> Any:
        module, name = cls.address
        return getattr(importlib.import_module(module), name)


def _class(module: str, name: str, **attributes: Any) -> Any:
    """The class, or a stand-in with these attributes where its module has not been imported."""
    found = getattr(sys.modules.get(module), name, None)
    return _StandIn(name, (), {"address": (module, name), **attributes}) if found is None else found


def _register_config(registry: ModuleType) -> None:
    config = _class(_CONFIGURATION, "AsenConfig", model_type=_MODEL_TYPE)
    registry.AutoConfig.register(_MODEL_TYPE, config, exist_ok=True)


def _register_models(registry: ModuleType) -> None:
    config = getattr(sys.modules.get(_CONFIGURATION), "AsenConfig", None)
    if config is None:  # models are found by their config's class; nobody can have a config yet
        return
    for auto, name in ((registry.AutoModel, "AsenModel"), (registry.AutoModelForPreTraining, "AsenForMultitask")):
        auto.register(config, _class(_MODELING, name, config_class=config), exist_ok=True)


def _register_pipeline(registry: ModuleType) -> None:
    registry.PIPELINE_REGISTRY.supported_tasks.pop(
        PIPELINE_TASK, None
    )  # a stand-in, which register_pipeline would warn of
    pipeline, model = _class(_PIPELINE, "AsenPredictionPipeline"), _class(_MODELING, "AsenForMultitask")
    registry.PIPELINE_REGISTRY.register_pipeline(PIPELINE_TASK, pipeline, pt_model=model)


_REGISTRIES: dict[str, Callable[[ModuleType], None]] = {
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.modeling_auto": _register_models,
    "transformers.pipelines": _register_pipeline,
}
# The registries that may hold stand-ins for a module's classes.
_REGISTRIES_OF = {
    _CONFIGURATION: ("transformers.models.auto.configuration_auto", "transformers.models.auto.modeling_auto"),
    _MODELING: ("transformers.models.auto.modeling_auto", "transformers.pipelines"),
    _PIPELINE: ("transformers.pipelines",),
}


class _Imports(threading.local):
    """The imports that are under way in one thread.

    Attributes:
        depth: number of watched modules that are being executed, each imported by the one before.
        registries: the registries that our classes are to enter.
    """

    depth = 0

    def __init__(self) -> None:
        self.registries: list[str] = []


_imports = _Imports()
_executed: set[str] = set()  # of the registries; in sys.modules a module is from its beginning


def install() -> None:
    """Register with what transformers has imported already, and with what it will import."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    _imports.registries += [name for name in _REGISTRIES if name in sys.modules]
    _register()


class _Finder(MetaPathFinder):
    """Finds nothing itself: it makes the loaders that other finders choose tell when a module has been executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] not in _WATCHED:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    _watch(spec.loader, name)
                return spec
        return None


def _watch(loader: Any, name: str) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        _imports.depth += 1
        try:
            execute(module)
        finally:
            _imports.depth -= 1
        if name in _REGISTRIES:
            _executed.add(name)
        _imports.registries += [name] if name in _REGISTRIES else _REGISTRIES_OF.get(name, ())
        if _imports.depth == 0:
            _register()

    loader.exec_module = exec_module  # on this loader, which is this module's alone


def _register() -> None:
    while _imports.registries:
        name = _imports.registries.pop(0)
        if _is_executed(name):
            _REGISTRIES[name](sys.modules[name])


def _is_executed(name: str) -> bool:
    """Whether the registry has been imported, not only begun (by another thread, which will come here too)."""
    module = sys.modules.get(name)
    return module is not None and (name in _executed or not getattr(module.__spec__, "_initializing", False))
