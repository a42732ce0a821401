"""Renamed, reset and merged tasks: predictions, order and config stay in step, before and after saving."""

import copy
import doctest

import pytest
import torch

import asen_hf.surgery
from asen_hf import AsenConfig, AsenForMultitask, AsenModel, TaskConfig, equivariance_error, groups
from asen_hf.surgery import add_value_symmetries, merge_tasks
from asen_hf.training.objective import parameter_groups
from tests.model.test_value_symmetries import brute_force
from tests.model.value_cases import CASES, model_of, rows_of

RING = [[i, (i + 1) % 5] for i in range(5)]
COLOURS = {"vocab_size": 5, "label_names": ["a", "b", "c"]}
TASKS = {
    "m/pairs": TaskConfig(group="D6", **COLOURS),
    "m/nodes": TaskConfig(group="S2 x S3", symmetry_breaking="nodes", output_level="graph", **COLOURS),
    "m/values": TaskConfig(
        group="C5",
        num_features=2,
        problem_type="regression",
        edges=[[i, (i + 1) % 5] for i in range(5)],
        label_mean=3.0,
    ),
}
TRIPLES = TaskConfig(group="A4", symmetry_breaking="triples", **COLOURS)
SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2}


def make_model(tasks=TASKS, cls=AsenForMultitask, **settings):
    """A model whose every weight differs from its initial value."""
    torch.manual_seed(0)
    model = cls(AsenConfig(tasks=tasks, **SIZES | settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def outputs(model, name):
    """The task's output on rows that depend on its input shape alone."""
    task, generator = model.config.tasks[name], torch.Generator().manual_seed(0)
    if task.vocab_size is None:
        inputs = torch.randn(4, *task.input_shape(), generator=generator)
    else:
        inputs = torch.randint(task.vocab_size, (4, *task.input_shape()), generator=generator)
    with torch.no_grad():
        return model(inputs, task=name, return_dict=True)["last_hidden_state" if type(model) is AsenModel else "logits"]


def assert_in_order(model, tmp_path):
    """Modules are as in a model built from the config, and survive saving bit for bit."""
    fresh = type(model)(copy.deepcopy(model.config))
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in fresh.named_parameters()]
    assert [name for name, _ in model.named_buffers()] == [name for name, _ in fresh.named_buffers()]
    model.save_pretrained(tmp_path)
    reloaded = type(model).from_pretrained(tmp_path)
    assert reloaded.config.tasks == model.config.tasks
    for name in model.config.tasks:
        assert torch.equal(outputs(reloaded, name), outputs(model, name))


@pytest.mark.parametrize("new", ["a", "m/other", "m.v1.0", "z"])
@pytest.mark.parametrize("old", TASKS)
@pytest.mark.parametrize("cls", [AsenForMultitask, AsenModel])
def test_a_renamed_task_predicts_as_before(cls, old, new, tmp_path):
    model = make_model(cls=cls)
    before = {name: outputs(model, name) for name in TASKS}
    model.rename_task(old, new)
    assert list(model.config.tasks) == sorted({*TASKS, new} - {old})
    for name in model.config.tasks:
        assert torch.equal(outputs(model, name), before[old if name == new else name])
    assert_in_order(model, tmp_path)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("nothing", "x", "unknown task 'nothing'; this model's tasks: m/nodes, m/pairs, m/values"),
        ("m/pairs", "m/nodes", "there is a task 'm/nodes' already"),
        ("m/pairs", "m/pairs", "there is a task 'm/pairs' already"),
        ("m/pairs", "v1(0)", "consists of letters, digits"),
        ("m/pairs", "weight_g", "would rename"),
        ("m/pairs", "keys", "cannot be named 'keys'"),
    ],
)
def test_a_rename_that_cannot_be_changes_nothing(old, new, message, tmp_path):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        model.rename_task(old, new)
    assert list(model.config.tasks) == sorted(TASKS)
    assert_in_order(model, tmp_path)


def apart(*names, cls=AsenForMultitask):
    """Models with one backbone, each with one of the tasks, and with tables and heads of its own."""
    model = make_model(cls=cls)
    parts = []
    for name in names:
        part = copy.deepcopy(model)
        for other in TASKS.keys() - {name}:
            part.drop_task(other)
        parts.append(part)
    return model, parts


@pytest.mark.parametrize("cls", [AsenForMultitask, AsenModel])
def test_merged_tasks_predict_as_they_did_apart(cls, tmp_path):
    model, parts = apart("m/values", "m/nodes", "m/pairs", cls=cls)
    merged = parts[0]
    for part in parts[1:]:
        merge_tasks(merged, part)
    assert list(merged.config.tasks) == sorted(TASKS)
    for name in TASKS:
        assert torch.equal(outputs(merged, name), outputs(model, name))
    assert_in_order(merged, tmp_path)


