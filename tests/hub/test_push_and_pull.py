"""Models go to the Hub and come back: by id, by revision, private or not, from the cache, and without asen_hf."""

import ast
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.dynamic_module_utils import get_imports

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model._uploaded_code import carried_code

ROOT = Path(__file__).resolve().parents[2]
TOKENS = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 4, 1, 0, 2, 3]])

PUSH = """
import json, sys
from huggingface_hub import HfApi
from asen_hf import AsenForMultitask

folder, changed = sys.argv[1:]
model = AsenForMultitask.from_pretrained(folder)
first = model.push_to_hub("ada/tiny")
HfApi().create_tag("ada/tiny", tag="v1")
again = AsenForMultitask.from_pretrained(changed)
again.push_to_hub("ada/tiny", revision="other")
model.push_to_hub("secret", private=True)
model.save_pretrained("local", push_to_hub=True, repo_id="ada/saved")
references = HfApi().list_repo_refs("ada/tiny")
assert {tag.name: tag.target_commit for tag in references.tags} == {"v1": first.oid}
assert {branch.name for branch in references.branches} == {"main", "other"}
assert HfApi().whoami()["name"] == "ada"
print(json.dumps(first.oid))
"""

PULL = """
import json, sys
import torch
from huggingface_hub import snapshot_download
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining
import asen_hf
from asen_hf import AsenConfig, AsenForMultitask, AsenModel

commit, tokens = sys.argv[1], torch.tensor(json.loads(sys.argv[2]))

def states(loader, *args, **kwargs):
    model = loader.from_pretrained(*args, **kwargs)
    assert type(model).__module__.startswith("asen_hf.model.modeling_"), type(model)
    return model(tokens, output_hidden_states=True).hidden_states[-1].tolist()

def refusal(*args, **kwargs):
    try:
        AsenForMultitask.from_pretrained(*args, **kwargs)
    except OSError as error:
        return str(error)

refused = {
    "missing": refusal("ada/gone"),
    "revision": refusal("ada/tiny", revision="v9"),
    "nobody": refusal("ada/secret"),
    "eve": refusal("ada/secret", token="hf_eve"),
    "wrong": refusal("ada/secret", token="hf_wrong"),
}
found = {
    "main": states(AsenModel, "ada/tiny"),
    "heads": states(AsenForMultitask, "ada/tiny"),
    "auto": states(AutoModel, "ada/tiny"),
    "auto, trusting": states(AutoModel, "ada/tiny", trust_remote_code=True),
    "auto heads": states(AutoModelForPreTraining, "ada/tiny", trust_remote_code=True),
    "commit": states(AsenModel, "ada/tiny", revision=commit),
    "tag": states(AsenModel, "ada/tiny", revision="v1"),
    "branch": states(AsenModel, "ada/tiny", revision="other"),
    "private": states(AsenModel, "ada/secret", token="hf_ada"),
    "saved": states(AsenModel, "ada/saved"),
    "snapshot": states(AsenModel, snapshot_download("ada/tiny")),
}
assert isinstance(AutoConfig.from_pretrained("ada/tiny"), AsenConfig)
AsenForMultitask.from_pretrained("ada/tiny").save_pretrained("local")
print(json.dumps({"found": found, "refused": refused}))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two saved models that differ in their weights."""
    saved = []
    for seed in range(2):
        torch.manual_seed(seed)
        tasks = {"ring": TaskConfig(group="C6", vocab_size=5)}
        model = AsenForMultitask(AsenConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, tasks=tasks))
        saved.append(tmp_path_factory.mktemp("saved"))
        model.save_pretrained(saved[-1])
    return saved


@pytest.fixture(scope="module")
def expected(folders):
    """Each model's last hidden states."""
    return [AsenModel.from_pretrained(folder).eval()(TOKENS).last_hidden_state.tolist() for folder in folders]


@pytest.fixture(scope="module")
def pushed(hub, python_at_hub, folders, tmp_path_factory):
    """The first commit of ada/tiny."""
    home = tmp_path_factory.mktemp("ada")
    return python_at_hub(PUSH, *folders, home=home, token="hf_ada")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def pulled(hub, python_at_hub, pushed, home):
    return python_at_hub(PULL, pushed, json.dumps(TOKENS.tolist()), home=home)


def test_a_pushed_model_is_loaded_by_id_and_revision(pulled, expected):
    found = dict(pulled["found"])
    assert found.pop("branch") == expected[1]
    for name, states in found.items():
        assert states == expected[0], name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "cannot load ada/gone: .* is not a local folder and is not a valid model identifier"),
        ("revision", "ada/tiny: v9 is not a valid git identifier"),
        ("nobody", "ada/secret .*private repository"),
        ("eve", "ada/secret .*private repository"),
        ("wrong", "ada/secret"),
    ],
)
def test_what_cannot_be_loaded_is_named(pulled, name, message):
    assert re.search(message, pulled["refused"][name], re.DOTALL), pulled["refused"][name]


def test_an_upload_holds_the_code_but_a_local_folder_does_not(hub, pulled, folders, home):
    files = hub.model("ada/tiny").files()
    assert {"README.md", "config.json", "model.safetensors", "modeling_asen.py", "groups.py"} <= files.keys()
    assert {name for name in files if name.startswith(("hub", "recipe", "closures", "loop", "__init__"))} == set()
    for name in files.keys() - {"README.md", "config.json", "model.safetensors"}:
        assert files[name].content == (ROOT / "asen_hf" / "model" / name).read_bytes()
    assert json.loads(files["config.json"].content)["auto_map"]["AutoModel"] == "modeling_asen.AsenModel"
    for folder in (folders[0], home / "local"):  # the second was saved from a model of the Hub
        assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
        assert "auto_map" not in json.loads((folder / "config.json").read_text())


