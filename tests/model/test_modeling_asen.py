"""The model: shapes, losses and units, growing by tasks, reloading bit for bit, and refusing what it cannot compute."""

import copy
import functools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import asen_hf
from asen_hf import AsenForMultitask, AsenModel, TaskConfig
from asen_hf.model.groups import cyclic, dihedral, symmetric, young_subgroup
from tests import conftest
from tests.conftest import every_base

ROWS, HIDDEN, HEADS, LAYERS = 5, 16, 4, 2
RING = [[i, (i + 1) % 6] for i in range(6)] + [[0, 0], [3, 1]]


def task(group=None, tokens=True, regression=False, **settings) -> TaskConfig:
    problem = {"problem_type": "regression"} if regression else {}
    kind = {"vocab_size": 5} if tokens else {"num_features": 2}
    return conftest.task_of(group or dihedral(6), **problem, **kind, **settings)


TASKS = {
    "node/classes": task(num_labels=3),
    "graph/classes": task(cyclic(7), output_level="graph"),
    "node/values": task(
        symmetric(6),
        tokens=False,
        regression=True,
        edges=RING,
        residual_feature=1,
        input_mean=[0.5, -1.0],
        input_scale=[2.0, 0.5],
        label_mean=3.0,
        label_scale=4.0,
    ),
    "graph/values": task(
        young_subgroup([[0, 2], [1, 3, 4]]),
        tokens=False,
        regression=True,
        symmetry_breaking="nodes",
        output_level="graph",
        num_labels=2,
        label_mean=[1.0, -1.0],
        label_scale=[2.0, 3.0],
        loss="mse",
    ),
}
every_task = pytest.mark.parametrize("name", TASKS)
IMPLEMENTATIONS = {
    "eager": {"attn_implementation": "eager"},
    "gatv2_pyg": {"attn_implementation": "gatv2_pyg"},
    "transformer, sdpa": {"backbone_type": "transformer"},
    "transformer, eager": {"backbone_type": "transformer", "attn_implementation": "eager"},
}
every_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS.keys())


# A small model in evaluation mode whose every weight differs from its initial value.
make_model = functools.partial(
    conftest.make_model,
    tasks=TASKS,
    spread=0.1,
    hidden_size=HIDDEN,
    num_attention_heads=HEADS,
    num_hidden_layers=LAYERS,
)


def make_inputs(task: TaskConfig, rows=ROWS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    if task.vocab_size is not None:
        return torch.randint(task.vocab_size, (rows, *task.input_shape()), generator=generator)
    return torch.randn(rows, *task.input_shape(), generator=generator)


def make_labels(task: TaskConfig, rows=ROWS) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows + 1)
    if task.is_regression:
        return 5 * torch.randn(rows, *task.label_shape(), generator=generator)
    return torch.randint(task.num_labels, (rows, *task.label_shape()), generator=generator)


def all_logits(model) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {name: model(make_inputs(each), task=name).logits for name, each in model.config.tasks.items()}


def all_equal(found, expected) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


# Shapes, units and losses


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "features"])
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize(("regression", "num_labels"), [(False, 2), (False, 4), (True, 1), (True, 3)])
def test_every_kind_of_task_has_its_shapes(tokens, level, regression, num_labels):
    each = task(tokens=tokens, regression=regression, output_level=level, num_labels=num_labels)
    model = make_model(tasks={"only": each})
    inputs, labels = make_inputs(each), make_labels(each)
    output = model(inputs, labels=labels)
    nodes = (6,) if level == "node" else ()
    assert output.logits.shape == (ROWS, *nodes, num_labels)
    assert output.loss.shape == ()
    assert output.loss.isfinite()
    prediction = model.predict(inputs)
    assert prediction.shape == labels.shape
    assert prediction.dtype == labels.dtype


@pytest.mark.parametrize("pooling", ["sum", "mean"])
@every_task
def test_the_bare_model_gives_node_and_pooled_states(name, pooling):
    model = make_model(cls=AsenModel, pooling=pooling)
    output = model(make_inputs(TASKS[name]), task=name)
    assert output.last_hidden_state.shape == (ROWS, TASKS[name].degree, HIDDEN)
    torch.testing.assert_close(output.pooler_output, getattr(output.last_hidden_state, pooling)(dim=1))


