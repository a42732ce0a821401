"""Fixtures of the training tests."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState


@pytest.fixture(autouse=True)
def fresh_process():
    """Accelerate keeps one state a process, which a second run with other settings may not have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def logged(monkeypatch):
    """What the run reports to its trackers, as ``{name: {step: value}}``."""
    values = {}

    def log(self, scalars, step):
        for name, value in scalars.items():
            values.setdefault(name, {})[step] = value

    monkeypatch.setattr(Accelerator, "log", log)
    return values
