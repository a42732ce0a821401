"""From a table with pairs and rows of fewer nodes to a finetuned checkpoint, its scores, pictures and card."""

import json
import re

import numpy as np
import pytest

from asen_hf import AsenConfig, AsenForMultitask, TaskConfig, evaluate
from asen_hf.commands.main import main

pytestmark = pytest.mark.usefixtures("coarse_pictures")

TASK = {
    "group": "S5",
    "vocab_size": 4,
    "pair_features": 1,
    "output_level": "graph",
    "problem_type": "regression",
    "relations": ["equal"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of ``asen finetune`` on a table, without flags of its own."""
    folder = tmp_path_factory.mktemp("molecules")
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(60):
        size = int(rng.integers(2, 6))
        places = rng.normal(size=(size, 3))
        distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
        rows.append(
            {"inputs": rng.integers(4, size=size).tolist(), "pairs": distances.tolist(), "labels": distances.sum()}
        )
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "energy.json").write_text(json.dumps(TASK))
    start = AsenForMultitask(
        AsenConfig(
            tasks={"old": TaskConfig(group="S5", vocab_size=4)},
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
        )
    )
    start.save_pretrained(folder / "start")
    flags = [
        "--checkpoint",
        folder / "start",
        "--dataset",
        folder / "rows.jsonl",
        "--task_config",
        folder / "energy.json",
    ]
    assert not main(["finetune", *map(str, flags), "--max_steps", "4", "--output_dir", str(folder / "run")])
    return folder


def test_the_checkpoint_is_scored_again_from_its_recipe(run, capsys):
    scores = evaluate(run / "run")["energy"]
    assert scores.rows == 9 and np.isfinite(scores.value)
    assert scores.equivariance_error < 1e-4 and scores.outside_error is None
    assert {"constant", "equivariant_ridge", "structural_ridge"} <= set(scores.references)
    task = AsenForMultitask.from_pretrained(run / "run").config.tasks["energy"]
    assert len(task.pair_quantiles) == 1
    assert scores.references["structural_ridge"] < 0.5 * scores.references["constant"]  # it reads the distances


def test_pictures_and_attributions_are_drawn(run, capsys):
    pytest.importorskip("captum")
    assert not main(["evaluate", str(run / "run"), "--plots", str(run / "plots"), "--explain", "--batch_size", "4"])
    assert {path.name for path in (run / "plots").iterdir()} == {"energy-truth.png", "energy-attribution.png"}


def test_the_card_shows_pairs_and_its_example_runs(run, capsys, monkeypatch):
    text = (run / "run" / "README.md").read_text()
    assert "one of 4 tokens per node; 1 number per pair" in text
    assert "at most as many nodes as the task's degree" in text
    example = re.search(r"```python\n(import torch.*?)```", text, flags=re.DOTALL).group(1)
    monkeypatch.chdir(run)
    capsys.readouterr()
    exec(compile(example, "card", "exec"), {})
    assert capsys.readouterr().out.strip() == "torch.Size([4])"
