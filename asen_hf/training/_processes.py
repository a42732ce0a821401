"""The processes of a training."""

from __future__ import annotations

import torch
from accelerate import PartialState


def process_state() -> PartialState:
    """Accelerate's state of this process; on the CPU if torch finds no accelerator."""
    return PartialState(cpu=not torch.accelerator.is_available())
