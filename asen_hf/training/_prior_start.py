"""Where the finetuning of tasks begins whose rows were computed from their structure (``init_from="prior"``)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from datasets import Dataset

from ..data import collate
from ..model.configuration_asen import TaskConfig
from ..model.modeling_asen import AsenForMultitask
from ..model.read_out import can_fit_read_out, fit_read_out, last_layer
from ..model.starting_rows import add_random_codes


@torch.no_grad()
def start_from_prior(
    model: AsenForMultitask, tasks: Mapping[str, TaskConfig], rows: Mapping[str, Dataset], batch_size: int
) -> None:
    """Add random codes to the computed rows, and turn heads into the direction of a ridge regression.

    Heads get no larger than they were, fresh: one that explains the rows already leaves the layers below little to
    learn from them, and where states hardly differ, its coefficients are so large that training diverges. Smaller ones
    stay: enlarged with the coefficients of rows that say nothing, the bias would be anything.
    """
    for name, task in tasks.items():
        add_random_codes(model.asen, name)
        if can_fit_read_out(task):
            layer = last_layer(model, name)
            norm = layer.weight.norm()
            fit_read_out(model, name, collate(task, rows[name]), batch_size)
            factor = (norm / layer.weight.norm()).clamp(max=1)
            for weights in layer.parameters():
                weights.mul_(factor)
