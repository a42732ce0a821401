"""Any-Subgroup Equivariant Networks, in the manner of Hugging Face: declare a group, load a checkpoint, finetune.

The names below are what users import. Each is loaded on first use, so that ``import asen_hf`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import _auto_classes
from ._version import __version__

if TYPE_CHECKING:
    from .closures import closure_report, from_networkx, graph_automorphisms, two_closure
    from .data import get_task, list_tasks, load_table
    from .estimators import AsenClassifier, AsenRegressor
    from .evaluation.equivariance import assert_equivariant, equivariance_error
    from .model import groups
    from .model.checkpoints import checkpoint_path
    from .model.configuration_asen import AsenConfig, TaskConfig
    from .model.group_notation import parse_group
    from .model.modeling_asen import AsenForMultitask, AsenModel, AsenMultitaskOutput
    from .model.orbits import orbit_labels
    from .model.pretrained_asen import AsenPreTrainedModel
    from .pipeline import AsenPredictionPipeline
    from .training.evaluate import evaluate
    from .training.finetune import finetune
    from .training.pretrain import pretrain

_ADDRESSES = {
    "AsenClassifier": "estimators",
    "AsenConfig": "model.configuration_asen",
    "AsenForMultitask": "model.modeling_asen",
    "AsenModel": "model.modeling_asen",
    "AsenMultitaskOutput": "model.modeling_asen",
    "AsenPreTrainedModel": "model.pretrained_asen",
    "AsenPredictionPipeline": "pipeline",
    "AsenRegressor": "estimators",
    "TaskConfig": "model.configuration_asen",
    "assert_equivariant": "evaluation.equivariance",
    "checkpoint_path": "model.checkpoints",
    "closure_report": "closures",
    "equivariance_error": "evaluation.equivariance",
    "evaluate": "training.evaluate",
    "finetune": "training.finetune",
    "from_networkx": "closures",
    "get_task": "data",
    "graph_automorphisms": "closures",
    "groups": "model.groups",
    "list_tasks": "data",
    "load_table": "data",
    "orbit_labels": "model.orbits",
    "parse_group": "model.group_notation",
    "pretrain": "training.pretrain",
    "two_closure": "closures",
}

__all__ = [
    "AsenClassifier",
    "AsenConfig",
    "AsenForMultitask",
    "AsenModel",
    "AsenMultitaskOutput",
    "AsenPreTrainedModel",
    "AsenPredictionPipeline",
    "AsenRegressor",
    "TaskConfig",
    "__version__",
    "assert_equivariant",
    "checkpoint_path",
    "closure_report",
    "equivariance_error",
    "evaluate",
    "finetune",
    "from_networkx",
    "get_task",
    "graph_automorphisms",
    "groups",
    "list_tasks",
    "load_table",
    "orbit_labels",
    "parse_group",
    "pretrain",
    "two_closure",
]


def __getattr__(name: str) -> Any:
    if name not in _ADDRESSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_ADDRESSES[name]}", __name__)
    value = module if name == "groups" else getattr(module, name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_auto_classes.install()
