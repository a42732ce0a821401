"""LoRA by peft on the backbone: what is trained, and that merged and reloaded weights predict the same."""

import copy
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import pipeline

from asen_hf import AsenForMultitask, TaskConfig
from asen_hf.evaluation.equivariance import equivariance_error
from asen_hf.model._onednn_linear import Linear
from tests.conftest import BASES, make_model

peft = pytest.importorskip("peft", reason="needs the extra asen-hf[lora]")
# peft asks the model for a property that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

EXAMPLE = Path(__file__).parents[2] / "examples/finetune_with_lora.py"
NEW_PARTS = ("token_embedders", "missing_embedders", "edge_embedders", "class_embedders", "pair_embedders")
NEW_PARTS += ("node_embedders", "triple_embedders", "heads")
TASKS = {
    "on_pairs": TaskConfig(group="D6", vocab_size=3, num_labels=3),
    "on_nodes": TaskConfig(group="S2 x S3", vocab_size=3, symmetry_breaking="nodes", output_level="graph"),
    "on_triples": TaskConfig(group="A4", vocab_size=3, symmetry_breaking="triples"),
    "on_sheets": TaskConfig(
        group="D6", vocab_size=3, num_labels=3, value_symmetries=[{"inputs": [0, 2, 1], "outputs": [0, 2, 1]}]
    ),
    "on_classes": TaskConfig(group="C5", vocab_size=3, relations=["order"], point_order="ring", output_level="pair"),
    "on_pair_numbers": TaskConfig(group="S5", vocab_size=3, pair_features=2),
    "on_a_ring": TaskConfig(
        group="C5",
        num_features=2,
        input_mean=[50.0, -20.0],
        input_scale=[10.0, 0.5],
        problem_type="regression",
        edges=[[i, (i + 1) % 5] for i in range(5)],
    ),
}
every_task = pytest.mark.parametrize("name", TASKS)
every_task_and_base = pytest.mark.parametrize(
    ("name", "base"),
    [
        *((name, {}) for name in TASKS),
        *((name, BASES["transformer"]) for name in ("on_pairs", "on_triples", "on_a_ring")),
    ],
)
# Everything that an adapter can be put on: peft's name for all linear layers, and the modules of each role.
ROLES = ["token_embedder", "missing_embedder", "edge_embedder", "class_embedder", "pair_embedder"]
ROLES += ["node_embedder", "triple_embedder", "head"]
TARGETS = {
    "all-linear": "all-linear",
    "backbone": r".*\.backbone\.(.*projection|input_layers\.2)",
    **{role: rf".*\b{role}s\.[^.]+" for role in ROLES},
    "head": r".*\bheads\.((?!on_classes)[^.]+|on_classes\.(output|.*projection))",  # a head of pairs has four layers
}


def make_base(**settings):
    return make_model(TASKS, gated_messages=True, **settings)


def make_adapted(name, **settings):
    """The base with an adapter on the backbone, after three steps on one task."""
    parts = [f"{part}.{name}" for part in NEW_PARTS]
    lora = peft.LoraConfig(r=2, target_modules=r".*\.backbone\..*projection", modules_to_save=parts)
    return trained(name, lora, **settings)


