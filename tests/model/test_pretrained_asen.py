"""What is saved can be loaded, what is loaded is finite, and adapters travel with the model that they belong to."""

import copy
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model.pretrained_asen import evaluating, has_adapters
from asen_hf.surgery import merge_tasks
from tests.conftest import make_model

TASKS = {
    "tokens": TaskConfig(group="D4", vocab_size=3, num_labels=3),
    "features": TaskConfig(group="C4", num_features=2, problem_type="regression", symmetry_breaking="nodes"),
}
SIZES = {"hidden_size": 8, "num_hidden_layers": 1}
every_class = pytest.mark.parametrize("cls", [AsenForMultitask, AsenModel])


def inputs(name, rows=3):
    generator = torch.Generator().manual_seed(0)
    if name == "features":
        return torch.randn(rows, 4, 2, generator=generator)
    return torch.randint(3, (rows, 4), generator=generator)


def outputs(model, name):
    with evaluating(model):
        return model(inputs(name), task=name, return_dict=True)[
            "last_hidden_state" if type(model) is AsenModel else "logits"
        ]


@every_class
@pytest.mark.parametrize(
    ("dtype", "value", "first"),  # each tensor is spoilt in one of these ways
    [
        (torch.float32, math.nan, 0),
        (torch.float32, -math.inf, 1),
        (torch.float64, math.inf, 2),
        (torch.bfloat16, math.nan, 3),
        (torch.float16, math.nan, 4),
    ],
)
def test_every_tensor_of_a_checkpoint_must_be_finite(cls, dtype, value, first, tmp_path):
    model = make_model(TASKS, cls=cls, **SIZES).to(dtype)
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for key in [*tensors][first::5]:
        spoilt = {**tensors, key: tensors[key].clone()}
        spoilt[key].view(-1)[-1] = value
        save_file(spoilt, tmp_path / "model.safetensors", metadata={"format": "pt"})
        for load in (
            lambda: cls.from_pretrained(tmp_path),
            lambda state=spoilt: cls.from_pretrained(None, config=model.config, state_dict=state),
        ):
            with pytest.raises(ValueError, match=f"{key} holds NaN or infinity"):
                load()


@every_class
def test_weights_that_a_smaller_dtype_cannot_hold_are_named(cls, tmp_path):
    model = make_model(TASKS, cls=cls, **SIZES)
    with torch.no_grad():
        model.base_model.backbone.layers[0].projection.weight[0, 0] = 1e6
    model.save_pretrained(tmp_path)
    assert cls.from_pretrained(tmp_path, dtype="bfloat16").dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"layers\.0\.projection\.weight holds NaN or infinity in torch\.float16"):
        cls.from_pretrained(tmp_path, dtype="float16")


def test_a_head_that_is_not_finite_does_not_keep_the_backbone_from_loading(tmp_path):
    model = make_model(TASKS, **SIZES)
    torch.nn.init.constant_(model.heads["tokens"].bias, math.nan)
    model.save_pretrained(tmp_path)
    assert torch.equal(outputs(AsenModel.from_pretrained(tmp_path), "tokens"), outputs(model.asen, "tokens"))
    with pytest.raises(ValueError, match=r"heads\.tokens\.bias holds NaN"):
        AsenForMultitask.from_pretrained(tmp_path)