def test_merged_tasks_are_copies():
    _, (merged, other) = apart("m/pairs", "m/values")
    before = outputs(other, "m/values")
    merge_tasks(merged, other)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.zero_()
    merged.config.tasks["m/values"].label_mean = 7.0
    assert torch.equal(outputs(other, "m/values"), before) and other.config.tasks["m/values"].label_mean == 3.0
    assert list(other.config.tasks) == ["m/values"]


@pytest.mark.parametrize("triples_first", [False, True])
def test_weights_for_triples_come_with_their_task(triples_first, tmp_path):
    both = make_model({**TASKS, "t": TRIPLES})
    with_triples, without = copy.deepcopy(both), copy.deepcopy(both)
    for name in TASKS:
        with_triples.drop_task(name)
    without.drop_task("t")
    merged, other = (with_triples, without) if triples_first else (without, with_triples)
    merge_tasks(merged, other)
    for name in both.config.tasks:
        assert torch.equal(outputs(merged, name), outputs(both, name))
    assert_in_order(merged, tmp_path)


def test_other_backbones_are_refused_by_the_tensor_that_differs(tmp_path):
    _, (model, other) = apart("m/pairs", "m/values")
    with torch.no_grad():
        weight = other.asen.backbone.layers[1].projection.weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    with pytest.raises(ValueError, match=r"differ in 1 of \d+ tensors.*backbone\.layers\.1\.projection\.weight"):
        merge_tasks(model, other)
    assert list(model.config.tasks) == ["m/pairs"]
    assert_in_order(model, tmp_path)


def test_what_cannot_be_merged_is_refused():
    _, (model, other) = apart("m/pairs", "m/values")
    with pytest.raises(ValueError, match="both models have a task 'm/pairs'"):
        merge_tasks(model, make_model())
    with pytest.raises(ValueError, match="two models of the same class, got AsenForMultitask and AsenModel"):
        merge_tasks(model, other.asen)
    for field, value in {"pooling": "mean", "negative_slope": 0.1, "num_attention_heads": 2}.items():
        with pytest.raises(ValueError, match=rf"backbones differ: {field} is .* and {value}|{field} is .* in one and"):
            merge_tasks(model, make_model({"x": TASKS["m/values"]}, **{field: value}))
    with pytest.raises(ValueError, match=r"differ in \d+ of"):
        merge_tasks(model, copy.deepcopy(other).bfloat16())


def follow_recipes(model, name, lines):
    """Run some lines of the recipes in the module's docstring; return the variables."""
    examples = doctest.DocTestParser().get_examples(asen_hf.surgery.__doc__)
    scope = {"model": model, "name": name}
    for example in examples[lines]:
        exec(example.source, scope)
    return scope


READ, FREEZE, RESET = slice(0, 3), slice(3, 4), slice(4, 7)


def test_embeddings_are_read_with_the_pairs_they_belong_to():
    scope = follow_recipes(make_model(), "m/pairs", READ)
    assert scope["table"].shape == (4, SIZES["hidden_size"])
    distances = [{min((i - j) % 6, (j - i) % 6) for i, j in pairs} for pairs in scope["pairs"]]
    assert distances == [{0}, {1}, {2}, {3}] and [len(pairs) for pairs in scope["pairs"]] == [6, 12, 12, 6]
    on_a_support = follow_recipes(make_model(), "m/values", READ)
    assert on_a_support["pairs"] == [[[0], [1], [2], [3], [4]]]


def test_a_frozen_backbone_leaves_embedders_and_heads_to_learn():
    model = make_model()
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    follow_recipes(model, "m/pairs", FREEZE)
    optimizer = torch.optim.AdamW(parameter_groups(model, 1e-2), weight_decay=0.0)
    model(torch.randint(5, (8, 6)), task="m/pairs", labels=torch.randint(3, (8, 6))).loss.backward()
    optimizer.step()
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    of_the_task = {name for name in before if "m/pairs" in name.split(".") and "missing_embedders" not in name}
    assert changed == of_the_task and len(of_the_task) == 4


@pytest.mark.parametrize("name", TASKS)
def test_a_reset_task_has_fresh_weights_and_nothing_else_has(name, tmp_path):
    model = make_model()
    before = copy.deepcopy(model)
    follow_recipes(model, name, RESET)
    assert list(model.config.tasks) == sorted(TASKS) and model.config.tasks == before.config.tasks
    after = dict(model.named_parameters())
    for parameter, value in before.named_parameters():
        assert torch.equal(after[parameter], value) == (name not in parameter.split("."))
    assert_in_order(model, tmp_path)


