"""Rival networks: the same input and output layers, losses and training as ASEN, with other layers in between.

Their width is chosen to match a number of parameters (:func:`matched_width`), so that networks of equal size compete.
"""

import bisect
import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..model.batching import EmbeddedRows
from ..model.configuration_asen import AsenConfig, TaskConfig
from ..model.configuration_rows import MASK, MISSING_TOKEN
from ..model.configuration_values import require, with_value_errors
from ..model.heads import Head
from ..model.modeling_asen import AsenForMultitask
from ..model.normalization import in_float64
from ..model.outputs import BackboneOutput
from ..model.pretrained_asen import AsenPreTrainedModel
from ..model.symmetry import OrbitGraph
from ..model.task_modules import TaskModules
from .rival_networks import ARCHITECTURES, OrbitalLinear


@with_value_errors
@strict
class RivalConfig(AsenConfig):
    """An AsenConfig of one task, and the architecture that replaces ASEN's layers.

    Args:
        architecture: ``"mlp"``, on each node alone; ``"row_mlp"``, on all nodes of a row at once;
            ``"equivariant_mlp"``, the same with weights tied by the task's group (Ravanbakhsh et al., ICML 2017);
            ``"gcn"``, PyG's graph convolution on the task's edges; ``"transformer"``, an encoder with learned
            positions; ``"diffusion_gru"``, the recurrent cell of DCRNN (Li et al., ICLR 2018) on the task's edges, for
            forecasts from the features up to the residual one.

    Raises:
        ValueError: as AsenConfig, or ``num_recurrences`` is not 1, because a rival applies its layers once.
    """

    model_type = "asen-rival"
    architecture: Literal["mlp", "row_mlp", "equivariant_mlp", "gcn", "transformer", "diffusion_gru"] = "transformer"

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        require(
            self.num_recurrences == 1,
            f"num_recurrences must be 1 for a rival network, which applies its layers once, got {self.num_recurrences}",
        )


class RivalForMultitask(AsenForMultitask):
    """A rival network with the interface that training and evaluation expect of the model."""

    config_class = RivalConfig
    config: RivalConfig
    _no_split_modules = []  # noqa: RUF012

    def __init__(self, config: RivalConfig):
        AsenPreTrainedModel.__init__(self, config)  # not AsenForMultitask's: it would build ASEN's layers
        [(name, task)] = self.config.tasks.items()
        self.asen = Encoder(self.config, task)  # type: ignore[assignment]
        self.heads = TaskModules({name: Head(config, task)})
        self.linear_skips = TaskModules()
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, OrbitalLinear):
            init.normal_(module.weight, std=(2 / (len(module.labels) * module.weight.shape[1])) ** 0.5)
            init.zeros_(module.bias)


class Encoder(nn.Module):
    """Inputs to node states ``(B, n, d)``, with the methods of ``AsenModel`` that the heads call.

    Nodes that a row lacks are missing inputs to the layers, whatever stands there, and are not pooled.
    """

    def __init__(self, config: RivalConfig, task: TaskConfig):
        super().__init__()
        if task.has_pairs or task.output_level == "pair":
            raise ValueError("a rival network reads nodes and rows: it has neither pair inputs nor outputs of pairs")
        self.config, self.task = config, task
        self.layers = ARCHITECTURES[config.architecture](config, task)

    def run(
        self, batch: Mapping[str, Mapping[str, Tensor]], output_attentions: bool = False
    ) -> dict[str, BackboneOutput]:
        outputs = {}
        for name, columns in batch.items():
            mask = columns.get(MASK)
            states = self._states(columns["inputs"], mask)
            no_labels = torch.zeros((states.shape[1],) * 2, dtype=torch.long, device=states.device)
            if mask is not None:  # of nodes; some networks have one state per row
                mask = mask.bool() if states.shape[1] == mask.shape[1] else None
            graph = OrbitGraph(states.shape[1], no_labels, node_mask=mask)
            outputs[name] = BackboneOutput([states], [], EmbeddedRows(states, states[0, :0], None, graph))
        return outputs

    def forward(self, inputs: Tensor, attention_mask: Tensor | None = None, **_: Any) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=self._states(inputs, attention_mask))

    def _states(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return self.layers(inputs)
        mask = mask.bool()
        if self.task.vocab_size is not None:
            return self.layers(torch.where(mask, inputs.long(), MISSING_TOKEN))
        return self.layers(torch.where(mask.unsqueeze(-1), in_float64(inputs), torch.nan))

    def pooled_orbits(self, task: str) -> list[list[int]] | None:
        return None  # a rival knows no group

    def partner_counts(self, task: str, graph: OrbitGraph) -> None:
        return None

    def sheets(self, task: str) -> None:
        return None

    def modules_by_role(self) -> dict[str, TaskModules]:
        return {}  # a rival has one task: all its layers are shared


def matched_width(config: RivalConfig, num_parameters: int) -> int:
    """The ``hidden_size`` with which the rival has most nearly ``num_parameters``; that of ``config`` is ignored."""
    names = {field.name for field in dataclasses.fields(RivalConfig)} & {*AsenConfig.__annotations__, "architecture"}
    fields = {name: getattr(config, name) for name in names}

    def size(width: int) -> int:
        with torch.device("meta"):
            return RivalForMultitask(RivalConfig(**{**fields, "hidden_size": width})).num_parameters()

    widths = range(config.num_attention_heads, 1025, config.num_attention_heads)
    place = bisect.bisect_left(widths, num_parameters, key=size)  # a wider network has more of them
    return min(widths[max(place - 1, 0) : place + 1], key=lambda width: abs(size(width) - num_parameters))
