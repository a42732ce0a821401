"""Runs and datasets on the Hub: from pretraining to a finetuned model, from a task to rows that others train on."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard

from asen_hf import TaskConfig
from asen_hf.data import get_task
from asen_hf.hub.uploads import push_task

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "hub_configs" / "asen-sequence-tiny"
RECIPE = {
    "model": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
    "tasks": [{"name": "equivariant/palindrome", "num_rows": 90}],
    "training": {"max_steps": 2, "rows_per_task": 8},
}
RUN_FILES = {"config.json", "model.safetensors", "recipe.yaml", "scores.json", "test_scores.json", "README.md"}

PUSH = """
import json, sys
from datasets import load_dataset
from asen_hf.data import get_task
from asen_hf.hub.uploads import UploadOptions, open_repository, push_run, push_task

folder = sys.argv[1]
refused = []

def refuse(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except ValueError as error:
        refused.append(str(error))

push_task("equivariant/palindrome", "ada/tasks", num_rows=40)
for seed in (0, 5):
    dataset = push_task("equivariant/intersect", "tasks", "sets", num_rows=60, seed=seed, length=6)
refuse(push_task, "equivariant/intersect", "eve/tasks")
there = {}
for config, rows in {
    "sets": get_task("equivariant/intersect", length=6).load(num_rows=60, seed=5),
    "equivariant-palindrome": get_task("equivariant/palindrome").load(num_rows=40),
}.items():
    back = load_dataset("ada/tasks", config)
    same = [back[split][:] == rows[split][:] and back[split].features == rows[split].features for split in rows]
    there[config] = list(back) == list(rows) and all(same)

assert open_repository(UploadOptions(), folder) is None
repository = open_repository(UploadOptions(push_to_hub=True), folder)
refuse(open_repository, UploadOptions(push_to_hub=True, hub_model_id="eve/model"), folder)
refuse(open_repository, UploadOptions(hub_model_id="ada/model"), folder)
model = push_run(folder, repository)
refuse(push_run, folder, "ada/gone")
print(json.dumps({"dataset": dataset, "model": model, "refused": refused, "there": there}))
"""


@pytest.fixture(scope="module")
def pushed(python_at_hub, tmp_path_factory):
    return python_at_hub(PUSH, TINY, home=tmp_path_factory.mktemp("ada"), token="hf_ada")


def test_a_pushed_tasks_rows_come_back_by_configuration(hub, pushed):
    assert pushed["there"] == {"sets": True, "equivariant-palindrome": True}
    assert pushed["dataset"] == f"{hub.url}/datasets/ada/tasks"
    parquet = {path for path in hub.dataset("ada/tasks").files() if path.endswith(".parquet")}
    splits = ("train", "validation", "test")
    assert parquet == {f"{config}/{split}-00000-of-00001.parquet" for config in pushed["there"] for split in splits}


def test_a_datasets_card_says_how_its_rows_were_made_and_the_tasks_configs_lie_beside(hub, pushed):
    files = hub.dataset("ada/tasks").files()
    task = get_task("equivariant/intersect", length=6)
    assert TaskConfig(**json.loads(files["sets.json"].content)) == task.config
    card = DatasetCard(files["README.md"].content.decode())
    assert {config["config_name"] for config in card.data.to_dict()["configs"]} == {"sets", "equivariant-palindrome"}
    [head, palindrome, sets] = card.text.split("\n## ")
    assert head.strip().startswith("# ") and palindrome.startswith("equivariant-palindrome\n")
    assert sets.startswith("sets\n") and "S_3 wr S_2" in sets
    [made] = [line for line in sets.splitlines() if line.startswith("get_task(")]
    assert made.endswith(".load(num_rows=60, seed=5)")  # the last that was pushed
    assert eval(made.removesuffix(".load(num_rows=60, seed=5)"), {"get_task": get_task}) == task


def test_a_finished_folder_is_uploaded_in_one_commit_with_its_code(hub, pushed):
    repository = hub.model("ada/asen-sequence-tiny")
    assert pushed["model"] == f"{hub.url}/ada/asen-sequence-tiny"
    assert repository.messages == ["initial commit", "Upload asen-sequence-tiny"]
    files = repository.files()
    code = {path for path in files if path.endswith(".py")}
    assert "modeling_asen.py" in code and RUN_FILES <= files.keys() - code <= RUN_FILES | {"notes.md"}
    for name in RUN_FILES - {"config.json"}:
        assert files[name].content == (TINY / name).read_bytes()
    config, local = json.loads(files["config.json"].content), json.loads((TINY / "config.json").read_text())
    assert config.pop("auto_map")["AutoModelForPreTraining"] == "modeling_asen.AsenForMultitask"
    assert config == local


def test_what_cannot_be_uploaded_is_named(pushed):
    dataset, repository, no_push, gone = pushed["refused"]
    assert dataset.startswith("cannot upload task 'equivariant/intersect' to eve/tasks: ")
    assert repository.startswith("push_to_hub: cannot open the repository eve/model: ")
    assert no_push == "hub_model_id is ada/model, but nothing is uploaded without push_to_hub"
    assert gone.startswith(f"cannot upload {TINY} to ada/gone")


def test_rows_that_are_read_from_a_file_are_not_published(tmp_path):
    np.savez(tmp_path / "week.npz", speed_mph=np.arange(1.0, 121.0).reshape(40, 3), adjacency=np.ones((3, 3)))
    with pytest.raises(ValueError, match="task 'traffic/metr_la': its rows are read from a file"):
        push_task(
            "traffic/metr_la", "ada/tasks", data_path=str(tmp_path / "week.npz"), group="trivial", time_of_day=False
        )


@pytest.fixture(scope="module")
def script(at_hub):
    """Runs a script of training/ and returns what it prints."""

    def run(name, *arguments, **how):
        return at_hub(sys.executable, ROOT / "training" / f"{name}.py", *arguments, **how).stdout

    return run


def table_of(text):
    """The printed table's lines."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("task "))
    return lines[start : start + 3]


PREDICT = """
import json, sys
from transformers import pipeline
import asen_hf
predict = pipeline("asen-prediction", model=sys.argv[1])
degree = predict.model.config.task(None)[1].degree
print(json.dumps(predict([{"inputs": [token % 2] * degree} for token in range(3)])))
"""


@pytest.mark.slow
def test_a_whole_life_from_pretraining_to_a_pipeline(hub, script, python_at_hub, pushed, tmp_path):
    ada, eve, others = (tmp_path / name for name in ("ada", "eve", "others"))
    for home in (ada, eve, others):
        home.mkdir()
    (ada / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    upload = ("--push_to_hub", "--hub_model_id", "ada/base")
    pretrained = script("pretrain", "--recipe", "recipe.yaml", "--output_dir", "run", *upload, home=ada, token="hf_ada")
    assert f"On the Hub as ada/base: {hub.url}/ada/base" in pretrained.splitlines()
    assert not any(line.startswith(("push", "hub")) for line in (ada / "run" / "recipe.yaml").read_text().split())
    assert {path.name for path in (ada / "run").iterdir() if path.is_file()} == {*RUN_FILES, ".lock"}

    rows = ("--dataset", "ada/tasks/sets", "--task_config", "hf://datasets/ada/tasks/sets.json")
    finetuned = script(
        *("finetune", "--checkpoint", "ada/base", *rows, "--max_steps", 2, "--output_dir", "runs/mine"),
        "--push_to_hub",  # as the folder is called
        **{"home": eve, "token": "hf_eve"},
    )
    assert f"On the Hub as eve/mine: {hub.url}/eve/mine" in finetuned.splitlines()
    evaluated = script("evaluate", "--checkpoint", "eve/mine", home=others)
    assert table_of(evaluated) == table_of(finetuned)
    assert table_of(evaluated)[2].startswith("sets ")

    answers = python_at_hub(PREDICT, "eve/mine", home=others)
    assert len(answers) == 3 and answers[0] == answers[2]  # rows in, a label with its probability per node out
    assert all(0.5 <= node["score"] <= 1 for row in answers for node in row)