def test_transformers_own_switch_puts_the_code_beside_every_saved_model(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(AsenConfig, "_auto_class", None)  # undone at the end, as what follows is
    monkeypatch.setattr(AsenForMultitask, "_auto_class", None)
    AsenConfig.register_for_auto_class()
    AsenForMultitask.register_for_auto_class("AutoModelForPreTraining")
    AsenForMultitask.from_pretrained(folders[0]).save_pretrained(tmp_path)
    carried = carried_code(folders[0])
    assert {path.name for path in tmp_path.iterdir()} == carried.keys() | {"model.safetensors"}
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["auto_map"] == json.loads(carried["config.json"])["auto_map"]


def test_the_carried_code_imports_nothing_but_what_runs_a_model(folders, tmp_path):
    allowed = {"huggingface_hub", "numpy", "safetensors", "scipy", "sympy", "torch", "torch_geometric", "transformers"}
    code = {name: content for name, content in carried_code(folders[0]).items() if name.endswith(".py")}
    for name, content in code.items():
        (tmp_path / name).write_bytes(content)
        assert set(get_imports(tmp_path / name)) <= allowed | sys.stdlib_module_names, name
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom) and node.level:
                siblings = [node.module] if node.module else [alias.name for alias in node.names]
                assert node.level == 1 and {f"{sibling}.py" for sibling in siblings} <= code.keys(), name


CLEAN = """
import json, sys
sys.modules.update(dict.fromkeys(["asen_hf", "accelerate", "datasets", "igraph", "matplotlib", "pandas"]))
import torch
from transformers import AutoConfig, AutoModel, AutoModelForPreTraining

commit, tokens = sys.argv[1], torch.tensor(json.loads(sys.argv[2]))

def load(loader, *args, **kwargs):
    model = loader.from_pretrained(*args, trust_remote_code=True, **kwargs)
    assert type(model).__module__.startswith("transformers_modules."), type(model)
    return model

def states(loader, *args, **kwargs):
    return load(loader, *args, **kwargs)(tokens, output_hidden_states=True).hidden_states[-1].tolist()

try:
    AutoModel.from_pretrained("ada/tiny", trust_remote_code=False)
except ValueError as error:
    untrusted = str(error)

model = load(AutoModelForPreTraining, "ada/tiny", revision=commit)
model.add_task("pairs", {"group": "S3 wr S2", "vocab_size": 5}, init_from="ring")
prediction = model.predict(tokens, task="pairs").tolist()
model.drop_task("pairs")
model.save_pretrained("again")
model.push_to_hub("ada/again", token="hf_ada")
sparse = load(AutoModel, "ada/tiny", attn_implementation="gatv2_pyg")(tokens).last_hidden_state
print(json.dumps({
    "untrusted": untrusted,
    "sparse": sparse.tolist(),
    "prediction": prediction,
    "states": {
        "id": states(AutoModel, "ada/tiny"),
        "heads": states(AutoModelForPreTraining, "ada/tiny"),
        "folder": states(AutoModel, "again"),
        "pushed again": states(AutoModel, "ada/again"),
    },
}))
"""


def test_without_the_package_a_model_runs_from_the_code_that_it_carries(hub, at_hub, pushed, expected, tmp_path):
    command = (sys.executable, "-I", "-W", "error::FutureWarning", "-c", CLEAN, pushed, json.dumps(TOKENS.tolist()))
    found = json.loads(at_hub(*command, home=tmp_path).stdout.splitlines()[-1])
    assert "trust_remote_code=True" in found["untrusted"]
    assert np.shape(found["prediction"]) == TOKENS.shape
    np.testing.assert_allclose(found["sparse"], expected[0], atol=1e-5)
    for name, states in found["states"].items():
        assert states == expected[0], name
    first, again = hub.model("ada/tiny").files(), hub.model("ada/again").files()
    assert first.keys() == again.keys()
    assert all(first[name] == again[name] for name in first if name.endswith((".py", ".safetensors", "config.json")))


CACHED = """
import json, sys
import torch
from huggingface_hub import snapshot_download
from asen_hf import AsenModel

commit, tokens = sys.argv[1], torch.tensor(json.loads(sys.argv[2]))
found = []
for revision in ("main", commit, "v1"):
    found.append(AsenModel.from_pretrained("ada/tiny", revision=revision)(tokens).last_hidden_state.tolist())
found.append(AsenModel.from_pretrained(snapshot_download("ada/tiny"))(tokens).last_hidden_state.tolist())
try:
    AsenModel.from_pretrained("ada/gone")
except OSError as error:
    print(json.dumps([found, str(error)]))
"""


@pytest.mark.parametrize(
    "unreachable",
    [
        {"HF_HUB_OFFLINE": "1"},
        pytest.param({"HF_ENDPOINT": "http://127.0.0.1:9"}, marks=pytest.mark.slow),  # nothing listens there
    ],
    ids=str,
)
def test_what_was_loaded_once_is_loaded_from_the_cache(python_at_hub, pulled, pushed, home, expected, unreachable):
    found, refusal = python_at_hub(CACHED, pushed, json.dumps(TOKENS.tolist()), home=home, **unreachable)
    assert found == [expected[0]] * 4
    assert "cannot load ada/gone" in refusal
