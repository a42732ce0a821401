"""Any-Subgroup Equivariant Networks, in the manner of Hugging Face: declare a group, load a checkpoint, finetune."""

from transformers import AutoConfig, AutoModel, AutoModelForPreTraining
from transformers.pipelines import PIPELINE_REGISTRY

from ._version import __version__
from .model.configuration_asen import AsenConfig, TaskConfig
from .model.modeling_asen import AsenForMultitask, AsenModel, AsenMultitaskOutput
from .model.pretrained_asen import AsenPreTrainedModel
from .pipeline import PIPELINE_TASK, AsenPredictionPipeline

AutoConfig.register(AsenConfig.model_type, AsenConfig)
AutoModel.register(AsenConfig, AsenModel)
AutoModelForPreTraining.register(AsenConfig, AsenForMultitask)
PIPELINE_REGISTRY.register_pipeline(PIPELINE_TASK, AsenPredictionPipeline, pt_model=AsenForMultitask)

__all__ = [
    "AsenConfig",
    "AsenForMultitask",
    "AsenModel",
    "AsenMultitaskOutput",
    "AsenPreTrainedModel",
    "AsenPredictionPipeline",
    "TaskConfig",
    "__version__",
]
