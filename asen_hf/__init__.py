"""Any-Subgroup Equivariant Networks, in the manner of Hugging Face: declare a group, load a checkpoint, finetune."""

from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

from .configuration_asen import AsenConfig, TaskConfig
from .modeling_asen import AsenForMultitask, AsenModel, AsenMultitaskOutput, AsenPreTrainedModel
from .version import __version__

AutoConfig.register(AsenConfig.model_type, AsenConfig)
AutoModel.register(AsenConfig, AsenModel)
AutoModelForPreTraining.register(AsenConfig, AsenForMultitask)

__all__ = [
    "AsenConfig",
    "AsenForMultitask",
    "AsenModel",
    "AsenMultitaskOutput",
    "AsenPreTrainedModel",
    "TaskConfig",
    "__version__",
]