@pytest.mark.parametrize("name", ["node/classes", "graph/classes"])
def test_the_loss_of_classes_is_the_mean_negative_log_likelihood_of_labels_that_count(name):
    labels = make_labels(TASKS[name])
    labels[0] = -100
    output = make_model()(make_inputs(TASKS[name]), task=name, labels=labels)
    rows = zip(output.logits.flatten(0, -2).tolist(), labels.flatten().tolist(), strict=True)
    losses = [math.log(sum(map(math.exp, logits))) - logits[label] for logits, label in rows if label != -100]
    assert output.loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def normalised(task: TaskConfig, inputs, labels):
    """Targets of a regression, with a trailing axis of values, as a user would compute them by hand."""
    values = labels.unsqueeze(-1) if task.num_labels == 1 else labels
    if task.residual_feature is not None:
        values = values - inputs[..., task.residual_feature : task.residual_feature + 1]
    return (values - torch.tensor(task.label_mean)) / torch.tensor(task.label_scale)


@pytest.mark.parametrize("name", ["node/values", "graph/values"])
def test_the_loss_of_values_is_their_mean_error_in_normalised_units(name):
    inputs, labels = make_inputs(TASKS[name]), make_labels(TASKS[name])
    labels[0] = math.nan
    labels[1, 0] = math.nan
    output = make_model()(inputs, task=name, labels=labels)
    errors = (output.logits - normalised(TASKS[name], inputs, labels)).flatten()
    errors = errors[~errors.isnan()]
    expected = errors.abs().mean() if TASKS[name].loss == "l1" else (errors**2).mean()
    assert 0 < len(errors) < labels.numel()
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("name", ["graph/classes", "graph/values"])
def test_the_loss_with_ignored_rows_is_that_of_the_others(name):
    inputs, labels = make_inputs(TASKS[name]), make_labels(TASKS[name])
    model = make_model()
    kept = model(inputs[2:], task=name, labels=labels[2:]).loss
    labels[:2] = math.nan if TASKS[name].is_regression else -100
    torch.testing.assert_close(model(inputs, task=name, labels=labels).loss, kept)


@every_task
def test_a_batch_of_ignored_labels_costs_nothing_and_spoils_no_gradient(name):
    labels = torch.full_like(make_labels(TASKS[name]), math.nan if TASKS[name].is_regression else -100)
    model = make_model()
    loss = model(make_inputs(TASKS[name]), task=name, labels=labels).loss
    loss.backward()
    assert loss == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


@every_task
def test_predictions_are_classes_or_raw_values(name):
    each, inputs = TASKS[name], make_inputs(TASKS[name])
    model = make_model()
    prediction, logits = model.predict(inputs, task=name), all_logits(model)[name]
    if each.is_regression:
        torch.testing.assert_close(normalised(each, inputs, prediction), logits)
    else:
        assert torch.equal(prediction, logits.argmax(dim=-1))


def test_features_are_normalised_with_the_statistics_of_the_config():
    raw, plain = task(tokens=False, input_mean=[3.0, -50.0], input_scale=[0.5, 20.0]), task(tokens=False)
    raw_model, plain_model = make_model(tasks={"t": raw}), make_model(tasks={"t": plain})
    features = make_inputs(plain)
    logits = raw_model(features * torch.tensor([0.5, 20.0]) + torch.tensor([3.0, -50.0])).logits
    torch.testing.assert_close(logits, plain_model(features).logits)


@every_base
def test_predicting_uses_no_dropout_and_leaves_the_mode_alone(base):
    model = make_model(**base, hidden_dropout_prob=0.5)
    inputs = make_inputs(TASKS["node/values"])
    expected = model.predict(inputs, task="node/values")
    assert not model.training
    model.train()
    assert torch.equal(model.predict(inputs, task="node/values"), expected)
    assert model.training
    noisy = [model(inputs, task="node/values").logits for _ in range(2)]
    assert not torch.equal(*noisy)