def test_value_symmetries_symmetrise_a_trained_task_without_changing_weights(tmp_path):
    for case in ("body", "board", "strand"):
        fields = {key: value for key, value in CASES[case].items() if key != "value_symmetries"}
        plain = TaskConfig(**fields)
        model, rows = model_of(plain), rows_of(plain)
        before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        parameters = list(model.parameters())
        model.heads["t"].requires_grad_(False)
        expected = brute_force(TaskConfig(**CASES[case]), model, rows)
        with torch.no_grad():
            assert (model(rows).logits - expected).abs().max() > 1e-3
            add_value_symmetries(model, "t", CASES[case]["value_symmetries"])
            torch.testing.assert_close(model(rows).logits, expected, rtol=0, atol=1e-12)
        assert equivariance_error(model, rows) < 1e-12
        assert all(new is old for new, old in zip(model.parameters(), parameters, strict=True))
        assert not model.heads["t"].weight.requires_grad
        after = model.state_dict()
        assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in after)
        model.save_pretrained(tmp_path / case)
        loaded = AsenForMultitask.from_pretrained(tmp_path / case, dtype=torch.float64)
        assert torch.equal(loaded.predict(rows), model.predict(rows))


def test_value_symmetries_are_refused_where_the_weights_are_for_other_orbitals():
    entries = [{"points": "(0 1 2 3)", "inputs": [1, 0], "outputs": [0, 1]}]  # its square moves points only
    model = model_of(TaskConfig(group="E4", vocab_size=2))
    with pytest.raises(ValueError, match="elements that change no value have other orbitals"):
        add_value_symmetries(model, "t", entries)
    model = model_of(TaskConfig(group="C2 x C2", vocab_size=2))
    flip = [{"inputs": [1, 0], "outputs": [1, 0]}]
    add_value_symmetries(model, "t", flip)
    with pytest.raises(ValueError, match="has value symmetries already"):
        add_value_symmetries(model, "t", flip)
    with pytest.raises(ValueError, match="unknown task"):
        add_value_symmetries(model, "u", flip)


def test_value_symmetries_that_do_not_suit_a_trained_task_leave_it_as_it_was():
    statistics = {"input_mean": 0.0, "input_scale": [1.0, 2.0]}
    task = TaskConfig(degree=4, num_features=2, num_labels=2, **statistics)
    model = model_of(task)
    with pytest.raises(ValueError, match="input_scale differs"):
        add_value_symmetries(model, "t", [{"inputs": [2, 1], "outputs": [1, 0]}])
    assert model.config.tasks == {"t": task}


@pytest.mark.filterwarnings("ignore:task 't'. 1 element of the group changes input values and no point:UserWarning")
def test_a_linear_skip_and_moves_without_values_are_symmetrised_too():
    features = {"degree": 4, "num_features": 2, "num_labels": 2, "problem_type": "regression"}
    for fields in (
        {"linear_skip": True},
        {"linear_skip": True, "generators": [[[0, 1], [2, 3]]], "symmetry_breaking": "nodes"},
        {"symmetry_breaking": "triples"},
        {"output_level": "graph", "pool_by_orbit": True},
    ):
        model = model_of(TaskConfig(**features, **fields))
        for tensor in model.linear_skips.state_dict(keep_vars=True).values():
            torch.nn.init.normal_(tensor)
        rows = rows_of(model.config.tasks["t"])
        add_value_symmetries(model, "t", [{"points": "(0 2)(1 3)", "inputs": [-1, 2], "outputs": [-1, 2]}])
        assert equivariance_error(model, rows) < 1e-12
    model = model_of(TaskConfig(group="V4", vocab_size=5), seed=1)
    add_value_symmetries(model, "t", {"turn": {"points": "(0 1 2)"}})
    rows = rows_of(model.config.tasks["t"], 16)
    assert equivariance_error(model, rows, group=groups.alternating(4)) < 1e-12
    assert equivariance_error(model, rows, group=groups.symmetric(4)) > 1e-3


def test_the_model_without_heads_is_symmetrised_as_well():
    model = model_of(TaskConfig(degree=4, vocab_size=3)).asen
    rows = rows_of(model.config.tasks["t"])
    entries = [{"points": "R4", "inputs": [0, 2, 1], "outputs": [1, 0]}]
    add_value_symmetries(model, "t", entries)
    assert equivariance_error(model, rows) < 1e-12
    assert equivariance_error(model, rows, group=groups.reversal(4)) > 1e-3
