"""A task's name is refused at once, or means the task through everything between saving and loading."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model.configuration_names import MAX_NAME, module_key, task_of_key
from asen_hf.model.task_modules import TaskModules
from tests.conftest import make_model

peft = pytest.importorskip("peft", reason="needs the extra asen-hf[lora]")
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

TASK = TaskConfig(group="C4", vocab_size=3, symmetry_breaking="nodes")
INPUTS = torch.arange(24).reshape(6, 4) % 3
REFUSED = {
    "no name": ["", 1, None, ("a",), b"a"],
    "a pattern for the loader": ["board(1)", "a[", "a]", "^a", "a$", "a*b", "a+", "a?b", "a|b", "a{2}", "\\1", "(?x)"],
    "an end that is no letter or digit": [" a", "a ", ".a", "a.", ".", "_a", "a_", "-a", "a-", "/a", "a/", ":a", "a:"],
    "a space": ["my task", "a  b", "a\u00a0b"],
    "a line break or no character": ["a\nb", "a\tb", "a\0b", "\ud800", "a\u200bb", "a\u202eb"],
    "a digit that int() does not read": ["²", "x²", "½", "٣"],
    "the escape of a dot": ["a,b"],
    "other characters": ["🙂", "e\u0301", "a;b", "a=b", "a@b", "a~b", "a!b", "a#b", "a%b", "a&b", "a'b", 'a"b', "a<b>"],
    "renamed by transformers": ["weight_g", "x/weight_v-2", "xweight_g", "LayerNorm_gamma", "my.LayerNorm.beta"],
    "renamed with an adapter": ["lora_A", "flora_2", "a/lora_embedding_b", "default"],
    "a key of configs": ["dtype"],
    "kept by ModuleDict": sorted({"train", "keys", "training", *dir(nn.ModuleDict())}),
    "too long": ["x" * (MAX_NAME + 1), "9" * 5000],
}
ACCEPTED = [
    *("a", "0", "7", "10", "Train", "größe", "对称", "a/b", "a-b", "a_b", "a:b", "a.b", "v1.0", "a..b"),
    *("equivariant/intersect", "traffic/metr_la", "v1.0/a:b-c_d", "c.weight", "weight", "bias", "gamma", "beta"),
    *("weight_gain", "LayerNorm_gammas", "LayerNorm", "parametrizations", "modules_to_save", "original_module"),
    *(
        "base_layer",
        "asen",
        "asen.heads",
        "heads",
        "backbone",
        "module",
        "base_model.model",
        "layers.0",
        "x" * MAX_NAME,
    ),
]
# Pieces of what transformers renames, between which the generated names lie.
PIECES = sorted(
    {
        piece
        for renaming in get_checkpoint_conversion_mapping("legacy")
        for pattern in [*renaming.source_patterns, *renaming.target_patterns]
        for piece in re.findall(r"\w+", pattern)
    }
)
names = st.one_of(
    st.lists(st.sampled_from([*PIECES, *"_./-:x1", "lora", "default"]), max_size=6).map("".join),
    st.text(max_size=8),
)


def outputs(model, name):
    with torch.no_grad():
        return model(INPUTS, task=name, return_dict=True)["last_hidden_state" if type(model) is AsenModel else "logits"]


def assert_survives(accepted, tmp_path, adapters=False):
    """All names in one model: two rounds of saving for both classes, and one of adapters by peft and transformers."""
    tasks = dict.fromkeys(accepted, TASK)
    model = make_model(tasks, spread=0.5, hidden_size=8, num_hidden_layers=1)
    expected = {name: outputs(model, name) for name in tasks}
    states = {name: outputs(model.asen, name) for name in tasks}
    assert len({str(value) for value in expected.values()}) == len(tasks)  # tasks mixed up would be noticed
    saved = model
    for folder in (tmp_path / "first", tmp_path / "second"):
        saved.save_pretrained(folder)
        saved = AsenForMultitask.from_pretrained(folder)
        assert list(saved.config.tasks) == sorted(tasks)
        assert all(torch.equal(outputs(saved, name), expected[name]) for name in tasks)
    base = AsenModel.from_pretrained(folder)
    for folder in (tmp_path / "third", tmp_path / "fourth"):
        base.save_pretrained(folder)
        base = AsenModel.from_pretrained(folder)
        assert all(torch.equal(outputs(base, name), states[name]) for name in tasks)
    if adapters:
        parts = [f"{modules}.{module_key(name)}" for name in tasks for modules in ("edge_embedders", "heads")]
        lora = peft.LoraConfig(r=2, target_modules=r".*\.backbone\..*projection", modules_to_save=parts)
        for adapt, load in ((peft.get_peft_model, peft.PeftModel.from_pretrained), (add_adapter, load_adapter)):
            adapted = adapt(AsenForMultitask.from_pretrained(tmp_path / "second"), lora)
            for parameter in adapted.parameters():
                if parameter.requires_grad:
                    nn.init.normal_(parameter)
            adapted.eval().save_pretrained(tmp_path / "adapter")
            again = load(AsenForMultitask.from_pretrained(tmp_path / "second"), tmp_path / "adapter").eval()
            for name in tasks:
                torch.testing.assert_close(outputs(again, name), outputs(adapted, name), rtol=1e-3, atol=1e-4)
                assert not torch.allclose(outputs(adapted, name), expected[name])


def add_adapter(model, lora):
    model.add_adapter(lora)
    return model


def load_adapter(model, folder):
    model.load_adapter(folder)
    return model


def assert_refused(name):
    model = make_model({"a": TASK}, hidden_size=8, num_hidden_layers=1)
    before = model.config.to_dict(), list(model.state_dict())
    for give in (
        lambda: AsenConfig(tasks={name: TASK}),
        lambda: AsenConfig().add_task(name, TASK),
        lambda: model.config.rename_task("a", name),
        lambda: model.add_task(name, TASK),
        lambda: model.asen.add_task(name, TASK.to_dict()),
        lambda: model.rename_task("a", name),
    ):
        with pytest.raises(ValueError, match=r"a task's name|a task cannot be named") as caught:
            give()
        assert len(str(caught.value)) < 1000
    assert (model.config.to_dict(), list(model.state_dict())) == before


@pytest.mark.parametrize("reason", REFUSED)
def test_names_that_would_not_be_found_again_are_refused_by_every_mutator(reason):
    for name in REFUSED[reason]:
        assert_refused(name)


@pytest.mark.parametrize("longer", ["a_weight", "a.bias", "a:weight", "a/weight-2", "a.b.weight"])
def test_a_name_that_load_adapter_takes_for_another_ones_tensor_is_refused_beside_it(longer):
    shorter = longer[:3] if longer.startswith("a.b.") else "a"
    for first, second in ((shorter, longer), (longer, shorter)):
        model = make_model({first: TASK, "other": TASK}, hidden_size=8, num_hidden_layers=1)
        for give in (
            lambda model, name: model.add_task(name, TASK),
            lambda model, name: model.rename_task("other", name),
            lambda model, name: AsenConfig(tasks={**model.config.tasks, name: TASK}),
        ):
            with pytest.raises(ValueError, match="cannot be in one model"):
                give(model, second)
        assert list(model.config.tasks) == [first, "other"]
        model.rename_task(first, second)
        assert list(model.config.tasks) == [second, "other"]


def test_accepted_names_survive_two_rounds_of_saving_and_adapters(tmp_path):
    assert_survives(ACCEPTED, tmp_path, adapters=True)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sets(names, min_size=1, max_size=8))
def test_any_name_is_refused_or_survives(tmp_path_factory, candidates):
    config = AsenConfig()
    for name in candidates:
        try:
            config.add_task(name, TASK)
        except ValueError:
            assert name not in ACCEPTED
    if config.tasks:
        assert_survives(config.tasks, tmp_path_factory.mktemp("names"))


def test_transformers_renames_no_tensor_of_an_accepted_name_and_every_one_that_is_refused_for_it():
    renamings = get_checkpoint_conversion_mapping("legacy")

    def renamed(name):
        keys = [f"{prefix}.{module_key(name)}.weight" for prefix in ("asen.heads", "heads", "edge_embedders")]
        return any(renaming.rename_source_key(key)[0] != key for key in keys for renaming in renamings)

    assert not any(map(renamed, ACCEPTED)) and all(map(renamed, REFUSED["renamed by transformers"]))


def test_modules_of_tasks_are_a_dictionary_by_name():
    modules = TaskModules({"b": nn.Identity(), "a.b": nn.Linear(1, 1), "a-b": nn.ReLU()})
    assert list(modules) == list(modules.keys()) == ["a-b", "a.b", "b"] == [name for name, _ in modules.items()]
    assert [type(module) for module in modules.values()] == [nn.ReLU, nn.Linear, nn.Identity]
    assert "a.b" in modules and "a,c" not in modules and 1 not in modules and len(modules) == 3
    assert list(modules.state_dict()) == ["a,b.weight", "a,b.bias"]
    assert modules.pop("a.b").in_features == 1 and "a.b" not in modules
    modules["a"] = nn.Tanh()
    del modules["b"]
    assert list(modules) == ["a", "a-b"]
    with pytest.raises(KeyError):
        modules["b"]


@given(names)
def test_a_key_stands_for_one_name(name):
    if "," not in name:
        assert task_of_key(module_key(name)) == name and "." not in module_key(name)