# What forward returns, and on what it depends


@every_task
@every_implementation
def test_states_and_attentions_are_returned_on_request_only(name, implementation):
    model, each = make_model(**implementation), TASKS[name]
    inputs = make_inputs(each)
    pairs = (each.degree, each.degree) if each.edges is None else (len(each.edges),)
    for module in (model, model.asen):
        plain = module(inputs, task=name)
        assert plain.hidden_states is None
        assert plain.attentions is None
        output = module(inputs, task=name, output_hidden_states=True, output_attentions=True)
        assert [states.shape for states in output.hidden_states] == [(ROWS, each.degree, HIDDEN)] * (LAYERS + 1)
        assert [weights.shape for weights in output.attentions] == [(ROWS, HEADS, *pairs)] * LAYERS
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)


@every_task
@every_base
def test_states_and_attentions_that_are_returned_have_gradients(name, base):
    model = make_model(**base)
    output = model(make_inputs(TASKS[name]), task=name, output_hidden_states=True, output_attentions=True)
    returned = [*output.hidden_states, *output.attentions]
    for tensor in returned:
        tensor.retain_grad()
    output.logits.sum().backward()
    assert all(tensor.grad.any() for tensor in returned)


@every_base
def test_the_config_may_ask_for_states_and_attentions(base):
    model = make_model(**base, output_hidden_states=True, output_attentions=True)
    inputs = make_inputs(TASKS["node/classes"])
    output = model(inputs, task="node/classes")
    assert (len(output.hidden_states), len(output.attentions)) == (LAYERS + 1, LAYERS)
    output = model(inputs, task="node/classes", output_hidden_states=False, output_attentions=False)
    assert (output.hidden_states, output.attentions) == (None, None)


def test_without_a_dictionary_a_tuple_is_returned():
    name, each = "node/classes", TASKS["node/classes"]
    inputs, labels = make_inputs(each), make_labels(each)
    model = make_model()
    expected = model(inputs, task=name, labels=labels)
    loss, logits = model(inputs, task=name, labels=labels, return_dict=False)
    assert torch.equal(loss, expected.loss)
    assert torch.equal(logits, expected.logits)
    states, pooled = model.asen(inputs, task=name, return_dict=False)
    assert (states.shape, pooled.shape) == ((ROWS, 6, HIDDEN), (ROWS, HIDDEN))
    model.config.return_dict = False
    assert torch.equal(model(inputs, task=name)[0], expected.logits)
    assert torch.equal(model.predict(inputs, task=name), expected.logits.argmax(dim=-1))


@pytest.mark.parametrize("gated", [False, True])
def test_implementations_agree(gated):
    eager, pyg = (make_model(attn_implementation=name, gated_messages=gated) for name in ("eager", "gatv2_pyg"))
    expected, found = all_logits(eager), all_logits(pyg)
    for name in TASKS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)


@every_task
@every_implementation
def test_each_row_is_computed_on_its_own(name, implementation):
    model = make_model(**implementation)
    inputs = make_inputs(TASKS[name])
    alone = torch.cat([model(row, task=name).logits for row in inputs.split(1)])
    torch.testing.assert_close(model(inputs, task=name).logits, alone, rtol=1e-6, atol=1e-6)


@every_implementation
def test_a_batch_may_have_no_rows(implementation):
    model = make_model(**implementation)
    for name, logits in all_logits(model).items():
        assert model(make_inputs(TASKS[name])[:0], task=name).logits.shape == (0, *logits.shape[1:])