@every_class
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tokens", {"generators": [[[0, 1]]]}),
        ("tokens", {"generators": [[[0, 2, 1, 3]], [[0, 2]]]}),  # as many orbitals
        ("tokens", {"vocab_size": 4}),
        ("tokens", {"symmetry_breaking": "nodes"}),
        ("tokens", {"symmetry_breaking": "triples"}),
        ("features", {"num_features": 1}),
        ("features", {"edges": [[0, 1], [1, 2]], "support": "sparse"}),
        ("features", {"degree": 5, "generators": []}),
    ],
)
def test_a_config_that_was_changed_behind_the_model_is_not_saved(cls, name, changes, tmp_path):
    model = make_model(TASKS, cls=cls, **SIZES)
    before = copy.deepcopy(model.config.tasks[name])
    for field, value in changes.items():
        setattr(model.config.tasks[name], field, value)
    with pytest.raises(ValueError, match=r"config was changed since the model was built.*add_task"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
    for field in changes:
        setattr(model.config.tasks[name], field, getattr(before, field))
    model.save_pretrained(tmp_path)
    assert torch.equal(outputs(cls.from_pretrained(tmp_path), name), outputs(model, name))


def test_more_labels_than_the_head_has_are_not_saved(tmp_path):
    model = make_model(TASKS, **SIZES)
    model.config.tasks["tokens"].num_labels = 4
    with pytest.raises(ValueError, match=r"does not fit heads\.tokens\.bias"):
        model.save_pretrained(tmp_path)
    model.asen.save_pretrained(tmp_path)  # which has no heads


@every_class
def test_predictions_leave_the_mode_of_every_module(cls):
    model = make_model(TASKS, cls=cls, hidden_dropout_prob=0.5, **SIZES)
    modules = list(model.modules())
    for number, module in enumerate(modules):
        module.training = number % 3 == 0
    first = outputs(model, "tokens")
    if cls is AsenForMultitask:
        model.predict(inputs("tokens"), task="tokens")
        with pytest.raises(ValueError, match="inputs"):
            model.predict(inputs("features"), task="tokens")
    assert torch.equal(outputs(model, "tokens"), first)
    assert [module.training for module in modules] == [number % 3 == 0 for number in range(len(modules))]


@every_class
@pytest.mark.parametrize("mode", [True, False])
def test_a_new_task_is_in_the_mode_of_the_model(cls, mode):
    model = make_model(TASKS, cls=cls, **SIZES).train(mode)
    model.add_task("triples", TaskConfig(group="A4", vocab_size=2, symmetry_breaking="triples"))
    assert {module.training for module in model.modules()} == {mode}


@pytest.fixture
def adapted(tmp_path):
    """A loaded model with a task that its checkpoint lacks, and an adapter on the backbone and on the new task."""
    peft = pytest.importorskip("peft", reason="needs the extra asen-hf[lora]")
    make_model(TASKS, **SIZES).save_pretrained(tmp_path / "base")
    model = AsenForMultitask.from_pretrained(tmp_path / "base")
    model.add_task("v2.new", TASKS["tokens"])
    model.add_adapter(
        peft.LoraConfig(
            r=2, target_modules=r".*backbone\..*projection", modules_to_save=["edge_embedders.v2,new", "heads.v2,new"]
        )
    )
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    return model.eval()


def test_an_adapter_is_saved_with_all_that_it_does_not_change(adapted, tmp_path):
    adapted.save_pretrained(tmp_path / "saved")
    assert has_adapters(adapted)
    loaded = AsenForMultitask.from_pretrained(tmp_path / "saved")
    base = AsenModel.from_pretrained(tmp_path / "saved")
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    reloaded = AsenForMultitask.from_pretrained(again)
    for name in ("features", "tokens", "v2.new"):
        task = "features" if name == "features" else "tokens"
        rows, states = inputs(task), {}
        for model in (adapted, loaded, reloaded, base, adapted.asen):
            with evaluating(model):
                output = model(rows, task=name, return_dict=True)
            states[model] = output.get("logits", output.get("last_hidden_state"))
        for model, expected in ((loaded, adapted), (reloaded, adapted), (base, adapted.asen)):
            torch.testing.assert_close(states[model], states[expected], rtol=1e-4, atol=1e-4)


def test_an_adapter_alone_is_refused_with_the_remedy(adapted, tmp_path):
    adapted.save_pretrained(tmp_path / "saved")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "saved" / name).unlink()
    with pytest.raises(OSError, match=r"no config\.json; load the model that its adapter was made for"):
        AsenForMultitask.from_pretrained(tmp_path / "saved")


def test_what_an_adapter_changes_is_not_changed_behind_it(adapted):
    before = adapted.config.to_dict(), {key: value.clone() for key, value in adapted.state_dict().items()}
    for change in (
        lambda: adapted.drop_task("v2.new"),
        lambda: adapted.rename_task("v2.new", "b"),
        lambda: adapted.add_task("b", TASKS["tokens"], init_from="v2.new"),
        lambda: merge_tasks(adapted, make_model({"b": TASKS["tokens"]}, **SIZES)),
        lambda: merge_tasks(make_model({"b": TASKS["tokens"]}, **SIZES), adapted),
    ):
        with pytest.raises(ValueError, match="adapter"):
            change()
    after = adapted.state_dict()
    assert adapted.config.to_dict() == before[0] and after.keys() == before[1].keys()
    assert all(torch.equal(after[key], value) for key, value in before[1].items())
    adapted.drop_task("features")  # which no adapter changes
    adapted.add_task("b", TASKS["tokens"], init_from="tokens")
    assert list(adapted.config.tasks) == ["b", "tokens", "v2.new"]


@every_class
def test_a_merge_that_is_refused_halfway_changes_nothing(cls):
    model = make_model({"a": TASKS["tokens"]}, cls=cls, **SIZES)
    other = copy.deepcopy(model)
    other.rename_task("a", "b")
    other.add_task("a_weight", TASKS["tokens"])
    before = list(model.state_dict())
    with pytest.raises(ValueError, match="cannot be in one model"):
        merge_tasks(model, other)
    assert list(model.config.tasks) == ["a"] and list(model.state_dict()) == before


def test_linear_maps_are_left_over_without_heads_and_fresh_with_new_ones(tmp_path):
    task = TaskConfig(group="C6", num_features=1, problem_type="regression", linear_skip=True)
    model = AsenForMultitask(AsenConfig(tasks={"skip": task}, hidden_size=16, num_hidden_layers=1)).eval()
    model.save_pretrained(tmp_path / "whole")
    backbone = AsenModel.from_pretrained(tmp_path / "whole").eval()
    readings = torch.randn(3, 6, 1)
    with torch.no_grad():
        assert torch.equal(backbone(readings).last_hidden_state, model.asen(readings).last_hidden_state)
    assert isinstance(AutoModel.from_pretrained(tmp_path / "whole"), AsenModel)
    backbone.save_pretrained(tmp_path / "backbone")
    headed = AsenForMultitask.from_pretrained(tmp_path / "backbone")
    assert not any(tensor.any() for tensor in headed.linear_skips.parameters())
