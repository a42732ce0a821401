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

_HEAD_SCALE = 0.1  # a head that explains the rows already would leave the layers below little to learn from them


def start_from_prior(
    model: AsenForMultitask, tasks: Mapping[str, TaskConfig], rows: Mapping[str, Dataset], batch_size: int
) -> None:
    """Add random codes to the computed rows, and fit the heads by ridge regression, where that can be, to a tenth."""
    for name, task in tasks.items():
        add_random_codes(model.asen, name)
        if can_fit_read_out(task):
            fit_read_out(model, name, collate(task, rows[name]), batch_size)
            with torch.no_grad():
                for weights in last_layer(model, name).parameters():
                    weights.mul_(_HEAD_SCALE)