@every_task
@every_base
def test_gradients_reach_every_parameter_of_the_trained_task_and_none_of_the_others(name, base):
    model = make_model(**base, gated_messages=True)
    each = TASKS[name]
    inputs = make_inputs(each, rows=20)
    residual = -1 if each.residual_feature is None else each.residual_feature
    known = torch.arange(each.num_features or 1) == residual  # which must not be missing
    inputs[:10] = -1 if each.num_features is None else torch.where(known, inputs[:10], math.nan)
    model(inputs, task=name, labels=make_labels(each, rows=20)).loss.backward()
    for parameter_name, parameter in model.named_parameters():
        if ".backbone." in parameter_name or f".{name}." in parameter_name:
            assert parameter.grad.isfinite().all(), parameter_name
            assert parameter.grad.any(), parameter_name
        else:
            assert parameter.grad is None, parameter_name


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@every_base
def test_gradient_checkpointing_recomputes_and_gives_equal_gradients(base):
    each, name = TASKS["node/values"], "node/values"
    gradients, calls = [], []
    for checkpointing in (False, True):
        model = make_model(**base, hidden_dropout_prob=0.3).train()
        model.asen.backbone.layers[0].attention.register_forward_hook(lambda *_: calls.append(1))
        if checkpointing:
            model.gradient_checkpointing_enable()
        torch.manual_seed(1)
        calls.clear()
        model(make_inputs(each), task=name, labels=make_labels(each)).loss.backward()
        assert len(calls) == 1 + checkpointing
        gradients.append({key: p.grad for key, p in model.named_parameters() if p.grad is not None})
    assert all_equal(*gradients)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float64, 1e-5)])
@every_implementation
def test_the_forward_pass_runs_in_other_precisions(dtype, tolerance, implementation):
    model = make_model(**implementation, gated_messages=True)
    expected = all_logits(model)
    model.to(dtype)
    for name, logits in all_logits(model).items():
        assert logits.dtype == dtype
        scale = expected[name].abs().max()
        assert (logits - expected[name]).abs().max() < tolerance * scale
        each = TASKS[name]
        loss = model(make_inputs(each), task=name, labels=make_labels(each)).loss
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert loss.isfinite()
        loss.backward()


@every_task
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_whole_numbers_of_any_integer_type_are_taken(name, dtype):
    model = make_model()
    inputs = make_inputs(TASKS[name]).mul(3).round().remainder(5)
    labels = make_labels(TASKS[name]).abs().round()
    expected = model(inputs, task=name, labels=labels)
    found = model(inputs.to(dtype), task=name, labels=labels)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(model(inputs, task=name, labels=labels.to(dtype)).loss, expected.loss)


# Initialisation


def test_initialisation_follows_the_seed():
    states = [make_model(seed=seed, spread=0).state_dict() for seed in (0, 0, 1)]
    assert all_equal(states[0], states[1])
    assert not torch.equal(*(state["heads.node/classes.weight"] for state in states[1:]))


