"""A campaign of kills: real trainings die by signals at random moments, and while they save and publish.

Slow: run with ``-m slow``.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig

ROOT = Path(__file__).parents[2]
RECIPE = {
    "model": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_dropout_prob": 0.2},
    "tasks": [{"name": "equivariant/palindrome", "num_rows": 60, "options": {"length": 4}}],
    "training": {"max_steps": 60, "eval_steps": 2, "rows_per_task": 8},
}
KILLS_PER_RUN = 6
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def command(verb, folder):
    script = [sys.executable, "-W", "ignore", str(ROOT / "training" / f"{verb}.py")]
    if verb == "pretrain":
        return [*script, "--recipe", str(folder / "recipe.yaml")]
    flags = ("--dataset", "rows.jsonl", "--task_config", "task.json", "--max_steps", "60", "--eval_steps", "2")
    return [*script, str(folder / "start"), *(str(folder / flag) if "." in flag else flag for flag in flags)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the two verbs read."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    task = TaskConfig(group="D4", vocab_size=3)
    inputs = np.random.default_rng(0).integers(3, size=(80, 4))
    rows = [json.dumps({"inputs": x, "labels": [int(v == 1) for v in x]}) for x in inputs.tolist()]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    (folder / "task.json").write_text(json.dumps(task.to_dict()))
    AsenForMultitask(AsenConfig(tasks={"old": task}, **RECIPE["model"])).save_pretrained(folder / "start")
    return folder


def start(verb, folder, output, *flags):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [*command(verb, folder), "--output_dir", str(output), *flags]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(arguments, cwd=folder, env=environment, start_new_session=True, **pipes)


def is_there(output, moment):
    """Whether the moment to kill has come."""
    if moment == "saving":
        return any(output.glob(".checkpoint-*.tmp"))
    if moment == "publishing":
        return (output / ".result.tmp").exists()
    return bool(checkpoints(output))


def checkpoints(output):
    return sorted(int(path.name.split("-")[1]) for path in output.glob("checkpoint-*"))


def final_files(output):
    """The result byte for byte; of the scores' provenance, which names the revision and time, nothing."""
    files = {name: (output / name).read_bytes() for name in ("model.safetensors", "config.json")}
    for name in ("scores.json", "test_scores.json"):
        files[name] = {**json.loads((output / name).read_text()), "provenance": None}
    files["recipe.yaml"] = {**yaml.safe_load((output / "recipe.yaml").read_text())["training"], "output_dir": None}
    return files


@pytest.fixture(scope="module")
def expected(folder):
    """The results of both verbs without any kill."""
    results = {}
    for verb in ("pretrain", "finetune"):
        process = start(verb, folder, folder / verb)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        results[verb] = final_files(folder / verb)
    return results


@pytest.mark.slow
@pytest.mark.parametrize("sent", SIGNALS, ids=lambda sent: sent.name)
@pytest.mark.parametrize("verb", ["pretrain", "finetune"])
def test_a_run_that_is_killed_six_times_ends_bit_for_bit_as_one_that_is_not(folder, tmp_path, expected, verb, sent):
    rng, output, kills = random.Random(f"{verb} {sent.name}"), tmp_path / "run", 0
    moments = ["training", "saving", "saving", "training", "saving", "publishing"]
    assert len(moments) == KILLS_PER_RUN
    for moment in moments:
        before = checkpoints(output)
        flags = ("--resume_from_checkpoint", "latest") if before else ()
        process = start(verb, folder, output, *flags)
        while process.poll() is None and (checkpoints(output) == before or not is_there(output, moment)):
            time.sleep(0.0005)
        if moment != "publishing":
            time.sleep(rng.uniform(0, 0.03))
        if process.poll() is None:
            os.killpg(process.pid, sent)
            kills += 1
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (-sent, 130 if sent == signal.SIGINT else -sent), errors
        if sent == signal.SIGINT:
            assert "interrupted; a training goes on with --resume_from_checkpoint latest" in errors
        for step in checkpoints(output):
            AsenForMultitask.from_pretrained(output / f"checkpoint-{step}")
    process = start(verb, folder, output, "--resume_from_checkpoint", "latest")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert final_files(output) == expected[verb]
    assert kills == KILLS_PER_RUN
    assert not [path for path in output.rglob("*") if path.suffix == ".tmp"]