def trained(name, lora, **settings):
    """The base with an adapter, after three steps on one task."""
    model = peft.get_peft_model(make_base(**settings), lora)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=0.05)
    columns, labels = batch(name)
    for _ in range(3):
        model(**columns, task=name, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def batch(name, rows=6):
    task, generator = TASKS[name], torch.Generator().manual_seed(0)
    if task.vocab_size is None:
        features = torch.randn(rows, 5, 2, generator=generator) * torch.tensor([10, 0.5]) + torch.tensor([50, -20])
        features[::2, 1] = torch.nan  # the vectors of missing inputs are trained too
        return {"inputs": features}, torch.randn(rows, 5, generator=generator)
    inputs = torch.randint(task.vocab_size, (rows, task.degree), generator=generator)
    inputs[::2, 1] = -1
    columns = {"inputs": inputs}
    if task.has_pairs:
        columns["pairs"] = torch.randn(rows, *task.pair_shape(), generator=generator)
    return columns, torch.randint(task.output_size, (rows, *task.label_shape()), generator=generator)


def logits(model, name):
    with torch.no_grad():
        return model(**batch(name)[0], task=name).logits


@every_task
def test_the_adapter_and_the_task_learn_and_the_rest_is_frozen(name):
    base, model = make_base(), make_adapted(name)
    after = {key.removeprefix("base_model.model."): value for key, value in model.state_dict().items()}
    for key, value in base.state_dict().items():
        wrapped = [each for each in (key, re.sub(r"\.(weight|bias)$", r".base_layer.\1", key)) if each in after]
        owner = ".".join(key.split(".")[: key.split(".").index(name) + 1]) if name in key.split(".") else key
        trained = [each for each in after if each.startswith(f"{owner}.modules_to_save.")]
        assert bool(trained) == (name in key.split(".")), key
        assert all(torch.equal(after[each], value) for each in wrapped), key
    projections = [key for key, each in base.asen.backbone.named_modules() if "projection" in key.split(".")[-1]]
    adapted = {key for key in after if "lora_A" in key}
    assert len(adapted) == len(projections) and all(".backbone." in key for key in adapted)
    assert (logits(model, name) - logits(base.eval(), name)).abs().max() > 1e-2


@every_task_and_base
def test_merged_it_predicts_the_same_and_is_an_ordinary_checkpoint(name, base, tmp_path):
    model = make_adapted(name, **base)
    expected = logits(model, name)
    merged = model.merge_and_unload()
    assert type(merged) is AsenForMultitask and merged.state_dict().keys() == make_base(**base).state_dict().keys()
    assert type(merged.asen.backbone.layers[0].projection) is Linear
    torch.testing.assert_close(logits(merged, name), expected, rtol=1e-4, atol=1e-5)
    merged.save_pretrained(tmp_path)
    reloaded = AsenForMultitask.from_pretrained(tmp_path)
    assert torch.equal(logits(reloaded, name), logits(merged, name))
    assert equivariance_error(reloaded, task=name, **batch(name)[0]) < 1e-5


def test_every_role_is_a_target():
    assert list(make_base().modules_by_role()) == [
        "symmetry_breaker",
        *ROLES[:-1],
        "value_sheets",
        ROLES[-1],
        "linear_skip",
    ]  # symmetry breakers and value sheets have no weights


@pytest.mark.parametrize(
    ("target", "name", "use_dora"),  # each on every second pair of the two
    [(target, name, (i + j) % 2 == 0) for i, target in enumerate(TARGETS) for j, name in enumerate(TASKS)],
)
def test_merged_it_predicts_the_same_wherever_it_is_put(target, name, use_dora):
    if target in ROLES[3:7] and target not in make_base().task_modules(name):
        pytest.skip("the task has no such modules")
    lora = peft.LoraConfig(r=2, target_modules=TARGETS[target], use_dora=use_dora)
    model = trained(name, lora, spread=0.1)  # DoRA divides by the norms of weights, and fresh gates are zero
    adapted = logits(model, name)
    assert (adapted - logits(make_base(spread=0.1), name)).abs().max() > 1e-3
    merged = model.merge_and_unload()
    torch.testing.assert_close(logits(merged, name), adapted, rtol=1e-4, atol=1e-5)
    assert merged.state_dict().keys() == make_base().state_dict().keys()


@every_task_and_base
def test_an_adapter_is_loaded_onto_the_base(name, base, tmp_path):
    model = make_adapted(name, **base)
    model.save_pretrained(tmp_path)
    reloaded = peft.PeftModel.from_pretrained(make_base(**base), tmp_path).eval()
    expected, got = model.state_dict(), reloaded.state_dict()
    assert got.keys() == expected.keys() and all(torch.equal(got[key], expected[key]) for key in expected)
    torch.testing.assert_close(logits(reloaded, name), logits(model, name), rtol=1e-4, atol=1e-5)
    with model.disable_adapter():
        assert torch.equal(logits(model, name), logits(make_base(**base).eval(), name))


def test_the_pipeline_takes_an_adapted_model():
    model, name = make_adapted("on_pairs"), "on_pairs"
    rows = [{"inputs": row, "task": name} for row in batch(name)[0]["inputs"]]
    results = pipeline("asen-prediction", model=model, device="cpu")(rows, batch_size=6)
    scores = logits(model, name).softmax(dim=-1).max(dim=-1)
    assert [[node["label"] for node in row] for row in results] == [
        [f"LABEL_{index}" for index in row] for row in scores.indices.tolist()
    ]
    np.testing.assert_allclose([[node["score"] for node in row] for row in results], scores.values, rtol=1e-5)


def test_faster_products_are_corrected_too():
    """asen_hf.model._onednn_linear takes another kernel for large inputs; the correction must reach those as well."""
    model = make_adapted("on_pairs")
    layer = model.base_model.model.asen.backbone.layers[0].projection
    inputs = torch.randn(4096, 16)
    weight, bias = layer.base_layer.weight, layer.base_layer.bias
    down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    expected = inputs @ (weight + layer.scaling["default"] * up @ down).T + bias
    assert up.abs().max() > 0
    torch.testing.assert_close(layer(inputs), expected, rtol=1e-4, atol=1e-4)
    merged = copy.deepcopy(model).merge_and_unload().asen.backbone.layers[0].projection
    torch.testing.assert_close(merged(inputs), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_example_trains_a_tenth_of_the_weights_and_learns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    out = capsys.readouterr().out
    trained, total = (int(each.replace(",", "")) for each in re.findall(r"params: ([\d,]+)", out))
    assert trained < total / 8
    assert float(re.search(r"test accuracy (\S+)", out).group(1)) > 0.8
    adapter = (tmp_path / "runs/lora/adapter/adapter_model.safetensors").stat().st_size
    assert adapter < (tmp_path / "runs/lora/merged/model.safetensors").stat().st_size / 7