@every_base
def test_a_fresh_gated_model_is_the_ungated_one(base):
    plain, gated = make_model(**base, spread=0), make_model(**base, spread=0, gated_messages=True, seed=1)
    keys = gated.load_state_dict(plain.state_dict(), strict=False)
    assert len(keys.missing_keys) == 2 * LAYERS
    assert all(".gate_projection." in key for key in keys.missing_keys)
    assert not keys.unexpected_keys
    expected = all_logits(plain)
    for name, logits in all_logits(gated).items():
        torch.testing.assert_close(logits, expected[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_layers_update_states_by_the_activation_of_the_config(activation):
    model = make_model(hidden_act=activation)
    backbone, normalised = model.asen.backbone, []
    for norm in (backbone.input_layers[0], *(layer.norm for layer in backbone.layers)):
        norm.register_forward_hook(lambda _, __, output: normalised.append(output))
    states = model(make_inputs(TASKS["graph/classes"]), "graph/classes", output_hidden_states=True).hidden_states
    activate = getattr(torch.nn.functional, activation)
    first = backbone.input_layers[3](backbone.input_layers[2](activate(normalised[0])))
    torch.testing.assert_close(states[0], first)
    for before, after, update in zip(states, states[1:], normalised[1:], strict=False):
        torch.testing.assert_close(after, before + activate(update))


@every_base
def test_parameter_names_tell_the_role(base):
    roles = "|".join(["token_embedders", "missing_embedders", "edge_embedders", "node_embedders"])
    task_names = "|".join(TASKS)
    pattern = rf"asen\.backbone\..+|asen\.({roles})\.({task_names})\.\w+|heads\.({task_names})\.\w+"
    keys = list(make_model(**base).state_dict())
    assert [key for key in keys if not re.fullmatch(pattern, key)] == []
    assert {f"asen.edge_embedders.{name}.weight" for name in TASKS} < set(keys)


# Growing and shrinking

NEW = {
    "a/first": task(cyclic(5), symmetry_breaking="nodes"),
    "node/new": task(tokens=False, regression=True),
    "z/last": task(edges=RING, output_level="graph"),
}


@pytest.mark.parametrize("name", NEW)
@every_base
def test_adding_a_task_leaves_the_others_bit_for_bit_untouched(name, base):
    model = make_model(**base)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    logits = all_logits(model)
    model.add_task(name, NEW[name])
    after = model.state_dict()
    assert {key for key in after if key not in weights} == {key for key in after if f".{name}." in key} != set()
    assert all_equal({key: after[key] for key in weights}, weights)
    grown = all_logits(model)
    assert grown.pop(name).isfinite().all()
    assert all_equal(grown, logits)


@pytest.mark.parametrize("cls", [AsenModel, AsenForMultitask])
@every_base
def test_parameters_have_one_order_however_the_tasks_came(cls, tmp_path, base):
    grown = make_model(cls=cls, **base)
    for name in reversed(NEW):
        grown.add_task(name, NEW[name])
    built = make_model(cls=cls, **base, tasks=TASKS | NEW)
    grown.save_pretrained(tmp_path)
    for other in (built, cls.from_pretrained(tmp_path)):
        assert [name for name, _ in grown.named_parameters()] == [name for name, _ in other.named_parameters()]
        assert list(grown.config.tasks) == list(other.config.tasks) == sorted(TASKS | NEW)


def test_an_added_task_is_initialised_in_the_dtype_of_the_model():
    model = make_model(spread=0).double()
    torch.manual_seed(7)
    model.add_task("new", NEW["a/first"].to_dict())
    added = {key: value for key, value in model.named_parameters() if ".new." in key}
    assert {value.dtype for value in added.values()} == {torch.float64}
    assert not added["heads.new.bias"].any()
    other = make_model(spread=0, seed=3).double()
    torch.manual_seed(7)
    other.add_task("new", NEW["a/first"])
    assert all_equal({key: value for key, value in other.named_parameters() if ".new." in key}, added)


@pytest.mark.parametrize("cls", [AsenModel, AsenForMultitask])
@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("node/classes", {}, "'node/classes' already"),
        ("a,b", {}, "a,b"),
        ("new", {"degree": 0}, "task 'new'.*degree"),
        ("new", {"degree": 50_000, "generators": []}, "50,000"),  # has too many pairs, as only its orbit labels show
    ],
)
def test_a_task_that_cannot_be_added_leaves_the_model_as_it_was(cls, name, settings, message):
    model = make_model(cls=cls)
    before = model.config.to_dict(), [key for key, _ in model.named_parameters()]
    with pytest.raises(ValueError, match=message):
        model.add_task(name, TASKS["node/classes"].to_dict() | settings)
    assert (model.config.to_dict(), [key for key, _ in model.named_parameters()]) == before


@every_base
def test_dropping_a_task_removes_all_of_it_and_nothing_else(tmp_path, base):
    model = make_model(**base)
    logits = all_logits(model)
    model.drop_task("graph/values")
    del logits["graph/values"]
    assert not any("graph/values" in name for name, _ in (*model.named_modules(), *model.named_parameters()))
    model.save_pretrained(tmp_path)
    assert all_equal(all_logits(AsenForMultitask.from_pretrained(tmp_path)), logits)
    with pytest.raises(ValueError, match=r"unknown task 'graph/values'.*node/classes"):
        model.drop_task("graph/values")


@every_task
def test_an_only_tasks_input_embeddings_can_be_had_and_replaced(name):
    model, inputs = make_model(tasks={name: TASKS[name]}), make_inputs(TASKS[name])
    embedder = copy.deepcopy(model.get_input_embeddings())
    expected = model(inputs).logits
    torch.nn.init.zeros_(model.get_input_embeddings().weight)
    assert not torch.equal(model(inputs).logits, expected)
    model.set_input_embeddings(embedder)
    assert torch.equal(model(inputs).logits, expected)


