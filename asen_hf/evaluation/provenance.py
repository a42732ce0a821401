"""What a number was measured with: code, libraries and machine."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers

from .._version import __version__


def provenance() -> dict[str, Any]:
    """The record that is stored with every measured number; its values are plain JSON."""
    return {
        "asen_hf": __version__,
        "revision": revision(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@functools.cache  # a process keeps the code that it started with
def revision() -> str:
    """The git revision of a checkout, with a + when its code has uncommitted changes; "" outside a checkout."""
    package = Path(__file__).parents[1]
    git = ("git", "--no-optional-locks", "-C", str(package))
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=True)
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit.stdout.strip() + "+" * bool(changes.stdout)
