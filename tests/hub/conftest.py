"""The small Hub and processes that know no other: HF_ENDPOINT is read when huggingface_hub is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.protocol import ROUTES
from tests.hub.server import HubServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hub():
    """A Hub with two users, ada and eve."""
    server = HubServer({"hf_ada": "ada", "hf_eve": "eve"}, ROUTES)
    yield server
    server.close()


@pytest.fixture(scope="module")
def at_hub(hub):
    """Runs a command that knows this Hub only; returns the finished process.

    ``home`` is its HF_HOME; ``token`` whose token it has; further keyword arguments are more of its environment.
    """

    def run(*command, home, token=None, check=True, cwd=None, **more):
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        environment = {
            **inherited,
            **{"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)},
            **dict.fromkeys(("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "OMP_NUM_THREADS"), "1"),
            # Whatever asks for another host, as datasets does for its viewer's, is sent here too, and finds nothing.
            **{"http_proxy": hub.url, "https_proxy": hub.url, "no_proxy": "127.0.0.1"},
            **({} if token is None else {"HF_TOKEN": token}),
            **more,
        }
        done = subprocess.run(
            [*map(str, command)], cwd=cwd or home, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def python_at_hub(at_hub):
    """Runs Python code, which finds its arguments in ``sys.argv``; returns what its last line of output is in JSON."""

    def run(code, *arguments, **how):
        return json.loads(at_hub(sys.executable, "-c", code, *arguments, **how).stdout.splitlines()[-1])

    return run