def test_several_tasks_share_no_input_embeddings():
    model = make_model()
    with pytest.raises(NotImplementedError, match="each of this model's 4 tasks"):
        model.get_input_embeddings()
    with pytest.raises(NotImplementedError, match="each of this model's 4 tasks"):
        model.set_input_embeddings(torch.nn.Embedding(5, HIDDEN))


def test_a_vocabulary_is_not_resized():
    model = make_model(tasks={"only": TASKS["node/classes"]})
    with pytest.raises(NotImplementedError, match="a task keeps its vocabulary"):
        model.resize_token_embeddings(9)
    assert model.get_input_embeddings().weight.shape == (5, HIDDEN)


# Bad input


@pytest.mark.parametrize("cls", [AsenModel, AsenForMultitask])
def test_the_task_may_be_left_out_only_where_there_is_one(cls):
    inputs = make_inputs(TASKS["node/classes"])
    assert make_model(cls=cls, tasks={"only": TASKS["node/classes"]})(inputs)[0].shape[0] == ROWS
    for name in (None, "nope"):
        with pytest.raises(ValueError, match="graph/classes, graph/values, node/classes, node/values"):
            make_model(cls=cls)(inputs, task=name)


@pytest.mark.parametrize("cls", [AsenModel, AsenForMultitask])
@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("node/classes", torch.zeros(2, 7, dtype=torch.long), r"shape \(rows, 6\), got \(2, 7\)"),
        ("node/classes", torch.zeros(6, dtype=torch.long), "shape"),
        ("node/classes", torch.zeros(2, 6), "integer"),
        ("node/classes", torch.tensor([[0] * 6, [0, 1, 2, 3, 5, 0]]), r"row 1: .*0 … 4 .*, got 5"),
        ("node/classes", torch.tensor([[-2] * 6]), r"row 0: .*got -2"),
        ("graph/values", torch.zeros(2, 4, 2), r"shape \(rows, 5, 2\)"),
        ("graph/values", torch.zeros(2, 5, 3), "shape"),
        ("graph/values", torch.full((2, 5, 2), math.inf), "row 0: .*finite"),
        ("graph/values", torch.full((2, 5, 2), -math.inf), "row 0: .*finite"),
        ("graph/values", torch.full((2, 5, 2), math.inf, dtype=torch.bfloat16), "row 0: .*finite"),
    ],
)
def test_unfit_inputs_are_a_value_error_that_names_the_task(cls, name, inputs, message):
    with pytest.raises(ValueError, match=f"task '{name}'.*{message}"):
        make_model(cls=cls)(inputs, task=name)


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("node/classes", torch.full((ROWS, 6), 3), "row 0: .*0 … 2.*got 3"),
        ("node/classes", torch.full((ROWS, 6), -1), "got -1"),
        ("node/classes", torch.zeros(ROWS, 6), "integer"),
        ("graph/classes", torch.zeros(ROWS, 7, dtype=torch.long), r"shape \(rows\)"),
        ("node/values", torch.zeros(ROWS, 6, 1), "shape"),
        ("node/values", torch.full((ROWS, 6), math.inf), "row 0"),
        ("graph/values", torch.zeros(ROWS), "shape"),
        ("graph/classes", torch.zeros(ROWS - 1, dtype=torch.long), "labels"),
        ("node/values", torch.zeros(1, 6), "labels"),
    ],
)
def test_unfit_labels_are_a_value_error_that_names_the_task(name, labels, message):
    with pytest.raises(ValueError, match=f"task '{name}'.*{message}"):
        make_model()(make_inputs(TASKS[name]), task=name, labels=labels)


@pytest.mark.parametrize("implementation", ["sdpa", "gatv2_nope"])
def test_an_attention_that_there_is_not_is_refused(implementation):
    with pytest.raises(ValueError, match=r"gatv2_nope|scaled_dot_product"):
        make_model(attn_implementation=implementation)


