"""Keeps the tests off the network and out of the user's caches, before anything of Hugging Face is imported.

Also what many tests share: a list of groups, tasks and small models.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

_HF_HOME = tempfile.mkdtemp(prefix="asen_hf_tests_")
atexit.register(shutil.rmtree, _HF_HOME, ignore_errors=True)
os.environ["HF_HOME"] = _HF_HOME
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig  # noqa: E402
from asen_hf.model.groups import (  # noqa: E402
    alternating,
    cyclic,
    dihedral,
    direct_product,
    from_cycles,
    grid_symmetries,
    reversal,
    symmetric,
    to_cycles,
    trivial,
    wreath_product,
    young_subgroup,
)

GROUPS = {
    "trivial(1)": trivial(1),
    "trivial(4)": trivial(4),
    "trivial(5)": trivial(5),
    "symmetric(2)": symmetric(2),
    "symmetric(6)": symmetric(6),
    "alternating(3)": alternating(3),
    "alternating(5)": alternating(5),
    "alternating(6)": alternating(6),
    "cyclic(7)": cyclic(7),
    "cyclic(8)": cyclic(8),
    "dihedral(6)": dihedral(6),
    "dihedral(7)": dihedral(7),
    "dihedral(8)": dihedral(8),
    "reversal(5)": reversal(5),
    "reversal(9)": reversal(9),
    "young(2+3)": young_subgroup([[0, 3], [1, 2, 4]]),
    "young(2+3+1)": young_subgroup([[0, 4], [1, 2, 5], [3]]),
    "S_3 x C_4": direct_product(symmetric(3), cyclic(4)),
    "S_3 wr S_2": wreath_product(symmetric(3), symmetric(2)),
    "S_3 wr S_3": wreath_product(symmetric(3), symmetric(3)),
    "C_3 wr C_3": wreath_product(cyclic(3), cyclic(3)),
    "flips of 3 by 4": grid_symmetries(3, 4, "flips"),
    "rotations of 3 by 3": grid_symmetries(3, 3, "rotations"),
    "dihedral on 3 by 3": grid_symmetries(3, 3, "dihedral"),
    "torus 3 by 4": grid_symmetries(3, 4, "translations"),
    "adjacent swaps": from_cycles([[[i, i + 1]] for i in (0, 1, 2, 4, 5, 6)], 8),
    "Mathieu M11": from_cycles([[[*range(11)]], [[2, 6, 10, 7], [3, 9, 4, 5]]], 11),
}
every_group = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())


# The settings of a config with each base model.
BASES = {"gatv2": {}, "transformer": {"backbone_type": "transformer"}}
every_base = pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())


def task_of(group, **settings) -> TaskConfig:
    """A task with this group, on three tokens unless the settings say otherwise."""
    kind = {} if "num_features" in settings else {"vocab_size": 3}
    return TaskConfig(degree=group.degree, generators=to_cycles(group), **kind | settings)


def make_model(tasks, cls=AsenForMultitask, seed=0, spread=0.0, **settings):
    """A small model in evaluation mode; each weight is moved from its initial value by about ``spread``."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = cls(AsenConfig(tasks=tasks, **sizes | settings))
    if spread:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(spread * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture
def coarse_pictures(monkeypatch):
    """Pictures are saved with few dots, which is quicker; tests/plots/test_saving.py checks how they are saved."""
    monkeypatch.setattr("asen_hf.plots._saving._TRIES", ((256, (40,)),))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data that lies beside the repository, in ``../shared/data``; tests that need it are skipped without."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"needs the shared data in {path}")
    return path