@pytest.mark.parametrize("implementation", ["gatv2_compile", "flash_attention_2", "nope"])
def test_an_attention_of_another_base_model_is_refused_wherever_it_is_named(implementation, tmp_path):
    message = f'"sdpa" or "eager" with backbone_type="transformer", got \'{implementation}\''
    model = make_model(backbone_type="transformer")
    model.save_pretrained(tmp_path)
    for name in (
        lambda: make_model(backbone_type="transformer", attn_implementation=implementation),
        lambda: model.set_attn_implementation(implementation),
        lambda: AsenForMultitask.from_pretrained(tmp_path, attn_implementation=implementation),
    ):
        with pytest.raises(ValueError, match=message):
            name()
    model.set_attn_implementation("eager")
    assert (
        AsenForMultitask.from_pretrained(tmp_path, attn_implementation="eager").config._attn_implementation == "eager"
    )


# Checkpoints

LOAD = """
import sys, torch, asen_hf
from transformers import AutoModel, AutoModelForPreTraining
found = {}
for folder in sys.argv[2:]:
    inputs = torch.load(folder + "/inputs.pt")
    for loader in (asen_hf.AsenForMultitask, asen_hf.AsenModel, AutoModel, AutoModelForPreTraining):
        model = loader.from_pretrained(folder)
        with torch.no_grad():
            outputs = {name: model(each, task=name)[0] for name, each in inputs.items()}
        found[folder, loader.__name__] = type(model).__name__, outputs
torch.save(found, sys.argv[1])
"""


def save_with_outputs(model, folder):
    """Save a model; return its logits as AsenForMultitask and its hidden states as AsenModel."""
    inputs = {name: make_inputs(each) for name, each in model.config.tasks.items()}
    model.save_pretrained(folder)
    torch.save(inputs, folder / "inputs.pt")
    with torch.no_grad():
        states = {name: model.asen(each, task=name).last_hidden_state for name, each in inputs.items()}
    return {"AsenForMultitask": all_logits(model), "AsenModel": states}


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory):
    """For each checkpoint and loader: what was saved, the class found in a new process, and what that computes."""
    folder = tmp_path_factory.mktemp("checkpoints")
    models = {"plain": make_model(), "gated": make_model(gated_messages=True), "grown": make_model()}
    models["transformer"] = make_model(backbone_type="transformer", gated_messages=True)
    for name, each in NEW.items():
        models["grown"].add_task(name, each)
    saved = {key: save_with_outputs(model, folder / key) for key, model in models.items()}
    command = [sys.executable, "-c", LOAD, str(folder / "found.pt"), *(str(folder / key) for key in models)]
    result = subprocess.run(command, cwd=Path(asen_hf.__file__).parents[1], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = torch.load(folder / "found.pt")
    return {(Path(path).name, loader): (saved[Path(path).name], *each) for (path, loader), each in found.items()}


@pytest.mark.parametrize("checkpoint", ["plain", "gated", "grown", "transformer"])
@pytest.mark.parametrize(
    ("loader", "cls"),
    [
        ("AsenForMultitask", "AsenForMultitask"),
        ("AsenModel", "AsenModel"),
        ("AutoModel", "AsenModel"),
        ("AutoModelForPreTraining", "AsenForMultitask"),
    ],
)
def test_a_new_process_gives_the_outputs_of_the_saved_model_bit_for_bit(reloaded, checkpoint, loader, cls):
    saved, found_cls, outputs = reloaded[checkpoint, loader]
    assert found_cls == cls
    assert all_equal(outputs, saved[cls])


@pytest.fixture
def checkpoint(tmp_path):
    make_model().save_pretrained(tmp_path)
    return tmp_path


def edit_weights(folder, edit):
    weights = load_file(folder / "model.safetensors")
    save_file(edit(weights), folder / "model.safetensors", metadata={"format": "pt"})


def test_a_checkpoint_holds_no_orbit_labels(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    assert weights.keys() == {name for name, _ in make_model().named_parameters()}


def test_a_bare_model_saved_alone_starts_a_multitask_model_with_new_heads(tmp_path):
    bare = make_model(cls=AsenModel)
    bare.save_pretrained(tmp_path)
    model, info = AsenForMultitask.from_pretrained(tmp_path, output_loading_info=True)
    assert all_equal(model.asen.state_dict(), bare.state_dict())
    assert set(info["missing_keys"]) == {f"heads.{name}.{part}" for name in TASKS for part in ("weight", "bias")}
    for head in model.heads.values():
        assert head.weight.any()
        assert not head.bias.any()


def test_a_bare_model_passes_over_the_heads_without_a_warning(checkpoint, caplog):
    AsenModel.from_pretrained(checkpoint)
    assert not caplog.records


def test_without_a_checkpoint_weights_come_from_the_state_dict_and_are_else_new():
    saved = make_model()
    given = {name: each for name, each in saved.state_dict().items() if name.startswith("asen.backbone.layers.1.")}
    model = AsenForMultitask.from_pretrained(None, config=saved.config, state_dict=given)
    weights = model.state_dict()
    assert all_equal({name: weights[name] for name in given}, given)
    assert not weights["asen.backbone.layers.0.attention.bias"].any()
    assert weights["asen.token_embedders.node/classes.weight"].any()


@pytest.mark.parametrize("cls", [AsenModel, AsenForMultitask])
def test_what_a_trainer_saves_loads_again(cls, tmp_path):
    model = make_model(cls=cls)
    transformers.Trainer(model, transformers.TrainingArguments(str(tmp_path), report_to=[])).save_model()
    assert all_equal(cls.from_pretrained(tmp_path).state_dict(), model.state_dict())


def test_a_checkpoint_loads_in_the_precision_asked_for(checkpoint):
    model = AsenForMultitask.from_pretrained(checkpoint, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    expected = all_logits(make_model().bfloat16())
    assert all_equal(all_logits(model), expected)


@pytest.mark.parametrize("cls", [AsenModel, AsenForMultitask])
@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_truncated_weights_are_refused_by_name(cls, size, checkpoint):
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"model\.safetensors in .* is truncated or corrupt"):
        cls.from_pretrained(checkpoint)


def test_missing_weights_are_refused_by_name(checkpoint):
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors"):
        AsenForMultitask.from_pretrained(checkpoint)


@pytest.mark.parametrize("settings", [{}, {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8}])
def test_a_missing_config_is_refused_by_name(settings, tmp_path):
    make_model(**settings).save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises((OSError, ValueError), match=r"config\.json"):
        AsenForMultitask.from_pretrained(tmp_path)


def test_a_truncated_config_is_refused_by_name(checkpoint):
    file = checkpoint / "config.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises((OSError, ValueError), match=r"config\.json"):
        AsenForMultitask.from_pretrained(checkpoint)


@pytest.mark.parametrize(
    "lost",
    [
        "asen.backbone.layers.1.norm.weight",
        "asen.edge_embedders.node/classes.weight",
        "asen.node_embedders.graph/values.weight",
        "heads.graph/values.bias",
    ],
)
def test_weights_that_lack_a_tensor_are_refused_by_its_name(lost, checkpoint):
    edit_weights(checkpoint, lambda weights: {name: each for name, each in weights.items() if name != lost})
    with pytest.raises(ValueError, match=f"do not fit each other: 1 tensor.s. missing.*{lost}"):
        AsenForMultitask.from_pretrained(checkpoint)


def test_weights_for_another_group_are_refused_by_name(checkpoint):
    config = json.loads((checkpoint / "config.json").read_text())
    config["tasks"]["node/classes"]["generators"] = []
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"edge_embedders\.node/classes\.weight"):
        AsenForMultitask.from_pretrained(checkpoint)


@pytest.mark.parametrize("settings", [{}, {"use_safetensors": False}])
def test_pickled_weights_are_never_read(settings, checkpoint):
    (checkpoint / "model.safetensors").unlink()
    torch.save(make_model().state_dict(), checkpoint / "pytorch_model.bin")
    with pytest.raises(OSError, match=r"model\.safetensors"):
        AsenForMultitask.from_pretrained(checkpoint, **settings)
